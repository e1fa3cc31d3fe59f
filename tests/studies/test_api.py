"""`af.compare`, `af.claims`, `af.accuracy`, `af.bench`, `af.show`: what the commands do, as functions; how jobs run."""

import dataclasses
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from support import References

import actfun as af
from actfun._accuracy import compiled
from actfun._catalogue import registry
from actfun._claims import references
from actfun._cli import main
from actfun._compare import trial
from actfun._runs import digest, host, job
from actfun._runs.executors import Inline
from actfun._runs.store import read
from actfun._studies.compare import Comparison, ComparisonRun

TIMES = {"id", "seconds", "step_milliseconds", "machine", "rounds", "ratios"}  # of records: no two runs have the same
FEW = {"activations": ["relu", "tanh"], "seeds": 1, "learning_rates": [0.003], "quick": True}


def comparing(out: Path | None = None, resume: bool = False, **given) -> ComparisonRun:
    settings = {"data": "breast_cancer", "init": "matched", "workers": 2, **FEW, **given}
    return ComparisonRun(out=out, resume=resume, **settings)


def lasting(value):
    """A result without what differs from run to run."""
    if isinstance(value, dict):
        return {key: lasting(part) for key, part in value.items() if key not in TIMES}
    return [lasting(part) for part in value] if isinstance(value, list | tuple) else value


def by_trial(records) -> dict[str, dict]:
    return {record["id"]: lasting(record) for record in records}


@pytest.fixture(scope="module")
def inline() -> tuple[ComparisonRun, Comparison]:
    """A comparison in this process, on one thread, in memory."""
    study = comparing()
    with host.threads(1):
        return study, study.run(Inline())


@pytest.fixture(scope="module")
def called(tmp_path_factory) -> tuple[Path, Comparison]:
    """The same by two worker processes, and the folder that it was written to."""
    folder = tmp_path_factory.mktemp("api")
    return folder, af.compare("breast_cancer", workers=2, out=folder, **FEW)


def test_compare_does_what_the_command_does(tmp_path, called):
    folder, found = called
    asked = ["--activations", "relu,tanh", "--seeds", "1", "--lrs", "0.003", "--quick", "--workers", "1"]
    assert main(["compare", "breast_cancer", *asked, "--out", str(tmp_path)]) == 0
    command, api = (json.loads((place / "summary.json").read_text()) for place in (tmp_path, folder))
    assert lasting(command) == lasting(api) == lasting(found.to_dict())
    command, api = (by_trial(read(place / "results.jsonl")) for place in (tmp_path, folder))
    assert command == api != {}
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in folder.iterdir()}
    assert found.verdict == found.data["verdict"]
    assert found.best == found.data["activations"][0]["name"]


def test_inline_and_processes_give_the_same(inline, called):
    study, here = inline
    _, there = called
    assert lasting(here.to_dict()) == lasting(there.to_dict())
    assert by_trial(study.store.finished.values()) == by_trial(there.trials) != {}
    assert (here.data["machine"]["workers"], there.data["machine"]["workers"]) == (1, 2)


def test_claims_do_what_the_command_does(tmp_path, monkeypatch):
    for part in ("_by_theory", "_by_monte_carlo"):  # they take seconds
        monkeypatch.setattr(references, part, lambda: iter(()))
    assert main(["claims", "--only", "13", "--seeds", "2", "--workers", "1", "--out", str(tmp_path / "command")]) == 0
    found = af.claims([13], seeds=2, workers=1, out=tmp_path / "api")
    for name in ("claims.json", "references.json"):
        assert lasting(json.loads((tmp_path / "command" / name).read_text())) == lasting(
            json.loads((tmp_path / "api" / name).read_text())
        )
    assert found.to_dict()["command"] == "actfun claims --only 13 --seeds 2"
    assert found.verdict == "1 refuted."
    assert "13" in str(found)


