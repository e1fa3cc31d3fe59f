"""Activations of the form x times a weight of x, beside SiLU, Mish and GELU.

On the far left the weight multiplies into `decay` or `gaussian_decay`, so that it is right among subnormals; x is held
at FAR where 0·inf would be NaN.
"""

from actfun._catalogue.formulas.exponential import FAR, silu_dx, swish, swish_dbeta, tanh, tanh_dx
from actfun._catalogue.formulas.gaussian import FAR as GAUSSIAN_FAR
from actfun._catalogue.formulas.gaussian import gelu, gelu_dx, ndtr
from actfun._catalogue.primitives import DENSITY, ERF_SLOPE, SQRT2
from actfun.formula import (
    INFINITY,
    Parameter,
    absolute,
    activation,
    cos,
    decay,
    derivative,
    erf,
    exp,
    gaussian_decay,
    log1p,
    maximum,
    minimum,
    ndtr_scaled,
    sin,
    where,
)


@activation(
    module="QuickGELU",
    range=(-0.16361018963635357, INFINITY),
    saturates=("left",),
    monotonic=False,
    convex=False,
    latex=r"x\,\sigma(1.702\,x)",
    reference="Hendrycks and Gimpel, arXiv:1606.08415, section 2",
    chinese="用 sigmoid 近似 Φ 的 GELU，相差不超过 0.0204。",
    used_in="CLIP, OWL-ViT, ImageGPT",
)
def quick_gelu(x):
    """GELU with Φ approximated by a sigmoid, off by at most 0.0204."""
    return swish(x, 1.702)


@derivative(quick_gelu, "x")
def quick_gelu_dx(x):
    return silu_dx(1.702 * x)


def product(p, x):
    """p·x, where a p of 0 gives 0 for an infinite x too."""
    y = p * x
    zero = where(x > 1.0, 0.0 * p, where(x < -1.0, -(0.0 * p), x))
    return where(y >= 0.0, y, where(y <= 0.0, y, zero))


@activation(
    module="AconC",
    range=(-0.2784645427610738, INFINITY),
    saturates=("left",),
    monotonic=False,
    convex=False,
    latex=r"(p_1 - p_2) x\,\sigma(\beta (p_1 - p_2) x) + p_2 x",
    reference="Ma et al., Activate or not: learning customized activation, arXiv:2009.04759",
    chinese="在斜率为 p1 和 p2 的两条直线之间切换，beta 越大切换越陡；初始时就是 silu。",
    used_in="forks of YOLOv5 and YOLOv7",
    p1=Parameter(1.0, learnable=True),
    p2=Parameter(0.0, learnable=True),
    beta=Parameter(1.0, learnable=True),
)
def acon_c(x, p1, p2, beta):
    """A switch between two lines, of slopes p1 and p2, as sharp as beta: silu to begin with."""
    return swish((p1 - p2) * x, beta) + product(p2, x)


@derivative(acon_c, "x")
def acon_c_dx(x, p1, p2, beta):
    return (p1 - p2) * silu_dx(beta * ((p1 - p2) * x)) + p2


@derivative(acon_c, "p1")
def acon_c_dp1(x, p1, p2, beta):
    z = beta * ((p1 - p2) * x)
    return where(z < -FAR, 0.0, x * silu_dx(z))


@derivative(acon_c, "p2")
def acon_c_dp2(x, p1, p2, beta):
    z = beta * ((p1 - p2) * x)
    return where(z > FAR, 0.0, x * silu_dx(-z))  # silu's slopes at z and -z sum to 1


@derivative(acon_c, "beta")
def acon_c_dbeta(x, p1, p2, beta):
    return swish_dbeta((p1 - p2) * x, beta)


@activation(
    module="GELU10",
    range=(-0.16997120747990366, 10.0),
    kinks=(10.0,),
    saturates=("left", "right"),
    monotonic=False,
    convex=False,
    latex=r"\min(x\,\Phi(x), 10)",
    reference="Wu et al., Integer quantization for deep learning inference, arXiv:2004.09602",
    chinese="到 10 为止的 GELU，适合低比特运算。",
    used_in="quantised BERT",
)
def gelu_10(x):
    """GELU that ends at 10, for arithmetic of few bits."""
    return where(x > 10.0, 10.0, gelu(x))  # gelu(10) is 10 but for 8e-23


