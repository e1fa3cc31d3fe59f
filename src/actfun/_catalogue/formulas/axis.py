"""Activations along an axis: each entry, and a level that all entries along the axis come to.

A derivative is that of an entry in itself, while the level moves with it.
"""

from actfun._catalogue.kinds import AXIS
from actfun.formula import INFINITY, Parameter, activation, derivative, exp, maximum, where


@activation(
    kind=AXIS,
    range=(0.0, 1.0),
    saturates=("left", "right"),
    monotonic=True,
    convex=False,
    latex=r"\frac{e^{x_i}}{\sum_j e^{x_j}}",
    reference="Bridle, Probabilistic interpretation of feedforward classification network outputs, 1990",
    chinese="把各项变为正的份额，总和为 1。",
    used_in="attention, outputs of classifiers",
)
def softmax(x, level):
    """Positive shares with sum 1.

    The level is the logarithm of the sum of all exponentials.
    """
    return exp(x - level)


@derivative(softmax, "x")
def softmax_dx(x, level):
    share = exp(x - level)
    return share * (1.0 - share)


@activation(
    kind=AXIS,
    range=(-INFINITY, 0.0),
    saturates=("right",),
    monotonic=True,
    convex=False,
    latex=r"x_i - \log \sum_j e^{x_j}",
    reference="Bridle, Probabilistic interpretation of feedforward classification network outputs, 1990",
    chinese="softmax 的对数，小的份额也保留有效数字。",
    used_in="log-probabilities of classifiers",
)
def log_softmax(x, level):
    """The logarithm of softmax, whose small shares keep their digits."""
    return x - level


@derivative(log_softmax, "x")
def log_softmax_dx(x, level):
    return 1.0 - exp(x - level)


@activation(
    kind=AXIS,
    range=(0.0, 1.0),
    saturates=("left", "right"),
    monotonic=False,
    convex=False,
    latex=r"\frac{e^{-x_i}}{\sum_j e^{-x_j}}",
    reference="PyTorch, torch.nn.Softmin",
    chinese="-x 的 softmax：最小的一项得到最大的份额。",
    used_in="torch and MLX offer it",
)
def softmin(x, level):
    """The softmax of -x: the smallest entry gets the largest share."""
    return exp(-x - level)


@derivative(softmin, "x")
def softmin_dx(x, level):
    share = exp(-x - level)
    return share * (share - 1.0)


@activation(
    kind=AXIS,
    range=(0.0, 1.0),
    saturates=("left", "right"),
    monotonic=True,
    convex=False,
    latex=r"\frac{e^{x_{cij}}}{\sum_k e^{x_{kij}}}",
    reference="PyTorch, torch.nn.Softmax2d",
    chinese="在图像的每个位置上，对各通道作 softmax。",
    used_in="torch offers it",
)
def softmax2d(x, level):
    """The softmax over the channels of an image, at each place."""
    return exp(x - level)


@derivative(softmax2d, "x")
def softmax2d_dx(x, level):
    return softmax_dx(x, level)


@activation(
    kind=AXIS,
    range=(0.0, 1.0),
    saturates=("left", "right"),
    kinks=(-1.0, 1.0),
    monotonic=True,
    convex=False,
    latex=r"p_i = \max(x_i - \tau, 0), \quad \textstyle\sum_i p_i = 1",
    reference="Martins and Astudillo, From softmax to sparsemax, arXiv:1602.02068",
    chinese="总和为 1 的最近的份额，其中许多恰为 0。",
    used_in="sparse attention; Keras, TensorFlow Addons and Liger Kernel offer it",
)
def sparsemax(x, level):
    """The nearest shares with sum 1, of which many are exactly 0.

    The level is subtracted from all entries.
    """
    return maximum(x - level, 0.0)


@activation(
    kind=AXIS,
    range=(0.0, 1.0),
    saturates=("left", "right"),
    monotonic=True,
    convex=False,
    tau=Parameter(1.0, nonzero=True),
    latex=r"\operatorname{softmax}\left(\frac{x_i + g_i}{\tau}\right), \quad g_i \sim \mathrm{Gumbel}(0, 1)",
    reference="Jang, Gu and Poole, arXiv:1611.01144; Maddison, Mnih and Teh, arXiv:1611.00712",
    chinese="在各项中随机选择一项，并使之变软。",
    used_in="discrete latent variables; torch offers it",
)
def gumbel_softmax(x, level):
    """A random choice among the entries, made soft.

    x is an entry with its noise, over tau.
    """
    return exp(x - level)


@activation(
    kind=AXIS,
    module="CReLU",
    range=(0.0, INFINITY),
    saturates=("left",),
    kinks=(0.0,),
    monotonic=False,
    convex=True,
    latex=r"[\max(x, 0),\ \max(-x, 0)]",
    reference="Shang et al., Understanding and improving convolutional neural networks, arXiv:1603.05201",
    chinese="先是正部，后是负部，前后拼接。",
    used_in="convolutional networks; TensorFlow offers it",
)
def crelu(x, level):
    """The positive and the negative part, one after the other.

    The level is 1 in the first half, -1 in the second.
    """
    return maximum(level * x, 0.0)


@derivative(crelu, "x")
def crelu_dx(x, level):
    return where(level * x > 0.0, level, 0.0)


@activation(
    kind=AXIS,
    module="GroupSort",
    keeps="indices",
    monotonic=True,
    convex=False,
    group_size=Parameter(2, low=1),
    latex=r"\operatorname{sort}(x_{kg + 1}, \dots, x_{kg + g})",
    reference="Anil, Lucas and Grosse, Sorting out Lipschitz function approximation, arXiv:1811.05381",
    chinese="每组的各项按升序排列。",
    used_in="1-Lipschitz networks (deel-torchlip, monotonenorm)",
)
def groupsort(x, level):
    """The entries of each group in ascending order.

    Of two, the level is the other one; this is the second place.
    """
    return maximum(x, level)