def test_accuracy_does_what_the_command_does(tmp_path):
    asked = ["accuracy", "tanh", "--dtype", "bfloat16", "--lib", "torch", "--workers", "1"]
    assert main([*asked, "--out", str(tmp_path)]) == 0
    found = af.accuracy("tanh", dtype="bfloat16", lib="torch", workers=1)
    assert lasting(found.to_dict()) == lasting(json.loads((tmp_path / "accuracy.json").read_text()))
    assert found.missed == []
    assert len(found.rows) == 4
    found.html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert References(page).found == []
    assert page.count("<td") == 4 * 8
    assert "the number nearest to the exact value" in page


@pytest.mark.slow
def test_bench_does_what_the_command_does(tmp_path):
    asked = ["bench", "relu", "--eager", "--sizes", "16,4096", "--dtypes", "float32", "--against", "torch"]
    before = torch.get_num_threads()
    assert main([*asked, "--seconds", "0", "--threads", "1", "--out", str(tmp_path)]) == 0
    given = {"sizes": [16, 4096], "dtypes": ["float32"], "against": ["torch"], "seconds": 0, "threads": 1}
    found = af.bench("relu", eager=True, **given)
    assert lasting(found.to_dict()) == lasting(json.loads((tmp_path / "bench.json").read_text()))
    assert [(r["size"], r["backward"], r["spread"]) for r in found.rows][:2] == [(16, False, 1.0), (4096, False, 1.0)]
    assert torch.get_num_threads() == before
    found.html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert References(page).found == []
    assert "Eager calls: torch / actfun, by size" in page
    assert "**" not in page, "marks of Markdown"


def test_show_does_what_the_command_does(tmp_path, capsys):
    found = af.show("elu")
    assert main(["show", "elu", "--html", str(tmp_path / "command.html")]) == 0
    found.html(tmp_path / "api.html")
    assert (tmp_path / "command.html").read_text() == (tmp_path / "api.html").read_text()
    assert found.to_dict()["facts"]["module"] == "actfun.nn.ELU"
    assert "<svg" in found._repr_html_()
    json.dumps(found.to_dict())


def test_results_are_shown_in_text_and_in_notebooks(inline, monkeypatch):
    found = inline[1]
    assert found.verdict in str(found).replace("\n", " ")
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(found.table(100))
    assert "tanh" in console.export_text()
    drawn = found._repr_html_()
    assert "<td" in drawn
    assert "relu" in drawn
    assert References(drawn).found == []
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        found.to_pandas()


@pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="needs pandas")
def test_a_data_frame_has_a_row_for_each_activation(inline):
    assert [*inline[1].to_pandas()["name"]] == [row["name"] for row in inline[1].rows]


