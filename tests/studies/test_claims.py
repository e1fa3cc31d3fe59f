"""The article's claims: the data, the rule of their verdicts, the experiments, the command."""

import inspect
import io
import json
import os
import re

import pytest
import torch
from rich.console import Console

from actfun._catalogue import registry
from actfun._catalogue.registry import names
from actfun._claims import depth, evidence, images, references, statements, verdicts
from actfun._claims.evidence import HOLDS, ONLY_WHEN, REFUTED
from actfun._claims.experiment import Scale
from actfun._cli import main
from actfun._compare.tasks import task
from actfun._report.claims import markdown, summary, table
from actfun._runs.host import machine
from actfun._runs.job import attempt, broken

pytestmark = pytest.mark.xdist_group("claims")  # one process runs the experiments


def test_all_claims_are_there_in_both_languages():
    claims = statements.claims()
    assert [claim.id for claim in claims] == list(range(1, 52))
    for claim in claims:
        assert claim.about in ("all", *names())
        assert claim.rule in ("every", "some", "conditions")
        assert claim.standing in "TCIW"
        assert claim.decided_by
        assert set(claim.decided_by) <= set(verdicts.EXPERIMENTS)
        assert claim.en.endswith(".")
        assert re.search(r"[\u4e00-\u9fff]", claim.zh)
        assert claim.zh.endswith("。")
        assert claim.instead or claim.standing == "T", "what is not simply true has a correction"


