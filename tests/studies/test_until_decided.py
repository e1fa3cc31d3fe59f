"""Seeds until it is decided: the sequential test errs in less than 5% of comparisons, however often it looks."""

import json
import math

import numpy
import pytest
import simulate_deciding
from scipy import stats

from actfun._cli import main
from actfun._compare import protocol, statistics
from actfun._compare.tasks import task
from actfun._report.verdict import verdict


def bayes_factor(t: float, n: int) -> float:
    """Of an effect size drawn from N(0, 1/PRIOR) against none, by integrating the densities of t."""

    effects = numpy.linspace(-8.0, 8.0, 4_001)
    prior = stats.norm.pdf(effects, scale=statistics.PRIOR**-0.5)
    over = float(numpy.trapezoid(stats.nct.pdf(t, n - 1, math.sqrt(n) * effects) * prior, effects))
    return over / float(stats.t.pdf(t, n - 1))


@pytest.mark.parametrize("n", [8, 12, 40])
@pytest.mark.parametrize("level", [0.95, 0.998])
def test_the_interval_ends_where_the_e_process_reaches_its_threshold(n, level):
    half = statistics.anytime_half_width(2.0, n, level)
    t = half / (2.0 / math.sqrt(n))
    assert bayes_factor(t, n) == pytest.approx(1.0 / (1.0 - level), rel=1e-3)
    assert half > statistics._half_width(2.0, n, level), "wider than for a number of seeds that is fixed"


def test_few_values_settle_nothing():
    assert statistics.anytime_half_width(1.0, 1) == math.inf
    assert statistics.anytime_half_width(1.0, 2) == math.inf
    assert statistics.anytime_half_width(1.0, 500) < 0.2


@pytest.mark.parametrize(
    "case",
    [
        "2, the same",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("4, the same", "2, on the edge of the band")),
        pytest.param("4, one worse by 3", marks=pytest.mark.slow),
    ],
)
def test_at_most_one_in_twenty_of_2000_comparisons_is_wrong(case):
    found = simulate_deciding.simulate(*simulate_deciding.CASES[case], count=2_000)
    assert found.wrong <= 0.05


def test_an_interval_for_a_fixed_number_of_seeds_would_be_wrong_too_often(monkeypatch):
    monkeypatch.setattr(statistics, "anytime_half_width", lambda s, n, level=0.95: statistics._half_width(s, n, level))
    assert simulate_deciding.simulate(*simulate_deciding.CASES["2, the same"], count=500).wrong > 0.1


def test_differences_that_are_there_take_few_seeds():
    means, band = simulate_deciding.CASES["8, worse by 0 to 7"]
    found = simulate_deciding.simulate(means, band, count=50)
    assert found.decided > 0.7 and found.seeds < 0.5 * simulate_deciding.MOST


def test_what_is_worse_gets_no_more_seeds_and_the_report_says_what_it_took():
    asked: list[str] = []

    def run(trials):
        records = []
        for trial in trials:
            asked.append(trial.activation)
            noise = float(numpy.random.default_rng(trial.seed).normal()) * 0.001
            own = float(numpy.random.default_rng([trial.seed, len(trial.activation)]).normal()) * 0.001
            score = {"sigmoid": 0.80, "relu": 0.95, "gelu": 0.9501}[trial.activation] + noise + own
            records.append({"stage": trial.stage, "activation": trial.activation, "learning_rate": trial.learning_rate})
            records[-1] |= {"seed": trial.seed, "score": score, "failed": False, "parameters": 1, "dead_share": None}
            records[-1] |= {"step_milliseconds": 1.0, "saturated_share": None, "curve": []}
        return records

    from actfun._compare.summary import summarise

    plan = protocol.plan(task("digits"), ["relu", "sigmoid", "gelu"], 40, [0.01], until_decided=True)
    summary = summarise(plan, protocol.execute(plan, run))
    rows = {row["name"]: row for row in summary["activations"]}
    assert rows["sigmoid"]["standing"] == "worse" and rows["sigmoid"]["seeds"] == statistics.FIRST_ROUND
    assert {rows["relu"]["standing"], rows["gelu"]["standing"]} == {"best", "same"}
    assert rows["relu"]["seeds"] == rows["gelu"]["seeds"] < 40
    runs = sum(row["seeds"] for row in rows.values())
    assert f"Seeds were added until it was decided: {runs} confirming runs, of 120 at most" in verdict(summary)


def test_the_command_adds_seeds_and_resumes(tmp_path, capsys):
    words = ["compare", "wine", "--quick", "--activations", "relu,tanh", "--lrs", "0.003", "--until-decided"]
    assert main([*words, "--most", "8", "--out", str(tmp_path)]) == 0
    assert "confirmed on up to 8 fresh seeds" in capsys.readouterr().out
    before = json.loads((tmp_path / "summary.json").read_text())["activations"]
    lines = (tmp_path / "results.jsonl").read_text().count("\n")
    assert main([*words, "--most", "8", "--out", str(tmp_path), "--resume"]) == 0
    assert (tmp_path / "results.jsonl").read_text().count("\n") == lines, "something was trained twice"
    assert json.loads((tmp_path / "summary.json").read_text())["activations"] == before
    assert {row["p_holm"] for row in before} == {None}