@activation(
    module="TeLU",
    range=(-0.35328577784821125, INFINITY),
    saturates=("left",),
    monotonic=False,
    convex=False,
    latex=r"x \tanh(e^x)",
    reference="Liu and Di, TanhExp, arXiv:2003.09855; Fernandez and Mali, TeLU, arXiv:2412.20269",
    chinese="x 乘以其指数的 tanh。",
    used_in="little evidence of use",
)
def telu(x):
    """x weighted by the tanh of its exponential."""
    t = minimum(absolute(x), FAR)
    return where(x < -20.0, decay(t, -t), x * tanh(exp(minimum(x, 4.0))))  # tanh(e⁴) is 1


@derivative(telu, "x")
def telu_dx(x):
    t = minimum(absolute(x), FAR)
    z = minimum(maximum(x, -20.0), 4.0)  # from 4 on the second term is 0
    e = exp(z)
    return where(x < -20.0, decay(t, 1.0 - t), tanh(e) + z * e * tanh_dx(e))


@activation(
    range=(0.0, INFINITY),
    saturates=("left",),
    monotonic=False,
    convex=False,
    latex=r"x \tanh(x\,\Phi(x))",
    reference="Naveen, Phish: a novel hyper-optimizable activation function, TechRxiv, 2022",
    chinese="x 乘以其 GELU 的 tanh：从不为负。",
    used_in="little evidence of use",
)
def phish(x):
    """x weighted by the tanh of its GELU: never negative."""
    t = minimum(absolute(x), GAUSSIAN_FAR)
    return where(x < -8.0, gaussian_decay(t, t * t * ndtr_scaled(t)), x * tanh(gelu(x)))


@derivative(phish, "x")
def phish_dx(x):
    t = minimum(absolute(x), GAUSSIAN_FAR)
    left = gaussian_decay(t, t * (DENSITY * t - 2.0 * ndtr_scaled(t)))
    g = gelu(x)
    near = tanh(g) + minimum(maximum(x, -GAUSSIAN_FAR), GAUSSIAN_FAR) * gelu_dx(x) * tanh_dx(g)
    return where(x < -8.0, left, near)


@activation(
    range=(-0.2499936636601295, INFINITY),
    saturates=("left",),
    monotonic=False,
    convex=False,
    latex=r"x \tanh(\log(1 + \sigma(x)))",
    reference="Wang, Ren and Wang, Smish, Electronics 11(4), 540, 2022",
    chinese="x 乘以 log(1 + sigmoid) 的 tanh；记 sigmoid 为 s，这个 tanh 即 s(s + 2)/(s(s + 2) + 2)。",
    used_in="TEED, an edge detector",
)
def smish(x):
    """x weighted by the tanh of log(1 + sigmoid), which with s for sigmoid is s(s + 2)/(s(s + 2) + 2)."""
    t = minimum(absolute(x), FAR)
    e = decay(t, 1.0)
    c, n = 1.0 + e, where(x >= 0.0, 1.0, e)
    q = n + 2.0 * c
    return where(x >= 0.0, x, decay(t, -t)) * (q / (n * q + 2.0 * (c * c)))


@derivative(smish, "x")
def smish_dx(x):
    t = minimum(absolute(x), FAR)
    e = decay(t, 1.0)
    c = 1.0 + e
    s, rest = where(x >= 0.0, 1.0, e) / c, where(x >= 0.0, e, 1.0) / c
    d = s * (s + 2.0) + 2.0
    slope = ((s + 2.0) / d + minimum(maximum(x, -FAR), FAR) * (4.0 * (1.0 + s) * rest / (d * d))) / c
    return where(x >= 0.0, slope, decay(t, slope))


@activation(
    module="LiSHT",
    range=(0.0, INFINITY),
    monotonic=False,
    convex=False,
    latex=r"x \tanh(x)",
    reference="Roy et al., LiSHT, arXiv:1901.05894",
    chinese="x 乘以其 tanh：偶函数，相当于平滑的 |x|。",
    used_in="little evidence of use",
)
def lisht(x):
    """x weighted by its tanh: even, a smooth |x|."""
    return x * tanh(x)


@derivative(lisht, "x")
def lisht_dx(x):
    return tanh(x) + minimum(maximum(x, -FAR), FAR) * tanh_dx(x)


