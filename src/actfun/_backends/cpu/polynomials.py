"""A function as polynomials, one for each piece of the line: what kernels do to numbers that are common.

Near 0, where nearly all inputs of an activation lie, a function is a polynomial of degree 5 to 7 on each of 32 pieces.
The piece's number gives a centre and coefficients, each looked up among 32 constants, which a processor with vectors of
512 bits does in one operation. The rest of the line is rare, and takes the formula itself.

`polynomials.json` is written by `tools/fit_polynomials.py`. It has an entry for each function of this package that
kernels compute so, at the usual values of its parameters.
"""

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actfun._backends.cpu.lookups import looked_up
from actfun._backends.cpu.values import Value, where

ROUNDER = 12582912.0  # 1.5·2²³: adding it leaves no bits behind the point
ENTRIES = 32
FILE = Path(__file__).parent / "polynomials.json"


@dataclass(frozen=True, kw_only=True)
class Polynomials:
    """Where t = |x|, or x if there is no symmetry, is in piece rint(t·(slope + bend·t)), up to |x| = reach.

    symmetry: how the right of the function follows from its left: "even", "odd", x more ("line"), 1 less the left
    ("step"), or not. level: right of it, if it is not None, the function is x ("line") or 1 ("step") to the last bit.
    leads: a multiple of x for each piece, beside its polynomial in t - centre, whose coefficients come highest power
    first.
    """

    symmetry: str | None
    level: float | None
    reach: float
    slope: float
    bend: float
    centres: Sequence[float]
    coefficients: Sequence[Sequence[float]]
    leads: Sequence[float] | None

    def emitted(self, x: Value) -> Value:
        """The function of float32 numbers within the reach, as LLVM values."""
        t = x.called("fabs") if self.symmetry else x
        number = t.called("fma", t.called("fma", self.bend, self.slope) if self.bend else self.slope, ROUNDER)
        tables = [self.centres, *self.coefficients, *([self.leads] if self.leads else [])]
        centre, y, *others = (Value(x.builder, v) for v in looked_up(x.builder, number.vector, tables))
        r = t - centre
        lead: Value | float = others.pop() if self.leads else 0.0
        for other in others:
            y = y.called("fma", r, other)
        right = x > 0.0
        if self.symmetry == "line":  # of x, so that the sign of a zero stays
            y = x.called("fma", where(right, x.of(lead) + 1.0, -x.of(lead)), y)
        elif self.leads:
            y = t.called("fma", lead, y)
        if self.symmetry == "step":
            y = where(right, 1.0 - y, y)
        if self.level is not None:
            y = where(x > self.level, x if self.symmetry == "line" else 1.0, y)
        return y.called("copysign", x) if self.symmetry == "odd" else y

    def out_of_reach(self, x: Value) -> Value:
        """Where that is not the function."""
        return x < -self.reach if self.level is not None else x.called("fabs") > self.reach


@functools.cache
def _shipped() -> dict[str, Polynomials]:
    return {name: Polynomials(**entry) for name, entry in json.loads(FILE.read_text()).items()}


def key(formula: Callable[..., Any], numbers: Sequence[float]) -> str:
    """What the file calls a formula of this package at some values of its parameters."""
    return formula.__name__ + (f"({', '.join(map(str, numbers))})" if numbers else "")


def of(formula: Callable[..., Any], numbers: Sequence[float]) -> Polynomials | None:
    """The polynomials for a formula at some values of its parameters, if the package has them."""
    if not formula.__module__.startswith("actfun."):
        return None
    return _shipped().get(key(formula, numbers))
