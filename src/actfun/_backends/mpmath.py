"""Formulas in arbitrary precision: the oracle of accuracy. Literals are read as the decimals that they show."""

from collections.abc import Callable
from typing import Any

import mpmath
from mpmath import mpf

from actfun._backends.lowering import Lowering
from actfun._catalogue import primitives
from actfun._catalogue.primitives import CUBIC, DENSITY, LINEAR

with mpmath.workdps(100):  # the constants that formulas can only hold as floats
    _SLOPE = mpmath.sqrt(8 / mpmath.pi)
    EXACT = {DENSITY: 1 / mpmath.sqrt(2 * mpmath.pi), LINEAR: _SLOPE, CUBIC: _SLOPE * mpf("0.044715")}


def _copysign(x: mpf, y: mpf) -> mpf:
    return abs(x) if y >= 0 else -abs(x)


def _cubic_decay(x: mpf, y: mpf) -> mpf:
    t = abs(x)
    return y * mpmath.exp(-mpmath.sqrt(8 / mpmath.pi) * (t + mpf("0.044715") * t**3))


def _positive(function: Callable[[mpf], mpf]) -> Callable[[mpf], mpf]:
    """A function of numbers from 0 on, with NaN below, where mpmath goes over to complex numbers."""
    return lambda x: function(x) if x >= 0 else mpmath.nan


lower = Lowering(
    native={
        primitives.where: lambda condition, x, y: x if condition else y,
        primitives.absolute: abs,
        primitives.copysign: _copysign,
        primitives.exp: mpmath.exp,
        primitives.decay: lambda x, y: y * mpmath.exp(-x),
        primitives.expm1: mpmath.expm1,
        primitives.sqrt: _positive(mpmath.sqrt),
        primitives.log: _positive(mpmath.log),
        primitives.log1p: mpmath.log1p,
        primitives.sin: mpmath.sin,
        primitives.cos: mpmath.cos,
        primitives.erf: mpmath.erf,
        primitives.tanh: mpmath.tanh,
        primitives.ndtr_scaled: lambda x: mpmath.erfc(x / mpmath.sqrt(2)) / 2 * mpmath.exp(x * x / 2),
        primitives.gaussian_decay: lambda x, y: y * mpmath.exp(-x * x / 2),
        primitives.cubic_decay: _cubic_decay,
    },
    constant=lambda value: EXACT.get(value, mpf(repr(value))),
    literal=lambda value: mpf(repr(value)),
)


def evaluate(formula: Callable[..., Any], *arguments: float, digits: int = 50) -> mpf:
    """A formula at exact arguments (each the number that the float holds), to about `digits` digits.

    Where it divides by 0, which mpmath refuses, the value is that at a number a little larger.
    """
    with mpmath.workdps(digits):
        x, *others = (mpf(value) for value in arguments)
        try:
            return +lower(formula)(x, *others)
        except ZeroDivisionError:
            return +lower(formula)(x + mpf("1e-100000"), *others)
