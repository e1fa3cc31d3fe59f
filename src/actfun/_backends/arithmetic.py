"""The transcendental primitives in float32 arithmetic that lets its rounding errors go, for GPUs, kernels and graphs.

Branch-free, over four machine operations (fma, reciprocal, pow2, exp2) that a backend must bring. Python's bodies are
the meaning; a backend runs the same text in float32 with every operation rounded once, but for reciprocal and exp2. The
polynomials come from `tools/fit_coefficients.py`; what is known about the method stands beside each function.
"""

import math
from fractions import Fraction

from actfun._catalogue import primitives
from actfun._catalogue.primitives import absolute, copysign, maximum, minimum, where


def fma(x, y, z):
    """x·y + z with one rounding."""
    return float(Fraction(x) * Fraction(y) + Fraction(z))


def reciprocal(x):
    """1/x to 2⁻²², relatively, for a normal |x| < 2¹²⁶: an instruction of its own on GPUs."""
    return 1.0 / x


def pow2(k, more):
    """2 to the power n + more, in [-126, 127], for k = ROUNDER + n: n lies in the lowest bits of k."""
    return math.ldexp(1.0, int(k - ROUNDER + more))


def exp2(x):
    """2ˣ to 2⁻²², relatively; 0 where that is subnormal: an instruction of its own on GPUs."""
    return 2.0**x if x < 128.0 else math.inf


ROUNDER = 12582912.0  # 1.5·2²³: adding it leaves no bits behind the point, ties to even, below 2²²
LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.693145751953125, 1.428606765330187e-06  # the high part has 15 bits: n·LN2_HIGH is exact


def _expm1_reduced(r):
    """exp(r) - 1 for |r| ≤ ln(2)/2; relative error of the polynomial in exp(r): 9.7e-9."""
    p = fma(fma(fma(0.0013926177052780986, r, 0.00836317427456379), r, 0.041666556149721146), r, 0.16666577756404877)
    return fma(r * r, fma(p, r, 0.5), r)


def exp(x):
    """Cody and Waite's two-part reduction, then 2ⁿ in two factors, so that only the last product can be subnormal."""
    z = minimum(maximum(x, -126.0), 89.0)
    k = fma(z, LOG2_E, ROUNDER)
    n = k - ROUNDER
    q = _expm1_reduced(-_remainder(n, -z))
    half = fma(0.5, n, ROUNDER)
    return (1.0 + q) * pow2(half, 0) * pow2(ROUNDER + (n - (half - ROUNDER)), 0)


def decay(x, y):
    """As exp, for arguments of one sign: 2ⁿ = 2ⁿ⁺⁶⁴·2⁻⁶⁴, of which the second factor is a constant."""
    z = minimum(x, 126.0)
    k = fma(z, -LOG2_E, ROUNDER)
    return _assemble(k, -_remainder(k - ROUNDER, z), y)


def _remainder(n, x):
    return fma(n, LN2_LOW, fma(n, LN2_HIGH, x))


def _assemble(k, r, y):
    """y·2ⁿ·exp(r) for k = ROUNDER + n, n in [-184, 0]."""
    return fma(y, _expm1_reduced(r), y) * pow2(k, 64) * 5.421010862427522e-20


def expm1(x):
    """For x ≤ 0, as 2ⁿ·(e^r - 1) + (2ⁿ - 1)."""
    z = maximum(x, -18.0)
    k = fma(z, LOG2_E, ROUNDER)
    q = _expm1_reduced(-_remainder(k - ROUNDER, -z))
    s = pow2(k, 0)
    return copysign(fma(s, q, s - 1.0), x)  # q has lost the sign of a zero


def tanh(x):
    """m/(2 - m) with m = 1 - exp(-2·|x|), which does not cancel."""
    m = -expm1(-2.0 * absolute(x))
    return copysign(m / (2.0 - m), x)


def log1p(x):
    """For x from -1/2 to 1, as k·log(2) + log(1 + f), 1 + x = 2ᵏ(1 + f); error of the polynomial: 3.3e-9."""
    halved, doubled = x > 0.41421356, x < -0.29289322  # √2 - 1, √½ - 1
    k = where(halved, 1.0, where(doubled, -1.0, 0.0))
    f = where(halved, fma(0.5, x, -0.5), where(doubled, fma(2.0, x, 1.0), x))
    p = fma(fma(0.06971681118011475, f, -0.11479836702346802), f, 0.11685442924499512)
    p = fma(fma(fma(p, f, -0.12425675988197327), f, 0.14249053597450256), f, -0.1666780263185501)
    p = fma(fma(fma(p, f, 0.20000715553760529), f, -0.2499999701976776), f, 0.3333333134651184)
    tail = fma(f * f, fma(p, f, -0.5), k * LN2_LOW)
    return k * LN2_HIGH + (f + tail)


