"""Activations that are straight lines and parabolas, cut at fixed points: no exponential.

At a point where the slope jumps it is torch's, where torch has the function: 0 at the ends of what is flat.
"""

from actfun.formula import INFINITY, Parameter, absolute, activation, derivative, maximum, minimum, where

BOTH = ("left", "right")


@activation(
    monotonic=True,
    convex=True,
    zero_centred=True,
    latex="x",
    reference="what every framework calls linear, or identity",
    chinese="x 本身，用于必须写明激活函数的地方。",
    used_in="Keras, transformers and Transformer Engine, as linear",
)
def identity(x):
    """x itself, for where an activation must be named."""
    return x


@activation(
    module="ReLU6",
    range=(0.0, 6.0),
    kinks=(0.0, 6.0),
    saturates=BOTH,
    inplace=True,
    torch="relu6",
    keeps="output",
    monotonic=True,
    convex=False,
    latex=r"\min(\max(x, 0), 6)",
    reference="Krizhevsky, Convolutional deep belief networks on CIFAR-10, 2010",
    chinese="到 6 为止的 ReLU，适合低比特运算。",
    used_in="MobileNet v1 and v2",
)
def relu6(x):
    """ReLU that ends at 6, for arithmetic of few bits."""
    return where(x >= 6.0, 6.0, maximum(x, 0.0))


@derivative(relu6, "x")
def relu6_dx(x):
    return where(x <= 0.0, 0.0, where(x >= 6.0, 0.0, 1.0))


@activation(
    range=(0.0, INFINITY),
    kinks=(1.0,),
    saturates=("left",),
    inplace=True,
    torch="threshold",
    monotonic=True,
    convex=False,
    latex=r"\begin{cases} x & x > \theta \\ v & x \le \theta \end{cases}",
    reference="Konda, Memisevic and Krueger, arXiv:1402.3337",
    chinese="x 高于阈值时保持不变，否则取固定值。",
    used_in="zero-bias autoencoders; a building block",
    threshold=Parameter(1.0),
    value=Parameter(0.0),
)
def threshold(x, threshold, value):
    """x where it is above a threshold, else a fixed value."""
    return where(x <= threshold, value, x)


@activation(
    module="Hardtanh",
    range=(-1.0, 1.0),
    kinks=(-1.0, 1.0),
    saturates=BOTH,
    zero_centred=True,
    inplace=True,
    torch="hardtanh",
    monotonic=True,
    convex=False,
    latex=r"\min(\max(x, a), b)",
    reference="Collobert, Large scale machine learning, 2004",
    chinese="把 x 限制在两个界之间。",
    used_in="binarised networks, quantisation, mobile networks",
    min_val=Parameter(-1.0),
    max_val=Parameter(1.0, least="min_val"),
)
def hard_tanh(x, min_val, max_val):
    """x held between two bounds."""
    return where(x <= min_val, min_val, where(x >= max_val, max_val, x))


@activation(
    module="Hardsigmoid",
    range=(0.0, 1.0),
    kinks=(-3.0, 3.0),
    saturates=BOTH,
    inplace=True,
    torch="hardsigmoid",
    monotonic=True,
    convex=False,
    latex=r"\min(\max(s x + o, 0), 1)",
    reference="Courbariaux, Bengio and David, arXiv:1511.00363",
    chinese="从 0 到 1 的直线：torch 的斜率为 1/6，Keras 2 和 ONNX 的为 1/5。",
    used_in="squeeze-and-excitation of MobileNetV3, LSTM gates of early Keras",
    slope=Parameter(1.0 / 6.0, extra=True),
    offset=Parameter(0.5, extra=True),
)
def hard_sigmoid(x, slope, offset):
    """A straight line from 0 to 1: torch's slope is 1/6, that of Keras 2 and of ONNX 1/5."""
    z = slope * x + offset
    return where(z <= 0.0, 0.0, where(z >= 1.0, 1.0, z))


@activation(
    range=(0.0, 1.0),
    kinks=(-1.0, 1.0),
    saturates=BOTH,
    monotonic=True,
    convex=False,
    latex=r"\min(\max(\tfrac{x + 1}{2}, 0), 1)",
    reference="Blondel, Martins and Niculae, arXiv:1901.02324, section 6.2",
    chinese="sparse_plus 的导数：在 -1 和 1 处达到 0 和 1。",
    used_in="entmax-type losses; the derivative of sparse_plus",
)
def sparse_sigmoid(x):
    """The derivative of sparse_plus: 0 and 1 are reached at -1 and 1."""
    return where(x <= -1.0, 0.0, where(x >= 1.0, 1.0, 0.5 * (x + 1.0)))


