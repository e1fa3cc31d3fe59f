"""The transcendental primitives in float32 arithmetic: pairs in, pairs out, good to about 2⁻²⁷.

Branch-free. Coefficients come from `tools/fit_coefficients.py`; the error beside each approximation is relative to the
function that it serves. What the final rounding of a result adds is half a unit in the last place.
"""

from actfun import primitives
from actfun.carried.graph import ZERO
from actfun.carried.pairs import Pair, error

ROUNDER = 12582912.0 + 127.0  # 1.5·2²³: adding it leaves no bits behind the point; 127 is float32's bias
LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.693145751953125, 1.428606765330187e-06  # the high part has 15 bits: n·LN2_HIGH is exact
SCALE = 2.0**-64
FAR = 126.0  # exp(-FAR)·2¹⁶ is 0 in float32
NEVER = 15.8  # and so is exp(-NEVER²/2)·2¹⁶


def _exponential(high, low, shift=0.0):
    """2ⁿ⁺ˢʰⁱᶠᵗ, q and its low part, for exp(high + low) = 2ⁿ·(1 + q).

    Cody and Waite's reduction to r = x - n·ln(2), the low part of r included; error of the polynomial: 7.0e-10.
    """
    k = high.fma(LOG2_E, ROUNDER + shift)
    n = k - (ROUNDER + shift)
    near = n.fma(-LN2_HIGH, high)  # exact
    small = n.fma(-LN2_LOW, low)
    r = n.fma(-LN2_LOW, near) if low is ZERO else near + small
    p = r.fma(0.0001989098236663267, 0.0013933642767369747).fma(r, 0.00833331048488617)
    p = p.fma(r, 0.04166646674275398).fma(r, 0.1666666716337204).fma(r, 0.5)
    square = r * r
    q = square.fma(p, r)
    rest = error(n.fma(-LN2_LOW, near - r)) if low is ZERO else error(error(near - r) + small)
    return k.power(), q, error(square.fma(p, error(r - q))) + rest


def exp(x):
    """2ⁿ·(1 + q), by way of 2ⁿ⁻⁶⁴ where 2ⁿ might overflow and 2ⁿ⁺⁶⁴ where it might be subnormal."""
    x = Pair.of(x)
    high = (x.hi > FAR).select(FAR, (x.hi < -FAR).select(-FAR, x.hi))
    low = (high < FAR).select((high > -FAR).select(x.lo, 0.0), 0.0)
    grows = high > 0.0
    scale, q, rest = _exponential(high, low, grows.select(-64.0, 64.0))
    return Pair(*_scaled(scale, ZERO, q, rest, grows.select(1.0 / SCALE, SCALE)))


def _scaled(y, y_low, q, rest, scale=SCALE):
    """(y + y_low)·(1 + q + rest)·scale, the last part last, so that among subnormal numbers there is one rounding."""
    hi = y.fma(q, y)
    lo = error(y.fma(rest, error(y.fma(q, y - hi)))) + error(y_low.fma(q, y_low))
    total = hi + error(lo)
    return total * scale, error(error(hi - total) + lo) * scale


def decay(x, y):
    """y·2ⁿ·(1 + q)."""
    x = Pair.of(x)
    far = x.hi > FAR
    size = far.select(FAR, x.hi)
    return _decay(-size, far.select(0.0, -x.lo), _alike(y, x.hi, size))


def _alike(y, x, bounded):
    """y; if it is -x, then -bounded, for where that is not the same the decay is 0. So y needs no bound of its own."""
    y = Pair.of(y)
    return Pair(-bounded) if y.lo is ZERO and y.hi is -x else y


def _decay(high, low, y):
    power, q, rest = _exponential(high, low, 64.0)
    hi, lo = _scaled(power * y.hi, error(power * y.lo), q, rest)
    return Pair(hi, lo, y.top)


def _expm1(high, low=ZERO):
    """2ⁿ·q + (2ⁿ - 1), for arguments from -18 on."""
    scale, q, rest = _exponential(high, low)
    whole = scale - 1.0
    lost = error(scale - (whole + 1.0))
    hi = scale.fma(q, whole)
    return Pair(hi, error(scale.fma(rest, error(scale.fma(q, whole - hi)))) + lost, 1.0)


