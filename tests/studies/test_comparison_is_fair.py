"""The protocol of `compare`: pairing, tuning, confirming, statistics, the network measures."""

import dataclasses
import io
import json
import math

import numpy
import pytest
import torch
from rich.console import Console
from scipy import stats

import actfun as af
from actfun._compare import protocol, statistics
from actfun._compare.models import MLP, Candidate, CharTransformer, candidate_of, initialise, parameters
from actfun._compare.summary import summarise
from actfun._compare.tasks import TASKS, task
from actfun._compare.trial import Trial
from actfun._report.verdict import table, verdict
from actfun._runs.job import attempt
from actfun._watch.meter import Meter

each_task = pytest.mark.parametrize("name", TASKS)
LABELS = protocol.candidates(["tanh", "relu", "maxout"])


def network(name: str, label: str, seed: int = 0):
    candidate = candidate_of(label)
    built = TASKS[name].build(candidate, TASKS[name].split(seed))
    initialise(built, candidate, seed, matched=True)
    return built


@each_task
def test_a_seed_fixes_the_split_for_all_and_parts_never_overlap(name):
    first, again, other = (TASKS[name].split(seed) for seed in (0, 0, 1))
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(first, part)[0], getattr(again, part)[0])
    assert len(first.test[0]) == len(other.test[0])
    if name == "text":
        assert torch.equal(first.test[0], other.test[0]), "tuning would see the test set"
    else:
        assert torch.equal(first.test[1], other.test[1]), "tuning would see the test set"
    assert not torch.equal(first.train[0], other.train[0])
    if name != "text":  # a line of text may well stand twice; its blocks do not overlap
        rows = [{tuple(row) for row in getattr(first, part)[0].tolist()} for part in ("train", "validation", "test")]
        assert not rows[0] & rows[1]
        assert not rows[0] & rows[2]
        assert not rows[1] & rows[2]


@each_task
def test_activations_of_a_seed_start_from_the_same_draws(name):
    tanh, relu, other = network(name, "tanh"), network(name, "relu"), network(name, "tanh", seed=1)
    scales = set()
    for (key, a), b, c in zip(tanh.named_parameters(), relu.parameters(), other.parameters(), strict=True):
        if a.dim() < 2:
            continue
        ratio = (a / b).detach()
        torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-4, atol=0, msg=key)
        scales.add(round(float(ratio.mean()), 3))
        assert not torch.allclose(a, c)
    assert scales == {1.0, round(af.gain("tanh") / af.gain("relu"), 3)}


@each_task
def test_maxout_gets_an_equal_budget_too(name):
    budget = parameters(network(name, "relu"))
    equal, full = (parameters(network(name, label)) for label in protocol.candidates(["maxout"])[::-1])
    assert full > budget
    assert 0.9 * budget < equal <= budget


@each_task
def test_the_same_trial_gives_the_same_score(name):
    trial = Trial(name, "confirm", "gelu", 0.003, 7, 20)
    first, second = attempt(trial), attempt(trial)
    assert not first["failed"], first["error"]
    assert first["score"] == second["score"]
    assert first["curve"] == second["curve"]
    assert 0 <= first["saturated_share"] <= 1


def test_the_test_set_is_scored_in_confirmation_only(monkeypatch):
    """With the test part taken away, tuning still runs and confirming does not."""
    original = task("digits")

    def without_test(seed):
        return dataclasses.replace(original.split(seed), test=None)

    monkeypatch.setitem(TASKS, "digits", dataclasses.replace(original, split=without_test))
    assert attempt(Trial("digits", "tune", "relu", 0.003, 0, 20))["error"] is None
    assert attempt(Trial("digits", "confirm", "relu", 0.003, 0, 20))["failed"]


def test_a_diverging_trial_is_a_failure_with_the_worst_score():
    result = attempt(Trial("text", "confirm", "relu_squared", 1e9, 0, 30))
    assert result["failed"]
    assert result["score"] == task("text").decides.worst
    assert "became" in result["error"]
    json.dumps(result, allow_nan=False)


