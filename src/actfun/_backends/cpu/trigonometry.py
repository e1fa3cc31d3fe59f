"""sin and cos in float64 arithmetic, as `double` has the other primitives.

x = n·π + r, for the cosine (n - 1/2)·π + r, with |r| ≤ π/2: then the result is sin(r), negated where n is odd. r is off
by 2⁻⁷⁹, or 2⁻⁵² of itself, and no float32 but 0 comes as close as 2⁻³⁰ to a root. Over two machine operations more,
nearest and rarely.
"""

from actfun._backends.cpu.double import fma
from actfun._catalogue import primitives
from actfun._catalogue.primitives import absolute


def nearest(x):
    """The nearest whole number, ties to even, for an x of any size."""
    return float(round(x))


def rarely(condition, value, function, x, shift):
    """`value`, but function(x, shift) where the condition holds, which takes no time where it does not."""
    return function(x, shift) if condition else value


PI_HIGH, PI_LOW = 3.141592653589793, 1.2246467991473532e-16
INVERSE_PI = 0.3183098861837907, -1.9678676675182486e-17, -1.0721436282893004e-33, 8.053563926594112e-50
NEAR = 1073741824.0  # 2³⁰: up to there n times what PI_HIGH + PI_LOW lacks of π is 2⁻⁷⁹


def _sine(r, n):
    """sin(r + n·π) for |r| ≤ π/2; error: 1.1e-10."""
    s = r * r
    p = fma(fma(-2.408015221587895e-08, s, 2.7536461911650733e-06), s, -0.0001984108653964382)
    p = fma(fma(p, s, 0.008333332768663713), s, -0.1666666666388068)
    odd = n - 2.0 * nearest(0.5 * n)
    return r * fma(s, p, 1.0) * fma(-2.0 * odd, odd, 1.0)


def _near(x, shift):
    """sin(x + shift·π) for |x| ≤ NEAR, by Cody and Waite's reduction."""
    n = nearest(fma(x, INVERSE_PI[0], shift))
    m = n - shift
    return _sine(fma(m, -PI_LOW, fma(m, -PI_HIGH, x)), n)


def _far(x, shift):
    """The same for |x| < 2¹²⁸; 212 bits of 1/π leave x/π an error of 2⁻⁸⁰."""
    high, low = _half_turns(x)
    n = nearest(high + shift)
    return _sine(((high - (n - shift)) + low) * PI_HIGH, n)


def _half_turns(x):
    """x/π but for a multiple of 2, as a sum: of products in two parts, each exact, without their multiples of 2."""
    high = low = 0.0
    for part in INVERSE_PI:
        product = x * part
        for term in (product, fma(x, part, -product)):
            high, low = _add(high, low, term - 2.0 * nearest(0.5 * term))
    return high, low


def _add(high, low, x):
    """high + low + x: what the first sum loses joins the low part."""
    total = high + x
    back = total - high
    return total, low + ((high - (total - back)) + (x - back))


def sin(x):
    """By the short reduction wherever that will do."""
    return rarely(absolute(x) > NEAR, _near(x, 0.0), _far, x, 0.0)


def cos(x):
    """sin(x + π/2)."""
    return rarely(absolute(x) > NEAR, _near(x, 0.5), _far, x, 0.5)


DERIVED = {primitives.sin: sin, primitives.cos: cos}
