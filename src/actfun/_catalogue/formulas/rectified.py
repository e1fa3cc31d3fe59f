"""Piecewise linear and polynomial activations: ReLU and its kin."""

from actfun._catalogue.kinds import RANDOM, REDUCTION
from actfun.formula import INFINITY, Parameter, activation, derivative, maximum, where


@activation(
    module="ReLU",
    range=(0.0, INFINITY),
    kinks=(0.0,),
    saturates=("left",),
    inplace=True,
    torch="relu",
    torch_is_exact=True,
    keeps="output",
    monotonic=True,
    convex=True,
    latex=r"\max(x, 0)",
    reference="Nair and Hinton, Rectified linear units improve restricted Boltzmann machines, ICML 2010",
    chinese="正数保持不变，负数变为 0。",
    used_in="ResNet, VGG, DETR, most of torchvision's models",
)
def relu(x):
    """x where it is positive, else 0."""
    return maximum(x, 0.0)


@derivative(relu, "x")
def relu_dx(x):
    return where(x <= 0.0, 0.0, 1.0)


@activation(
    module="LeakyReLU",
    kinks=(0.0,),
    inplace=True,
    torch="leaky_relu",
    keeps="output",
    monotonic=True,
    convex=True,
    latex=r"\begin{cases} x & x > 0 \\ a x & x \le 0 \end{cases}",
    reference="Maas, Hannun and Ng, Rectifier nonlinearities improve neural network acoustic models, ICML 2013",
    chinese="正数保持不变，负数乘以一个小系数，使任何单元都不会失去梯度。",
    used_in="GANs, YOLOv3, vocoders such as HiFi-GAN (slope 0.1), EfficientLoFTR",
    negative_slope=Parameter(0.01),
)
def leaky_relu(x, negative_slope):
    """x where it is positive, else a small multiple of it, so that no unit loses its gradient."""
    return where(x > 0.0, x, negative_slope * x)


@derivative(leaky_relu, "x")
def leaky_relu_dx(x, negative_slope):
    return where(x > 0.0, 1.0, negative_slope)


@activation(
    module="PReLU",
    kinks=(0.0,),
    torch="prelu",
    monotonic=True,
    convex=True,
    latex=r"\begin{cases} x & x > 0 \\ w x & x \le 0 \end{cases}",
    reference="He, Zhang, Ren and Sun, Delving deep into rectifiers, arXiv:1502.01852, section 2",
    chinese="正数保持不变，负数乘以一个可学习的系数。",
    used_in="face recognition (ArcFace, MobileFaceNet), DAB-DETR, UVDoc",
    weight=Parameter(0.25, learnable=True, learned=True),
)
def prelu(x, weight):
    """x where it is positive, else a multiple of it that is learned."""
    return leaky_relu(x, weight)


@derivative(prelu, "x")
def prelu_dx(x, weight):
    return leaky_relu_dx(x, weight)


@derivative(prelu, "weight")
def prelu_dweight(x, weight):
    return where(x > 0.0, 0.0, x)


@activation(
    module="RReLU",
    kind=RANDOM,
    kinks=(0.0,),
    keeps="slope",
    inplace=True,
    torch="rrelu",
    monotonic=True,
    convex=True,
    latex=r"\begin{cases} x & x > 0 \\ a x & x \le 0 \end{cases}, \quad a \sim \mathrm{U}(\ell, u)",
    reference="Xu, Wang, Chen and Li, Empirical evaluation of rectified activations, arXiv:1505.00853, section 3.4",
    chinese="正数保持不变，负数乘以逐元素随机抽取的系数；评估时取中间值。",
    used_in="rarely used; torch, TensorFlow Addons and mmcv offer it",
    mean=lambda lower, upper: (leaky_relu, (0.5 * (lower + upper),)),
    lower=Parameter(1.0 / 8.0),
    upper=Parameter(1.0 / 3.0, least="lower"),
)
def rrelu(x, lower, upper, noise):
    """x where it is positive, else a multiple of it that is drawn for each number; in evaluation, the middle one."""
    return leaky_relu(x, lower + (upper - lower) * noise)


@derivative(rrelu, "x")
def rrelu_dx(x, lower, upper, noise):
    return leaky_relu_dx(x, lower + (upper - lower) * noise)


@activation(
    module="ReLUSquared",
    range=(0.0, INFINITY),
    saturates=("left",),
    monotonic=True,
    convex=True,
    latex=r"\max(x, 0)^2",
    reference="So et al., Primer: searching for efficient Transformers, arXiv:2109.08668",
    chinese="ReLU 的平方：导数没有跳变。",
    used_in="Nemotron, Arcee, Persimmon, BitNet, nanochat, Jais 2, NeoMME, RWKV",
)
def relu_squared(x):
    """The square of ReLU: its derivative has no jump."""
    return maximum(x, 0.0) * maximum(x, 0.0)


@derivative(relu_squared, "x")
def relu_squared_dx(x):
    return 2.0 * maximum(x, 0.0)


@activation(
    module="MaxoutPieces",
    kind=REDUCTION,
    monotonic=True,
    convex=True,
    latex=r"\max_{j} x_j",
    reference="Goodfellow et al., Maxout networks, arXiv:1302.4389",
    chinese="取若干线性分支中的最大值，相当于可学习的激活函数；并列时取第一个分支。",
    used_in="Maxout networks; TensorFlow Addons and Paddle offer it",
    pieces=Parameter(2, low=1),
)
def maxout(x, y):
    """The largest of several linear pieces, which makes an activation that is learned. The first piece wins a tie."""
    return where(x < y, y, where(x >= y, x, x + y))  # the sum of a number and NaN is NaN
