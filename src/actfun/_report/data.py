"""The rows behind the charts of a comparison: plain lists of dicts, in the unit they are shown in."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from actfun._report import formatting
from actfun._report.formatting import Metric, is_number

Row = dict[str, Any]

# Heights in an activation's row, from 0 at its top to 1: the mean stands above, the seeds below.
MEAN_OFFSET = 0.22
HIGHEST, LOWEST = 0.44, 0.92
PILES = 80  # into how many parts the axis is cut to find dots that would hide each other
VERTICAL = {"triangle-left": "triangle-down", "triangle-right": "triangle-up"}
EARLY = 0.25  # the share of training whose scores do not stretch the axis of the learning curves


@dataclass(frozen=True)
class Domain:
    """The shown part of an axis."""

    low: float
    high: float
    worst: float

    def place(self, value: float) -> tuple[float, str]:
        """Where `value` is drawn and its marker: values off the scale are triangles at its edge."""
        inset = 0.015 * (self.high - self.low)
        value = value if math.isfinite(value) else -math.inf if self.worst == self.low else math.inf
        if value < self.low:
            return self.low + inset, "triangle-left"
        if value > self.high:
            return self.high - inset, "triangle-right"
        return value, "circle"


def quantile(values: list[float], q: float) -> float:
    """The `q` quantile with linear interpolation."""
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def domain(
    values: Iterable[float],
    higher_is_better: bool,
    extra: Iterable[float] = (),
    must: Iterable[float] = (),
    reach: float = 6.0,
) -> Domain:
    """A readable domain: all of `values` but those far on the worse side, those of `extra` near them, and `must`.

    Far is more than `reach` times the distance between the median and the good values: the better half sets the
    scale, however bad the worst values are.
    """
    finite = [value for value in values if is_number(value)] or [0.0, 1.0]
    median = quantile(finite, 0.5)
    far = reach * abs(quantile(finite, 0.9 if higher_is_better else 0.1) - median) or abs(median) * 0.05 or 1.0
    lowest = median - far if higher_is_better else -math.inf
    highest = math.inf if higher_is_better else median + far
    kept = [value for value in finite if lowest <= value <= highest]
    kept += [value for value in extra if is_number(value) and abs(value - median) <= far]
    kept += list(must)
    pad = 0.04 * (max(kept) - min(kept)) or abs(kept[0]) * 0.01 or 0.01
    low, high = min(kept) - pad, max(kept) + pad
    return Domain(low, high, low if higher_is_better else high)


def confirmations(trials: list[Row], names: list[str]) -> list[Row]:
    """The trials scored on the test set, of the activations in `names`."""
    return [t for t in trials if t["stage"] == "confirm" and t["activation"] in names]


def score_or_nan(trial: Row) -> float:
    """A trial's score, NaN where it has none."""
    return float(trial["score"]) if is_number(trial["score"]) else math.nan


def dot(trial: Row, value: float, text: str, shown: Domain) -> Row:
    """A seed's dot."""
    x, shape = shown.place(value)
    if trial["failed"] and shape == "circle":
        shape = "cross"
    state = f"failed: {trial.get('error') or 'diverged'}"[:90] if trial["failed"] else "finished"
    row = {"id": trial["id"], "activation": trial["activation"], "seed": trial["seed"]}
    return row | {"x": x, "shape": shape, "text": text, "state": state}


def spread(dots: list[Row], shown: Domain) -> None:
    """Set the height of each dot in its activation's row so that dots with nearly the same value stand apart."""
    piles: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in dots:
        piles[row["activation"], round(PILES * (row["x"] - shown.low) / (shown.high - shown.low))].append(row)
    for pile in piles.values():
        gap = min(0.2, (LOWEST - HIGHEST) / max(len(pile) - 1, 1))
        top = (HIGHEST + LOWEST - gap * (len(pile) - 1)) / 2
        for place, row in enumerate(pile):
            row["offset"] = top + gap * place


def seed_rows(metric: Metric, activations: list[Row], trials: list[Row]) -> tuple[list[Row], list[Row], Domain]:
    """Each seed's score, each activation's mean with its interval, and the axis."""
    runs = confirmations(trials, [a["name"] for a in activations])
    values = [metric.shown(score_or_nan(t)) for t in runs if not t["failed"]]
    shown = domain(values, metric.higher_is_better, _ends(metric, activations, ("low", "high")))
    dots = [dot(t, metric.shown(score_or_nan(t)), metric.score(t["score"]), shown) for t in runs]
    spread(dots, shown)
    return dots, [_mean(metric, a, ("mean", "low", "high"), shown) for a in activations], shown