def expm1(x):
    """As _expm1; q has lost the sign of a zero."""
    x = Pair.of(x)
    far = x.hi < -18.0
    y = _expm1(far.select(-18.0, x.hi), far.select(0.0, x.lo))
    return Pair(y.hi.with_sign_of(x.hi), y.lo, 1.0)


def log1p(x):
    """2·atanh(s/2) with s = x/(1 + x/2); error: 9.7e-10. The low part holds all terms after the first."""
    x = Pair.of(x)
    s = x / (1.0 + 0.5 * x)
    v = s.hi * s.hi
    p = v.fma(0.00011340040509821847, 0.0004239562840666622).fma(v, 0.0022337781265378)
    p = v * p.fma(v, 0.012499907985329628).fma(v, 0.0833333358168602)
    return Pair(s.hi, s.hi.fma(p, s.lo), x.top)


def tanh(x):
    """-m/(2 + m) with m = expm1(-2·|x|), which does not cancel; 1 from 9.1 on."""
    t = Pair.of(x).hi.magnitude()
    m = _expm1((t > 9.1).select(9.1, t) * -2.0)
    y = -m / (2.0 + m)
    sign = x.hi
    return Pair(y.hi.with_sign_of(sign), (sign < 0.0).select(-y.lo, y.lo), 1.0)


def ndtr_scaled(x):
    """A polynomial in u = (x - 2)/(x + 2) over x + 2."""
    t = Pair.of(x).hi
    t = (t > NEVER).select(NEVER, t)
    d = t + 2.0
    r = 1.0 / d
    rest = error(error((d - 2.0) - t).fma(r, error((-d).fma(r, 1.0)))) * r
    u = r.fma(-4.0, 1.0)
    u_low = error(rest.fma(-4.0, error(r.fma(-4.0, 1.0 - u))))
    p = u.fma(NDTR[0], NDTR[1])
    for c in NDTR[2:-2]:
        p = p.fma(u, c)
    p = _step(_step(Pair(p), u, ZERO, NDTR[-2]), u, u_low, NDTR[-1])
    y = p * Pair(r, rest)
    return Pair(y.hi, y.lo, 0.5)


def _step(p, u, u_low, coefficient):
    """p·(u + u_low) + coefficient, of which float32 has a low part too."""
    c = Pair.of(coefficient)
    hi = p.hi.fma(u, c.hi)
    low = error(p.lo.fma(u, error(p.hi.fma(u_low, error(p.hi.fma(u, c.hi - hi))))))
    return Pair(hi, low + c.lo)


def gaussian_decay(x, y):
    """The square with its rounding error."""
    size = Pair.of(x).hi.magnitude()
    t = (size > NEVER).select(NEVER, size)
    square = t * t
    return _decay(square * -0.5, error(t.fma(t, -square)) * -0.5, _alike(y, size, t))


LINEAR, CUBIC = 1.5957691216057308, 0.07135481627260025  # √(8/π), and 0.044715 times that


def cubic_decay(x, y):
    """The exponent with its rounding errors: it reaches 100, where a rounding costs 50 units in the last place."""
    size = Pair.of(x).hi.magnitude()
    t = Pair((size > 11.4).select(11.4, size))
    z = -(t * (LINEAR + CUBIC * (t * t)))
    return _decay(z.hi, z.lo, _alike(y, size, t.hi))


NDTR = (
    -6.511366518680006e-05,
    -0.00014844871475361288,
    0.0001324178301729262,
    0.0008353277225978673,
    0.0008238122100010514,
    -0.0019508369732648134,
    -0.0067345318384468555,
    -0.0004699256387539208,
    0.03671939671039581,
    0.028797386214137077,
    -0.3314044747567858,
    0.6724080046813188,
)

PRIMITIVES = {
    primitives.exp: exp,
    primitives.decay: decay,
    primitives.expm1: expm1,
    primitives.log1p: log1p,
    primitives.tanh: tanh,
    primitives.ndtr_scaled: ndtr_scaled,
    primitives.gaussian_decay: gaussian_decay,
    primitives.cubic_decay: cubic_decay,
}
