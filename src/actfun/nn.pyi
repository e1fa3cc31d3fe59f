"""Written by `tools/write_stubs.py` from the registry: do not edit."""

from typing import Literal

from torch import nn

from actfun._operators.behaviours.axis import CReLU as CReLU
from actfun._operators.behaviours.axis import GroupSort as GroupSort
from actfun._operators.behaviours.axis import GumbelSoftmax as GumbelSoftmax
from actfun._operators.behaviours.axis import LogSoftmax as LogSoftmax
from actfun._operators.behaviours.axis import Softmax as Softmax
from actfun._operators.behaviours.axis import Softmax2d as Softmax2d
from actfun._operators.behaviours.axis import Softmin as Softmin
from actfun._operators.behaviours.axis import Sparsemax as Sparsemax
from actfun._operators.behaviours.elementwise import Elementwise as Elementwise
from actfun._operators.behaviours.gated import Gated as Gated
from actfun._operators.behaviours.random import StochasticGELU as StochasticGELU
from actfun._operators.behaviours.reduction import MaxoutPieces as MaxoutPieces
from actfun._operators.modules import FeedForward as FeedForward
from actfun._operators.modules import Maxout as Maxout
from actfun._operators.modules import MaxoutConv2d as MaxoutConv2d

class BilinearGLU(Gated):
    """The product of both halves: a gated linear unit without an activation."""

    def __init__(self, dim: int = -1, gate: Literal["first", "second", "interleaved", None] = None) -> None: ...

class ELU(Elementwise):
    """x where it is positive, else an exponential that levels out at -alpha."""

    alpha: float | nn.Parameter
    def __init__(
        self, alpha: float = 1.0, inplace: bool = False, learnable: bool = False, num_parameters: int = 1
    ) -> None: ...

class GEGLU(Gated):
    """A value weighted by the GELU of its gate."""

    def __init__(self, dim: int = -1, gate: Literal["first", "second", "interleaved", None] = None) -> None: ...

class GELU(Elementwise):
    """x weighted by the probability that a standard normal variable lies below it."""

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None: ...

class GELUTanh(Elementwise):
    """GELU with Φ approximated through tanh, off by at most 4.8e-4: x·sigmoid(2u), u the argument of that tanh."""

    def __init__(self) -> None: ...

class GLU(Gated):
    """A value weighted by the sigmoid of its gate."""

    def __init__(
        self,
        dim: int = -1,
        gate: Literal["first", "second", "interleaved", None] = "second",
        activation: str = "sigmoid",
    ) -> None: ...

class LeakyReLU(Elementwise):
    """x where it is positive, else a small multiple of it, so that no unit loses its gradient."""

    negative_slope: float
    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None: ...

class Mish(Elementwise):
    """x weighted by the tanh of its softplus: with e^x = a/b, that is a(a + 2b)/((a + b)² + b²)."""

    def __init__(self, inplace: bool = False) -> None: ...

class ReGLU(Gated):
    """A value weighted by the ReLU of its gate."""

    def __init__(self, dim: int = -1, gate: Literal["first", "second", "interleaved", None] = None) -> None: ...

class ReLU(Elementwise):
    """x where it is positive, else 0."""

    def __init__(self, inplace: bool = False) -> None: ...

class ReLUSquared(Elementwise):
    """The square of ReLU: its derivative has no jump."""

    def __init__(self) -> None: ...

class Sigmoid(Elementwise):
    """A number squeezed into (0, 1); its inverse is the logarithm of the odds."""

    def __init__(self) -> None: ...

class SiLU(Elementwise):
    """x weighted by its sigmoid."""

    def __init__(self, inplace: bool = False) -> None: ...

class SituGLU(Gated):
    """A swiglu whose halves both level out: tanh holds the gate within beta1 and the value within beta2."""

    def __init__(
        self,
        dim: int = -1,
        gate: Literal["first", "second", "interleaved", None] = None,
        beta1: float = 4.0,
        beta2: float = 25.0,
    ) -> None: ...

class Softplus(Elementwise):
    """A smooth ReLU: the integral of sigmoid. With a negative beta it is smooth min(x, 0)."""

    beta: float
    def __init__(self, beta: float = 1.0) -> None: ...

class SwiGLU(Gated):
    """A value weighted by the SiLU of its gate."""

    def __init__(self, dim: int = -1, gate: Literal["first", "second", "interleaved", None] = None) -> None: ...

class SwiGLUOAI(Gated):
    """The swiglu of gpt-oss: both halves held within a limit, 1 added to the value, a steeper sigmoid."""

    def __init__(
        self,
        dim: int = -1,
        gate: Literal["first", "second", "interleaved", None] = None,
        alpha: float = 1.702,
        limit: float = 7.0,
    ) -> None: ...

class Tanh(Elementwise):
    """A number squeezed into (-1, 1), odd: 2·sigmoid(2x) - 1."""

    def __init__(self) -> None: ...
