"""`actfun bench --watch`: what it measures is so, and what misses its target is named."""

import json
import time

import pytest

from actfun._bench import watching
from actfun._cli import main
from actfun._report import bench_watch as report
from actfun._watch.watcher import Watcher


@pytest.fixture
def few(monkeypatch):
    """Few and short cells."""
    monkeypatch.setattr(watching, "WATCHED", (watching.TINY,))
    monkeypatch.setattr(watching, "TRAINED", {"breast_cancer": ("relu", "maxout")})
    monkeypatch.setattr(watching, "BLOCKS", 6)


def test_a_page_has_cost_and_alarms(few, tmp_path, capsys):
    assert main(["bench", "--watch", "--eager", "--seconds", "0.01", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "Measuring 7 cells" in said and "False alarms" in said
    (cost,) = [r for r in json.loads((tmp_path / "watch.json").read_text())["cells"] if r["kind"] == "watch"]
    assert cost["places"] == 3
    assert cost["ratio"][0] <= cost["ratio"][1] <= cost["ratio"][2]
    assert 0.0 < cost["share"] < 1.0
    assert cost["peak_watched"] > 0
    page = (tmp_path / "watch.md").read_text()
    assert "Written by `actfun bench --watch --eager --seconds 0.01`" in page
    assert "| breast_cancer | 6 | 2 |" in page


def test_what_watching_adds_is_measured(monkeypatch):
    """A watcher that is made slow."""
    usual = Watcher._before_step

    def slow(self, *given):
        time.sleep(0.002)
        usual(self, *given)

    monkeypatch.setattr(Watcher, "_before_step", slow)
    cell = watching.Watching(watching.TINY, False, 6, 0.02)
    assert cell.run()["ratio"][1] > 1.5


def test_what_misses_its_target_is_named():
    cost = {
        "kind": "watch",
        "network": "MLP",
        "compiled": True,
        "milliseconds": 1.0,
        "places": 3,
        "share": 0.1,
        "said": 0.1,
    }
    cost |= {"ratio": [1.0, 1.2, 1.3], "idle": [1.0, 1.1, 1.2], "peak": 100, "peak_idle": 100, "peak_watched": 150}
    lines = "\n".join(report.shortfalls([cost]))
    assert (
        "MLP, compiled **1.200**" in lines and "MLP, compiled **1.100**" in lines and "MLP, compiled **1.50**" in lines
    )
    (section,) = report.sections([cost])
    assert section.columns["watched"] == ["**1.200**"]
    cost |= {"ratio": [0.9, 1.0, 1.1], "idle": [1.0, 1.0, 1.0], "peak_watched": 100}
    assert report.shortfalls([cost]) == ["Nothing."]


def test_an_alarm_is_counted_where_training_was_tuned():
    def of(activation, rate, score, findings):
        record = {"kind": "alarm", "task": "digits", "activation": activation, "rate": rate}
        return {**record, "score": score, "findings": findings}

    dead = [["dead", "1", 0.5]]
    records = [
        of("relu", 0.1, 0.9, []),
        of("relu", 1.0, 0.5, dead),
        of("tanh", 0.1, 0.8, dead),
        of("tanh", 1.0, 0.7, []),
    ]
    (section,) = report.sections(records)
    cells = {head: column[0] for head, column in section.columns.items()}
    assert cells["tuned"] == "2"
    assert cells["of these with a finding"] == "1 (50.0%)"
    assert cells["which"] == "tanh at 0.1: dead"
    assert cells["others with a finding"] == "1 of 2"


def test_it_goes_alone(capsys):
    assert main(["bench", "--watch", "--memory"]) == 2
    assert main(["bench", "--watch", "relu"]) == 2
    assert "--watch goes with" in capsys.readouterr().err
