"""`actfun COMMAND`: what is wrong is named in one line, and what needs no torch does not load it."""

import subprocess
import sys

import pytest

from actfun import names
from actfun._cli import COMMANDS, main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "digits", "--activations", "gelo"], "unknown activation 'gelo'; did you mean gelu"),
        (["compare", "digist"], "unknown task 'digist'; did you mean digits or iris?"),
        (["compare", "digits", "--lrs", "a,b"], "--lrs must be numbers separated by commas, got 'a,b'"),
        (["compare", "digits", "--lrs", "-1"], "learning rates must be positive numbers, got [-1.0]"),
        (["compare", "digits", "--seeds", "0"], "seeds must be at least 1, got 0"),
        (["compare", "digits", "--seeds", "two"], "seeds"),
        (["compare", "digits", "--workers", "0"], "--workers must be at least 1, got 0"),
        (["compare", "digits", "--init", "mached"], "did you mean matched?"),
        (["compare", "digits", "--out", "/dev/null/x"], "/dev/null"),
        (["compare", "digits", "--activations", ""], "name at least one activation"),
        (["compare"], "Missing argument"),
        (["accuracy", "gelo"], "unknown activation 'gelo'; did you mean gelu"),
        (["accuracy", "maxout"], "maxout is no element-wise or gated activation"),
        (["accuracy", "--dtype", "float8"], "--dtype: 'float8' is not known; did you mean float"),
        (["accuracy", "--lib", "jax"], "--lib: 'jax' is not known; known: actfun, torch"),
        (["accuracy", "--workers", "0"], "--workers must be at least 1, got 0"),
        (["accuracy", "--out", "/dev/null/x"], "/dev/null"),
        (["compre"], "unknown command 'compre'; did you mean compare?"),
        (["list", "--wide"], "--wide"),
    ],
    ids=str,
)
def test_bad_input_exits_2_with_one_line(arguments, words, capsys):
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert words in told.err


def test_list_shows_every_activation_on_a_line(capsys):
    assert main(["list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == list(names())


LOADED_TORCH = 100
RUN = f"""
import sys
from actfun._cli import main
code = main(sys.argv[1:])
sys.exit({LOADED_TORCH} if "torch" in sys.modules else code)
"""


def exit_code(*arguments: str) -> int:
    """That of a command in a process of its own, LOADED_TORCH where it loads torch."""
    return subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, timeout=600).returncode


@pytest.mark.parametrize("arguments", [[], ["--help"], ["list"], *([name, "--help"] for name in COMMANDS)], ids=str)
def test_the_list_and_help_load_no_torch(arguments):
    assert exit_code(*arguments) == 0


@pytest.mark.parametrize("arguments", [["lst"], ["list", "--wide"], ["compare"]], ids=str)
def test_what_is_no_command_loads_no_torch(arguments):
    assert exit_code(*arguments) == 2


def test_a_command_that_loads_torch_is_found_out(tmp_path):
    assert exit_code("show", "relu", "--html", str(tmp_path / "relu.html")) == LOADED_TORCH
