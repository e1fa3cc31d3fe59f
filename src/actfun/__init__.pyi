"""Written by `tools/write_stubs.py` from the registry: do not edit."""

from typing import Literal

from torch import Generator, Tensor, dtype

from actfun import formula as formula
from actfun import nn as nn
from actfun._catalogue.names import conventions as conventions
from actfun._catalogue.names import spec as spec
from actfun._catalogue.registry import Activation as Activation
from actfun._catalogue.registry import names as names
from actfun._compare.own import Task as Task
from actfun._lean.scope import lean as lean
from actfun._operators.gains import gain as gain
from actfun._operators.modules import config as config
from actfun._operators.modules import get as get
from actfun._studies.accuracy import accuracy as accuracy
from actfun._studies.atlas import atlas as atlas
from actfun._studies.bench import bench as bench
from actfun._studies.claims import claims as claims
from actfun._studies.compare import compare as compare
from actfun._studies.plot import plot as plot
from actfun._studies.show import show as show
from actfun._studies.watch import watch as watch
from actfun._surgery.patched import patched as patched
from actfun._surgery.replace import replace as replace
from actfun._surgery.replace import replaced as replaced
from actfun._surgery.sites import sites as sites

__version__: str
__all__ = [
    "Activation",
    "Task",
    "__version__",
    "accuracy",
    "acon_c",
    "aria",
    "atlas",
    "bench",
    "bilinear",
    "celu",
    "claims",
    "compare",
    "config",
    "conventions",
    "crelu",
    "elu",
    "exponential",
    "formula",
    "gain",
    "gcu",
    "geglu",
    "gelu",
    "gelu_10",
    "gelu_tanh",
    "get",
    "glu",
    "groupsort",
    "gumbel_softmax",
    "hard_mish",
    "hard_shrink",
    "hard_sigmoid",
    "hard_swish",
    "hard_tanh",
    "identity",
    "isrlu",
    "laplace",
    "leaky_relu",
    "lean",
    "lisht",
    "log1mexp",
    "log_sigmoid",
    "log_softmax",
    "maxout",
    "mish",
    "names",
    "nn",
    "patched",
    "phish",
    "plot",
    "prelu",
    "quick_gelu",
    "rational",
    "reglu",
    "relu",
    "relu6",
    "relu_squared",
    "replace",
    "replaced",
    "rrelu",
    "selu",
    "serf",
    "show",
    "sigmoid",
    "silu",
    "sin",
    "sites",
    "situ_glu",
    "smish",
    "smu",
    "snake",
    "snake_beta",
    "soft_shrink",
    "softcap",
    "softmax",
    "softmax2d",
    "softmin",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "spec",
    "sqrtsoftplus",
    "squareplus",
    "star_relu",
    "stochastic_gelu",
    "swiglu",
    "swiglu_oai",
    "swish",
    "tanh",
    "tanh_shrink",
    "telu",
    "threshold",
    "watch",
    "xielu",
]

def acon_c(
    input: Tensor,
    p1: float | Tensor = 1.0,
    p2: float | Tensor = 0.0,
    beta: float | Tensor = 1.0,
    *,
    inplace: bool = False,
    dim: int = 1,
) -> Tensor:
    """A switch between two lines, of slopes p1 and p2, as sharp as beta: silu to begin with."""

def aria(input: Tensor, alpha: float = 1.5, beta: float = 2.0, *, inplace: bool = False) -> Tensor:
    """x weighted by a power of its sigmoid: Richards' curve."""

def bilinear(
    a: Tensor, b: Tensor | None = None, *, gate: Literal["first", "second", "interleaved", None] = None, dim: int = -1
) -> Tensor:
    """The product of both halves: a gated linear unit without an activation."""

def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """ELU whose exponent is scaled with alpha too, so that its slope is continuous for every alpha."""

def crelu(x: Tensor, dim: int = 1) -> Tensor:
    """The positive and the negative part, one after the other."""