@activation(
    module="Hardshrink",
    kinks=(-0.5, 0.5),
    zero_centred=True,
    torch="hardshrink",
    monotonic=True,
    convex=False,
    latex=r"\begin{cases} x & |x| > \lambda \\ 0 & |x| \le \lambda \end{cases}",
    reference="Donoho and Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 81, 1994",
    chinese="绝对值大的 x 保持不变，其余变为 0。",
    used_in="sparse coding, LISTA",
    lambd=Parameter(0.5),
)
def hard_shrink(x, lambd):
    """x where it is large, else 0."""
    return where(absolute(x) <= lambd, 0.0, x)


@activation(
    module="Softshrink",
    kinks=(-0.5, 0.5),
    zero_centred=True,
    torch="softshrink",
    monotonic=True,
    convex=False,
    latex=r"\operatorname{sign}(x) \max(|x| - \lambda, 0)",
    reference="Donoho, De-noising by soft-thresholding, IEEE Transactions on Information Theory 41, 1995",
    chinese="把 x 向 0 移动固定的一步。",
    used_in="ISTA and LISTA, unrolled MRI reconstruction, variants of FNO",
    lambd=Parameter(0.5),
)
def soft_shrink(x, lambd):
    """x, moved towards 0 by a fixed step."""
    return where(absolute(x) <= lambd, 0.0, where(x > 0.0, x - lambd, x + lambd))


@activation(
    module="Hardswish",
    range=(-0.375, INFINITY),
    kinks=(-3.0, 3.0),
    saturates=("left",),
    inplace=True,
    torch="hardswish",
    monotonic=False,
    convex=False,
    latex=r"x \min(\max(\tfrac{x + 3}{6}, 0), 1)",
    reference="Howard et al., Searching for MobileNetV3, arXiv:1905.02244, section 5.2",
    chinese="x 乘以其 hard_sigmoid。",
    used_in="MobileNetV3, LeViT, PP-LCNet",
)
def hard_swish(x):
    """x weighted by its hard sigmoid."""
    return where(x <= -3.0, 0.0, where(x >= 3.0, x, x * (x + 3.0) / 6.0))


@derivative(hard_swish, "x")
def hard_swish_dx(x):
    return where(x <= -3.0, 0.0, where(x >= 3.0, 1.0, (2.0 * x + 3.0) / 6.0))


@activation(
    range=(-0.5, INFINITY),
    kinks=(-2.0,),
    saturates=("left",),
    monotonic=False,
    convex=False,
    latex=r"\tfrac{x}{2} \min(\max(x + 2, 0), 2)",
    reference="Misra, https://github.com/digantamisra98/H-Mish",
    chinese="由直线和抛物线构成的 Mish。",
    used_in="timm offers it",
)
def hard_mish(x):
    """Mish of straight lines and a parabola."""
    return where(x <= -2.0, 0.0, where(x >= 0.0, x, 0.5 * (x * (x + 2.0))))


@derivative(hard_mish, "x")
def hard_mish_dx(x):
    return where(x <= -2.0, 0.0, where(x >= 0.0, 1.0, x + 1.0))


@activation(
    range=(0.0, INFINITY),
    saturates=("left",),
    monotonic=True,
    convex=True,
    latex=r"\begin{cases} x & x \ge \beta \\ \tfrac{1}{4 \beta} \max(x + \beta, 0)^2 & x < \beta \end{cases}",
    reference="Blondel, Martins and Niculae, arXiv:1901.02324; with beta as SmeLU, Shamir and Lin, arXiv:2202.06499",
    chinese="拐角处换成抛物线的 ReLU，抛物线从 -beta 到 beta。",
    used_in="sparse losses; as SmeLU, ranking of ads at Google",
    beta=Parameter(1.0, low=0.0, nonzero=True),
)
def sparse_plus(x, beta):
    """ReLU whose corner is a parabola, from -beta to beta."""
    t = minimum(maximum(x, -beta), beta) + beta
    return where(x >= beta, x, t * t / (4.0 * beta))


@derivative(sparse_plus, "x")
def sparse_plus_dx(x, beta):
    return (minimum(maximum(x, -beta), beta) + beta) / (2.0 * beta)


@activation(
    range=(-0.4472, INFINITY),
    saturates=("left",),
    monotonic=True,
    convex=True,
    latex=r"s \max(x, 0)^2 + b",
    reference="Yu et al., MetaFormer baselines for vision, arXiv:2210.13452",
    chinese="ReLU 的平方，对正态输入调整为均值 0、方差 1。",
    used_in="CAFormer and ConvFormer, in timm",
    scale=Parameter(0.8944, learnable=True),
    bias=Parameter(-0.4472, learnable=True),
)
def star_relu(x, scale, bias):
    """The square of ReLU, brought to mean 0 and variance 1 for normal inputs."""
    t = maximum(x, 0.0)
    return scale * t * t + bias


@derivative(star_relu, "x")
def star_relu_dx(x, scale, bias):
    return 2.0 * scale * maximum(x, 0.0)
