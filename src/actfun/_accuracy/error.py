"""The measure of error: units in the last place of the result's dtype, against the exact value of the exact input.

Overflow to infinity counts as right only where the exact value overflows, NaN only for NaN. Subnormal results count by
the subnormal spacing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from actfun._backends.tables import to_odd

SMALLEST = {torch.float32: -149, torch.bfloat16: -133, torch.float16: -24, torch.float64: -1074}  # powers of 2
DIGITS = {torch.float32: 24, torch.bfloat16: 8, torch.float16: 11, torch.float64: 53}  # bits of a mantissa

# How far from a root an absolute error will do. There slopes of 0.2 to 0.45 leave less than 2⁻⁴ of terms several times
# as large, whose last bits count for many of the result; further out a formula has no such excuse.
BESIDE = 2.0**-3


@dataclass(frozen=True)
class Bound:
    """What a result may be off: `ulp` units in the last place, or less than `near_root` close to one of the roots."""

    ulp: float
    near_root: float = 0.0
    roots: tuple[float, ...] = ()

    def excuses(self, x: Tensor, distance: Tensor) -> Tensor:
        """Where results at x, off by a distance, need not be within `ulp`."""
        beside = torch.zeros_like(x, dtype=torch.bool)
        for root in self.roots:
            beside |= (x.double() - root).abs() <= BESIDE
        return beside & (distance < self.near_root)


@dataclass(frozen=True)
class Target:
    """The largest errors allowed, in ulp; beside its roots a derivative may instead be off by less than `near_root`."""

    forward: float
    derivative: float
    near_root: float

    def bound(self, derivative: bool, roots: tuple[float, ...] = ()) -> Bound:
        """The error allowed to a value, or to a derivative with these roots."""
        return Bound(self.derivative, self.near_root, roots) if derivative else Bound(self.forward)


TARGETS = {  # 0.5 is correct rounding, which is also counted value by value
    torch.float32: Target(1.0, 1.5, 2.0**-26),
    torch.bfloat16: Target(0.5, 0.5, 0.0),
    torch.float16: Target(0.5, 0.5, 0.0),
    torch.float64: Target(4.0, 4.0, 2.0**-54),
}
# A gated activation's result is a rounded gate, times a value, rounded: up to twice the error. 16 bits are computed in
# float32 and rounded once more.
GATED_TARGETS = {
    dtype: Target(0.51, 0.51, 0.0)
    if dtype.itemsize == 2
    else Target(2.0 * t.forward, 2.0 * t.derivative, 2.0 * t.near_root)
    for dtype, t in TARGETS.items()
}


@dataclass(frozen=True)
class Worst:
    """What a set of results comes to.

    ulp: the largest error of those that are not excused, at `x`, where `got` came for `exact`.
    excused: the largest absolute error of derivatives that are further off in ulp than the target, but beside a root
    and within the absolute target there.
    misrounded: how many results are not the number next to the exact value; count: how many there are.
    """

    ulp: float
    x: float
    got: float
    exact: float
    excused: float
    misrounded: int
    count: int

    def meets(self, target: Target, derivative: bool) -> bool:
        """Whether the target is met: where it is half a unit, correct rounding of each value."""
        allowed = target.bound(derivative).ulp
        return self.misrounded == 0 if allowed == 0.5 else self.ulp <= allowed


def unit(exact: Tensor, dtype: torch.dtype) -> Tensor:
    """The spacing of `dtype`, float64, at float64 values."""
    power = (exact.view(torch.int64) & 0x7FF0000000000000).view(torch.float64)  # the power of 2 at or below |exact|
    return (power * 2.0 ** (1 - DIGITS[dtype])).clamp(min=2.0 ** SMALLEST[dtype])


def nearest(exact: Tensor, dtype: torch.dtype) -> Tensor:
    """Float64 values rounded once to `dtype`."""
    return exact.to(dtype) if dtype in (torch.float32, torch.float64) else to_odd(exact).to(dtype)


def ulps(got: Tensor, exact: Tensor) -> Tensor:
    """|got - exact| in units in the last place of got's dtype; exact: float64. Infinite where only one is NaN."""
    error = (got.double() - exact).abs() / unit(exact, got.dtype)
    overflow = got.isinf() & (got == nearest(exact, got.dtype))
    error = torch.where(overflow | (got.isnan() & exact.isnan()), 0.0, error)
    return torch.where(error.isnan(), math.inf, error)


def ulps_in_digits(got: Tensor, exact: Sequence[Any]) -> Tensor:
    """The same where the exact values are mpmath numbers, for results in float64, whose own arithmetic would not do."""
    rounded = torch.tensor([float(value) for value in exact], dtype=torch.float64)
    distance = [float(abs(true - value)) for true, value in zip(exact, got.tolist(), strict=True)]
    error = torch.tensor(distance, dtype=torch.float64) / unit(rounded, got.dtype)
    right = (got.isinf() & (got == nearest(rounded, got.dtype))) | (rounded.isnan() & got.isnan())
    return torch.where(right, 0.0, torch.where(error.isnan(), math.inf, error))


def worst(x: Tensor, got: Tensor, exact: Tensor, bound: Bound) -> Worst:
    """The worst of some results; where all are the nearest numbers, their error is taken for half a unit."""
    right = nearest(exact, got.dtype)
    if torch.equal(got, right):  # the usual case, and the fast one
        half = 0.0 if torch.equal(right.double(), exact) else 0.5
        return Worst(half, float(x[0]), float(got[0]), float(exact[0]), 0.0, 0, len(x))
    wrong = (got != right) & ~(got.isnan() & right.isnan())
    misrounded, count = int(wrong.sum()), len(x)
    if not misrounded:
        return judge(x, got, exact, ulps(got, exact), bound, 0, count)
    x, got, exact = x[wrong], got[wrong], exact[wrong]
    return judge(x, got, exact, ulps(got, exact), bound, misrounded, count)


def judge(x: Tensor, got: Tensor, exact: Tensor, errors: Tensor, bound: Bound, misrounded: int, count: int) -> Worst:
    """The worst of results with known errors, in ulp."""
    distance = (got.double() - exact).abs()
    excused = (errors > bound.ulp) & bound.excuses(x, distance)
    held = torch.where(excused, 0.0, errors)
    at = int(held.argmax())
    return Worst(
        ulp=float(held[at]),
        x=float(x[at]),
        got=float(got[at]),
        exact=float(exact[at]),
        excused=float(torch.where(excused, distance, 0.0).max()),
        misrounded=misrounded,
        count=count,
    )


def merge(parts: list[Worst]) -> Worst:
    """What several sets come to together."""
    top = max(parts, key=lambda part: part.ulp)
    return Worst(
        ulp=top.ulp,
        x=top.x,
        got=top.got,
        exact=top.exact,
        excused=max(part.excused for part in parts),
        misrounded=sum(part.misrounded for part in parts),
        count=sum(part.count for part in parts),
    )
