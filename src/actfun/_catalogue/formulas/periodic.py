"""Activations that repeat themselves, for signals: audio, images as functions of a place, differential equations.

At infinity their slopes have no limit; they are NaN there.
"""

from actfun.formula import Parameter, absolute, activation, cos, derivative, where
from actfun.formula import sin as sine

FAR = 1e20  # where sin² is nothing beside x
SMALL = 1e-10  # up to where sin(z) is z, but for a part in 10²⁰


@activation(
    range=(-1.0, 1.0),
    zero_centred=True,
    monotonic=False,
    convex=False,
    latex=r"\sin(\omega x)",
    reference="Sitzmann et al., Implicit neural representations with periodic activation functions, arXiv:2006.09661",
    chinese="正弦函数；表示信号的网络取 omega 为 30。",
    used_in="SIREN, NeRF, physics-informed networks",
    omega=Parameter(1.0),
)
def sin(x, omega):
    """The sine; networks for signals take an omega of 30."""
    return sine(omega * x)


@derivative(sin, "x")
def sin_dx(x, omega):
    return omega * cos(omega * x)


@activation(
    monotonic=True,
    convex=False,
    latex=r"x + \tfrac{1}{\beta} \sin^2(\alpha x)",
    reference="Lee et al., BigVGAN: a universal neural vocoder with large-scale training, arXiv:2206.04658",
    chinese="x 加上一个波，其频率和大小都可学习。",
    used_in="BigVGAN, Qwen2.5-Omni, Qwen3-Omni, X-Codec 2, NeuCodec, LTX-2, Stable Audio",
    alpha=Parameter(1.0, learnable=True),
    beta=Parameter(1.0, learnable=True, nonzero=True),
)
def snake_beta(x, alpha, beta):
    """x and a wave whose size is learned beside its frequency."""
    s = sine(alpha * x)
    return where(absolute(x) > FAR, x, x + s * s / beta)


@derivative(snake_beta, "x")
def snake_beta_dx(x, alpha, beta):
    z, ratio = alpha * x, alpha / beta
    total = sine(z) + cos(z)
    return (1.0 - ratio) + ratio * (total * total)  # where alpha is beta, nothing cancels


@derivative(snake_beta, "alpha")
def snake_beta_dalpha(x, alpha, beta):
    z = alpha * x
    return x * (2.0 * (sine(z) * cos(z))) / beta


@derivative(snake_beta, "beta")
def snake_beta_dbeta(x, alpha, beta):
    s = sine(alpha * x) / beta
    return -(s * s)


@activation(
    monotonic=True,
    convex=False,
    latex=r"x + \tfrac{1}{\alpha} \sin^2(\alpha x)",
    reference="Ziyin, Hartwig and Ueda, Neural networks fail to learn periodic functions, arXiv:2006.08195",
    chinese="x 加上一个频率可学习的波，从不下降；alpha 为 0 时就是 x。",
    used_in="BigVGAN, DAC, PE-Audio",
    alpha=Parameter(1.0, learnable=True),
)
def snake(x, alpha):
    """x and a wave of learned frequency, which never falls. An alpha of 0 leaves x."""
    z = alpha * x
    s = sine(z)
    wave = where(absolute(z) > SMALL, s * s / alpha, z * x)
    return where(absolute(x) > FAR, x, x + wave)


@derivative(snake, "x")
def snake_dx(x, alpha):
    z = alpha * x
    total = sine(z) + cos(z)
    return total * total  # 1 + sin(2z)


@derivative(snake, "alpha")
def snake_dalpha(x, alpha):
    z = alpha * x
    s = sine(z) / alpha
    return where(absolute(z) > SMALL, 2.0 * (s * (x * cos(z))) - s * s, x * x)
