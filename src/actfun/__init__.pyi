"""Written by `tools/write_stubs.py` from the registry: do not edit."""

from typing import Literal

from torch import Generator, Tensor, dtype

from actfun import formula as formula
from actfun import nn as nn
from actfun._catalogue.registry import Activation as Activation
from actfun._catalogue.registry import names as names
from actfun._catalogue.registry import spec as spec
from actfun._models.gains import gain as gain
from actfun._operators.modules import get as get
from actfun._studies.accuracy import accuracy as accuracy
from actfun._studies.bench import bench as bench
from actfun._studies.claims import claims as claims
from actfun._studies.compare import compare as compare
from actfun._studies.show import show as show

__version__: str
__all__ = [
    "Activation",
    "__version__",
    "accuracy",
    "bench",
    "bilinear",
    "claims",
    "compare",
    "crelu",
    "elu",
    "formula",
    "gain",
    "geglu",
    "gelu",
    "gelu_tanh",
    "get",
    "glu",
    "groupsort",
    "gumbel_softmax",
    "leaky_relu",
    "log_softmax",
    "maxout",
    "mish",
    "names",
    "nn",
    "reglu",
    "relu",
    "relu_squared",
    "show",
    "sigmoid",
    "silu",
    "situ_glu",
    "softmax",
    "softmax2d",
    "softmin",
    "softplus",
    "sparsemax",
    "spec",
    "stochastic_gelu",
    "swiglu",
    "swiglu_oai",
    "tanh",
]

def bilinear(
    a: Tensor, b: Tensor | None = None, *, gate: Literal["first", "second", "interleaved", None] = None, dim: int = -1
) -> Tensor:
    """The product of both halves: a gated linear unit without an activation."""

def crelu(x: Tensor, dim: int = 1) -> Tensor:
    """The positive and the negative part, one after the other."""

def elu(x: Tensor, alpha: float | Tensor = 1.0, *, inplace: bool = False) -> Tensor:
    """x where it is positive, else an exponential that levels out at -alpha."""

def geglu(
    a: Tensor, b: Tensor | None = None, *, gate: Literal["first", "second", "interleaved", None] = None, dim: int = -1
) -> Tensor:
    """A value weighted by the GELU of its gate."""

def gelu(x: Tensor, approximate: Literal["none", "tanh"] = "none", *, inplace: bool = False) -> Tensor:
    """x weighted by the probability that a standard normal variable lies below it."""

def gelu_tanh(x: Tensor, *, inplace: bool = False) -> Tensor:
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

def leaky_relu(x: Tensor, negative_slope: float = 0.01, *, inplace: bool = False) -> Tensor:
    """x where it is positive, else a small multiple of it, so that no unit loses its gradient."""

def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dtype | None = None) -> Tensor:
    """The logarithm of softmax, whose small shares keep their digits."""

def maxout(x: Tensor, pieces: int, dim: int = -1) -> Tensor:
    """The largest of several linear pieces, which makes an activation that is learned. The first piece wins a tie."""

def mish(x: Tensor, *, inplace: bool = False) -> Tensor:
    """x weighted by the tanh of its softplus: with e^x = a/b, that is a(a + 2b)/((a + b)² + b²)."""

def reglu(
    a: Tensor, b: Tensor | None = None, *, gate: Literal["first", "second", "interleaved", None] = None, dim: int = -1
) -> Tensor:
    """A value weighted by the ReLU of its gate."""

def relu(x: Tensor, *, inplace: bool = False) -> Tensor:
    """x where it is positive, else 0."""

def relu_squared(x: Tensor, *, inplace: bool = False) -> Tensor:
    """The square of ReLU: its derivative has no jump."""

def sigmoid(x: Tensor, *, inplace: bool = False) -> Tensor:
    """A number squeezed into (0, 1); its inverse is the logarithm of the odds."""

def silu(x: Tensor, *, inplace: bool = False) -> Tensor:
    """x weighted by its sigmoid."""

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

def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dtype | None = None) -> Tensor:
    """Positive shares with sum 1."""

def softmax2d(input: Tensor) -> Tensor:
    """The softmax over the channels of an image, at each place."""

def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dtype | None = None) -> Tensor:
    """The softmax of -x: the smallest entry gets the largest share."""

def softplus(x: Tensor, beta: float = 1.0, *, inplace: bool = False) -> Tensor:
    """A smooth ReLU: the integral of sigmoid. With a negative beta it is smooth min(x, 0)."""

def sparsemax(x: Tensor, dim: int = -1) -> Tensor:
    """The nearest shares with sum 1, of which many are exactly 0."""

def stochastic_gelu(x: Tensor, training: bool = True, generator: Generator | None = None) -> Tensor:
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

def tanh(x: Tensor, *, inplace: bool = False) -> Tensor:
    """A number squeezed into (-1, 1), odd: 2·sigmoid(2x) - 1."""