def plan_of(rates=(0.001, 0.01, 0.1), seeds=4) -> protocol.Plan:
    return protocol.plan(task("digits"), LABELS, seeds, rates)


def fake(scores):
    """A runner that makes up records, each once: scores(trial) -> score."""
    finished: dict = {}

    def work(trials):
        for trial in trials:
            if trial.id in finished:
                continue
            score = scores(trial)
            extra = {"score": score, "failed": score == 0.0, "parameters": 10}
            shares = dict.fromkeys(("step_milliseconds", "dead_share", "saturated_share"), 0.5)
            finished[trial.id] = {"id": trial.id, **dataclasses.asdict(trial), **extra, **shares}
        return [finished[trial.id] for trial in trials]

    return finished, work


def test_every_contender_gets_the_same_budget_and_fresh_seeds():
    finished, work = fake(lambda trial: 1.0 - abs(math.log10(trial.learning_rate) + 2))
    rates = {k: one.rate for k, one in protocol.execute(plan_of(), work).chosen.items()}
    assert set(rates.values()) == {0.01}
    tuned = [t for t in finished.values() if t["stage"] == "tune"]
    confirmed = [t for t in finished.values() if t["stage"] == "confirm"]
    grids = {
        label: sorted((t["learning_rate"], t["seed"]) for t in tuned if t["activation"] == label) for label in LABELS
    }
    assert len({str(grid) for grid in grids.values()}) == 1
    assert len(confirmed) == 4 * len(LABELS)
    assert not {t["seed"] for t in tuned} & {t["seed"] for t in confirmed}
    for label in LABELS:
        assert [t["seed"] for t in confirmed if t["activation"] == label] == list(plan_of().seeds)


def test_the_grid_grows_at_the_edge_where_the_best_is_but_not_for_ever():
    _, work = fake(lambda trial: trial.learning_rate if trial.activation == "tanh" else 1 / trial.learning_rate)
    rates = {k: one.rate for k, one in protocol.execute(plan_of(), work).chosen.items()}
    assert rates["tanh"] == pytest.approx(10.0)
    assert rates["relu"] == pytest.approx(1e-5)


def test_the_same_plan_asks_for_the_same_trials():
    finished, work = fake(lambda trial: trial.learning_rate)
    protocol.execute(plan_of(), work)
    count = len(finished)
    protocol.execute(plan_of(), work)
    assert len(finished) == count
    wider = protocol.execute(plan_of(seeds=6), work)
    assert len(finished) == count + 2 * len(LABELS)
    assert {record["id"] for record in wider.records} == set(finished)
    again = protocol.execute(plan_of(), work)
    assert len(again.records) == count, "trials of another plan got into the report"


def test_the_summary_tells_best_same_worse_and_unclear():
    level = {LABELS[0]: (0.9, 0.0), LABELS[1]: (0.7, 0.01), LABELS[2]: (0.899, 0.0005), LABELS[3]: (0.89, 0.05)}

    def scores(trial):
        mean, spread = level[trial.activation]
        return mean + spread * (-1) ** trial.seed

    _, work = fake(scores)
    plan = plan_of(seeds=10)
    summary = summarise(plan, protocol.execute(plan, work))
    standings = {row["name"]: row["standing"] for row in summary["activations"]}
    assert standings == {LABELS[0]: "best", LABELS[1]: "worse", LABELS[2]: "same", LABELS[3]: "unclear"}
    assert all((row["more_seeds"] is not None) == (row["standing"] == "unclear") for row in summary["activations"])


def test_failures_are_counted_and_never_dropped():
    _, work = fake(lambda trial: 0.0 if trial.activation == "relu" and trial.seed % 2 else 0.9)
    plan = plan_of()
    summary = summarise(plan, protocol.execute(plan, work))
    row = next(row for row in summary["activations"] if row["name"] == "relu")
    assert (row["failures"], row["seeds"], row["mean"]) == (2, 4, pytest.approx(0.45))


