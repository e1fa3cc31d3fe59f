"""What editors and mypy know of the package: `__init__.pyi` and `nn.pyi`."""

import runpy

import pytest
from mypy import api
from support import ROOT

PROGRAM = """
import actfun as af
import torch
x = torch.ones(3)
reveal_type(af.gelu(x, "tanh"))
reveal_type(af.elu(x, torch.ones(3), inplace=True))
reveal_type(af.nn.ELU(learnable=True)(x))
reveal_type(af.nn.ELU().alpha)
reveal_type(af.gain("gelu"))
reveal_type(af.compare("digits", ["relu"], seeds=2).verdict)
reveal_type(af.bench(eager=True).to_dict())
af.compare("digits", seed=2)
af.gelu(x, "tahn")
af.gelo(x)
af.nn.Gelu()
af.nn.LeakyReLU(slope=0.2)
"""
KNOWN = ["Tensor", "Tensor", "Tensor", "float | Parameter", "float", "str", "dict[str, Any]"]
WRONG = ["call-arg", "arg-type", "attr-defined", "attr-defined", "call-arg"]


def test_stubs_are_what_the_registry_gives():
    stubs = runpy.run_path(str(ROOT / "tools" / "write_stubs.py"))["stubs"]()
    for file, text in stubs.items():
        assert (ROOT / "src" / "actfun" / file).read_text(encoding="utf-8") == text, "run tools/write_stubs.py"


together = pytest.mark.xdist_group("mypy")  # two runs would write to one cache


@pytest.fixture(scope="module")
def told() -> list[str]:
    """What mypy says of a user's program, line by line."""
    kept = ROOT / ".pytest_cache" / "mypy"
    options = ["--follow-imports=silent", "--no-error-summary", "--config-file=", f"--cache-dir={kept}"]
    said, broken, _ = api.run([*options, "-c", PROGRAM])
    assert not broken
    return said.splitlines()


@together
def test_mypy_knows_what_calls_give(told):
    revealed = [line.partition("Revealed type is ")[2].strip('"') for line in told if "Revealed" in line]
    plain = [text.replace("torch._tensor.", "").replace("torch.nn.parameter.", "") for text in revealed]
    assert [text.replace("builtins.", "") for text in plain] == KNOWN


@together
def test_mypy_finds_wrong_names_and_values(told):
    errors = [line for line in told if ": error:" in line]
    assert [line.rpartition("[")[2].rstrip("]") for line in errors] == WRONG, told
