"""Several comparisons of the same candidates put together: over all data sets and seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from scipy import stats

from actfun._compare.statistics import LEVEL

RESAMPLES = 5_000


def together(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The outcome over several data sets: a row for each candidate, best first.

    A score becomes the gain over the mean of all candidates with the same seed, in bands of what nobody would mind, so
    that data sets with other metrics can be put together. gain: the interquartile mean over all data sets and seeds,
    each data set with the same weight; low, high: its 95% interval by a bootstrap that draws seeds within data sets
    (Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice, arXiv:2108.13264, section 4).
    rank: the mean over data sets. standing: of the difference to the best, at a level that holds for all candidates.
    """
    names = [row["name"] for row in summaries[0]["activations"]]
    gains = [_gains(summary, names) for summary in summaries]
    generator = numpy.random.default_rng(0)
    drawn = numpy.empty((RESAMPLES, len(names)))
    for k in range(RESAMPLES):
        drawn[k] = _interquartile([one[:, generator.integers(0, one.shape[1], one.shape[1])] for one in gains])
    found = _interquartile(gains)
    ranks = numpy.array([stats.rankdata(-one.mean(1)) for one in gains])
    best = int(found.argmax())
    strict = 1.0 - (1.0 - LEVEL) / max(len(names) - 1, 1)
    rows = []
    for k in numpy.argsort(-found):
        low, high = _ends(drawn[:, k], LEVEL)
        difference_low, difference_high = _ends(drawn[:, k] - drawn[:, best], strict)
        same = difference_low >= -1.0 and difference_high <= 1.0
        standing = "best" if k == best else "same" if same else "worse" if difference_high < 0.0 else "unclear"
        rows.append({"name": names[k], "gain": float(found[k]), "low": low, "high": high})
        rows[-1] |= {"rank": float(ranks[:, k].mean())}
        rows[-1] |= {"difference": float(found[k] - found[best]), "difference_low": difference_low}
        rows[-1] |= {"difference_high": difference_high, "standing": standing}
        rows[-1]["first_on"] = int((ranks[:, k] == ranks.min(1)).sum())
        rows[-1]["by_data"] = {str(s["task"]): float(one[k].mean()) for s, one in zip(summaries, gains, strict=True)}
    return {"data_sets": [str(summary["task"]) for summary in summaries], "activations": rows}


def _gains(summary: Mapping[str, Any], names: Sequence[str]) -> numpy.ndarray:
    """(candidates, seeds): gains over the mean of all candidates, in bands."""
    scores = {row["name"]: row["scores"] for row in summary["activations"]}
    table = numpy.array([scores[name] for name in names], dtype=float)
    sign = 1.0 if summary["higher_is_better"] else -1.0
    gains: numpy.ndarray = sign * (table - table.mean(0)) / summary["same_within"]
    return gains


def _interquartile(gains: Sequence[numpy.ndarray]) -> numpy.ndarray:
    """Of each candidate the mean of the middle half of all runs; a data set with more seeds weighs no more."""
    most = max(one.shape[1] for one in gains)
    places = [numpy.arange(most) * one.shape[1] // most for one in gains]
    runs = numpy.concatenate([one[:, place] for one, place in zip(gains, places, strict=True)], axis=1)
    middle: numpy.ndarray = stats.trim_mean(runs, 0.25, axis=1)
    return middle


def _ends(values: numpy.ndarray, level: float) -> tuple[float, float]:
    low, high = numpy.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
