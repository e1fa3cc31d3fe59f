"""GELU, in its exact, its tanh and its stochastic form.

All rest on the tail t·Φ(-t) for t = |x|, for gelu(x) = max(x, 0) - |x|·Φ(-|x|): x·Φ(x) with Φ written as (1 + erf)/2
loses every digit on the left, the tail loses none. From FAR on, the tail is 0 in every dtype.
"""

from actfun._catalogue.kinds import RANDOM
from actfun._catalogue.primitives import CUBIC, DENSITY, LINEAR
from actfun.formula import (
    INFINITY,
    Choice,
    absolute,
    activation,
    cubic_decay,
    derivative,
    gaussian_decay,
    minimum,
    ndtr_scaled,
    where,
)

FAR = 40.0


def ndtr(x):
    """Φ(x), the probability that a standard normal variable lies below x."""
    t = minimum(absolute(x), FAR)
    tail = gaussian_decay(t, ndtr_scaled(t))
    return where(x >= 0.0, 1.0 - tail, tail)


@activation(
    module="GELUTanh",
    range=(-0.17004075057125406, INFINITY),
    saturates=("left",),
    monotonic=False,
    convex=False,
    latex=r"\frac{x}{2} \left(1 + \tanh\left(\sqrt{2/\pi}\,(x + 0.044715\,x^3)\right)\right)",
    reference="Hendrycks and Gimpel, arXiv:1606.08415, section 2",
    chinese="用 tanh 近似 Φ 的 GELU，相差不超过 4.8e-4：x·sigmoid(2u)，u 是该 tanh 的自变量。",
    used_in="GPT-2, T5 1.1, Gemma, SigLIP",
)
def gelu_tanh(x):
    """GELU with Φ approximated through tanh, off by at most 4.8e-4: x·sigmoid(2u), u the argument of that tanh."""
    t = minimum(absolute(x), FAR)
    return where(x >= 0.0, x, cubic_decay(t, -t)) / (1.0 + cubic_decay(t, 1.0))


@derivative(gelu_tanh, "x")
def gelu_tanh_dx(x):
    t = minimum(absolute(x), FAR)
    e = cubic_decay(t, 1.0)
    c = 1.0 + e
    slope = LINEAR + 3.0 * CUBIC * (t * t)
    left = cubic_decay(t, ((1.0 - t * slope) + e) / (c * c))
    return where(x >= 0.0, 1.0 - left, left)


@activation(
    module="GELU",
    range=(-0.16997120747990366, INFINITY),
    saturates=("left",),
    torch="gelu",
    monotonic=False,
    convex=False,
    latex=r"x\,\Phi(x)",
    reference="Hendrycks and Gimpel, arXiv:1606.08415, section 2",
    chinese="x 乘以标准正态变量小于 x 的概率。",
    used_in="BERT, ViT, Whisper, ConvNeXt",
    approximate=Choice("none", {"none": None, "tanh": gelu_tanh}),
)
def gelu(x):
    """x weighted by the probability that a standard normal variable lies below it."""
    t = minimum(absolute(x), FAR)
    tail = gaussian_decay(t, t * ndtr_scaled(t))
    return where(x >= 0.0, x - tail, -tail)


@derivative(gelu, "x")
def gelu_dx(x):
    t = minimum(absolute(x), FAR)  # gelu(x) - gelu(-x) = x, so the slope at x is 1 less the slope at -x
    left = gaussian_decay(t, ndtr_scaled(t) - DENSITY * t)
    return where(x >= 0.0, 1.0 - left, left)


@activation(
    module="StochasticGELU",
    kind=RANDOM,
    keeps="mask",
    mean=lambda: (gelu, ()),
    saturates=("left",),
    monotonic=False,
    convex=False,
    latex=r"x\,m, \quad m \sim \mathrm{Bernoulli}(\Phi(x))",
    reference="Hendrycks and Gimpel, arXiv:1606.08415, section 2",
    chinese="以概率 Φ(x) 保留 x，否则为 0：其均值就是 GELU。",
    used_in="the paper of GELU, which starts from it",
)
def stochastic_gelu(x, noise):
    """x kept with probability Φ(x), else 0: what GELU is the mean of."""
    return where(noise >= ndtr(x), 0.0, x)


@derivative(stochastic_gelu, "x")
def stochastic_gelu_dx(x, noise):
    return where(noise >= ndtr(x), 0.0, 1.0)
