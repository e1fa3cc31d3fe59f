"""The report of a comparison: offline, safe, complete, and drawn by a real browser."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import References

from actfun._report.formatting import Metric
from actfun._report.page import compare_page, write_compare

Row = dict[str, Any]
SEEDS = [1000, 1001, 1002, 1003]
RATES = [0.001, 0.01, 0.1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def comparison(scores: dict[str, float], **changes: Any) -> tuple[Row, list[Row]]:
    """A summary and its trials; every activation scores around its given value, "diverging" fails once."""
    trials, activations = [], []
    best = next(iter(scores.values()))
    for name, score in scores.items():
        common = {"activation": name, "parameters": 9000, "step_milliseconds": 0.8, "error": None, "failed": False}
        for rate in RATES:
            tune = {"id": f"{name}/{rate}", "stage": "tune", "learning_rate": rate, "seed": 0, "curve": []}
            trials.append(common | tune | {"score": score})
        for i, seed in enumerate(SEEDS):
            failed = name == "diverging" and i == 0
            curve = [[step, score - 0.5 * math.exp(-step)] for step in range(2 if failed else 10)]
            confirm = {"id": f"{name}/{seed}", "stage": "confirm", "learning_rate": 0.01, "seed": seed, "curve": curve}
            trials.append(common | confirm | {"score": 0.0 if failed else score + i / 1000, "failed": failed})
        activations.append(
            {"name": name, "standing": "best" if score == best else "worse", "more_seeds": None, "learning_rate": 0.01,
             "parameters": 9000, "mean": score, "low": score - 0.004, "high": score + 0.004, "difference": score - best,
             "difference_low": score - best - 0.003, "difference_high": score - best + 0.003, "p": 0.01, "p_holm": 0.02,
             "probability_better": 0.1, "failures": int(name == "diverging"), "seeds": 4, "step_milliseconds": 0.8,
             "dead_share": 0.0, "saturated_share": 0.1}
        )  # fmt: skip
    summary = {
        "task": "digits", "metric": "accuracy", "higher_is_better": True, "same_within": 0.005, "quick": False,
        "verdict": "gelu is best & done.", "activations": activations,
        "protocol": {"seeds": SEEDS, "learning_rates": RATES, "batch_size": 64, "description": "A small network."},
        "machine": {"cores": 2, "date": "2026-11-23"},
    }  # fmt: skip
    return summary | changes, trials


ACCURACIES = {"gelu": 0.981, "maxout (equal parameters)": 0.979, "diverging": 0.975, "far off": 0.41}


def specs(page: str) -> dict[str, Any]:
    text = re.search(r'<script id="specs" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert text
    found: dict[str, Any] = json.loads(text[1])
    return found


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(keys(v) for v in value.values()))
    return set().union(*(keys(v) for v in value)) if isinstance(value, list) else set()


def rows(page: str) -> list[str]:
    return re.findall(r'<th scope="row">.*?</svg>\s*(.*?)</th>', page, re.DOTALL)


def test_page_fetches_nothing() -> None:
    page = compare_page(*comparison(ACCURACIES))
    assert References(page).found == []
    assert "url" not in keys(specs(page))
    assert "default-src 'none'" in page


@pytest.mark.parametrize(
    "fault",
    [
        '<script src="https://cdn.example/vega.js"></script>',
        '<link rel="stylesheet" href="//example.org/a.css">',
        "<style>@import 'a.css';</style>",
        "<style>p { background: url(http://example.org/a.png) }</style>",
        "<p style=\"background: url('a.png')\">",
        '<img src="a.png">',
    ],
)
def test_planted_reference_is_found(fault: str) -> None:
    page = compare_page(*comparison(ACCURACIES)).replace("</head>", f"{fault}</head>")
    assert References(page).found


def test_verdict_and_names_are_there_and_escaped() -> None:
    name = "<b>x</b></script><!--"
    page = compare_page(*comparison(ACCURACIES | {name: 0.97}))
    assert "gelu is best &amp; done." in page
    assert rows(page)[:2] == ["gelu", "maxout (equal parameters)"]
    assert "<b>x</b>" not in page and "&lt;b&gt;x&lt;/b&gt;" in page
    assert name in {row["activation"] for row in dots(page, "seeds")}


def dots(page: str, chart: str) -> list[Row]:
    return [row for data in specs(page)[chart]["datasets"].values() for row in data if "seed" in row]


def test_every_trial_has_its_dot() -> None:
    summary, trials = comparison(ACCURACIES)
    page = compare_page(summary, trials)
    confirmed = {t["id"] for t in trials if t["stage"] == "confirm"}
    assert {row["id"] for row in dots(page, "seeds")} == confirmed
    assert {row["id"] for row in dots(page, "differences")} == {i for i in confirmed if not i.startswith("gelu")}


def test_outliers_are_clipped_and_counted() -> None:
    page = compare_page(*comparison(ACCURACIES))
    low, high = specs(page)["seeds"]["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert 90 < low < 98 and 98 < high < 100
    assert all(low <= row["x"] <= high for row in dots(page, "seeds"))
    assert "5 runs are off the scale and drawn as triangles at its edge (diverging: 1, far off: 4)." in page
    assert "Failed runs are left out (diverging: 1)." in page


def test_lower_is_better() -> None:
    losses = {"tanh": 1.7036, "relu": 1.6234, "gelu": 1.6226}
    summary, trials = comparison(losses, metric="nats per character", higher_is_better=False)
    for activation in summary["activations"]:
        activation |= {"standing": "worse", "difference": activation["mean"] - 1.6226}
    page = compare_page(summary, trials)
    assert rows(page) == ["gelu", "relu", "tanh"]
    assert "1.623" in page and "+0.081" in page and "lower is better" in page
    assert specs(page)["differences"]["layer"][2]["encoding"]["x"]["title"][0].startswith("← better")


def test_numbers() -> None:
    accuracy, loss = Metric("accuracy", True, 4), Metric("log-loss", False, 5)
    assert accuracy.score(0.98123) == "98.1%"
    assert accuracy.difference(-0.0034) == "−0.34" and accuracy.difference(-0.00001) == "0.00"
    assert loss.score(0.0712345) == "0.07123" and loss.difference(0.001) == "+0.00100"
    assert loss.score(None) == "—" and loss.score(math.nan) == "—" and loss.interval(None, 1.0) == ""


@pytest.mark.parametrize("empty", [[], None], ids=["no trials", "one activation"])
def test_little_data_still_makes_a_page(empty: list[Row] | None) -> None:
    summary, trials = comparison({"gelu": 0.98})
    summary["activations"][0] |= {"low": None, "high": None, "difference": None, "p": None, "p_holm": None}
    page = compare_page(summary, trials if empty is None else empty)
    assert "There is no second activation to compare with." in page


def test_failed_write_leaves_the_old_report(tmp_path: Path) -> None:
    path = tmp_path / "compare.html"
    write_compare(path, *comparison(ACCURACIES))
    before = path.read_text(encoding="utf-8")
    summary, trials = comparison(ACCURACIES)
    del summary["verdict"]
    with pytest.raises(Exception, match="verdict"):
        write_compare(path, summary, trials)
    assert path.read_text(encoding="utf-8") == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to draw the page with")
def test_browser_draws_the_charts(tmp_path: Path) -> None:
    path = tmp_path / "compare.html"
    write_compare(path, *comparison(ACCURACIES))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--window-size=1000,900"]
    command = [str(CHROMIUM), *options, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
    drawn = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout
    drawn = re.sub(r"<script.*?</script>", "", drawn, flags=re.DOTALL)
    assert "could not be drawn" not in drawn
    charts = re.findall(r'<div class="chart[^>]*><svg.*?</svg>', drawn, re.DOTALL)
    assert len(charts) == 5
    for chart in charts:
        width = re.search(r'class="background"[^>]* d="M[\d.]+,[\d.]+h([\d.]+)', chart)
        assert width and float(width[1]) > 400, "a chart's plot area has collapsed"
        assert chart.count("mark-symbol role-mark") >= 1
