"""Paired statistics of a comparison; SciPy does the arithmetic."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy
from scipy import stats

LEVEL = 0.95
FIRST_ROUND, ROUNDS = 6, 5  # seeds of the first round; each next one is a fifth of what is there, two at least
PRIOR = 1.0  # of the sequential test, which is quickest for differences of about one deviation


def mean_interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """The mean and its 95% t-interval; no interval for fewer than two values."""
    mean = float(numpy.mean(values))
    if len(values) < 2:
        return mean, None, None
    half = _half_width(float(numpy.std(values, ddof=1)), len(values))
    return mean, mean - half, mean + half


def _half_width(deviation: float, n: int, level: float = LEVEL) -> float:
    return float(stats.t.ppf(0.5 + level / 2, n - 1)) * deviation / math.sqrt(n)


def sign_flip_p(differences: Sequence[float]) -> float:
    """The two-sided p of the mean under flips of each difference's sign: exact up to 16 pairs, 65,536 draws beyond.

    With n pairs it cannot fall below 2/2ⁿ: 0.031 for 6, 0.002 for 10.
    """
    values = numpy.asarray(differences, dtype=float)
    if not values.any():
        return 1.0
    result = stats.permutation_test(
        (values,),
        lambda sample, axis: numpy.abs(numpy.mean(sample, axis=axis)),
        permutation_type="samples",
        vectorized=True,
        alternative="greater",
        n_resamples=2**16,
        rng=numpy.random.default_rng(0),
    )
    return float(result.pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """p-values adjusted by Holm's step-down method, in the order given."""
    adjusted = [0.0] * len(values)
    running = 0.0
    for rank, k in enumerate(sorted(range(len(values)), key=lambda k: values[k])):
        running = max(running, min(1.0, (len(values) - rank) * values[k]))
        adjusted[k] = running
    return adjusted


@dataclass(frozen=True)
class Paired:
    """An activation against the best, pair by pair: differences in the metric's own units."""

    difference: float
    low: float | None
    high: float | None
    p: float | None
    probability_better: float


def compare_pairs(values: Sequence[float], best: Sequence[float], higher_is_better: bool) -> Paired:
    """Compare scores with the best one's, seed by seed; ties count half in the probability to be better."""
    differences = numpy.subtract(values, best)
    mean, low, high = mean_interval(differences.tolist())
    gains = differences if higher_is_better else -differences
    better = float(numpy.mean((gains > 0) + 0.5 * (gains == 0)))
    return Paired(mean, low, high, sign_flip_p(differences.tolist()) if len(differences) > 1 else None, better)


def standing(pair: Paired, p_holm: float | None, same_within: float) -> str:
    """ "same" where the whole interval lies within ±same_within, "worse" where p allows it, else "unclear"."""
    if pair.low is None or pair.high is None or p_holm is None:
        return "unclear"
    if -same_within <= pair.low and pair.high <= same_within:
        return "same"
    excludes_zero = pair.low > 0 or pair.high < 0
    return "worse" if excludes_zero and p_holm < 1 - LEVEL else "unclear"


def more_seeds(differences: Sequence[float], same_within: float, comparisons: int) -> int | None:
    """About how many further seeds would settle a difference, either way; None where two seeds or fewer tell nothing.

    The seeds after which, if mean and deviation stay, the interval fits in the band, or p is small enough to be the
    smallest of `comparisons` under Holm's method: whichever comes first.
    """
    n = len(differences)
    if n < 3:
        return None
    mean, deviation = abs(float(numpy.mean(differences))), float(numpy.std(differences, ddof=1))
    strict = 1.0 - (1.0 - LEVEL) / comparisons
    needed = n + 1
    while needed < 100_000:
        fits = _half_width(deviation, needed) <= same_within - mean
        differs = _half_width(deviation, needed, strict) <= mean and 2.0 ** (1 - needed) <= 1.0 - strict
        if fits or differs:
            break
        needed = max(needed + 1, math.ceil(needed * 1.05))
    return needed - n


