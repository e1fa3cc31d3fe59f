"""Activations built on the exponential: sigmoid, tanh and what is made of them.

All of them work with e = exp(-|x|) in (0, 1], which never overflows; no subtraction cancels, and the two sides share
one division, the dearest operation. What multiplies e goes into `decay`, so that it is right among subnormals too.
"""

from actfun.formula import (
    INFINITY,
    Ignored,
    Parameter,
    absolute,
    activation,
    decay,
    derivative,
    expm1,
    log1p,
    maximum,
    minimum,
    where,
)
from actfun.formula import tanh as hyperbolic_tangent

# In silu and mish, x is held back where exp(-|x|) is 0 in every dtype, for 0·inf would be NaN.
FAR = 800.0


@activation(
    range=(0.0, 1.0),
    saturates=("left", "right"),
    torch="sigmoid",
    monotonic=True,
    convex=False,
    latex=r"\frac{1}{1 + e^{-x}}",
    reference="Rumelhart, Hinton and Williams, Learning representations by back-propagating errors, Nature 323, 1986",
    chinese="把数压缩到 (0, 1)；其反函数是对数几率。",
    used_in="gates, squeeze-and-excitation, output layers",
)
def sigmoid(x):
    """A number squeezed into (0, 1); its inverse is the logarithm of the odds."""
    e = decay(absolute(x), 1.0)
    return where(x >= 0.0, 1.0, e) / (1.0 + e)


@derivative(sigmoid, "x")
def sigmoid_dx(x):
    e = decay(absolute(x), 1.0)
    c = 1.0 + e
    return e / (c * c)


@activation(
    range=(-1.0, 1.0),
    saturates=("left", "right"),
    zero_centred=True,
    torch="tanh",
    monotonic=True,
    convex=False,
    latex=r"\frac{e^x - e^{-x}}{e^x + e^{-x}}",
    reference="LeCun et al., Efficient backprop, 1998, section 4.4",
    chinese="把数压缩到 (-1, 1)，奇函数：2·sigmoid(2x) - 1。",
    used_in="recurrent networks, poolers of Transformers",
)
def tanh(x):
    """A number squeezed into (-1, 1), odd: 2·sigmoid(2x) - 1."""
    return hyperbolic_tangent(x)


@derivative(tanh, "x")
def tanh_dx(x):
    e = decay(2.0 * absolute(x), 4.0)
    c = 1.0 + 0.25 * e
    return e / (c * c)


@activation(
    module="SiLU",
    range=(-0.2784645427610738, INFINITY),
    saturates=("left",),
    inplace=True,
    torch="silu",
    monotonic=False,
    convex=False,
    latex=r"\frac{x}{1 + e^{-x}}",
    reference="Elfwing, Uchibe and Doya, arXiv:1702.03118; also known as swish",
    chinese="x 乘以其 sigmoid。",
    used_in="Llama, Qwen, Mistral, EfficientNet, YOLO, diffusion models",
)
def silu(x):
    """x weighted by its sigmoid."""
    t = minimum(absolute(x), FAR)
    return where(x >= 0.0, x, decay(t, -t)) / (1.0 + decay(t, 1.0))


@derivative(silu, "x")
def silu_dx(x):
    t = minimum(absolute(x), FAR)  # silu(x) - silu(-x) = x, so the slope at x is 1 less the slope at -x
    e = decay(t, 1.0)
    c = 1.0 + e
    left = decay(t, ((1.0 - t) + e) / (c * c))  # near the root, the first difference is exact
    return where(x >= 0.0, 1.0 - left, left)


def finite(x):
    """x, but a very large number in the place of an infinity: times 0 that is 0."""
    return where(absolute(x) >= INFINITY, where(x > 0.0, 3e38, -3e38), x)


@activation(
    range=(-0.2784645427610738, INFINITY),
    saturates=("left",),
    monotonic=False,
    convex=False,
    latex=r"\frac{x}{1 + e^{-\beta x}}",
    reference="Ramachandran, Zoph and Le, Searching for activation functions, arXiv:1710.05941, section 3",
    chinese="x 乘以 beta·x 的 sigmoid：beta 为 1 时是 silu，为 0 时是 x/2，很大时接近 relu。",
    used_in="forks of EfficientNet that learn beta",
    beta=Parameter(1.0, learnable=True),
)
def swish(x, beta):
    """x weighted by the sigmoid of beta times x: silu for a beta of 1, x/2 for 0, and near relu for a large one."""
    z = beta * finite(x)
    t = minimum(absolute(z), FAR)
    left = decay(t, where(t < FAR, x, where(x < 0.0, -1.0, 1.0)))  # from FAR on a zero with the sign of x
    return where(z >= 0.0, x, left) / (1.0 + decay(t, 1.0))


