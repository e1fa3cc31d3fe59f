"""Both READMEs: their examples, line by line, and the commands, names and files that they name."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

import actfun as af

READMES = pytest.mark.parametrize("name", ["README.md", "README.zh.md"])


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text_of(name), flags=re.DOTALL)


def doctest(path: Path) -> subprocess.CompletedProcess:
    """In a process of its own, for examples register an activation."""
    return subprocess.run([sys.executable, "-m", "doctest", str(path)], capture_output=True, text=True, timeout=600)


@READMES
def test_the_examples_give_what_they_show(name, tmp_path):
    (tmp_path / name).write_text(text_of(name), encoding="utf-8")
    result = doctest(tmp_path / name)
    assert result.returncode == 0, result.stdout + result.stderr


def test_doctest_catches_a_wrong_example(tmp_path):
    wrong = tmp_path / "README.md"
    wrong.write_text(text_of("README.md").replace("(1.53353, 1.481114)", "(1.53353, 1.481115)"), encoding="utf-8")
    assert doctest(wrong).returncode == 1


@pytest.mark.slow
@pytest.mark.skipif(not callable(getattr(af, "compare", None)), reason="af.compare is not there yet")
def test_the_script_runs(tmp_path):
    """The one block that is no session: a script that says which activation is best and leaves a report."""
    (script,) = (block for block in blocks("README.md", "python") if ">>>" not in block)
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "breast_cancer" in done.stdout
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_both_languages_show_the_same_code():
    for language in ("python", "sh"):
        assert blocks("README.md", language) == blocks("README.zh.md", language) != []


def test_both_languages_have_the_same_parts():
    parts = [
        re.findall(r"^(#+) |^(\|)|^(- )", text_of(name), flags=re.MULTILINE) for name in ("README.md", "README.zh.md")
    ]
    assert parts[0] == parts[1]


@READMES
def test_the_table_of_activations_is_the_registrys(name):
    readme = runpy.run_path(str(ROOT / "tools" / "write_tables.py"))["readme"]
    assert (ROOT / name).read_text(encoding="utf-8") == readme(name), "run tools/write_tables.py"


@READMES
def test_the_list_of_the_api_is_whole(name):
    api = text_of(name).partition("## API")[2].partition("\n## ")[0]
    functions = {public for public in af.__all__ if callable(getattr(af, public))} - {"Activation"}
    assert functions <= set(re.findall(r"`(\w+)[`(]", api))
    layers = set(dir(af.nn)) - {"Elementwise", "Gated"} - {af.spec(activation).module for activation in af.names()}
    assert layers <= set(re.findall(r"`nn\.(\w+)", api))


def test_the_whole_table_is_on_the_site():
    page = runpy.run_path(str(ROOT / "tools" / "site_pages.py"))["activations"]()
    table = page.partition("\n## ")[0]
    assert set(af.names()) <= set(re.findall(r"`(\w+)\(", table))
    assert {af.spec(name).module for name in af.names()} == set(re.findall(r"`nn\.(\w+)`", table))


@READMES
def test_the_commands_exist(name):
    from actfun._cli import COMMANDS

    lines = "\n".join([*blocks(name, "sh"), *re.findall(r"`([^`\n]+)`", text_of(name))])
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {"compare", "test", "docs"} <= set(re.findall(r"^make (\w+)", lines, flags=re.MULTILINE)) <= targets
    assert set(re.findall(r"^actfun (\w+)", lines, flags=re.MULTILINE)) == set(COMMANDS)


@READMES
def test_links_and_pictures_are_there(name):
    links = re.findall(r"\]\(([^)#]+)", text_of(name))
    assert [link for link in links if not (ROOT / link).is_file()] == []
    assert len([link for link in links if link.endswith(".svg")]) == 2


def test_the_documented_commands_of_ci_are_the_readmes():
    script = (ROOT / ".ci" / "run").read_text()
    assert "make docs\n" in script
    assert "make test\n" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
