"""A function as polynomials, one for each subinterval of the line: what kernels do to numbers that are common.

Near 0, where nearly all inputs of an activation lie, a function is a polynomial of degree 5 to 7 on each of 32
subintervals. The subinterval's number gives a centre and coefficients, each looked up among 32 constants. A processor
with vectors of 512 bits does that in one operation. The rest of the line is rare, and takes the formula itself.

`polynomials.json` is written by `tools/fit_polynomials.py`. It has an entry for each function of this package that
kernels compute so, at the usual values of its parameters.
"""

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actfun._backends.cpu.lookups import look_up
from actfun._backends.cpu.values import Value, where

ROUNDER = 12582912.0  # 1.5·2²³: adding it leaves no bits behind the point
ENTRIES = 32
FILE = Path(__file__).parent / "polynomials.json"


@dataclass(frozen=True, kw_only=True)
class Polynomials:
    """Up to |x| = radius, t = |x|, or x if there is no symmetry, is in subinterval rint(t·(slope + curvature·t)).

    symmetry: how the right of the function follows from its left: "even", "odd", x more ("line"), 1 less the left
    ("step"), or not. level: right of it, if it is not None, the function is x ("line") or 1 ("step") to the last bit.
    linear_terms: a multiple of x for each subinterval, beside its polynomial in t - centre.
    coefficients: of that polynomial, highest power first.
    """

    symmetry: str | None
    level: float | None
    radius: float
    slope: float
    curvature: float
    centres: Sequence[float]
    coefficients: Sequence[Sequence[float]]
    linear_terms: Sequence[float] | None

    def emit(self, x: Value) -> Value:
        """The function of float32 numbers within the radius, as LLVM values."""
        t = x.call("fabs") if self.symmetry else x
        number = t.call("fma", t.call("fma", self.curvature, self.slope) if self.curvature else self.slope, ROUNDER)
        tables = [self.centres, *self.coefficients, *([self.linear_terms] if self.linear_terms else [])]
        centre, y, *others = (Value(x.builder, v) for v in look_up(x.builder, number.vector, tables))
        r = t - centre
        linear_term: Value | float = others.pop() if self.linear_terms else 0.0
        for other in others:
            y = y.call("fma", r, other)
        right = x > 0.0
        if self.symmetry == "line":  # of x, so that the sign of a zero stays
            y = x.call("fma", where(right, x.of(linear_term) + 1.0, -x.of(linear_term)), y)
        elif self.linear_terms:
            y = t.call("fma", linear_term, y)
        if self.symmetry == "step":
            y = where(right, 1.0 - y, y)
        if self.level is not None:
            y = where(x > self.level, x if self.symmetry == "line" else 1.0, y)
        return y.call("copysign", x) if self.symmetry == "odd" else y

    def is_outside(self, x: Value) -> Value:
        """Where that is not the function."""
        return x < -self.radius if self.level is not None else x.call("fabs") > self.radius


@functools.cache
def _load() -> dict[str, Polynomials]:
    return {name: Polynomials(**entry) for name, entry in json.loads(FILE.read_text()).items()}


def key(formula: Callable[..., Any], numbers: Sequence[float]) -> str:
    """What the file calls a formula of this package at some values of its parameters."""
    return formula.__name__ + (f"({', '.join(map(str, numbers))})" if numbers else "")


def of(formula: Callable[..., Any], numbers: Sequence[float]) -> Polynomials | None:
    """The polynomials for a formula at some values of its parameters, if the package has them."""
    if not formula.__module__.startswith("actfun."):
        return None
    return _load().get(key(formula, numbers))