def anytime_half_width(deviation: float, n: int, level: float = LEVEL) -> float:
    """Half the width of an interval for a mean that holds at all numbers of values at once, looked at as often as one
    likes; infinite for few values.

    Those means that a sequential t-test does not reject: its e-process is the Bayes factor of an effect size drawn from
    N(0, 1/PRIOR) against none, with the right-Haar prior on the deviation (Wang and Ramdas, Anytime-valid t-tests and
    confidence sequences for Gaussian means with unknown variance, arXiv:2310.03722, section 4).
    """
    if n < 2:
        return math.inf
    share = PRIOR / (n + PRIOR)
    k = (1.0 / (share * (1.0 - level) ** 2)) ** (1.0 / n)
    if share * k >= 1.0:
        return math.inf
    return deviation * math.sqrt((k - 1.0) / (1.0 - share * k) * (n - 1) / n)


@dataclass(frozen=True)
class Settled:
    """Where a candidate stands, and the interval that says so, of its difference to the best; pairs: how many seeds."""

    standing: str
    difference: float
    low: float
    high: float
    pairs: int


def settle(scores: Mapping[str, Mapping[int, float]], higher_is_better: bool, same_within: float) -> dict[str, Settled]:
    """Where candidates stand after any number of seeds: "best", "same", "worse" or "unclear".

    scores: of each candidate by seed. Of all that is said at any time about any pair, something is wrong in at most 5%
    of comparisons: each of the pairs, for any may come to be asked for, has its share of that.
    """
    sign = 1.0 if higher_is_better else -1.0
    most = max(len(of) for of in scores.values())
    # One that was dropped as worse has fewer seeds, and does not become the best again.
    full = [label for label, of in scores.items() if len(of) == most]
    best = max(full, key=lambda label: sign * float(numpy.mean(list(scores[label].values()))))
    pairs = max(len(scores) * (len(scores) - 1) // 2, 1)
    found = {}
    for label, of in scores.items():
        common = sorted(set(of) & set(scores[best]))
        differences = numpy.array([of[seed] - scores[best][seed] for seed in common])
        mean = float(differences.mean())
        half = 0.0 if label == best else math.inf
        if label != best and len(common) > 1:
            half = anytime_half_width(float(differences.std(ddof=1)), len(common), 1.0 - (1.0 - LEVEL) / pairs)
        low, high = mean - half, mean + half
        within = -same_within <= low and high <= same_within
        worse = (high if higher_is_better else -low) < 0.0
        standing = "best" if label == best else "same" if within else "worse" if worse else "unclear"
        found[label] = Settled(standing, mean, low, high, len(common))
    return found


class Rounds:
    """Seeds in rounds until each candidate is settled: those that are open, and the best, get more.

    seeds: all that there may be. undecided: the candidates of the next round.
    """

    def __init__(self, labels: Sequence[str], seeds: Sequence[int], higher_is_better: bool, same_within: float) -> None:
        self.undecided = list(labels)
        self.found: dict[str, Settled] = {}
        self._seeds, self._done = seeds, 0
        self._higher_is_better, self._same_within = higher_is_better, same_within
        self._scores: dict[str, dict[int, float]] = {label: {} for label in labels}

    def next_seeds(self) -> Sequence[int]:
        """The seeds of the next round; none where all are used."""
        more = max(2, self._done // ROUNDS) if self._done else FIRST_ROUND
        chosen = self._seeds[self._done : self._done + more]
        self._done += len(chosen)
        return chosen

    def add(self, scores: Mapping[str, Mapping[int, float]]) -> None:
        """Take the scores of a round, and see who is settled."""
        for label, of in scores.items():
            self._scores[label].update(of)
        self.found = settle(self._scores, self._higher_is_better, self._same_within)
        is_open = {label for label, one in self.found.items() if one.standing == "unclear"}
        leader = {label for label, one in self.found.items() if one.standing == "best"}
        self.undecided = [label for label in self._scores if is_open and label in is_open | leader]
