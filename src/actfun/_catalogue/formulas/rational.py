"""The quotient of two polynomials whose coefficients are learned.

Up to |x| = 1 it is computed as it stands, beyond with both polynomials over x⁴, in w = 1/x: no power overflows.
"""

from actfun._catalogue.formulas.weighted import product
from actfun.formula import Parameter, absolute, activation, derivative, where

FOUR_THIRDS = 1.3333333333333333


def near(x):
    """x, but 1 where it is not used."""
    return where(absolute(x) > 1.0, 1.0, x)  # an exporter of ONNX makes an invalid graph of bounds on both sides here


def inverse(x):
    """1/x, but 1 where it is not used."""
    return 1.0 / where(absolute(x) > 1.0, x, 1.0)


def lower(x, b1, b2, b3, b4):
    """Q(x), over x⁴ where |x| > 1."""
    u, w = near(x), inverse(x)
    inside = u * (b1 + u * (b2 + u * (b3 + u * b4)))
    return where(absolute(x) > 1.0, b4 + w * (b3 + w * (b2 + w * b1)), inside)


def below(x, b1, b2, b3, b4):
    """1 + |Q(x)|, over x⁴ where |x| > 1."""
    w = inverse(x)
    return w * w * (w * w) + absolute(lower(x, b1, b2, b3, b4))


def inside(x, a0, a1, a2, a3, a4, a5):
    """P(x), for |x| ≤ 1."""
    u = near(x)
    return a0 + u * (a1 + u * (a2 + u * (a3 + u * (a4 + u * a5))))


def rest(x, a0, a1, a2, a3, a4):
    """P(x)/x⁴ - a5·x, for |x| > 1."""
    w = inverse(x)
    return a4 + w * (a3 + w * (a2 + w * (a1 + w * a0)))


def ratio(x, a0, a1, a2, a3, a4, a5, b1, b2, b3, b4):
    """The activation, over x where |x| > 1."""
    far = a5 + inverse(x) * rest(x, a0, a1, a2, a3, a4)
    above = where(absolute(x) > 1.0, far, inside(x, a0, a1, a2, a3, a4, a5))
    return above / below(x, b1, b2, b3, b4)


@activation(
    monotonic=False,
    convex=False,
    latex=r"\frac{a_0 + a_1 x + \dots + a_5 x^5}{1 + |b_1 x + \dots + b_4 x^4|}",
    reference="Molina, Schramowski and Kersting, Padé activation units, arXiv:1907.06732",
    chinese="两个多项式之比，十个系数都可学习；初始时接近 leaky_relu。",
    used_in="networks that learn their activation, by the package rational_activations",
    a0=Parameter(0.033377, learnable=True),  # leaky_relu(0.01) on [-3, 3]: tools/fit_coefficients.py
    a1=Parameter(0.505, learnable=True),
    a2=Parameter(1.656706, learnable=True),
    a3=Parameter(2.015921, learnable=True),
    a4=Parameter(0.935109, learnable=True),
    a5=Parameter(0.152987, learnable=True),
    b1=Parameter(0.0, learnable=True),
    b2=Parameter(3.991924, learnable=True),
    b3=Parameter(0.0, learnable=True),
    b4=Parameter(0.302945, learnable=True),
)
def rational(x, a0, a1, a2, a3, a4, a5, b1, b2, b3, b4):
    """A quotient of two polynomials whose ten coefficients may be learned: to begin with, near leaky_relu."""
    far = product(a5, x) + rest(x, a0, a1, a2, a3, a4)
    return where(absolute(x) > 1.0, far, inside(x, a0, a1, a2, a3, a4, a5)) / below(x, b1, b2, b3, b4)


@derivative(rational, "x")
def rational_dx(x, a0, a1, a2, a3, a4, a5, b1, b2, b3, b4):
    u, w = near(x), inverse(x)
    side = where(lower(x, b1, b2, b3, b4) < 0.0, -1.0, 1.0)
    y = ratio(x, a0, a1, a2, a3, a4, a5, b1, b2, b3, b4)
    p = a1 + 2.0 * u * (a2 + 1.5 * u * (a3 + FOUR_THIRDS * u * (a4 + 1.25 * u * a5)))
    q = b1 + 2.0 * u * (b2 + 1.5 * u * (b3 + FOUR_THIRDS * u * b4))
    p_far = w * w * (a3 + 2.0 * w * (a2 + 1.5 * w * (a1 + FOUR_THIRDS * w * a0)))
    q_far = w * (4.0 * (w * w * w) + side * (b3 + 2.0 * w * (b2 + 1.5 * w * b1)))
    slope = where(absolute(x) > 1.0, a5 - p_far + y * q_far, p - y * (side * q))
    return slope / below(x, b1, b2, b3, b4)


def minus_share(x, a0, a1, a2, a3, a4, a5, b1, b2, b3, b4):
    """What the derivatives in b1 to b4 are multiples of."""
    y = ratio(x, a0, a1, a2, a3, a4, a5, b1, b2, b3, b4)
    return where(lower(x, b1, b2, b3, b4) < 0.0, y, -y) / below(x, b1, b2, b3, b4)


@derivative(rational, "b1")
def rational_db1(x, a0, a1, a2, a3, a4, a5, b1, b2, b3, b4):
    w = inverse(x)
    return minus_share(x, a0, a1, a2, a3, a4, a5, b1, b2, b3, b4) * where(absolute(x) > 1.0, w * w, near(x))


@derivative(rational, "b2")
def rational_db2(x, a0, a1, a2, a3, a4, a5, b1, b2, b3, b4):
    u = near(x)
    return minus_share(x, a0, a1, a2, a3, a4, a5, b1, b2, b3, b4) * where(absolute(x) > 1.0, inverse(x), u * u)


@derivative(rational, "b3")
def rational_db3(x, a0, a1, a2, a3, a4, a5, b1, b2, b3, b4):
    u = near(x)
    return minus_share(x, a0, a1, a2, a3, a4, a5, b1, b2, b3, b4) * where(absolute(x) > 1.0, 1.0, u * u * u)


@derivative(rational, "b4")
def rational_db4(x, a0, a1, a2, a3, a4, a5, b1, b2, b3, b4):
    u = near(x)
    return minus_share(x, a0, a1, a2, a3, a4, a5, b1, b2, b3, b4) * where(absolute(x) > 1.0, x, u * u * (u * u))