@derivative(swish, "x")
def swish_dx(x, beta):
    return silu_dx(beta * finite(x))


@derivative(swish, "beta")
def swish_dbeta(x, beta):
    t = absolute(beta * finite(x))
    root = decay(0.5 * t, where(t < FAR, x, 0.0)) / (1.0 + decay(t, 1.0))
    return root * root


@activation(
    range=(0.0, INFINITY),
    saturates=("left",),
    torch="softplus",
    monotonic=True,
    convex=True,
    latex=r"\frac{1}{\beta} \log(1 + e^{\beta x})",
    reference="Dugas et al., Incorporating second-order functional knowledge for better option pricing, NIPS 2000",
    chinese="平滑的 ReLU，即 sigmoid 的积分；beta 为负时是平滑的 min(x, 0)。",
    used_in="step sizes of Mamba, variances, NeuS",
    beta=Parameter(1.0, nonzero=True),
    threshold=Ignored(20.0),  # from where torch takes it for a line
)
def softplus(x, beta):
    """A smooth ReLU: the integral of sigmoid. With a negative beta it is smooth min(x, 0).

    It is exact without a threshold, so `threshold` changes nothing.
    """
    z = beta * x
    t = absolute(z)
    near = log1p(decay(t, 1.0)) * (1.0 / beta)
    far = decay(t, 1.0 / beta)  # the same in any dtype, but right where e is subnormal, and e/β is not
    return where(z > 0.0, x, 0.0) + where(t > 40.0, far, near)


@derivative(softplus, "x")
def softplus_dx(x, beta):
    return sigmoid(beta * x)


@activation(
    range=(-0.30884341301725043, INFINITY),
    saturates=("left",),
    inplace=True,
    torch="mish",
    monotonic=False,
    convex=False,
    latex=r"x \tanh(\log(1 + e^x))",
    reference="Misra, arXiv:1908.08681",
    chinese="x 乘以其 softplus 的 tanh；记 e^x = a/b，这个 tanh 即 a(a + 2b)/((a + b)² + b²)。",
    used_in="YOLOv4, diffusion models, bi-encoders",
)
def mish(x):
    """x weighted by the tanh of its softplus: with e^x = a/b, that is a(a + 2b)/((a + b)² + b²)."""
    t = minimum(absolute(x), FAR)
    e = decay(t, 1.0)
    b, c = where(x >= 0.0, e, 1.0), 1.0 + e
    return where(x >= 0.0, x, decay(t, -t)) * (c + b) / (c * c + b * b)


@derivative(mish, "x")
def mish_dx(x):
    t = absolute(x)
    e = decay(t, 1.0)
    b, c = where(x >= 0.0, e, 1.0), 1.0 + e
    d = c * c + b * b
    slope = ((c + b) * d + minimum(maximum(x, -FAR), FAR) * (4.0 * b * b * c)) / (d * d)
    return where(x >= 0.0, slope, decay(t, slope))


@activation(
    module="ELU",
    range=(-1.0, INFINITY),
    saturates=("left",),
    inplace=True,
    torch="elu",
    monotonic=True,
    convex=True,
    latex=r"\begin{cases} x & x > 0 \\ \alpha (e^x - 1) & x \le 0 \end{cases}",
    reference="Clevert, Unterthiner and Hochreiter, arXiv:1511.07289",
    chinese="正数保持不变，负半轴是趋于 -alpha 的指数函数。",
    used_in="EnCodec, Mimi, WavTokenizer, Informer, policies of reinforcement learning",
    alpha=Parameter(1.0, low=0.01, learnable=True),
)
def elu(x, alpha):
    """x where it is positive, else an exponential that levels out at -alpha."""
    return where(x >= 0.0, x, alpha * expm1(-absolute(x)))  # LLVM 22 may turn minimum(-0.0, 0.0) into 0.0


@derivative(elu, "x")
def elu_dx(x, alpha):
    return where(x > 0.0, 1.0, decay(maximum(-x, 0.0), alpha))


@derivative(elu, "alpha")
def elu_dalpha(x, alpha):
    return where(x >= 0.0, 0.0, expm1(-absolute(x)))
