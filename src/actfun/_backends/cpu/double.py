"""The transcendental primitives in float64 arithmetic, for CPU kernels, whose results are rounded to float32 or less.

Twice the bits of the result leave room for plain text: no rounding error is carried along, and nothing overflows or
becomes subnormal on the way. Branch-free, over two machine operations, fma and scale, that a kernel brings.
Coefficients come from `tools/fit_coefficients.py`; the error beside each approximation is relative to the function that
it serves. A float32 result is off by half a unit in its last place and a hundredth more.
"""

import math
from fractions import Fraction

from actfun._catalogue import primitives
from actfun._catalogue.primitives import absolute, copysign, maximum, minimum


def fma(x, y, z):
    """x·y + z with one rounding."""
    return float(Fraction(x) * Fraction(y) + Fraction(z))


def scale(x, t):
    """x·2ⁿ for t = n + ROUNDER, n a whole number; x and the result must be normal."""
    return math.ldexp(x, int(t - ROUNDER))


ROUNDER = 6755399441055744.0  # 1.5·2⁵²: adding it rounds to a whole number, which then stands in the lowest bits
LOG2_E = 1.4426950408889634
LN2 = 0.6931471805599453
FAR = 200.0  # exp(-FAR)·2¹⁶ is 0 and exp(FAR) is infinite in every dtype that these serve


def _slope(r):
    """(exp(r) - 1)/r for |r| ≤ ln(2)/2, r the rest of Cody and Waite's reduction x = n·ln(2) + r; error: 5.3e-10."""
    p = fma(fma(0.00019890982710792465, r, 0.0013933642689829186), r, 0.008333310932790487)
    return fma(fma(fma(fma(p, r, 0.041666464991106766), r, 0.16666666681615916), r, 0.5000000013459222), r, 1.0)


def exp(x):
    """2ⁿ·exp(r)."""
    z = minimum(maximum(x, -FAR), FAR)
    t = fma(z, LOG2_E, ROUNDER)
    r = fma(t - ROUNDER, -LN2, z)
    return scale(fma(_slope(r), r, 1.0), t)


def decay(x, y):
    """As exp, for arguments of one sign."""
    z = minimum(x, FAR)
    t = fma(z, -LOG2_E, ROUNDER)
    r = fma(t - ROUNDER, -LN2, -z)
    return y * scale(fma(_slope(r), r, 1.0), t)


def expm1(x):
    """2ⁿ·(exp(r) - 1) - (1 - 2ⁿ): for n = 0 the second part is +0, so nothing cancels and -0 stays."""
    z = maximum(x, -FAR)
    t = fma(z, LOG2_E, ROUNDER)
    r = fma(t - ROUNDER, -LN2, z)
    s = scale(1.0, t)
    return fma(s, _slope(r) * r, -(1.0 - s))


def log1p(x):
    """2·atanh(s/2) with s = x/(1 + x/2); error: 3.9e-10."""
    s = x / fma(0.5, x, 1.0)
    v = s * s
    p = fma(
        fma(
            fma(fma(0.00011340040669587569, v, 0.0004239562783449143), v, 0.00223377803471312), v, 0.012499908223841843
        ),
        v,
        0.08333333415071302,
    )
    return fma(s, v * p, s)


def tanh(x):
    """-m/(2 + m) with m = expm1(-2·|x|), which does not cancel."""
    m = expm1(-2.0 * absolute(x))
    return copysign(m / (2.0 + m), x)


def ndtr_scaled(x):
    """A polynomial in u = (x - 2)/(x + 2) over x + 2; error: 5.9e-10."""
    r = 1.0 / (x + 2.0)
    u = fma(-4.0, r, 1.0)
    p = fma(fma(5.345421516063807e-06, u, -1.1229915746183095e-05), u, -9.978190267966458e-05)
    p = fma(fma(p, u, -0.00013516806847783141), u, 0.00018172256538361093)
    p = fma(fma(p, u, 0.0008312724484530984), u, 0.0007947717524834488)
    p = fma(fma(p, u, -0.001951107229480093), u, -0.006726664290552098)
    p = fma(fma(p, u, -0.00046969379678017155), u, 0.03671849823337728)
    p = fma(fma(p, u, 0.028797367921142538), u, -0.3314044454825116)
    p = fma(p, u, 0.6724080048197956)
    return p * r


def gaussian_decay(x, y):
    """The square of a float32 is exact."""
    return decay(0.5 * (x * x), y)


LINEAR, CUBIC = 1.5957691216057308, 0.07135481627260025  # √(8/π), and 0.044715 times that


def cubic_decay(x, y):
    """The exponent reaches 100, where float64 still leaves it an error of 2⁻⁴⁶."""
    t = absolute(x)
    return decay(t * fma(CUBIC, t * t, LINEAR), y)


DERIVED = {
    primitives.exp: exp,
    primitives.decay: decay,
    primitives.expm1: expm1,
    primitives.log1p: log1p,
    primitives.tanh: tanh,
    primitives.ndtr_scaled: ndtr_scaled,
    primitives.gaussian_decay: gaussian_decay,
    primitives.cubic_decay: cubic_decay,
}