def elu(input: Tensor, alpha: float | Tensor = 1.0, inplace: bool = False, *, dim: int = 1) -> Tensor:
    """x where it is positive, else an exponential that levels out at -alpha."""

def exponential(input: Tensor, *, inplace: bool = False) -> Tensor:
    """e to the power x."""

def gcu(input: Tensor, *, inplace: bool = False) -> Tensor:
    """x weighted by its cosine: it oscillates without bounds."""

def geglu(
    a: Tensor, b: Tensor | None = None, *, gate: Literal["first", "second", "interleaved", None] = None, dim: int = -1
) -> Tensor:
    """A value weighted by the GELU of its gate."""

def gelu(input: Tensor, approximate: Literal["none", "tanh"] = "none", *, inplace: bool = False) -> Tensor:
    """x weighted by the probability that a standard normal variable lies below it."""

def gelu_10(input: Tensor, *, inplace: bool = False) -> Tensor:
    """GELU that ends at 10, for arithmetic of few bits."""

def gelu_tanh(input: Tensor, *, inplace: bool = False) -> Tensor:
    """GELU with Φ approximated through tanh, off by at most 4.8e-4: x·sigmoid(2u), u the argument of that tanh."""

def glu(
    a: Tensor,
    b: Tensor | None = None,
    *,
    activation: str = "sigmoid",
    gate: Literal["first", "second", "interleaved", None] = None,
    dim: int = -1,
) -> Tensor:
    """A value weighted by the sigmoid of its gate."""

def groupsort(x: Tensor, group_size: int = 2, dim: int = -1) -> Tensor:
    """The entries of each group in ascending order."""

def gumbel_softmax(
    logits: Tensor,
    tau: float = 1.0,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    generator: Generator | None = None,
) -> Tensor:
    """A random choice among the entries, made soft."""

def hard_mish(input: Tensor, *, inplace: bool = False) -> Tensor:
    """Mish of straight lines and a parabola."""

def hard_shrink(input: Tensor, lambd: float = 0.5, *, inplace: bool = False) -> Tensor:
    """x where it is large, else 0."""

def hard_sigmoid(
    input: Tensor, inplace: bool = False, *, slope: float = 0.16666666666666666, offset: float = 0.5
) -> Tensor:
    """A straight line from 0 to 1: torch's slope is 1/6, that of Keras 2 and of ONNX 1/5."""

def hard_swish(input: Tensor, inplace: bool = False) -> Tensor:
    """x weighted by its hard sigmoid."""

def hard_tanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x held between two bounds."""

def identity(input: Tensor, *, inplace: bool = False) -> Tensor:
    """x itself, for where an activation must be named."""

def isrlu(input: Tensor, alpha: float = 1.0, *, inplace: bool = False) -> Tensor:
    """x where it is positive, else an inverse square root that levels out at -1/√alpha."""

def laplace(
    input: Tensor, mu: float = 0.7071067811865476, sigma: float = 0.28209479177387814, *, inplace: bool = False
) -> Tensor:
    """The normal distribution's function, placed so that it stands for relu_squared in attention."""

def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where it is positive, else a small multiple of it, so that no unit loses its gradient."""

def lisht(input: Tensor, *, inplace: bool = False) -> Tensor:
    """x weighted by its tanh: even, a smooth |x|."""

def log1mexp(input: Tensor, *, inplace: bool = False) -> Tensor:
    """The logarithm of 1 - exp(-x), for probabilities kept as logarithms; NaN below 0."""

def log_sigmoid(input: Tensor, *, inplace: bool = False) -> Tensor:
    """The logarithm of sigmoid, which no rounding of sigmoid spoils."""

def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dtype | None = None) -> Tensor:
    """The logarithm of softmax, whose small shares keep their digits."""

def maxout(x: Tensor, pieces: int, dim: int = -1) -> Tensor:
    """The largest of several linear pieces, which makes an activation that is learned. The first piece wins a tie."""

def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x weighted by the tanh of its softplus: with e^x = a/b, that is a(a + 2b)/((a + b)² + b²)."""

