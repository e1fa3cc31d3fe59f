"""From finished trials to summary.json."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from actfun._compare.problem import rows as rows_of
from actfun._compare.protocol import Outcome, Plan, scores_by_seed
from actfun._compare.statistics import Paired, compare_pairs, holm, mean_interval, more_seeds, settle, standing
from actfun._runs.job import Record


def summarise(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """The comparison's outcome: a row for each candidate, best first, with the protocol beside it."""
    metric = plan.problem.decides
    scores = scores_by_seed([r for records in outcome.confirmed.values() for r in records], plan.labels)
    sign = -1.0 if metric.higher_is_better else 1.0
    order = sorted(plan.labels, key=lambda label: sign * statistics.fmean(scores[label].values()))
    if plan.until_decided:
        settled = settle(scores, metric.higher_is_better, metric.same_within)
        order.sort(key=lambda label: settled[label].standing != "best")
    best, rows = order[0], []
    pairs = {label: _pair(scores[label], scores[best], metric.higher_is_better) for label in order[1:]}
    adjusted = dict(zip(pairs, holm([1.0 if pair.p is None else pair.p for pair in pairs.values()]), strict=True))
    for label in order:
        chosen = outcome.chosen[label]
        row = {
            "name": label,
            "learning_rate": chosen.rate,
            "steps": chosen.steps,
            "settings": dict(chosen.settings),
            **_own(outcome.confirmed[label]),
        }
        row |= {"standing": "best", "more_seeds": None, "difference": 0.0, "probability_better": None}
        row |= dict.fromkeys(("difference_low", "difference_high", "p", "p_holm"))
        if label in pairs:
            pair, p_holm = pairs[label], adjusted[label] if pairs[label].p is not None else None
            row |= {
                "standing": standing(pair, p_holm, metric.same_within),
                "difference": pair.difference,
                "difference_low": pair.low,
                "difference_high": pair.high,
                "p": pair.p,
                "p_holm": p_holm,
                "probability_better": pair.probability_better,
            }
            if plan.until_decided:  # p-values hold for a number of seeds that was fixed before
                one = settled[label]
                ends = {"difference_low": _finite(one.low), "difference_high": _finite(one.high)}
                row |= {"standing": one.standing, "p": None, "p_holm": None, **ends}
            elif row["standing"] == "unclear":
                differences = [scores[label][seed] - scores[best][seed] for seed in plan.seeds]
                row["more_seeds"] = more_seeds(differences, metric.same_within, len(pairs))
        rows.append(row)
    facts = _facts(plan)
    tried = {record["learning_rate"] for record in outcome.records if record["stage"] == "tune"}
    facts["protocol"]["learning_rates"] = sorted(tried)
    return {**facts, "activations": rows}


def of_references(plan: Plan, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Of each other kind of model the mean score on the same splits, with its interval, and all metrics."""
    found = []
    for name in plan.problem.references:
        scores = [r for r in records if r["model"] == name and not r.get("failed")]
        if scores:
            mean, low, high = mean_interval([r["score"] for r in scores])
            found.append({"name": name, "mean": mean, "low": low, "high": high, "seeds": len(scores)})
            found[-1]["other_scores"] = _means([r["scores"] for r in scores])
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _pair(scores: Mapping[int, float], best: Mapping[int, float], higher_is_better: bool) -> Paired:
    common = sorted(set(scores) & set(best))
    return compare_pairs([scores[seed] for seed in common], [best[seed] for seed in common], higher_is_better)


def _own(trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    mean, low, high = mean_interval([trial["score"] for trial in trials])
    return {
        "parameters": next((t["parameters"] for t in trials if t["parameters"] is not None), None),
        "mean": mean,
        "low": low,
        "high": high,
        "failures": sum(trial["failed"] for trial in trials),
        "error": next((trial.get("error") for trial in trials if trial["failed"]), None),
        "seeds": len(trials),
        "step_milliseconds": _median(trials, "step_milliseconds"),
        "dead_share": _median(trials, "dead_share"),
        "saturated_share": _median(trials, "saturated_share"),
        "scores": [trial["score"] for trial in trials],
        "other_scores": _means([trial.get("scores", {}) for trial in trials]),
    }


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each metric the mean over the trials that have it."""
    names = dict.fromkeys(name for of in scores for name in of)
    return {name: statistics.fmean(of[name] for of in scores if name in of) for name in names}


def _median(trials: Sequence[dict[str, Any]], key: str) -> float | None:
    values = [trial[key] for trial in trials if trial[key] is not None]
    return statistics.median(values) if values else None


def _facts(plan: Plan) -> dict[str, Any]:
    problem = plan.problem
    split = problem.split(plan.seeds[0])
    return {
        "task": problem.name,
        "metric": problem.decides.name,
        "higher_is_better": problem.decides.higher_is_better,
        "same_within": problem.decides.same_within,
        "quick": plan.quick,
        "until_decided": plan.until_decided,
        "metrics": [metric.name for metric in problem.metrics],
        "data": dict(problem.facts),
        "protocol": {
            "description": problem.description,
            "learning_rates": list(plan.learning_rates),
            "tuning_seeds": list(plan.tuning_seeds),
            "seeds": list(plan.seeds),
            "steps": plan.steps,
            "batch_size": problem.batch_size,
            "optimizer": problem.optimizer_name,
            "init": plan.init,
            "train": rows_of(split.train),
            "validation": rows_of(split.validation),
            "test": rows_of(split.test),
        },
    }