def ndtr_scaled(x):
    """A polynomial in u = (x - 2)/(x + 2), over (x + 2): the quotient keeps the polynomial between 0.4 and 1.

    2 was the best of 1.5, 2, 3 and 4 at eleven terms; relative error of the polynomial: 4.8e-8.
    """
    z = minimum(x, 14.5)
    d = z + 2.0
    r = reciprocal(d)
    r = fma(r, fma(-d, r, 1.0) - (z - (d - 2.0)) * r, r)  # Newton, with what the sum z + 2 lost
    u = (z - 2.0) * r
    p = fma(fma(-5.747904288000427e-05, u, 5.158265776117332e-05), u, 0.0006980475154705346)
    p = fma(fma(fma(p, u, 0.0008553836960345507), u, -0.0018774797208607197), u, -0.00673818401992321)
    p = fma(fma(fma(p, u, -0.000486128032207489), u, 0.03671928867697716), u, 0.028798654675483704)
    return fma(fma(p, u, -0.331404447555542), u, 0.6724079847335815) * r


def gaussian_decay(x, y):
    """exp(-(s + e)/2) with s = x² rounded and e its rounding error, which one fma gives exactly."""
    t = minimum(absolute(x), 15.8)
    s = t * t
    e = fma(t, t, -s)
    k = fma(s, -0.5 * LOG2_E, ROUNDER)
    return _assemble(k, fma(-0.5, e, -_remainder(k - ROUNDER, 0.5 * s)), y)


LINEAR_HIGH, LINEAR_LOW = 1.5957691669464111, -4.534068054340423e-08  # √(8/π), as a sum of two float32
CUBIC_HIGH, CUBIC_LOW = 0.07135481387376785, 2.3988324659995897e-09  # 0.044715·√(8/π), likewise


def cubic_decay(x, y):
    """The exponent t·(a + b·t²) reaches 127, where one float32 rounding costs 50 ulp: its low part is carried along."""
    t = minimum(absolute(x), 11.5)  # where 2¹⁶ times the result is 0
    s = t * t
    total = fma(CUBIC_HIGH, s, LINEAR_HIGH)
    rest = LINEAR_HIGH - total
    low = fma(CUBIC_HIGH, s, rest) + (LINEAR_HIGH - (total + rest))  # what the sum lost
    low = fma(CUBIC_HIGH, fma(t, t, -s), low) + fma(CUBIC_LOW, s, LINEAR_LOW)
    z = t * total
    z_low = fma(t, low, fma(t, total, -z))
    k = fma(z, -LOG2_E, ROUNDER)
    return _assemble(k, -(_remainder(k - ROUNDER, z) + z_low), y)


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


# From here on, what serves inputs and results of 16 bits, rounded right to 0.51 ulp of theirs: 2⁻¹⁷ of the result.
# A rounded exponent costs its size times 2⁻²⁴ of the result: at most 2⁻¹⁹·⁴ in float16, 2⁻¹⁷ at the end of bfloat16.


def exp_16(x):
    """2 to the power x·log2(e), of which exp2 has no subnormal results: hence 24 more on the left, and 2⁻²⁴ there."""
    left = x < 0.0
    return exp2(fma(minimum(x, 89.0), LOG2_E, where(left, 24.0, 0.0))) * where(left, 5.960464477539063e-08, 1.0)


def decay_16(x, y):
    """Likewise; y comes first, so that only the last product can be subnormal."""
    return y * exp2(fma(x, -LOG2_E, 24.0)) * 5.960464477539063e-08


def gaussian_decay_16(x, y):
    """As decay_16, for an x of 16 bits, whose square is exact in float32."""
    return y * exp2(fma(x * x, -0.5 * LOG2_E, 24.0)) * 5.960464477539063e-08


def cubic_decay_16(x, y):
    """As decay_16."""
    return decay_16(absolute(x) * fma(CUBIC_HIGH, x * x, LINEAR_HIGH), y)


def expm1_16(x):
    """For x ≤ 0; near 0 x·(1 + x·q(x)), elsewhere the difference, which cancels at most one bit."""
    q = fma(fma(fma(0.00707135908305645, x, 0.04128415510058403), x, 0.1666288822889328), x, 0.49999940395355225)
    return where(x > -0.5, x * fma(x, q, 1.0), exp2(x * LOG2_E) - 1.0)


def tanh_16(x):
    """1 - 2/(1 + exp(2x)), but where that cancels x·(1 - x²/3)."""
    near = x * fma(x * x, -0.3333333333333333, 1.0)
    return where(absolute(x) < 0.03, near, 1.0 - 2.0 * reciprocal(1.0 + exp2(x * (2.0 * LOG2_E))))


def ndtr_scaled_16(x):
    """As ndtr_scaled, with nine terms and no correction of the quotient: enough for a result of 16 bits."""
    z = minimum(x, 14.5)
    r = reciprocal(z + 2.0)
    u = (z - 2.0) * r
    p = fma(fma(0.0005047006998211145, u, 0.0009205439127981663), u, -0.0016962254885584116)
    p = fma(fma(fma(p, u, -0.006769238505512476), u, -0.0005500969127751887), u, 0.0367259681224823)
    return fma(fma(fma(p, u, 0.028806310147047043), u, -0.3314049243927002), u, 0.672407865524292) * r


DERIVED_16 = DERIVED | {
    primitives.exp: exp_16,
    primitives.decay: decay_16,
    primitives.expm1: expm1_16,
    primitives.tanh: tanh_16,
    primitives.ndtr_scaled: ndtr_scaled_16,
    primitives.gaussian_decay: gaussian_decay_16,
    primitives.cubic_decay: cubic_decay_16,
}
