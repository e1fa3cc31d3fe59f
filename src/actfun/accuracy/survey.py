"""Which inputs are tried, in what portions, and what they come to.

16 bits: every value. float32: every 4,093rd of its 2³² bit patterns, or all of them. float64: a sample, held against 50
digits. The neighbourhoods of 0, of kinks and of infinity are in each.
"""

import dataclasses
import functools
import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actfun.accuracy.error import Worst, judged, merged, nearest, ulps_in_digits, worst
from actfun.accuracy.subject import Subject
from actfun.backends import mpmath as oracle
from actfun.backends.tables import arguments
from actfun.registry import spec
from actfun.version import __version__

STRIDE = 4093  # a prime: the last bits of the patterns tried take all values
PORTIONS = 64  # of an exhaustive run: 2²⁶ inputs each, some seconds, so that an interruption costs little
BLOCK = 2**16  # inputs at a time: enough for torch to be busy, few enough to stay in cache
UNSURE = 2.0**-44  # 16 bits: nearer to a tie than this, relatively, float64 does not decide; 50 digits do


@functools.cache
def fingerprint() -> str:
    """Of all code that results rest on, so that an earlier survey of other code is not taken up again."""
    package = Path(__file__).parents[1]
    parts = ("primitives.py", "float64.py", "formulas/*.py", "backends/*.py", "accuracy/*.py")
    files = sorted(path for part in parts for path in package.glob(part))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]


@dataclass(frozen=True)
class Job:
    """A portion of the inputs of a subject: `index` of `portions`; all float32 numbers if there is more than one."""

    library: str
    name: str
    derivative: bool
    dtype: str
    index: int = 0
    portions: int = 1

    @property
    def id(self) -> str:
        """What the job is called in the file of results."""
        kind = "derivative" if self.derivative else "value"
        version = __version__ if self.library == "actfun" else torch.__version__
        code = fingerprint()
        return f"{self.library} {version} {code} {self.name} {kind} {self.dtype} {self.index}/{self.portions}"

    @property
    def subject(self) -> Subject:
        """What it measures."""
        return Subject(self.library, self.name, self.derivative, getattr(torch, self.dtype))


def jobs(subjects: Sequence[Subject], exhaustive: bool) -> list[Job]:
    """The work of a survey, in order."""
    return [
        Job(s.library, s.name, s.derivative, str(s.dtype).removeprefix("torch."), index, portions)
        for s in subjects
        for portions in [PORTIONS if exhaustive and s.dtype is torch.float32 else 1]
        for index in range(portions)
    ]


def run(job: Job) -> dict[str, Any]:
    """Do a job; its record."""
    subject, begun = job.subject, time.perf_counter()
    if subject.dtype is torch.float64:
        found = _against_digits(subject, _sample64(spec(job.name).kinks))
    elif subject.dtype is torch.float32:
        found = merged([_measured(subject, x) for x in patterns(job)])
    else:
        found = _all_of_16_bits(subject, arguments(subject.dtype))
    seconds = time.perf_counter() - begun
    return {"id": job.id, **dataclasses.asdict(job), **dataclasses.asdict(found), "seconds": seconds}


def lost(job: Job) -> dict[str, Any]:
    """A job whose worker died twice ends the survey: without it there is no worst error."""
    raise RuntimeError(f"the process that measured {job.id!r} died twice; is there enough memory?")


def outcome(subject: Subject, work: Sequence[Job], finished: Mapping[str, dict[str, Any]]) -> Worst:
    """What the finished jobs of a subject come to."""
    fields = [field.name for field in dataclasses.fields(Worst)]
    records = [finished[job.id] for job in work if job.subject == subject]
    return merged([Worst(**{name: record[name] for name in fields}) for record in records])


def patterns(job: Job) -> list[Tensor]:
    """Float32 numbers, in blocks."""
    size = 2**32 // job.portions
    first, step = job.index * size, 1 if job.portions > 1 else STRIDE
    starts = range(first, first + size, BLOCK * step)
    return [_bits(torch.arange(start, min(start + BLOCK * step, first + size), step)) for start in starts]


def _bits(patterns: Tensor) -> Tensor:
    return patterns.to(torch.int32).view(torch.float32)


def _measured(subject: Subject, x: Tensor) -> Worst:
    return worst(x, subject.computed(x), subject.exact(x), subject.bound)


def _all_of_16_bits(subject: Subject, x: Tensor) -> Worst:
    exact = subject.exact(x)
    low, high = (nearest(exact * (1.0 + side * UNSURE), x.dtype) for side in (-1.0, 1.0))
    unsure = (low != high) & ~exact.isnan() & x.isfinite()
    for place in unsure.nonzero().flatten().tolist():
        exact[place] = _odd(oracle.evaluate(subject.formula, float(x[place]), *subject.numbers))
    return worst(x, subject.computed(x), exact, subject.bound)


def _odd(exact: Any) -> float:
    """A number of many digits as float64, so that rounding it again gives what rounding once would."""
    value = float(exact)
    if exact == value or math.frexp(value)[0] * 2**53 % 2 == 1:
        return value
    return math.nextafter(value, math.inf if exact > value else -math.inf)


def _sample64(kinks: Sequence[float]) -> Tensor:
    sizes = torch.logspace(-320, 308, 3000, dtype=torch.float64)
    near = torch.cat([torch.linspace(0.0, 40.0, 4000, dtype=torch.float64), torch.linspace(690, 750, 120).double()])
    edges = [math.nextafter(kink, side) for kink in kinks for side in (-math.inf, math.inf)]
    return torch.cat([sizes, near, -sizes, -near, torch.tensor([*kinks, *edges], dtype=torch.float64)])


def _against_digits(subject: Subject, x: Tensor) -> Worst:
    exact = [oracle.evaluate(subject.formula, value, *subject.numbers) for value in x.tolist()]
    rounded = torch.tensor([float(value) for value in exact], dtype=torch.float64)
    got = subject.computed(x)
    errors, misrounded = ulps_in_digits(got, exact), int((got != rounded).sum())
    return judged(x, got, rounded, errors, subject.bound, misrounded, len(x))