@activation(
    range=(-0.06997764131970143, INFINITY),
    saturates=("left",),
    monotonic=False,
    convex=False,
    latex=r"x\,(1 + e^{-\beta x})^{-\alpha}",
    reference="Patwardhan, Ingalhalikar and Walambe, ARiA, arXiv:1805.08878",
    chinese="x 乘以其 sigmoid 的幂，即 Richards 曲线。",
    used_in="little evidence of use",
    alpha=Parameter(1.5),
    beta=Parameter(2.0),
)
def aria(x, alpha, beta):
    """x weighted by a power of its sigmoid: Richards' curve."""
    z = beta * x
    s = alpha * (where(z >= 0.0, 0.0, -z) + log1p(decay(absolute(z), 1.0)))
    return where(x >= 0.0, x * exp(-s), decay(s, maximum(x, -FAR)))


@derivative(aria, "x")
def aria_dx(x, alpha, beta):
    z = beta * x
    e = decay(absolute(z), 1.0)
    s = alpha * (where(z >= 0.0, 0.0, -z) + log1p(e))
    rest = where(z >= 0.0, e, 1.0) / (1.0 + e)
    return decay(s, 1.0 + alpha * beta * minimum(maximum(x, -FAR), FAR) * rest)


@activation(
    module="SMU",
    monotonic=True,
    convex=False,
    latex=r"\tfrac{1}{2} \left((1 + a) x + (1 - a) x \operatorname{erf}(\mu (1 - a) x)\right)",
    reference="Biswas et al., SMU, arXiv:2111.04682",
    chinese="平滑的 Leaky ReLU，负半轴斜率为 alpha，mu 越大拐角越尖。",
    used_in="little evidence of use",
    alpha=Parameter(0.25),
    mu=Parameter(1.0, low=0.01, learnable=True),
)
def smu(x, alpha, mu):
    """A smooth Leaky ReLU of slope alpha, sharper with mu."""
    return alpha * x + (1.0 - alpha) * product(ndtr(SQRT2 * mu * (1.0 - alpha) * x), x)


@derivative(smu, "x")
def smu_dx(x, alpha, mu):
    return alpha + (1.0 - alpha) * gelu_dx(SQRT2 * mu * (1.0 - alpha) * x)


@derivative(smu, "mu")
def smu_dmu(x, alpha, mu):
    w = minimum(absolute(SQRT2 * mu * (1.0 - alpha) * x), GAUSSIAN_FAR)
    return gaussian_decay(w, w * w * (DENSITY / (SQRT2 * mu * mu)))


@activation(
    range=(-0.34843745875960636, INFINITY),
    saturates=("left",),
    monotonic=False,
    convex=False,
    latex=r"x \operatorname{erf}(\log(1 + e^x))",
    reference="Nag and Bhattacharyya, SERF, arXiv:2108.09598",
    chinese="x 乘以其 softplus 的误差函数值。",
    used_in="little evidence of use",
)
def serf(x):
    """x weighted by the error function of its softplus."""
    t = minimum(absolute(x), FAR)
    s = maximum(x, 0.0) + log1p(decay(t, 1.0))
    return where(x < -40.0, decay(t, -ERF_SLOPE * t), x * erf(s))


@derivative(serf, "x")
def serf_dx(x):
    t = minimum(absolute(x), FAR)
    e = decay(t, 1.0)
    s = minimum(maximum(x, 0.0) + log1p(e), FAR)
    weight = where(x >= 0.0, 1.0, e) / (1.0 + e)
    near = erf(s) + minimum(maximum(x, -FAR), FAR) * gaussian_decay(SQRT2 * s, ERF_SLOPE * weight)
    return where(x < -40.0, decay(t, ERF_SLOPE * (1.0 - t)), near)


@activation(
    module="GCU",
    monotonic=False,
    convex=False,
    zero_centred=True,
    latex=r"x \cos(x)",
    reference="Noel, Arunkumar and Trivedi, Growing cosine unit, arXiv:2108.12943",
    chinese="x 乘以其余弦：振荡，且无界。",
    used_in="little evidence of use",
)
def gcu(x):
    """x weighted by its cosine: it oscillates without bounds."""
    return x * cos(x)


@derivative(gcu, "x")
def gcu_dx(x):
    return cos(x) - x * sin(x)
