"""How calls are timed: in turn, so that whatever disturbs the machine disturbs them alike."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from random import Random
from typing import Any, ClassVar

import torch

from actfun._bench.libraries import OURS
from actfun._runs.job import Job, Record

ROUNDS = (11, 2000)  # at least, at most
CONFIDENCE = 0.95


def in_turn(
    calls: Mapping[str, Callable[[], Any]], budget: float, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Any]:
    """Times of calls that take turns, for some seconds by the clock, and how many times as long as ours each takes.

    seconds: the quartiles of each. ratios: of each but ours, the median over rounds and its interval, by `interval`.
    In each round their order is another, and a call is timed after one that is not: what ran before it (threads that
    still spin, a cache full of other data) would else cost one library more than another.
    """

    def time_call(call: Callable[[], Any]) -> float:
        begun = clock()
        call()
        return clock() - begun

    for _ in range(3):  # the first compiles, the second allocates
        once = 2.0 * sum(map(time_call, calls.values()))
    rounds = min(max(int(budget / once), ROUNDS[0]), ROUNDS[1])
    times: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    try:
        order, random = list(calls), Random(0)
        for _ in range(rounds):
            random.shuffle(order)
            for name in order:
                calls[name]()
                times[name].append(time_call(calls[name]))
    finally:
        gc.enable()
    ratios = {
        name: interval([theirs / ours for theirs, ours in zip(taken, times[OURS], strict=True)])
        for name, taken in times.items()
        if name != OURS
    }
    quartiles = {name: statistics.quantiles(taken, n=4) for name, taken in times.items()}
    return {"seconds": quartiles, "ratios": ratios, "rounds": rounds}


def interval(values: Sequence[float]) -> list[float]:
    """Low end, median and high end: two of the values, between which the true median lies with `CONFIDENCE`.

    How many of n values lie below the true median is binomial, whatever their distribution. Fewer than 6 values cannot
    give that confidence; their interval is all that they span.
    """
    ordered, n = sorted(values), len(values)
    outside = accumulate(2 * math.comb(n, k) / 2**n for k in range(n // 2))  # whole numbers: 2**2000 is no float
    cut = max(sum(share <= 1.0 - CONFIDENCE for share in outside) - 1, 0)
    return [ordered[cut], statistics.median(ordered), ordered[n - 1 - cut]]


@dataclass(frozen=True)
class Timing(Job):
    """Something that is timed: its result depends on the number of threads too."""

    studies: ClassVar[tuple[str, ...]] = ("_accuracy", "_bench", "_compare")
    kind: ClassVar[str]

    @property
    def configuration(self) -> dict[str, Any]:
        """The fields and the number of threads."""
        return {**asdict(self), "threads": torch.get_num_threads()}

    def record(self, found: Mapping[str, Any], seconds: float) -> Record:
        """What is kept: the fields and the times."""
        return {"kind": self.kind, **asdict(self), **found}
