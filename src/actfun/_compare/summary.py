"""From finished trials to summary.json."""

import statistics
from collections.abc import Sequence
from typing import Any

from actfun._compare.protocol import Outcome, Plan
from actfun._compare.statistics import compare_pairs, holm, mean_interval, more_seeds, standing


def summarise(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """The comparison's outcome: a row for each candidate, best first, with the protocol beside it."""
    trials = outcome.confirmed
    scores = {label: [trial["score"] for trial in trials[label]] for label in plan.labels}
    sign = -1.0 if plan.task.higher_is_better else 1.0
    order = sorted(plan.labels, key=lambda label: sign * statistics.fmean(scores[label]))
    best = order[0]
    pairs = {label: compare_pairs(scores[label], scores[best], plan.task.higher_is_better) for label in order[1:]}
    adjusted = dict(zip(pairs, holm([1.0 if pair.p is None else pair.p for pair in pairs.values()]), strict=True))
    rows = []
    for label in order:
        row = {"name": label, "learning_rate": outcome.rates[label], **_own(trials[label])}
        row |= {"standing": "best", "more_seeds": None, "difference": 0.0, "probability_better": None}
        row |= dict.fromkeys(("difference_low", "difference_high", "p", "p_holm"))
        if label in pairs:
            pair, p_holm = pairs[label], adjusted[label] if pairs[label].p is not None else None
            verdict = standing(pair, p_holm, plan.task.same_within)
            differences = [a - b for a, b in zip(scores[label], scores[best], strict=True)]
            row |= {
                "standing": verdict,
                "more_seeds": more_seeds(differences, plan.task.same_within, len(pairs))
                if verdict == "unclear"
                else None,
                "difference": pair.difference,
                "difference_low": pair.low,
                "difference_high": pair.high,
                "p": pair.p,
                "p_holm": p_holm,
                "probability_better": pair.probability_better,
            }
        rows.append(row)
    return {**_facts(plan), "activations": rows}


def _own(trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    mean, low, high = mean_interval([trial["score"] for trial in trials])
    return {
        "parameters": next((t["parameters"] for t in trials if t["parameters"] is not None), None),
        "mean": mean,
        "low": low,
        "high": high,
        "failures": sum(trial["failed"] for trial in trials),
        "seeds": len(trials),
        "step_milliseconds": _median(trials, "step_milliseconds"),
        "dead_share": _median(trials, "dead_share"),
        "saturated_share": _median(trials, "saturated_share"),
        "scores": [trial["score"] for trial in trials],
    }


def _median(trials: Sequence[dict[str, Any]], key: str) -> float | None:
    values = [trial[key] for trial in trials if trial[key] is not None]
    return statistics.median(values) if values else None


def _facts(plan: Plan) -> dict[str, Any]:
    task = plan.task
    split = task.split(plan.seeds[0])
    return {
        "task": task.name,
        "metric": task.metric,
        "higher_is_better": task.higher_is_better,
        "same_within": task.same_within,
        "quick": plan.quick,
        "protocol": {
            "description": task.description,
            "learning_rates": list(plan.learning_rates),
            "tuning_seeds": list(plan.tuning_seeds),
            "seeds": list(plan.seeds),
            "steps": plan.steps,
            "batch_size": task.batch_size,
            "optimizer": "Adam",
            "init": plan.init,
            "train": len(split.train[0]),
            "validation": len(split.validation[0]),
            "test": len(split.test[0]),
        },
    }
