"""Which inputs are tried, in what portions, and what they come to.

16 bits: every value. float32: every 4,093rd of its 2³² bit patterns, or all of them. float64: a sample, held against 50
digits. The neighbourhoods of 0, of kinks and of infinity are in each.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from actfun._accuracy.error import Worst, judge, merge, ulps_in_digits, worst
from actfun._accuracy.implementation import Implementation
from actfun._backends import mpmath as oracle
from actfun._backends.tables import arguments, decide
from actfun._catalogue.registry import spec
from actfun._runs.job import Job, Record

STRIDE = 4093  # a prime: the last bits of the patterns tried take all values
PORTIONS = 64  # of an exhaustive run: 2²⁶ inputs each, some seconds, so that an interruption costs little
BLOCK = 2**16  # inputs at a time: enough for torch to be busy, few enough to stay in cache


@dataclass(frozen=True)
class Portion(Job):
    """A portion of the inputs of some implementations, those of one function and dtype in several libraries.

    They share the exact values, which take longest. `index` of `portions`; all float32 numbers if there is more than
    one.
    """

    studies: ClassVar[tuple[str, ...]] = ("_accuracy",)

    libraries: tuple[str, ...]
    name: str
    derivative: bool
    dtype: str
    index: int = 0
    portions: int = 1

    @property
    def label(self) -> str:
        """What a reader knows the portion by."""
        return f"{self.name} {'derivative' if self.derivative else 'value'} {self.dtype} {self.index}/{self.portions}"

    @property
    def implementations(self) -> list[Implementation]:
        """What it measures."""
        dtype = getattr(torch, self.dtype)
        return [Implementation(library, self.name, self.derivative, dtype) for library in self.libraries]

    def run(self) -> dict[str, Any]:
        """Find the worst errors of each library."""
        implementations = self.implementations
        parts: dict[str, list[Worst]] = {library: [] for library in self.libraries}
        for x in _inputs(self):
            exact = _exact(implementations[0], x)
            for implementation in implementations:
                parts[implementation.library].append(_measure(implementation, x, exact))
        return {"found": {library: dataclasses.asdict(merge(part)) for library, part in parts.items()}}


def portions(implementations: Sequence[Implementation], exhaustive: bool) -> list[Portion]:
    """The work of a survey, in order."""
    libraries: dict[tuple[str, bool, torch.dtype], list[str]] = {}
    for s in implementations:
        libraries.setdefault((s.name, s.derivative, s.dtype), []).append(s.library)
    return [
        Portion(tuple(of_it), name, derivative, str(dtype).removeprefix("torch."), index, portions)
        for (name, derivative, dtype), of_it in libraries.items()
        for portions in [PORTIONS if exhaustive and dtype is torch.float32 else 1]
        for index in range(portions)
    ]


def outcome(implementation: Implementation, records: Sequence[Record]) -> Worst:
    """What the records of all portions come to for one implementation."""
    key = (implementation.name, implementation.derivative, str(implementation.dtype).removeprefix("torch."))
    own = [r for r in records if (r["name"], r["derivative"], r["dtype"]) == key]
    return merge([Worst(**record["found"][implementation.library]) for record in own])


def _inputs(job: Portion) -> list[Tensor]:
    if job.dtype == "float32":
        return patterns(job.index, job.portions)
    return [_sample64(spec(job.name).kinks) if job.dtype == "float64" else arguments(getattr(torch, job.dtype))]


def patterns(index: int = 0, portions: int = 1) -> list[Tensor]:
    """Float32 numbers, in blocks: a portion of all, or where there is one portion some of them."""
    size = 2**32 // portions
    first, step = index * size, 1 if portions > 1 else STRIDE
    starts = range(first, first + size, BLOCK * step)
    return [_bits(torch.arange(start, min(start + BLOCK * step, first + size), step)) for start in starts]


def _bits(patterns: Tensor) -> Tensor:
    return patterns.to(torch.int32).view(torch.float32)


def _exact(implementation: Implementation, x: Tensor) -> Any:
    """The exact values: float64 where results have fewer digits, else mpmath numbers."""
    if implementation.dtype is torch.float64:
        given = zip(x.tolist(), *(values.tolist() for values in implementation.values(x)), strict=True)
        return [oracle.evaluate(implementation.formula, *each, *implementation.numbers) for each in given]
    exact = implementation.exact(x)
    if implementation.target.bound(implementation.derivative).ulp == 0.5:
        decide(implementation.formula, x, exact, implementation.numbers, implementation.dtype)
    return exact


def _measure(implementation: Implementation, x: Tensor, exact: Any) -> Worst:
    if implementation.dtype is not torch.float64:
        return worst(x, implementation.compute(x), exact, implementation.bound)
    rounded = torch.tensor([float(value) for value in exact], dtype=torch.float64)
    got = implementation.compute(x)
    errors, misrounded = ulps_in_digits(got, exact), int((got != rounded).sum())
    return judge(x, got, rounded, errors, implementation.bound, misrounded, len(x))


def _sample64(kinks: Sequence[float]) -> Tensor:
    sizes = torch.logspace(-320, 308, 3000, dtype=torch.float64)
    near = torch.cat([torch.linspace(0.0, 40.0, 4000, dtype=torch.float64), torch.linspace(690, 750, 120).double()])
    edges = [math.nextafter(kink, side) for kink in kinks for side in (-math.inf, math.inf)]
    return torch.cat([sizes, near, -sizes, -near, torch.tensor([*kinks, *edges], dtype=torch.float64)])