def phish(input: Tensor, *, inplace: bool = False) -> Tensor:
    """x weighted by the tanh of its GELU: never negative."""

def prelu(input: Tensor, weight: float | Tensor = 0.25, *, inplace: bool = False, dim: int = 1) -> Tensor:
    """x where it is positive, else a multiple of it that is learned."""

def quick_gelu(input: Tensor, *, inplace: bool = False) -> Tensor:
    """GELU with Φ approximated by a sigmoid, off by at most 0.0204."""

def rational(
    input: Tensor,
    a0: float | Tensor = 0.033377,
    a1: float | Tensor = 0.505,
    a2: float | Tensor = 1.656706,
    a3: float | Tensor = 2.015921,
    a4: float | Tensor = 0.935109,
    a5: float | Tensor = 0.152987,
    b1: float | Tensor = 0.0,
    b2: float | Tensor = 3.991924,
    b3: float | Tensor = 0.0,
    b4: float | Tensor = 0.302945,
    *,
    inplace: bool = False,
    dim: int = 1,
) -> Tensor:
    """A quotient of two polynomials whose ten coefficients may be learned: to begin with, near leaky_relu."""

def reglu(
    a: Tensor, b: Tensor | None = None, *, gate: Literal["first", "second", "interleaved", None] = None, dim: int = -1
) -> Tensor:
    """A value weighted by the ReLU of its gate."""

def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """x where it is positive, else 0."""

def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """ReLU that ends at 6, for arithmetic of few bits."""

def relu_squared(input: Tensor, *, inplace: bool = False) -> Tensor:
    """The square of ReLU: its derivative has no jump."""

