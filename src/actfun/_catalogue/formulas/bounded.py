"""Activations with bounds, beside sigmoid and tanh, and the two that stand for logarithms and powers."""

from actfun._catalogue.formulas.exponential import tanh, tanh_dx
from actfun._catalogue.formulas.gaussian import ndtr
from actfun._catalogue.primitives import DENSITY
from actfun.formula import (
    INFINITY,
    Parameter,
    absolute,
    activation,
    decay,
    derivative,
    exp,
    expm1,
    gaussian_decay,
    log,
    log1p,
    maximum,
    minimum,
    where,
)

FAR = 40.0
LN2 = 0.6931471805599453


@activation(
    module="LogSigmoid",
    range=(-INFINITY, 0.0),
    saturates=("right",),
    torch="logsigmoid",
    monotonic=True,
    convex=False,
    latex=r"-\log(1 + e^{-x})",
    reference="the logarithm of sigmoid: Rumelhart, Hinton and Williams, Nature 323, 1986",
    chinese="sigmoid 的对数，不受 sigmoid 舍入的影响。",
    used_in="DPO and contrastive losses, forget gates",
)
def log_sigmoid(x):
    """The logarithm of sigmoid, which no rounding of sigmoid spoils."""
    tail = log1p(decay(absolute(x), 1.0))
    return where(x >= 0.0, -tail, x - tail)


@derivative(log_sigmoid, "x")
def log_sigmoid_dx(x):
    e = decay(absolute(x), 1.0)
    return where(x >= 0.0, e, 1.0) / (1.0 + e)


@activation(
    range=(-1.0, 1.0),
    saturates=("left", "right"),
    zero_centred=True,
    torch="softsign",
    monotonic=True,
    convex=False,
    latex=r"\frac{x}{1 + |x|}",
    reference="Turian, Bergstra and Bengio, Quadratic features and deep architectures for chunking, NAACL 2009",
    chinese="不用指数的 tanh，导数衰减缓慢。",
    used_in="torch, JAX, Keras, TensorFlow, ONNX and MLX offer it",
)
def softsign(x):
    """A tanh without an exponential, whose slope falls slowly."""
    z = minimum(maximum(x, -1e30), 1e30)
    return z / (1.0 + absolute(z))


@derivative(softsign, "x")
def softsign_dx(x):
    c = 1.0 + absolute(x)
    return 1.0 / c / c  # c·c overflows


@activation(
    module="Tanhshrink",
    zero_centred=True,
    torch="tanhshrink",
    monotonic=True,
    convex=False,
    latex=r"x - \tanh(x)",
    reference="torch.nn.Tanhshrink; the rest of Tanh",
    chinese="x 减去其 tanh：在 0 附近很小，那里的差用级数计算；远离 0 时为 x ∓ 1。",
    used_in="torch and Keras offer it",
)
def tanh_shrink(x):
    """x less its tanh: small near 0, where the difference is a series, and x ∓ 1 far from it."""
    t = absolute(x)
    near = minimum(maximum(x, -1.0), 1.0)
    e = decay(t, 1.0)
    ee = e * e
    s = near * near
    # x·cosh(x) - sinh(x) = Σ 2k/(2k + 1)!·x²ᵏ⁺¹
    p = 16.0 / 355687428096000.0 + s * (18.0 / 121645100408832000.0 + s * (20.0 / 51090942171709440000.0))
    p = 10.0 / 39916800.0 + s * (12.0 / 6227020800.0 + s * (14.0 / 1307674368000.0 + s * p))
    p = 1.0 / 3.0 + s * (1.0 / 30.0 + s * (6.0 / 5040.0 + s * (8.0 / 362880.0 + s * p)))
    inside = near * s * p * (2.0 * e / (1.0 + ee))
    outside = (t - 1.0) + 2.0 * ee / (1.0 + ee)
    return where(t < 1.0, inside, where(x > 0.0, outside, -outside))


@derivative(tanh_shrink, "x")
def tanh_shrink_dx(x):
    y = tanh(x)
    return y * y


@activation(
    range=(0.0, 1.0),
    saturates=("left", "right"),
    monotonic=True,
    convex=False,
    latex=r"\Phi\left(\frac{x - \mu}{\sigma}\right)",
    reference="Ma et al., Mega: moving average equipped gated attention, arXiv:2209.10655",
    chinese="正态分布的分布函数，其位置和尺度使它在注意力中可以代替 relu_squared。",
    used_in="attention of Mega",
    mu=Parameter(0.7071067811865476),
    sigma=Parameter(0.28209479177387814, nonzero=True),
)
def laplace(x, mu, sigma):
    """The normal distribution's function, placed so that it stands for relu_squared in attention."""
    return ndtr((x - mu) / sigma)


@derivative(laplace, "x")
def laplace_dx(x, mu, sigma):
    return gaussian_decay(minimum(absolute((x - mu) / sigma), FAR), DENSITY / sigma)


@activation(
    range=(0.0, INFINITY),
    saturates=("left",),
    monotonic=True,
    convex=True,
    latex="e^x",
    reference="Keras has it as an activation; the inverse link of Poisson regression",
    chinese="e 的 x 次幂。",
    used_in="outputs of Poisson regression; Keras offers it",
)
def exponential(x):
    """e to the power x."""
    return exp(x)


@derivative(exponential, "x")
def exponential_dx(x):
    return exp(x)


@activation(
    range=(-30.0, 30.0),
    saturates=("left", "right"),
    zero_centred=True,
    monotonic=True,
    convex=False,
    latex=r"c \tanh(x / c)",
    reference="Gemma Team, Gemma 2, arXiv:2408.00118, section 2",
    chinese="把 x 平滑地限制在 -cap 与 cap 之间，常用于 logit。",
    used_in="Gemma 2, Gemma 3n, Inkling 2",
    cap=Parameter(30.0, nonzero=True),
)
def softcap(x, cap):
    """x held smoothly between -cap and cap, as logits are."""
    z = x / cap
    return where(absolute(z) < 1e-9, x, cap * tanh(z))  # for subnormal numbers


@derivative(softcap, "x")
def softcap_dx(x, cap):
    return tanh_dx(x / cap)


@activation(
    module="Log1mExp",
    range=(-INFINITY, 0.0),
    domain=(0.0, INFINITY),
    saturates=("right",),
    monotonic=True,
    convex=False,
    latex=r"\log(1 - e^{-x})",
    reference="Mächler, Accurately computing log(1 - exp(-|a|)), 2012",
    chinese="1 - exp(-x) 的对数，用于以对数形式保存的概率；x 为负时是 NaN。",
    used_in="log-probabilities; JAX and TensorFlow offer it",
)
def log1mexp(x):
    """The logarithm of 1 - exp(-x), for probabilities kept as logarithms; NaN below 0."""
    near = log(-expm1(-absolute(x)))
    far = log1p(-decay(maximum(x, 0.5), 1.0))
    return where(x < 0.0, log(x), where(x > LN2, far, near))


@derivative(log1mexp, "x")
def log1mexp_dx(x):
    t = absolute(x)
    return where(x < 0.0, log(x), decay(t, 1.0) / (0.0 - expm1(-t)))  # +0, for -0 too