def difference_rows(
    metric: Metric, activations: list[Row], trials: list[Row], same_within: float
) -> tuple[list[Row], list[Row], Domain]:
    """As `seed_rows`, of the differences to the first activation, paired by seed."""
    best, others = activations[0], activations[1:]
    runs = confirmations(trials, [a["name"] for a in others])
    reference = {t["seed"]: t for t in confirmations(trials, [best["name"]])}
    paired = [(t, score_or_nan(t) - score_or_nan(reference[t["seed"]])) for t in runs if t["seed"] in reference]
    values = [metric.shown(d) for t, d in paired if not (t["failed"] or reference[t["seed"]]["failed"])]
    values += [0.0] * len(reference)  # the best activation's own, without which the others would set the scale
    keys = ("difference", "difference_low", "difference_high")
    ends = [] if best["failures"] else _ends(metric, others, keys)
    band = metric.shown(same_within)
    shown = domain(values, metric.higher_is_better, ends, must=(-band, 0.0, band))
    dots = [dot(t, metric.shown(d), metric.difference(d), shown) for t, d in paired]
    spread(dots, shown)
    return dots, [_mean(metric, a, keys, shown) for a in others if is_number(a.get("difference"))], shown


def _ends(metric: Metric, activations: list[Row], keys: tuple[str, ...]) -> list[float]:
    # A failed run makes the interval so wide that it would squash everything else.
    sound = [a for a in activations if not a["failures"]]
    return [metric.shown(a[key]) for a in sound for key in keys if is_number(a.get(key))]


def _mean(metric: Metric, activation: Row, keys: tuple[str, str, str], shown: Domain) -> Row:
    mean, low, high = (activation.get(key) for key in keys)
    signed = keys[0] == "difference"
    x, shape = shown.place(metric.shown(mean) if is_number(mean) else math.nan)
    row: Row = {
        "activation": activation["name"], "x": x, "shape": shape, "offset": MEAN_OFFSET,
        "text": metric.difference(mean) if signed else metric.score(mean),
        "interval": metric.interval(low, high, signed) or formatting.MISSING,
    }  # fmt: skip
    if is_number(low) and is_number(high):
        ends = metric.shown(low), metric.shown(high)
        if ends[0] < shown.high and ends[1] > shown.low:
            row |= {"low": max(ends[0], shown.low), "high": min(ends[1], shown.high)}
            row["cut"] = ends != (row["low"], row["high"])
    return row


def curve_rows(metric: Metric, names: list[str], trials: list[Row]) -> tuple[list[Row], Domain]:
    """Mean validation score by step with its 10th and 90th percentile over the finished runs, and the axis."""
    runs = confirmations(trials, names)
    by_step: dict[tuple[str, int], list[float]] = defaultdict(list)
    for trial in (t for t in runs if not t["failed"]):
        for step, value in trial["curve"]:
            if is_number(value):
                by_step[trial["activation"], step].append(metric.shown(value))
    rows: list[Row] = []
    for (name, step), values in sorted(by_step.items(), key=lambda item: item[0][1]):
        mean, low, high = sum(values) / len(values), quantile(values, 0.1), quantile(values, 0.9)
        texts = [metric.score(v / metric.shown(1.0)) for v in (mean, low, high)]
        rows.append(
            {"activation": name, "step": step, "mean": mean, "low": low, "high": high, "runs": len(values),
             "text": texts[0], "interval": f"{texts[1]} to {texts[2]}"}
        )  # fmt: skip
    start = EARLY * max((row["step"] for row in rows), default=0)
    late = [row for row in rows if row["step"] >= start]
    bands = [row[key] for row in late for key in ("low", "high")]
    shown = domain((row["mean"] for row in late), metric.higher_is_better, bands)
    return rows, shown


def tuning_rows(metric: Metric, activations: list[Row], trials: list[Row]) -> tuple[list[Row], Domain]:
    """Mean tuning score by learning rate, the chosen rates marked, and the axis."""
    chosen = {a["name"]: a["learning_rate"] for a in activations}
    groups: dict[tuple[str, float], list[Row]] = defaultdict(list)
    for trial in trials:
        if trial["stage"] == "tune" and trial["activation"] in chosen:
            groups[trial["activation"], trial["learning_rate"]].append(trial)
    means = {key: sum(score_or_nan(t) for t in group) / len(group) for key, group in groups.items()}
    healthy = [metric.shown(means[key]) for key, group in groups.items() if not any(t["failed"] for t in group)]
    # Tighter than elsewhere: what matters is the neighbourhood of the best rates.
    shown = domain(healthy, metric.higher_is_better, reach=4.0)
    rows: list[Row] = []
    for (name, rate), group in sorted(groups.items()):
        y, shape = shown.place(metric.shown(means[name, rate]))
        failed = sum(t["failed"] for t in group)
        rows.append(
            {"activation": name, "rate": rate, "rate_text": formatting.learning_rate(rate), "y": y,
             "shape": VERTICAL.get(shape, shape), "chosen": math.isclose(rate, chosen[name] or 0, rel_tol=1e-6),
             "text": metric.score(means[name, rate]), "runs": f"{len(group)}, {failed} failed"}
        )  # fmt: skip
    return rows, shown


def off_scale(rows: list[Row]) -> Counter[str]:
    """How many rows of each activation are off the scale."""
    return Counter(row["activation"] for row in rows if row["shape"].startswith("triangle"))
