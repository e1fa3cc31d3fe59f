"""The transcendental primitives in float64 arithmetic, for CPU kernels, whose results are rounded to float32 or less.

Twice the bits of the result leave room for plain text: no rounding error need be carried along, and nothing overflows
or becomes subnormal on the way. Branch-free, over three machine operations (fma, scaled, exponent) that a backend must
bring. Coefficients come from `tools/fit_coefficients.py`; the error beside each approximation is relative to the
function that it serves, and the rounding of float64 adds less than 2⁻⁴⁸ to it: a float32 result is off by half a unit
in its last place and at most a quarter more. One coefficient more each would bring that to 0.51, for 6% more time.
"""

import math
from fractions import Fraction

from actfun import primitives
from actfun.primitives import absolute, copysign, maximum, minimum


def fma(x, y, z):
    """x·y + z with one rounding."""
    return float(Fraction(x) * Fraction(y) + Fraction(z))


def scaled(x, t):
    """x·2ⁿ for t = n + ROUNDER, n a whole number; x and the result must be normal."""
    return math.ldexp(x, int(t - ROUNDER))


ROUNDER = 6755399441055744.0  # 1.5·2⁵²: adding it rounds to a whole number, which then stands in the lowest bits
LOG2_E = 1.4426950408889634
LN2 = 0.6931471805599453
FAR = 200.0  # exp(-FAR)·2¹⁶ is 0 and exp(FAR) is infinite in every dtype that these serve


def _slope(r):
    """(exp(r) - 1)/r for |r| ≤ ln(2)/2, r the rest of Cody and Waite's reduction x = n·ln(2) + r; error: 1.4e-8."""
    p = fma(fma(0.0013905247185999506, r, 0.008366448624442796), r, 0.041666829307966134)
    return fma(fma(fma(p, r, 0.1666654436416053), r, 0.4999999946962975), r, 1.0)


def exp(x):
    """2ⁿ·exp(r)."""
    z = minimum(maximum(x, -FAR), FAR)
    t = fma(z, LOG2_E, ROUNDER)
    r = fma(t - ROUNDER, -LN2, z)
    return scaled(fma(_slope(r), r, 1.0), t)


def decay(x, y):
    """As exp, for arguments of one sign."""
    z = minimum(x, FAR)
    t = fma(z, -LOG2_E, ROUNDER)
    r = fma(t - ROUNDER, -LN2, -z)
    return y * scaled(fma(_slope(r), r, 1.0), t)


def expm1(x):
    """2ⁿ·(exp(r) - 1) - (1 - 2ⁿ): for n = 0 the second part is +0, so nothing cancels and -0 stays."""
    z = maximum(x, -FAR)
    t = fma(z, LOG2_E, ROUNDER)
    r = fma(t - ROUNDER, -LN2, z)
    s = scaled(1.0, t)
    return fma(s, _slope(r) * r, -(1.0 - s))


def log1p(x):
    """2·atanh(s) with s = x/(2 + x); error: 4.7e-9."""
    s = x / (2.0 + x)
    v = s * s
    p = fma(fma(0.27961407805872734, v, 0.28012916461674325), v, 0.40020780762753483)
    return s * fma(fma(p, v, 0.6666643092811217), v, 2.0)


def tanh(x):
    """x·P(x²)/Q(x²), all coefficients positive, so that nothing cancels, up to 9.1, where it is 1; error: 1.7e-9."""
    z = minimum(absolute(x), 9.1)
    v = z * z
    p = fma(fma(5.077443795837127e-08, v, 3.159790878477088e-05), v, 0.004009033548730609)
    p = fma(fma(p, v, 0.13785800719723593), v, 0.9999999982888158)
    q = fma(fma(7.374252101575455e-10, v, 1.617991914263206e-06), v, 0.00042082752923332115)
    q = fma(fma(fma(q, v, 0.027739492504282544), v, 0.4711913301739608), v, 1.0)
    return copysign(z * p / q, x)


def ndtr_scaled(x):
    """P(x)/Q(x), all coefficients positive; error: 1.3e-10."""
    p = fma(fma(0.0008702488614461764, x, 0.01146490205826414), x, 0.07053635108379346)
    p = fma(fma(fma(p, x, 0.24878423402353952), x, 0.5055733079618258), x, 0.4999999999906953)
    q = fma(fma(0.0021813934276347507, x, 0.02873804664391321), x, 0.1789957519657254)
    q = fma(fma(q, x, 0.6522430770250894), x, 1.4409665965237766)
    return p / fma(fma(q, x, 1.8090311719033016), x, 1.0)


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
