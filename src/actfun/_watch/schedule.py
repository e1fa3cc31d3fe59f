"""Which steps are watched, so that watching costs no more than its budget."""

import math
import statistics
import time
from collections import deque
from collections.abc import Callable

CLOSEST = 10  # steps from one that is watched to the next; nothing that lasts is missed by that
KEPT = 33  # times of which medians are taken


class Schedule:
    """Chooses steps. every: one in so many, or "auto": as seldom as `budget`, a share of the time, demands.

    What a watched step costs is the difference of medians of watched and other steps, by the clock, so all counts that
    watching slows, also what torch.compile would have made faster.
    """

    def __init__(self, every: int | str, budget: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._every, self._budget, self._clock = every, budget, clock
        self._watched: deque[float] = deque(maxlen=KEPT)
        self._others: deque[float] = deque(maxlen=KEPT)
        self.steps = self.count = 0  # that have ended, and how many of them were watched
        self.next = 0
        self.spent = 0.0  # seconds, in steps that were not watched
        self._start: float | None = None

    @property
    def interval(self) -> int:
        """Steps from one that is watched to the next."""
        if isinstance(self._every, int):
            return self._every
        if not self._others or not self._watched:
            return CLOSEST
        left = max(self._budget * self.usual - self.between, 0.1 * self._budget * self.usual, 1e-9)
        return max(CLOSEST, math.ceil(self.cost / left))

    @property
    def usual(self) -> float:
        """Seconds of a step that is not watched; of the fastest, where too few are known for a median."""
        known = self._others
        return 0.0 if not known else min(known) if len(known) < 5 else statistics.median(known)

    @property
    def cost(self) -> float:
        """Seconds that watching adds to a step."""
        return max(statistics.median(self._watched) - self.usual, 0.0) if self._watched and self._others else 0.0

    @property
    def between(self) -> float:
        """Seconds that watching adds to a step that is not watched."""
        return self.spent / max(self.steps - self.count, 1)

    @property
    def overhead(self) -> float | None:
        """The share of the time so far that was spent on watching; None where no other steps are known."""
        if not self._others or not self.steps:
            return None
        extra = self.count * self.cost + self.spent
        return extra / (self.steps * max(self.usual - self.between, 1e-9) + extra)

    def chooses(self, step: int) -> bool:
        """Whether a step is to be watched."""
        early = self._every == "auto" and step & (step - 1) == 0  # 0 and powers of 2: a short training is seen too
        return step >= self.next or early

    def began(self) -> None:
        """The first step begins; what was counted before is none."""
        self.steps = self.count = self.next = 0
        self.spent = 0.0
        self._start = self._clock()

    def goes_on(self) -> None:
        """A step begins, the first one or after a pause."""
        self._start = self._clock()

    def ended(self, step: int, watched: bool, interval: int | None = None) -> None:
        """A step has ended. interval: what all ranks agreed on."""
        now = self._clock()
        if self._start is not None and step:  # the first one loads and allocates
            (self._watched if watched else self._others).append(now - self._start)
        self._start = now
        self.steps += 1
        if watched:
            self.count += 1
            self.next = step + (interval or self.interval)
