"""The transcendental primitives in float64 arithmetic, for CPU kernels, whose results are rounded to float32 or less.

Twice the bits of the result leave room for plain text: no rounding error is carried along, and nothing overflows or
becomes subnormal on the way. Branch-free, over three machine operations that a kernel brings: fma, scale and exponent;
`trigonometry` has sin and cos.
Coefficients come from `tools/fit_coefficients.py`; the error beside each approximation is relative to the function that
it serves. A float32 result is off by half a unit in its last place and a hundredth more.
"""

import math
from fractions import Fraction

from actfun._catalogue import primitives
from actfun._catalogue.primitives import absolute, copysign, maximum, minimum, where


def fma(x, y, z):
    """x·y + z with one rounding."""
    return float(Fraction(x) * Fraction(y) + Fraction(z))


def scale(x, t):
    """x·2ⁿ for t = n + ROUNDER, n a whole number; x and the result must be normal."""
    return math.ldexp(x, int(t - ROUNDER))


def exponent(x):
    """The whole number n for which x/2ⁿ lies in [√½, √2); x must be normal and positive."""
    part, n = math.frexp(x)
    return float(n if part >= math.sqrt(0.5) else n - 1)


ROUNDER = 6755399441055744.0  # 1.5·2⁵²: adding it rounds to a whole number, which then stands in the lowest bits
LOG2_E = 1.4426950408889634
LN2 = 0.6931471805599453
NAN, INFINITY = math.nan, math.inf
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


def log(x):
    """n·ln(2) + log(x/2ⁿ)."""
    n = exponent(x)
    y = fma(n, LN2, log1p(scale(x, ROUNDER - n) - 1.0))
    return where(x > 0.0, where(x < INFINITY, y, x), where(x < 0.0, NAN, x - INFINITY))


def log1p(x):
    """2·atanh(s/2) with s = x/(1 + x/2), from -2/3 to 2/3; error: 3.9e-10."""
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


def erf(x):
    """1 - exp(-t·q(t)) for t = |x|, as an expm1, which does not cancel; error: 1.8e-10."""
    t = minimum(absolute(x), 4.5)  # where it is 1 - 2e-10
    q = fma(fma(2.669242517071662e-08, t, -4.959262218380309e-07), t, 3.929951239829869e-06)
    q = fma(fma(q, t, -1.6179431294613256e-05), t, 2.5832190061962428e-05)
    q = fma(fma(q, t, 8.558124843751155e-05), t, -0.0006490581191392885)
    q = fma(fma(q, t, 0.001734239825693897), t, -0.00022480960864824904)
    q = fma(fma(q, t, -0.019124641285765707), t, 0.10277212119653283)
    q = fma(fma(q, t, 0.6366197964041668), t, 1.1283791668965077)
    return copysign(expm1(-t * q), x)


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
    primitives.log: log,
    primitives.log1p: log1p,
    primitives.erf: erf,
    primitives.tanh: tanh,
    primitives.ndtr_scaled: ndtr_scaled,
    primitives.gaussian_decay: gaussian_decay,
    primitives.cubic_decay: cubic_decay,
}