@pytest.fixture(scope="module")
def records():
    """Every experiment with one seed: measurements without intervals, but all of them; digits for images."""
    torch.set_num_threads(1)
    scale = Scale((0,), quick=True, images=(("digits", "."),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "split", lambda dataset, folder, seed: task("digits").split(seed))
        return [attempt(job) for job in verdicts.jobs(statements.claims(), scale)]


def test_every_experiment_runs_and_speaks_to_the_claims_that_it_decides(records):
    assert [(r["experiment"], r["error"]) for r in records if r["failed"]] == []
    decided: dict[int, set[str]] = {}
    said: set[str] = set()
    for name, experiment in verdicts.EXPERIMENTS.items():
        for claim, measurements in experiment.measurements([r for r in records if r["experiment"] == name]).items():
            assert measurements
            decided.setdefault(claim, set()).add(name)
            said |= {key for measurement in measurements for key in (measurement.what, measurement.condition) if key}
    assert decided == {claim.id: set(claim.decided_by) for claim in statements.claims()}
    compared = [*references._by_theory(), *references._by_monte_carlo(), *references._by_experiment(records)]
    said |= {key for found in compared for key in (found.what, found.source) if key in evidence.texts()}
    assert said == set(evidence.texts()), "texts that nobody says, or measurements without words"


def test_claims_come_out_as_a_table_and_as_json(records):
    rows = verdicts.judge(statements.claims(), records)
    assert [row["id"] for row in rows] == list(range(1, 52))
    json.dumps(rows, allow_nan=False)
    for row in rows:
        assert row["measured"]
        assert row["why"]
        for language in ("", "_zh"):
            read = [
                measurement["what" + language] + measurement["condition" + language] for measurement in row["measured"]
            ]
            assert len(set(read)) == len(read), "two measurements that read alike"
        assert "{" not in row["why"] + row["verdict_text"] + row["verdict_text_zh"]
    for width in (80, 200):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(table(rows, width))
        assert "refuted" in console.export_text()
    assert sum(map(int, re.findall(r"\d+", summary(rows)))) == 51
    lines = markdown(rows, references.references(records), machine(1, 1), "actfun claims", (0,)).splitlines()
    assert sum(line.startswith("### ") for line in lines) == 51
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")} == {6}


def test_numbers_of_the_literature_come_out_again(records):
    found = references.references(records)
    assert {row["source"] for row in found} >= {"Hayou 2019", "Roberts 2021", "Lu 2019", "mean field", "Monte Carlo"}
    apart = [row["what"] for row in found if not row["agrees"]]
    assert all(what.startswith("gelu, He, 50 layers of width 256") for what in apart), (
        apart
    )  # the theory is of infinite width


@pytest.mark.parametrize("name", [name for name in verdicts.EXPERIMENTS if name != "exact"])
def test_a_failed_run_breaks_nothing(records, name, monkeypatch):
    """The first, the middle and the last run of each experiment in turn."""
    for part in ("_by_theory", "_by_monte_carlo"):  # they take seconds, and no records
        monkeypatch.setattr(references, part, lambda: iter(()))
    own = [k for k, record in enumerate(records) if record["experiment"] == name]
    chosen = [claim for claim in statements.claims() if name in claim.decided_by]
    for k in {own[0], own[len(own) // 2], own[-1]}:
        known = inspect.signature(verdicts.EXPERIMENTS[name].run).parameters
        arguments = {key: value for key, value in records[k].items() if key in known}
        failed = broken(verdicts.Run.of(verdicts.EXPERIMENTS[name], arguments), "it broke")
        damaged = [*records[:k], failed, *records[k + 1 :]]
        json.dumps(verdicts.judge(chosen, damaged), allow_nan=False)
        json.dumps(references.references(damaged), allow_nan=False)


def test_a_wrong_number_of_the_literature_is_noticed(records, monkeypatch):
    monkeypatch.setattr(references, "SELU", (1.6733, references.SELU[1]))
    monkeypatch.setitem(references.BORN_DEAD, (2, 10), ("0.871", "0.940", "0.925"))
    apart = [row["what"] for row in references.references(records) if not row["agrees"]]
    assert {"SELU: alpha", "born dead, width 2, 10 layers: lower bound", "born dead, width 2, 10 layers"} <= {*apart}


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="all run in one process anyway")
def test_one_process_runs_the_experiments(request):
    assert request.node.nodeid.endswith("@claims"), "the tests of this file may be run by any process"


def kinds(ids: set[int], records=()) -> dict[int, str]:
    chosen = [claim for claim in statements.claims() if claim.id in ids]
    return {row["id"]: row["verdict"] for row in verdicts.judge(chosen, list(records))}


def test_a_wrong_gelu_changes_verdicts(monkeypatch):
    """With ReLU in GELU's place."""
    jobs = verdicts.jobs([claim for claim in statements.claims() if claim.id == 39], Scale((0, 1)))
    masks = [job for job in jobs if job.experiment == "mask"]
    right = kinds({18, 40, 42}), verdicts.EXPERIMENTS["mask"].measurements([attempt(job) for job in masks])[39]
    monkeypatch.setitem(registry._registry, "gelu", registry.spec("relu"))
    wrong = kinds({18, 40, 42}), verdicts.EXPERIMENTS["mask"].measurements([attempt(job) for job in masks])[39]
    assert right[0] == {18: ONLY_WHEN, 40: HOLDS, 42: HOLDS}
    assert wrong[0] == {18: HOLDS, 40: REFUTED, 42: REFUTED}
    assert right[1][0].value < 4.0 < 100.0 < wrong[1][0].value


def test_the_same_seed_gives_the_same_measurements():
    arguments = {"activation": "gelu", "init": "He", "depth": 10}
    first, again, other = (depth.run(**arguments, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_an_error_in_a_run_is_kept_and_the_others_go_on():
    record = attempt(verdicts.Run("depth", json.dumps({"activation": "nosuch", "init": "He", "depth": 1, "seed": 0})))
    assert record["failed"]
    assert "nosuch" in record["error"]


@pytest.mark.slow
def test_the_command_writes_verdicts_and_resumes(tmp_path, capsys):
    asked = ["claims", "--only", "7,13", "--seeds", "2", "--workers", "1", "--out", str(tmp_path)]
    assert main(asked) == 0
    rows = json.loads((tmp_path / "claims.json").read_text())
    assert {row["id"]: row["verdict"] for row in rows} == {7: ONLY_WHEN, 13: REFUTED}
    assert {"id", "claim", "claim_zh", "verdict", "expected", "measured", "why"} <= set(rows[0])
    assert json.loads((tmp_path / "references.json").read_text())
    assert "seeds: 0, 1." in (tmp_path / "claims.md").read_text().lower()
    assert "1 refuted" in capsys.readouterr().out
    kept = (tmp_path / "results.jsonl").read_text()
    assert main([*asked, "--resume"]) == 0
    assert (tmp_path / "results.jsonl").read_text() == kept
    assert "are done already" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--only", "7,99"], ["--only", ","], ["--seeds", "0"], ["--first-seed", "-1"]])
def test_bad_options_are_named(options, tmp_path, capsys):
    assert main(["claims", *options, "--out", str(tmp_path)]) == 2
    assert options[0] in capsys.readouterr().err