def rrelu(
    input: Tensor,
    lower: float = 0.125,
    upper: float = 0.3333333333333333,
    training: bool = False,
    inplace: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """x where it is positive, else a multiple of it that is drawn for each number; in evaluation, the middle one."""

def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """ELU, scaled so that layers of it keep mean 0 and variance 1."""

def serf(input: Tensor, *, inplace: bool = False) -> Tensor:
    """x weighted by the error function of its softplus."""

def sigmoid(input: Tensor, *, inplace: bool = False) -> Tensor:
    """A number squeezed into (0, 1); its inverse is the logarithm of the odds."""

def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x weighted by its sigmoid."""

def sin(input: Tensor, omega: float = 1.0, *, inplace: bool = False) -> Tensor:
    """The sine; networks for signals take an omega of 30."""

def situ_glu(
    a: Tensor,
    b: Tensor | None = None,
    *,
    beta1: float = 4.0,
    beta2: float = 25.0,
    gate: Literal["first", "second", "interleaved", None] = None,
    dim: int = -1,
) -> Tensor:
    """A swiglu whose halves both level out: tanh holds the gate within beta1 and the value within beta2."""

def smish(input: Tensor, *, inplace: bool = False) -> Tensor:
    """x weighted by the tanh of log(1 + sigmoid), which with s for sigmoid is s(s + 2)/(s(s + 2) + 2)."""

def smu(input: Tensor, alpha: float = 0.25, mu: float | Tensor = 1.0, *, inplace: bool = False, dim: int = 1) -> Tensor:
    """A smooth Leaky ReLU of slope alpha, sharper with mu."""

def snake(input: Tensor, alpha: float | Tensor = 1.0, *, inplace: bool = False, dim: int = 1) -> Tensor:
    """x and a wave of learned frequency, which never falls. An alpha of 0 leaves x."""

def snake_beta(
    input: Tensor, alpha: float | Tensor = 1.0, beta: float | Tensor = 1.0, *, inplace: bool = False, dim: int = 1
) -> Tensor:
    """x and a wave whose size is learned beside its frequency."""

def soft_shrink(input: Tensor, lambd: float = 0.5, *, inplace: bool = False) -> Tensor:
    """x, moved towards 0 by a fixed step."""

def softcap(input: Tensor, cap: float = 30.0, *, inplace: bool = False) -> Tensor:
    """x held smoothly between -cap and cap, as logits are."""

def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dtype | None = None) -> Tensor:
    """Positive shares with sum 1."""

def softmax2d(input: Tensor) -> Tensor:
    """The softmax over the channels of an image, at each place."""

def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dtype | None = None) -> Tensor:
    """The softmax of -x: the smallest entry gets the largest share."""

def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0, *, inplace: bool = False) -> Tensor:
    """A smooth ReLU: the integral of sigmoid. With a negative beta it is smooth min(x, 0)."""

def softsign(input: Tensor, *, inplace: bool = False) -> Tensor:
    """A tanh without an exponential, whose slope falls slowly."""

def sparse_plus(input: Tensor, beta: float = 1.0, *, inplace: bool = False) -> Tensor:
    """ReLU whose corner is a parabola, from -beta to beta."""

def sparse_sigmoid(input: Tensor, *, inplace: bool = False) -> Tensor:
    """The derivative of sparse_plus: 0 and 1 are reached at -1 and 1."""

def sparsemax(x: Tensor, dim: int = -1) -> Tensor:
    """The nearest shares with sum 1, of which many are exactly 0."""

def sqrtsoftplus(input: Tensor, *, inplace: bool = False) -> Tensor:
    """The square root of softplus, which grows slowly."""

def squareplus(input: Tensor, b: float = 4.0, *, inplace: bool = False) -> Tensor:
    """A softplus without an exponential: half of x and of a hyperbola."""

def star_relu(
    input: Tensor,
    scale: float | Tensor = 0.8944,
    bias: float | Tensor = -0.4472,
    *,
    inplace: bool = False,
    dim: int = 1,
) -> Tensor:
    """The square of ReLU, brought to mean 0 and variance 1 for normal inputs."""

def stochastic_gelu(input: Tensor, training: bool = True, generator: Generator | None = None) -> Tensor:
    """x kept with probability Φ(x), else 0: what GELU is the mean of."""

def swiglu(
    a: Tensor, b: Tensor | None = None, *, gate: Literal["first", "second", "interleaved", None] = None, dim: int = -1
) -> Tensor:
    """A value weighted by the SiLU of its gate."""

def swiglu_oai(
    a: Tensor,
    b: Tensor | None = None,
    *,
    alpha: float = 1.702,
    limit: float = 7.0,
    gate: Literal["first", "second", "interleaved", None] = None,
    dim: int = -1,
) -> Tensor:
    """The swiglu of gpt-oss: both halves held within a limit, 1 added to the value, a steeper sigmoid."""

def swish(input: Tensor, beta: float | Tensor = 1.0, *, inplace: bool = False, dim: int = 1) -> Tensor:
    """x weighted by the sigmoid of beta times x: silu for a beta of 1, x/2 for 0, and near relu for a large one."""

def tanh(input: Tensor, *, inplace: bool = False) -> Tensor:
    """A number squeezed into (-1, 1), odd: 2·sigmoid(2x) - 1."""

def tanh_shrink(input: Tensor, *, inplace: bool = False) -> Tensor:
    """x less its tanh: small near 0, where the difference is a series, and x ∓ 1 far from it."""

def telu(input: Tensor, *, inplace: bool = False) -> Tensor:
    """x weighted by the tanh of its exponential."""

def threshold(input: Tensor, threshold: float = 1.0, value: float = 0.0, inplace: bool = False) -> Tensor:
    """x where it is above a threshold, else a fixed value."""

def xielu(
    input: Tensor,
    alpha_p: float | Tensor = 0.8,
    alpha_n: float | Tensor = 0.8,
    beta: float = 0.5,
    *,
    inplace: bool = False,
    dim: int = 1,
) -> Tensor:
    """The integral of a trainable ELU: a parabola on the right, nearly a line on the left."""
