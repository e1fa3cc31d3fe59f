"""`actfun accuracy`: what it prints and writes, and that a survey can be stopped and goes on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support import COMPILES, ELEMENTWISE

from actfun._accuracy import compiled, survey
from actfun._accuracy.error import TARGETS
from actfun._accuracy.implementation import Implementation, implementations, library_function
from actfun._report.accuracy import markdown
from actfun._runs import digest
from actfun._runs.executors import DIED
from actfun._runs.job import JobsFailedError, broken
from actfun._runs.loop import all_done

COMMAND = [sys.executable, "-m", "actfun", "accuracy"]


def run(*arguments: str) -> str:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=True, timeout=600).stdout


def test_it_measures_torch_beside_ours(tmp_path):
    output = run("tanh", "sigmoid", "--dtype", "bfloat16", "--lib", "torch", "--out", str(tmp_path))
    assert "Every target is met." in output
    facts = json.loads((tmp_path / "accuracy.json").read_text())
    assert facts["command"] == "actfun accuracy tanh sigmoid --dtype bfloat16 --lib torch"
    assert facts["machine"]["torch"] == torch.__version__.partition("+")[0]
    found = {(row["library"], row["name"], row["derivative"]): row for row in facts["findings"]}
    assert len(found) == 8
    assert all(row["met"] and row["misrounded"] == 0 for (library, *_), row in found.items() if library == "actfun")
    lost = found["torch", "tanh", True]  # the gradient that is exactly 0 from 3.5 on
    assert (lost["met"], round(lost["ulp"]), lost["got"]) == (False, 256, 0.0)
    page = (tmp_path / "accuracy.md").read_text()
    assert page.count("| tanh |") == 4
    assert "65,536" in page


def test_misses_are_marked_but_are_no_failure_of_the_command(tmp_path):
    output = run("gelu", "--dtype", "float64", "--out", str(tmp_path))
    missed = [row["name"] for row in json.loads((tmp_path / "accuracy.json").read_text())["findings"] if not row["met"]]
    assert ("Targets missed: gelu" in output) == bool(missed)
    assert ("| missed |" in (tmp_path / "accuracy.md").read_text()) == bool(missed)


@pytest.mark.slow
def test_a_stopped_survey_keeps_its_portions_and_goes_on(tmp_path):
    command = [*COMMAND, "relu", "--dtype", "float32", "--exhaustive", "--workers", "2", "--out", str(tmp_path)]
    path, kept = tmp_path / "accuracy.jsonl", []
    for more in ([], ["--resume"]):
        process = subprocess.Popen([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 90
        while time.monotonic() < end and process.poll() is None and lines(path) < len(kept) + 2:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=600)
        assert process.returncode == 130, error
        assert "--resume goes on" in error
        found = path.read_text().splitlines()
        assert len(found) >= len(kept) + 2
        assert found[: len(kept)] == kept
        kept = found
    ids = [json.loads(line)["id"] for line in kept]
    assert len(set(ids)) == len(ids)


def lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


@pytest.mark.slow
def test_an_exhaustive_survey_tries_each_float32_once():
    implementation = Implementation("actfun", "relu", False, torch.float32)
    work = survey.portions([implementation], exhaustive=True)
    assert sum(2**32 // job.portions for job in work) == 2**32
    edges = [
        part
        for job in work
        for part in (survey.patterns(job.index, job.portions)[0][:1], survey.patterns(job.index, job.portions)[-1][-1:])
    ]
    bits = [int(edge.view(torch.int32)) & 0xFFFFFFFF for edge in edges]
    assert bits[::2] == [job.index * 2**26 for job in work]
    assert bits[1::2] == [(job.index + 1) * 2**26 - 1 for job in work]
    assert [len(block) for block in survey.patterns(work[5].index, work[5].portions)] == [survey.BLOCK] * (
        2**26 // survey.BLOCK
    )


def test_results_of_other_code_are_not_taken_up(monkeypatch):
    (job,) = survey.portions([Implementation("actfun", "relu", False, torch.float16)], exhaustive=False)
    before = job.id
    assert job.id == before
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"changed")
    digest.code.cache_clear()
    assert job.id != before
    monkeypatch.undo()
    digest.code.cache_clear()


def test_a_sample_reaches_every_last_bit_and_both_signs():
    (job,) = survey.portions([Implementation("actfun", "relu", False, torch.float32)], exhaustive=False)
    bits = torch.cat(survey.patterns(job.index, job.portions)).view(torch.int32)
    assert len(bits) > 10**6
    assert len((bits & 0xFFF).unique()) == 2**12
    assert {int(b) for b in (bits >> 31).unique()} == {0, -1}


def test_every_activation_is_surveyed_in_every_dtype():
    names = tuple(activation.name for activation in ELEMENTWISE)
    found = {(s.name, s.dtype, s.derivative) for s in implementations(names, tuple(TARGETS), ("actfun",))}
    assert len(found) == len(names) * len(TARGETS) * 2
    assert library_function("torch", "gelu_tanh") is not None  # an option of torch's gelu
    assert library_function("torch", "relu_squared") is None


def test_a_worker_that_dies_ends_the_survey():
    (job,) = survey.portions([Implementation("actfun", "relu", False, torch.float16)], exhaustive=False)
    with pytest.raises(JobsFailedError, match=f"1 of 1 jobs failed, the first relu value float16 0/1: {DIED}"):
        all_done([job], [broken(job, DIED)])


def test_an_error_never_reads_smaller_than_it_is():
    implementation = Implementation("actfun", "relu", False, torch.float32)
    worst = survey.Worst(ulp=1.0001, x=1.0, got=1.0, exact=1.0, excused=0.0, misrounded=1, count=2**32)
    facts = {"machine": dict.fromkeys(("processor", "cores", "platform", "python", "torch", "actfun", "date"), "")}
    page = markdown(
        [(implementation, worst)],
        facts | {"command": "c", "seconds": 1.0, "machine": facts["machine"] | {"workers": 2}},
    )
    assert "| 1.01 |" in page
    assert "| missed |" in page
    assert "1 of 4,294,967,296" in page


def deviation_of(factor: float) -> compiled.Deviation:
    """Of a sigmoid that is off by a factor."""
    x = torch.linspace(-9.0, 9.0, 10_001)
    got = (factor * torch.sigmoid(x.double())).float()
    return compiled.deviation(Implementation("actfun", "sigmoid", False, torch.float32), x, got)


def test_deviations_of_compiled_calls_are_told_by_stretches():
    exact, off = deviation_of(1.0), deviation_of(1.0 + 2e-6)
    assert exact.met
    assert exact.further == exact.normal == 0.0
    assert not off.met
    assert off.further == pytest.approx(2e-6, rel=0.1)
    assert off.near > compiled.NEAR_ULP
    got = torch.tensor([torch.nan, 0.8789], dtype=torch.bfloat16)
    x = torch.tensor([1.0, 2.0], dtype=torch.bfloat16)
    nan = compiled.deviation(Implementation("actfun", "sigmoid", False, torch.bfloat16), x, got)
    assert nan.nans == 1
    assert not nan.met


@pytest.mark.slow
@COMPILES
def test_the_command_measures_compiled_calls(tmp_path):
    output = run("relu_squared", "--dtype", "bfloat16", "--compiled", "--out", str(tmp_path))
    assert "Every target is met." in output
    page = (tmp_path / "compiled.md").read_text()
    assert page.startswith("## Compiled calls")
    assert "| relu_squared | derivative | bfloat16 |" in page