def test_intervals_and_p_values_are_the_textbooks():
    a, b = [0.91, 0.95, 0.90, 0.97, 0.93, 0.96], [0.90, 0.91, 0.89, 0.91, 0.92, 0.90]
    pair = statistics.compare_pairs(a, b, higher_is_better=True)
    theirs = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (pair.low, pair.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
    assert pair.p == pytest.approx(2 / 2**6)  # all six differences have one sign: the smallest p that six pairs allow
    assert pair.probability_better == 1.0
    assert statistics.compare_pairs(a, a, True).probability_better == 0.5
    assert statistics.sign_flip_p([0.0, 0.0, 0.0]) == 1.0
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.mean_interval([1.0]) == (1.0, None, None)


def test_intervals_hold_the_truth_about_95_times_in_100():
    draws = numpy.random.default_rng(1).normal(size=(1_000, 10))
    held = sum(low <= 0.0 <= high for _, low, high in map(statistics.mean_interval, draws))
    assert 930 <= held <= 970


def test_standings_follow_interval_and_p():
    pair = statistics.Paired(-0.01, -0.02, -0.005, 0.001, 0.0)
    assert statistics.standing(pair, 0.01, 0.001) == "worse"
    assert statistics.standing(pair, 0.2, 0.001) == "unclear"
    assert statistics.standing(pair, 0.01, 0.03) == "same"
    assert statistics.standing(dataclasses.replace(pair, low=None), None, 0.03) == "unclear"
    assert statistics.more_seeds([0.1, -0.1], 0.01, 3) is None
    assert statistics.more_seeds([0.1, -0.1, 0.12, -0.05], 0.2, 3) >= 1


def test_contenders_are_checked():
    assert candidate_of(Candidate("maxout", True).label) == Candidate("maxout", True)
    with pytest.raises(ValueError, match="twice"):
        protocol.candidates(["relu", "relu"])
    with pytest.raises(ValueError, match="at least one"):
        protocol.candidates([])


@pytest.mark.parametrize("width", [70, 80, 81, 100, 117, 160])
def test_the_table_fits_the_terminal_without_cutting_anything_off(width):
    _, work = fake(lambda trial: 0.97 + 0.001 * (trial.seed % 7) - 0.01 * LABELS.index(trial.activation))
    plan = plan_of()
    summary = summarise(plan, protocol.execute(plan, work))
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table(summary, width))
    text = console.export_text()
    assert "…" not in text
    assert all(label in text for label in LABELS)
    assert "to best" in text
    sentence = verdict(summary)
    assert sentence.startswith(f"On digits, {LABELS[0]} scored best: accuracy 97.")
    assert all(label in sentence for label in LABELS)


@pytest.mark.parametrize("name", [name for name in af.names() if name not in ("softmax2d", "log1mexp")])
def test_every_activation_may_be_compared(name):
    """In a network of its own, with what is measured there."""
    candidate, x = Candidate(name), torch.randn(8, 10)
    mlp = MLP(10, 16, 2, 3, candidate)
    initialise(mlp, candidate, 0, matched=True)
    with Meter(mlp) as meter:
        mlp(x).square().mean().backward()
    assert all(parameter.grad is not None for parameter in mlp.parameters())
    shares = meter.shares
    if name == "identity":  # which is no activation to be counted
        assert shares.dead is None
    else:
        assert 0.0 <= shares.dead < 1.0
    assert math.isfinite(shares.std)
    text = CharTransformer(11, 6, 8, 1, 16, candidate)
    assert text(torch.randint(11, (2, 6))).shape == (2, 6, 11)


def test_what_is_for_images_alone_is_not_compared():
    with pytest.raises(ValueError, match="softmax2d is for images"):
        protocol.candidates(["relu", "softmax2d"])


def test_gated_candidates_get_an_equal_budget_too():
    assert protocol.candidates(["swiglu", "crelu"]) == ("swiglu", "swiglu (equal parameters)", "crelu")
