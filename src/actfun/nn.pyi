"""Written by `tools/write_stubs.py` from the registry: do not edit."""

from typing import Literal

import torch
from torch import nn

from actfun._operators.behaviours.elementwise import Elementwise as Elementwise
from actfun._operators.behaviours.reduction import MaxoutPieces as MaxoutPieces
from actfun._operators.modules import FeedForward as FeedForward
from actfun._operators.modules import Maxout as Maxout
from actfun._operators.modules import MaxoutConv2d as MaxoutConv2d

class ELU(Elementwise):
    """x where it is positive, else an exponential that levels out at -alpha."""

    alpha: float | nn.Parameter
    def __init__(
        self,
        alpha: float = 1.0,
        inplace: bool = False,
        learnable: bool = False,
        num_parameters: int = 1,
        dim: int = 1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None: ...

class GELU(Elementwise):
    """x weighted by the probability that a standard normal variable lies below it."""

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None: ...

class GELUTanh(Elementwise):
    """GELU with Φ approximated through tanh, off by at most 4.8e-4: x·sigmoid(2u), u the argument of that tanh."""

    def __init__(self) -> None: ...

class LeakyReLU(Elementwise):
    """x where it is positive, else a small multiple of it, so that no unit loses its gradient."""

    negative_slope: float
    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None: ...

class Mish(Elementwise):
    """x weighted by the tanh of its softplus: with e^x = a/b, that is a(a + 2b)/((a + b)² + b²)."""

    def __init__(self, inplace: bool = False) -> None: ...

class PReLU(Elementwise):
    """x where it is positive, else a multiple of it that is learned."""

    weight: nn.Parameter
    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        dim: int = 1,
    ) -> None: ...

class ReLU(Elementwise):
    """x where it is positive, else 0."""

    def __init__(self, inplace: bool = False) -> None: ...

class ReLUSquared(Elementwise):
    """The square of ReLU: its derivative has no jump."""

    def __init__(self) -> None: ...

class RReLU(Elementwise):
    """x where it is positive, else a multiple of it that is drawn for each number; in evaluation, the middle one."""

    lower: float
    upper: float
    def __init__(self, lower: float = 0.125, upper: float = 0.3333333333333333, inplace: bool = False) -> None: ...

class Sigmoid(Elementwise):
    """A number squeezed into (0, 1); its inverse is the logarithm of the odds."""

    def __init__(self) -> None: ...

class SiLU(Elementwise):
    """x weighted by its sigmoid."""

    def __init__(self, inplace: bool = False) -> None: ...

class Softplus(Elementwise):
    """A smooth ReLU: the integral of sigmoid. With a negative beta it is smooth min(x, 0)."""

    beta: float
    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None: ...

class StochasticGELU(Elementwise):
    """x kept with probability Φ(x), else 0: what GELU is the mean of."""

    def __init__(self) -> None: ...

class Swish(Elementwise):
    """x weighted by the sigmoid of beta times x: silu for a beta of 1, x/2 for 0, and near relu for a large one."""

    beta: float | nn.Parameter
    def __init__(
        self,
        beta: float = 1.0,
        learnable: bool = False,
        num_parameters: int = 1,
        dim: int = 1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None: ...

class Tanh(Elementwise):
    """A number squeezed into (-1, 1), odd: 2·sigmoid(2x) - 1."""

    def __init__(self) -> None: ...
