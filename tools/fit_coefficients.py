"""Fit the polynomials of `actfun/float32.py` and print them: `python tools/fit_coefficients.py`.

Each is a Chebyshev fit (mpmath, 40 digits), its coefficients rounded to float32, highest power first. The error printed
beside it is the worst one of the rounded polynomial, relative to the function that it serves, on 2,001 points.
"""

from collections.abc import Callable
from dataclasses import dataclass

import mpmath
import numpy

mpmath.mp.dps = 40


@dataclass(frozen=True)
class Fit:
    """`target` on `interval` by a polynomial of `terms` coefficients; `whole(x, p)` is the value that p ends up in."""

    name: str
    target: Callable
    interval: tuple[str, str]
    terms: int
    whole: Callable


def _exp_rest(r):
    return (mpmath.expm1(r) - r) / r**2 if r else mpmath.mpf(1) / 2


def _log1p_rest(f):
    return (mpmath.log1p(f) - f + f * f / 2) / f**3 if f else mpmath.mpf(1) / 3


def _ndtr_scaled(t):
    return mpmath.erfc(t / mpmath.sqrt(2)) / 2 * mpmath.exp(t * t / 2)


def _folded(u):
    return 2 * (1 + u) / (1 - u)  # the inverse of u = (t - 2)/(t + 2)


FITS = (
    Fit("EXP", _exp_rest, ("-0.34658", "0.34658"), 5, lambda r, p: 1 + r + r * r * p),
    Fit("LOG1P", _log1p_rest, ("-0.29290", "0.41422"), 9, lambda f, p: 1 - f / 2 + f * f * p),
    Fit("NDTR_SCALED", lambda u: _ndtr_scaled(_folded(u)) * (_folded(u) + 2), ("-1", "0.75758"), 11, lambda u, p: p),
    Fit("NDTR_SCALED_16", lambda u: _ndtr_scaled(_folded(u)) * (_folded(u) + 2), ("-1", "0.75758"), 9, lambda u, p: p),
)


def coefficients(fit: Fit) -> tuple[float, ...]:
    """The float32 coefficients of a fit, highest power first."""
    interval = [mpmath.mpf(end) for end in fit.interval]
    return tuple(float(numpy.float32(float(c))) for c in mpmath.chebyfit(fit.target, interval, fit.terms))


def worst_error(fit: Fit, values: tuple[float, ...]) -> float:
    """The largest relative error that the rounded polynomial causes in the value it serves."""
    low, high = (mpmath.mpf(end) for end in fit.interval)
    points = [low + (high - low) * k / 2000 for k in range(2001)]
    return max(float(abs(fit.whole(x, mpmath.polyval(values, x)) / fit.whole(x, fit.target(x)) - 1)) for x in points)


def split(value: mpmath.mpf, bits: int = 24) -> tuple[float, float]:
    """A number as the sum of two float32, the first with at most `bits` bits."""
    scale = mpmath.mpf(2) ** (bits - 1 - mpmath.floor(mpmath.log(value, 2)))
    high = mpmath.nint(value * scale) / scale
    return float(high), float(numpy.float32(float(value - high)))


SLOPE = mpmath.sqrt(8 / mpmath.pi)
SPLITS = {
    "LN2": split(mpmath.log(2), 15),
    "LINEAR": split(SLOPE),
    "CUBIC": split(SLOPE * mpmath.mpf("0.044715")),
}

if __name__ == "__main__":
    for name, parts in SPLITS.items():
        print(f"{name}_HIGH, {name}_LOW = {parts[0]!r}, {parts[1]!r}")
    for fit in FITS:
        values = coefficients(fit)
        print(f"# relative error {worst_error(fit, values):.1e} on [{', '.join(fit.interval)}]")
        print(f"{fit.name} = (\n" + "".join(f"    {value!r},\n" for value in values) + ")")
