"""What an experiment is: jobs that measure, and how their records become measurements for claims."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from actfun._claims.evidence import Measurement
from actfun._runs.job import Record as Record

Measurements = dict[int, list[Measurement]]


@dataclass(frozen=True)
class Scale:
    """How much is done: the seeds of each arm, whether it has to be quick, whether it may take hours.

    images: the user's own image data, as pairs of a name in `_compare.images.NAMES` and a folder.
    """

    seeds: tuple[int, ...]
    quick: bool = False
    full: bool = False
    images: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Experiment:
    """An experiment of the article's claims.

    jobs: the arguments of every call of `run` that a scale asks for.
    run: measures. It has all it needs in its arguments.
    measurements: by claim, from the records. A record holds the arguments and what was measured.
    alone: whether it times, so that nothing else may run beside it.
    """

    name: str
    jobs: Callable[[Scale], list[dict[str, Any]]]
    run: Callable[..., dict[str, Any]]
    measurements: Callable[[list[Record]], Measurements]
    alone: bool = False


def best(records: Sequence[Record], key: str, largest: bool = False) -> float:
    """The learning rate with the smallest mean of a measure, or the largest; rates with a failed run come last.

    records: of one arm, at several rates.
    """

    def rank(rate: float) -> tuple[bool, float]:
        mean = statistics.fmean(column(records, key, rate=rate))
        return not math.isfinite(mean), -mean if largest else mean

    return min(sorted({float(record["rate"]) for record in records}), key=rank)


def less(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """Differences, seed by seed."""
    return [x - y for x, y in zip(a, b, strict=True)]


def column(records: Sequence[Record], key: str, **given: Any) -> list[float]:
    """One measure of the records that have the given values, in order of seed."""
    chosen = [r for r in records if all(r.get(name) == value for name, value in given.items())]
    return [float(r[key]) if r.get(key) is not None else float("nan") for r in sorted(chosen, key=lambda r: r["seed"])]
