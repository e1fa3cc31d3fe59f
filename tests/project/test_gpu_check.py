"""The tool that checks a GPU, on this CPU: a dry run in small, and faults that it must find."""

import functools
import json
import math
import subprocess
import sys
import time

import pytest
import torch
from support import ROOT

import actfun as af

TOOLS = ROOT / "tools"
sys.path.append(str(TOOLS))

from gpu_checks import corners, correct, page, speed  # noqa: E402
from gpu_checks.run import SMALL, Run, Section  # noqa: E402

UNCOMPILED = (
    "values and gradients,special values,layouts,in place,learnable parameters,float64,lean gradients,watch,memory,"
    "memory of steps,eager"
)


@pytest.fixture
def run(tmp_path) -> Run:
    return Run("cpu", ("relu", "elu"), SMALL, 300.0, time.perf_counter(), tmp_path)


def test_a_dry_run_checks_measures_and_writes_both_files(tmp_path):
    command = [sys.executable, TOOLS / "gpu_check.py", "--device", "cpu", "--out", tmp_path, "--only", UNCOMPILED]
    done = subprocess.run([*command, "--activations", "relu,leaky_relu"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    sections = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert ",".join(sections) == UNCOMPILED
    for name, section in sections.items():
        assert section["rows"] or name == "learnable parameters", name
        assert not section["failures"] and not section["unreached"] and section["error"] is None, name
    written = (tmp_path / "gpu.md").read_text()
    assert all(f"\n| {name} | " in written for name in (*sections, "relu", "leaky_relu"))


def test_float32_patterns_lie_everywhere_and_differ_in_their_last_bits_too(run):
    patterns = torch.cat(list(correct.inputs(torch.float32, run))).view(torch.int32)
    assert len(patterns.unique()) == SMALL.patterns
    assert len((patterns & 0xFF).unique()) == 256 and len((patterns >> 24).unique()) == 256


def test_compiled_results_are_checked_too(run, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))  # no C++ to wait for
    section = Section()
    run.names = ("relu",)
    correct.compiled(run, section)
    assert {row["kind"] for row in section.rows} == set(correct.KINDS)
    assert not section.failures


def test_a_step_of_the_block_trains_it(run):
    activation = af.gelu
    before = speed.Block(32, 2, activation)
    assert before(torch.randn(2, 16, 32)).shape == (2, 16, 32)
    speed._step(run, activation, compile=False)()


def _slope_of_one(x):
    return torch.relu(x.detach()) + (x - x.detach())


def _multiplied(x):
    return torch.where(x > 0.0, x, 0.0 * x)


@pytest.mark.parametrize(
    ("name", "function", "kinds"),
    [
        ("gelu", torch.nn.functional.gelu, {"value", "gradient"}),  # its left tail cancels
        ("relu", lambda x: torch.relu(x) * 1.000002, {"value", "gradient"}),
        ("relu", lambda x: torch.where(x == 2.0, math.nan, torch.relu(x)), {"value"}),
        ("relu", _slope_of_one, {"gradient"}),
        ("relu", _multiplied, {"inf · 0"}),
    ],
)
def test_faults_are_found(run, name, function, kinds):
    section = Section()
    correct.eager(run, section, {name: function})
    assert kinds <= {row["kind"] for row in section.rows if row["wrong"]}
    assert section.failures


def test_special_values_of_another_function_are_found(run, monkeypatch):
    monkeypatch.setattr(corners, "ours", lambda _: lambda x: torch.nn.functional.gelu(x))
    for work in (corners.special, corners.reference):
        section = Section()
        work(run, section)
        assert section.failures


def test_an_exception_ends_its_section_alone_and_what_was_found_is_on_disk(run):
    def broken(run, section):
        section.rows.append({"name": "relu"})
        raise RuntimeError("planted")

    run.do("first", 60.0, broken)
    run.do("second", 60.0, corners.in_place)
    sections = json.loads((run.out / "gpu.json").read_text())["sections"]
    assert "planted" in sections["first"]["error"] and sections["first"]["rows"]
    assert sections["second"]["rows"] and sections["second"]["error"] is None
    assert any("planted" in line for line in page.problems(run.record()))


def test_what_there_was_no_time_for_is_written_down(run):
    run.do("special values", 0.0, corners.special)
    assert run.sections["special values"].unreached
    assert "No time" in page.problems(run.record())[0]


def test_timings_below_their_targets_are_listed():
    def row(size: int, **seconds: float) -> dict:
        times = {library: {"called": value, "device": None} for library, value in seconds.items()}
        return {"name": "gelu", "dtype": "bfloat16", "way": "forward", "size": size, **times}

    rows = [row(2**20, torch=1.0, actfun=2.0), row(2**22, torch=1.0, actfun=0.9), row(2**10, torch=1.0, actfun=9.0)]
    record = {"sections": {"eager": {"rows": rows}}, "large": 2**20}
    assert page.shortfalls(record) == ["Eager, bfloat16 forward, 2^20, called: gelu 0.50; target 0.97"]


def test_neither_the_package_nor_the_tool_needs_more_than_torch():
    """As on a machine for GPUs: no LLVM, and none of what the command needs."""
    code = """
import sys
for name in ("llvmlite", "mpmath", "numpy", "scipy", "sympy", "typer", "rich", "jinja2", "altair", "sklearn"):
    sys.modules[name] = None
import warnings
warnings.simplefilter("ignore")  # torch says that numpy is missing
import torch, actfun as af, gpu_check
from actfun._backends import gpu
from actfun._catalogue.kinds import ELEMENTWISE
x = torch.randn(5, dtype=torch.float64, requires_grad=True)
for name in af.names(ELEMENTWISE):
    af.get(name)(x).sum().backward()
"""
    environment = {"PYTHONPATH": f"{TOOLS.parent / 'src'}:{TOOLS}"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=600)
