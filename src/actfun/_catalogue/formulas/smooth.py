"""Rectifiers with a smooth or scaled left side, beside ELU and softplus."""

from actfun.formula import (
    INFINITY,
    Parameter,
    absolute,
    activation,
    decay,
    derivative,
    exp,
    expm1,
    log1p,
    maximum,
    minimum,
    sqrt,
    where,
)

SCALE = 1.0507009873554805  # of selu, and its alpha times that: mean 0 and variance 1 are a fixed point of layers
SCALED_ALPHA = 1.7580993408473766


def expm1_of_any(x):
    """exp(x) - 1 on both sides."""
    e = expm1(-absolute(x))
    return where(x > 0.0, -e * exp(x), e)


@activation(
    module="CELU",
    range=(-1.0, INFINITY),
    saturates=("left",),
    inplace=True,
    torch="celu",
    monotonic=True,
    convex=True,
    latex=r"\max(x, 0) + \min(0, \alpha (e^{x/\alpha} - 1))",
    reference="Barron, Continuously differentiable exponential linear units, arXiv:1704.07483",
    chinese="指数也按 alpha 缩放的 ELU，因此对任何 alpha 导数都连续。",
    used_in="networks for molecules (ANI), NeRF-like models",
    alpha=Parameter(1.0, nonzero=True),
)
def celu(x, alpha):
    """ELU whose exponent is scaled with alpha too, so that its slope is continuous for every alpha."""
    return where(x >= 0.0, x, alpha * expm1_of_any(x / alpha))


@derivative(celu, "x")
def celu_dx(x, alpha):
    return exp(minimum(x, 0.0) / alpha)


@activation(
    module="SELU",
    range=(-SCALED_ALPHA, INFINITY),
    kinks=(0.0,),
    saturates=("left",),
    inplace=True,
    torch="selu",
    monotonic=True,
    convex=False,
    latex=r"\lambda \begin{cases} x & x > 0 \\ \alpha (e^x - 1) & x \le 0 \end{cases}",
    reference="Klambauer, Unterthiner, Mayr and Hochreiter, Self-normalizing neural networks, arXiv:1706.02515",
    chinese="经过缩放的 ELU，使各层保持均值 0、方差 1。",
    used_in="self-normalising networks for tables",
)
def selu(x):
    """ELU, scaled so that layers of it keep mean 0 and variance 1."""
    return where(x >= 0.0, SCALE * x, SCALED_ALPHA * expm1(-absolute(x)))


@derivative(selu, "x")
def selu_dx(x):
    return where(x > 0.0, SCALE, decay(maximum(-x, 0.0), SCALED_ALPHA))


def expm1_less_x(x):
    """exp(x) - 1 - x for x ≤ 0: a series near 0, where the difference cancels."""
    z = maximum(x, -0.5)
    p = 1.0 / 3628800.0 + z * (1.0 / 39916800.0 + z * (1.0 / 479001600.0 + z * (1.0 / 6227020800.0)))
    p = 1.0 / 720.0 + z * (1.0 / 5040.0 + z * (1.0 / 40320.0 + z * (1.0 / 362880.0 + z * p)))
    p = 0.5 + z * (1.0 / 6.0 + z * (1.0 / 24.0 + z * (1.0 / 120.0 + z * p)))
    return where(x > -0.5, z * z * p, expm1(x) - x)


@activation(
    module="XIELU",
    range=(-0.2057512240964821, INFINITY),
    monotonic=False,
    convex=True,
    latex=r"\begin{cases} \alpha_p x^2 + \beta x & x > 0 \\ \alpha_n (e^x - 1 - x) + \beta x & x \le 0 \end{cases}",
    reference="Huang and Schlag, Deriving activation functions using integration, arXiv:2411.13010",
    chinese="可训练的 ELU 的积分：右侧是抛物线，左侧接近直线。",
    used_in="Apertus",
    alpha_p=Parameter(0.8, low=0.0, learnable=True),
    alpha_n=Parameter(0.8, low=0.0, learnable=True),
    beta=Parameter(0.5),
)
def xielu(x, alpha_p, alpha_n, beta):
    """The integral of a trainable ELU: a parabola on the right, nearly a line on the left."""
    right, left = maximum(x, 0.0), minimum(x, 0.0)
    far = alpha_n * expm1(left) + (beta - alpha_n) * x
    near = where(x > 0.0, alpha_p * right * right, alpha_n * expm1_less_x(left)) + beta * x
    return where(x < -0.5, far, near)


