"""The vocabulary in which activations are written.

Each primitive is an ordinary function on Python floats: its body is its meaning, in double precision. A backend brings
its own version of a primitive or derives it from simpler ones, as `actfun._backends.cpu.double` does. `CONTRACTS` says
where and how well each must hold; tests hold every backend to it, if only through formulas. NaN in any argument gives
NaN unless a docstring says otherwise.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

INFINITY = math.inf
DENSITY = 0.3989422804014327  # 1/√(2π), the normal density at 0
LINEAR = 1.5957691216057308  # √(8/π)
CUBIC = 0.07135481627260025  # 0.044715·√(8/π)
SQRT2 = 1.4142135623730951
ERF_SLOPE = 1.1283791670955126  # 2/√π, of erf at 0


@dataclass(frozen=True)
class Contract:
    """Where a primitive must hold, and how well.

    domain: the interval of the argument named `x` that backends must serve.
    ulp: the largest float32 error, in units in the last place, that a backend may make there.
    """

    domain: tuple[float, float]
    ulp: float


CONTRACTS: dict[Callable[..., Any], Contract] = {}


def primitive(domain=(-INFINITY, INFINITY), ulp=0.0):
    """Declare a function as a primitive with its contract."""

    def declare(function):
        CONTRACTS[function] = Contract(domain, ulp)
        return function

    return declare


@primitive()
def where(condition, x, y):
    """`x` where the condition holds, else `y`; both are always computed, so both must be harmless."""
    return x if condition else y


@primitive()
def absolute(x):
    """The magnitude of x."""
    return math.fabs(x)


@primitive()
def copysign(x, y):
    """The magnitude of x with the sign of y. Where y is ±0, x must be ±0 too, and the sign is that of y."""
    return math.copysign(x, y)


@primitive(ulp=1.5)
def exp(x):
    """e to the power x."""
    try:
        return math.exp(x)
    except OverflowError:
        return INFINITY


@primitive(domain=(0.0, INFINITY), ulp=1.5)
def decay(x, y):
    """y·exp(-x) for x ≥ 0, rounded as one: right even where exp(-x) alone would be subnormal. |y| ≤ 2¹⁶."""
    return y * math.exp(-x)


@primitive(domain=(-INFINITY, 0.0), ulp=2.0)
def expm1(x):
    """exp(x) - 1 without cancellation, for x ≤ 0; expm1(±0) = ±0."""
    return math.expm1(x)


@primitive(domain=(0.0, INFINITY), ulp=1.0)
def sqrt(x):
    """The square root; sqrt(-0) = -0, and NaN below 0."""
    return math.sqrt(x) if x >= 0.0 else math.nan


@primitive(domain=(0.0, INFINITY), ulp=1.5)
def log(x):
    """The natural logarithm; -inf at ±0, and NaN below 0."""
    if x > 0.0:
        return math.log(x)
    return -INFINITY if x == 0.0 else math.nan


@primitive(domain=(-0.5, 1.0), ulp=2.0)
def log1p(x):
    """log(1 + x) without cancellation, for x from -1/2 to 1; log1p(±0) = ±0."""
    return math.log1p(x)


@primitive(ulp=2.5)
def sin(x):
    """The sine of an angle in radians, of any size; sin(±0) = ±0, and NaN at ±inf."""
    return math.sin(x) if math.isfinite(x) else math.nan


@primitive(ulp=2.5)
def cos(x):
    """The cosine of an angle in radians, of any size; NaN at ±inf."""
    return math.cos(x) if math.isfinite(x) else math.nan


@primitive(ulp=2.0)
def erf(x):
    """The error function 2·Φ(√2·x) - 1, odd; erf(±0) = ±0."""
    return math.erf(x)


@primitive(ulp=2.5)
def tanh(x):
    """The hyperbolic tangent, odd; tanh(±0) = ±0."""
    return math.tanh(x)


@primitive(domain=(0.0, 14.5), ulp=3.0)
def ndtr_scaled(x):
    """Φ(-x)·exp(x²/2) for x ≥ 0: the normal distribution's tail with its steep factor taken out.

    From 1/2 at 0 it falls like 0.4/x. Φ is the distribution function of N(0, 1).
    """
    if x > 26.0:  # erfc is subnormal soon; three terms of the asymptotic series leave 1e-7 of the third
        return (1.0 - (1.0 - 3.0 / (x * x)) / (x * x)) * DENSITY / x
    return 0.5 * math.erfc(x * math.sqrt(0.5)) * math.exp(0.5 * x * x)


@primitive(ulp=2.0)
def gaussian_decay(x, y):
    """y·exp(-x²/2), rounded as one, with the rounding error of x² accounted for. |y| ≤ 2¹⁶."""
    return y * math.exp(-0.5 * x * x)


@primitive(ulp=2.0)
def cubic_decay(x, y):
    """y·exp(-√(8/π)·(|x| + 0.044715·|x|³)), rounded as one: the exponential inside GELU's tanh form. |y| ≤ 2¹⁶."""
    t = min(abs(x), 100.0)
    return y * math.exp(-math.sqrt(8.0 / math.pi) * (t + 0.044715 * t * t * t))


# From here on, formulas over the primitives above: no backend needs to know them.


def minimum(x, y):
    """The smaller one. NaN in x gives NaN; y is a constant or at least never NaN."""
    return where(x > y, y, x)


def maximum(x, y):
    """The larger one. NaN in x gives NaN; y is a constant or at least never NaN."""
    return where(x < y, y, x)
