"""Written by `tools/write_stubs.py` from the registry: do not edit."""

from typing import Literal

from torch import Generator, Tensor

from actfun import formula as formula
from actfun import nn as nn
from actfun._catalogue.names import conventions as conventions
from actfun._catalogue.names import spec as spec
from actfun._catalogue.registry import Activation as Activation
from actfun._catalogue.registry import names as names
from actfun._models.gains import gain as gain
from actfun._operators.modules import config as config
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
    "claims",
    "compare",
    "config",
    "conventions",
    "elu",
    "formula",
    "gain",
    "gelu",
    "gelu_tanh",
    "get",
    "leaky_relu",
    "maxout",
    "mish",
    "names",
    "nn",
    "prelu",
    "relu",
    "relu_squared",
    "rrelu",
    "show",
    "sigmoid",
    "silu",
    "softplus",
    "spec",
    "stochastic_gelu",
    "swish",
    "tanh",
]

def elu(input: Tensor, alpha: float | Tensor = 1.0, inplace: bool = False, *, dim: int = 1) -> Tensor:
    """x where it is positive, else an exponential that levels out at -alpha."""

def gelu(input: Tensor, approximate: Literal["none", "tanh"] = "none", *, inplace: bool = False) -> Tensor:
    """x weighted by the probability that a standard normal variable lies below it."""

def gelu_tanh(input: Tensor, *, inplace: bool = False) -> Tensor:
    """GELU with Φ approximated through tanh, off by at most 4.8e-4: x·sigmoid(2u), u the argument of that tanh."""

def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where it is positive, else a small multiple of it, so that no unit loses its gradient."""

def maxout(x: Tensor, pieces: int, dim: int = -1) -> Tensor:
    """The largest of several linear pieces, which makes an activation that is learned. The first piece wins a tie."""

def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x weighted by the tanh of its softplus: with e^x = a/b, that is a(a + 2b)/((a + b)² + b²)."""

def prelu(input: Tensor, weight: float | Tensor = 0.25, *, inplace: bool = False, dim: int = 1) -> Tensor:
    """x where it is positive, else a multiple of it that is learned."""

def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """x where it is positive, else 0."""

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

def sigmoid(input: Tensor, *, inplace: bool = False) -> Tensor:
    """A number squeezed into (0, 1); its inverse is the logarithm of the odds."""

def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x weighted by its sigmoid."""

def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0, *, inplace: bool = False) -> Tensor:
    """A smooth ReLU: the integral of sigmoid. With a negative beta it is smooth min(x, 0)."""

def stochastic_gelu(input: Tensor, training: bool = True, generator: Generator | None = None) -> Tensor:
    """x kept with probability Φ(x), else 0: what GELU is the mean of."""

def swish(input: Tensor, beta: float | Tensor = 1.0, *, inplace: bool = False, dim: int = 1) -> Tensor:
    """x weighted by the sigmoid of beta times x: silu for a beta of 1, x/2 for 0, and near relu for a large one."""

def tanh(input: Tensor, *, inplace: bool = False) -> Tensor:
    """A number squeezed into (-1, 1), odd: 2·sigmoid(2x) - 1."""