def test_results_of_edited_code_are_made_anew(tmp_path, monkeypatch):
    """A change of what decides them counts, one of how they are shown or of another study does not."""
    package = tmp_path / "actfun"
    shutil.copytree(digest.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(job, "code", lambda studies: digest.code(studies, package))

    def lines(resume: bool) -> int:
        digest.code.cache_clear()
        with host.threads(1):
            comparing(tmp_path / "out", resume).run(Inline())
        return len((tmp_path / "out" / "results.jsonl").read_text().splitlines())

    def edit(path: str) -> None:
        with (package / path).open("a") as file:
            file.write("# edited\n")

    first = lines(resume=False)
    assert first > 0
    edit("_report/page.py")
    edit("_claims/side_by_side.py")
    assert lines(resume=True) == first
    edit("_catalogue/formulas/rectified.py")
    assert lines(resume=True) == 2 * first
    edit("_compare/training.py")
    assert lines(resume=True) == 3 * first
    digest.code.cache_clear()


def test_each_file_that_decides_changes_the_digest(tmp_path):
    package = tmp_path / "actfun"
    shutil.copytree(digest.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    seen = {digest.code(("_compare",), package)}
    for count, path in enumerate(
        ["__init__.py", "_operators/op.py", "_backends/cpu/polynomials.json", "_compare/trial.py", "_version.py"], 2
    ):
        (package / path).write_text((package / path).read_text() + "\n")
        digest.code.cache_clear()
        seen.add(digest.code(("_compare",), package))
        assert len(seen) == count, path
    digest.code.cache_clear()
    assert digest.code(("_compare",)) != digest.code(("_claims", "_compare"))


def test_results_of_an_activation_of_ones_own_hang_on_its_formula(monkeypatch):
    made = trial.Trial("digits", "tune", "relu", 0.1, 0, 1)
    ids = [made.id]
    for own in ("x * 2.0", "x * 3.0", "x * 3.0"):
        scope: dict = {"__name__": "elsewhere"}
        exec(f"def formula(x):\n    return {own}", scope)
        theirs = dataclasses.replace(af.spec("relu"), formula=scope["formula"], derivatives={})
        monkeypatch.setitem(registry._registry, "relu", theirs)
        ids.append(made.id)
    assert len(set(ids)) == 3
    assert ids[2] == ids[3]


def test_a_broken_job_is_kept_as_such_and_tried_anew_but_a_diverged_one_is_not(tmp_path, monkeypatch):
    def broken(*_):
        raise MemoryError("no memory")

    with monkeypatch.context() as patch, host.threads(1):
        patch.setattr(trial, "_train", broken)
        found = comparing(tmp_path).run(Inline())
    assert found.failed
    kept = read(tmp_path / "results.jsonl")
    assert {(r["broken"], r["failed"], r["error"]) for r in kept} == {(True, True, "MemoryError: no memory")}
    study = comparing(tmp_path, resume=True)
    assert study.store.missing(study.plan.trials()) == study.plan.trials()
    diverged = trial.Trial("text", "tune", "relu_squared", 1e9, 0, 3)
    record = {"id": diverged.id, **job.attempt(diverged)}
    assert record["failed"]
    study.store.append(record)
    assert study.store.missing([diverged]) == []
    with host.threads(1):
        again = study.run(Inline())
    assert not again.failed
    assert not any(record.get("broken") for record in again.trials)


def test_a_survey_that_breaks_ends_with_one_line_and_goes_on(tmp_path, monkeypatch, capsys):
    asked = ["accuracy", "relu", "tanh", "--dtype", "float16", "--compiled", "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(compiled, "measure", lambda name, dtype: [][0] if name == "tanh" else [])
        assert main(asked) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "1 of 2 jobs failed, the first tanh float16 compiled: IndexError" in error
    monkeypatch.setattr(compiled, "measure", lambda name, dtype: [])
    assert main([*asked, "--resume"]) == 0
    assert [r["name"] for r in read(tmp_path / "accuracy.jsonl")] == ["relu", "tanh", "tanh"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: af.compare("digist"), "unknown task 'digist'; did you mean digits or iris?"),
        (lambda: af.compare("digits", "gelo"), "unknown activation 'gelo'; did you mean gelu"),
        (lambda: af.compare("digits", workers=0), "`workers` must be at least 1, got 0"),
        (lambda: af.compare("digits", seeds=0), "`seeds` must be at least 1, got 0"),
        (lambda: af.compare("digits", resume=True), "`resume` goes on with what is in a folder"),
        (lambda: af.claims([99]), "`only` takes numbers of claims, from 1 to 51, got 99"),
        (lambda: af.claims(data="."), "`data` is for `full`"),
        (lambda: af.accuracy(dtype="float8"), "`dtype`: 'float8' is not known; did you mean float"),
        (lambda: af.accuracy("maxout"), "maxout is no element-wise or gated activation"),
        (lambda: af.bench(sizes=[0]), "`sizes`: 0 is not a number of elements"),
        (lambda: af.bench(sizes=[]), "`sizes` names nothing"),
        (lambda: af.bench(spreads=[-1.0]), "`spreads`: -1.0 is not a standard deviation"),
        (lambda: af.bench(threads=0), "`threads` must be at least 1, got 0"),
        (lambda: af.show("gelo"), "unknown activation 'gelo'; did you mean gelu"),
    ],
    ids=lambda value: value if isinstance(value, str) else "call",
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import actfun as af\naf.compare('breast_cancer', ['relu'], quick=True, seeds=1, workers=1)\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    assert 'put what the script does under `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]


def test_without_the_extra_the_error_says_what_to_install():
    code = "import sys; sys.modules['altair'] = None; from actfun import *; compare('digits')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert "ImportError: actfun.compare needs altair: pip install 'actfun[compare]'" in done.stderr