@derivative(xielu, "x")
def xielu_dx(x, alpha_p, alpha_n, beta):
    return where(x > 0.0, 2.0 * alpha_p * x, alpha_n * expm1(minimum(x, 0.0))) + beta


@derivative(xielu, "alpha_p")
def xielu_dalpha_p(x, alpha_p, alpha_n, beta):
    return maximum(x, 0.0) * maximum(x, 0.0)


@derivative(xielu, "alpha_n")
def xielu_dalpha_n(x, alpha_p, alpha_n, beta):
    return expm1_less_x(minimum(x, 0.0))


@activation(
    range=(0.0, INFINITY),
    saturates=("left", "right"),
    monotonic=True,
    convex=False,
    latex=r"\sqrt{\log(1 + e^x)}",
    reference="DeepSeek-AI, DeepSeek-V4, whose router scores experts by it",
    chinese="softplus 的平方根，增长缓慢。",
    used_in="DeepSeek-V4, whose router scores experts by it",
)
def sqrtsoftplus(x):
    """The square root of softplus, which grows slowly."""
    t = absolute(x)
    near = sqrt(maximum(x, 0.0) + log1p(decay(t, 1.0)))
    return where(x < -40.0, decay(0.5 * t, 1.0), near)


@derivative(sqrtsoftplus, "x")
def sqrtsoftplus_dx(x):
    t = absolute(x)
    e = decay(t, 1.0)
    near = where(x >= 0.0, 0.5, 0.5 * e) / (1.0 + e) / sqrt(maximum(x, 0.0) + log1p(maximum(e, 1e-18)))
    return where(x < -40.0, decay(0.5 * t, 0.5), near)


LARGE = 1e9  # where x² + b is x² to the last bit, for b up to 100


@activation(
    range=(0.0, INFINITY),
    saturates=("left",),
    monotonic=True,
    convex=True,
    latex=r"\tfrac{1}{2} \left(x + \sqrt{x^2 + b}\right)",
    reference="Barron, Squareplus: a softplus-like algebraic rectifier, arXiv:2112.11687",
    chinese="不用指数的 softplus：x 与一条双曲线之和的一半。",
    used_in="JAX and Keras offer it, as a cheap softplus",
    b=Parameter(4.0, low=0.0),
)
def squareplus(x, b):
    """A softplus without an exponential: half of x and of a hyperbola."""
    t = absolute(x)
    near = minimum(t, LARGE)
    r = where(t > LARGE, t, sqrt(near * near + b))
    total = 0.5 * t + 0.5 * r
    return where(x >= 0.0, total, 0.25 * b / total)


@derivative(squareplus, "x")
def squareplus_dx(x, b):
    t = absolute(x)
    near = minimum(t, LARGE)
    r = where(t > LARGE, t, sqrt(near * near + b))
    right = where(t > LARGE, 1.0, 0.5 + 0.5 * (near / sqrt(near * near + b)))
    return where(x >= 0.0, right, 0.25 * b / (0.5 * t + 0.5 * r) / r)


@activation(
    module="ISRLU",
    range=(-1.0, INFINITY),
    saturates=("left",),
    monotonic=True,
    convex=True,
    latex=r"\begin{cases} x & x \ge 0 \\ \frac{x}{\sqrt{1 + \alpha x^2}} & x < 0 \end{cases}",
    reference="Carlile et al., Improving deep learning by inverse square root linear units, arXiv:1710.09967",
    chinese="正数保持不变，负半轴是平方根倒数的形式，趋于 -1/√alpha。",
    used_in="rarely used",
    alpha=Parameter(1.0, low=0.0),
)
def isrlu(x, alpha):
    """x where it is positive, else an inverse square root that levels out at -1/√alpha."""
    t = minimum(absolute(x), LARGE)
    return where(x >= 0.0, x, -t / sqrt(1.0 + alpha * (t * t)))


@derivative(isrlu, "x")
def isrlu_dx(x, alpha):
    t = absolute(x)
    near = minimum(t, LARGE)
    r = sqrt(1.0 + alpha * (near * near)) * maximum(t / LARGE, 1.0)
    return where(x >= 0.0, 1.0, 1.0 / r / r / r)
