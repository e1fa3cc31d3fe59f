"""Written by `tools/write_stubs.py` from the registry: do not edit."""

from typing import Literal

import torch
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
from actfun._operators.behaviours.reduction import MaxoutPieces as MaxoutPieces
from actfun._operators.layers import Maxout as Maxout
from actfun._operators.layers import MaxoutConv1d as MaxoutConv1d
from actfun._operators.layers import MaxoutConv2d as MaxoutConv2d
from actfun._operators.layers import MaxoutConv3d as MaxoutConv3d
from actfun._operators.modules import FeedForward as FeedForward

class AconC(Elementwise):
    """A switch between two lines, of slopes p1 and p2, as sharp as beta: silu to begin with."""

    p1: float | nn.Parameter
    p2: float | nn.Parameter
    beta: float | nn.Parameter
    def __init__(
        self,
        p1: float = 1.0,
        p2: float = 0.0,
        beta: float = 1.0,
        learnable: bool = False,
        num_parameters: int = 1,
        dim: int = 1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None: ...

class Aria(Elementwise):
    """x weighted by a power of its sigmoid: Richards' curve."""

    alpha: float
    beta: float
    def __init__(self, alpha: float = 1.5, beta: float = 2.0) -> None: ...

class BilinearGLU(Gated):
    """The product of both halves: a gated linear unit without an activation."""

    def __init__(self, dim: int = -1, gate: Literal["first", "second", "interleaved", None] = None) -> None: ...

class CELU(Elementwise):
    """ELU whose exponent is scaled with alpha too, so that its slope is continuous for every alpha."""

    alpha: float
    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None: ...

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

class Exponential(Elementwise):
    """e to the power x."""

    def __init__(self) -> None: ...

class GCU(Elementwise):
    """x weighted by its cosine: it oscillates without bounds."""

    def __init__(self) -> None: ...

class GEGLU(Gated):
    """A value weighted by the GELU of its gate."""

    def __init__(self, dim: int = -1, gate: Literal["first", "second", "interleaved", None] = None) -> None: ...

class GELU(Elementwise):
    """x weighted by the probability that a standard normal variable lies below it."""

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None: ...

class GELU10(Elementwise):
    """GELU that ends at 10, for arithmetic of few bits."""

    def __init__(self) -> None: ...

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

class HardMish(Elementwise):
    """Mish of straight lines and a parabola."""

    def __init__(self) -> None: ...

class Hardshrink(Elementwise):
    """x where it is large, else 0."""

    lambd: float
    def __init__(self, lambd: float = 0.5) -> None: ...

class Hardsigmoid(Elementwise):
    """A straight line from 0 to 1: torch's slope is 1/6, that of Keras 2 and of ONNX 1/5."""

    slope: float
    offset: float
    def __init__(self, inplace: bool = False, slope: float = 0.16666666666666666, offset: float = 0.5) -> None: ...

class Hardswish(Elementwise):
    """x weighted by its hard sigmoid."""

    def __init__(self, inplace: bool = False) -> None: ...

class Hardtanh(Elementwise):
    """x held between two bounds."""

    min_val: float
    max_val: float
    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None: ...

class Identity(Elementwise):
    """x itself, for where an activation must be named."""

    def __init__(self) -> None: ...

class ISRLU(Elementwise):
    """x where it is positive, else an inverse square root that levels out at -1/√alpha."""

    alpha: float
    def __init__(self, alpha: float = 1.0) -> None: ...

class Laplace(Elementwise):
    """The normal distribution's function, placed so that it stands for relu_squared in attention."""

    mu: float
    sigma: float
    def __init__(self, mu: float = 0.7071067811865476, sigma: float = 0.28209479177387814) -> None: ...

class LeakyReLU(Elementwise):
    """x where it is positive, else a small multiple of it, so that no unit loses its gradient."""

    negative_slope: float
    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None: ...

class LiSHT(Elementwise):
    """x weighted by its tanh: even, a smooth |x|."""

    def __init__(self) -> None: ...

class Log1mExp(Elementwise):
    """The logarithm of 1 - exp(-x), for probabilities kept as logarithms; NaN below 0."""

    def __init__(self) -> None: ...

class LogSigmoid(Elementwise):
    """The logarithm of sigmoid, which no rounding of sigmoid spoils."""

    def __init__(self) -> None: ...

class Mish(Elementwise):
    """x weighted by the tanh of its softplus: with e^x = a/b, that is a(a + 2b)/((a + b)² + b²)."""

    def __init__(self, inplace: bool = False) -> None: ...

class Phish(Elementwise):
    """x weighted by the tanh of its GELU: never negative."""

    def __init__(self) -> None: ...

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

class QuickGELU(Elementwise):
    """GELU with Φ approximated by a sigmoid, off by at most 0.0204."""

    def __init__(self) -> None: ...

class Rational(Elementwise):
    """A quotient of two polynomials whose ten coefficients may be learned: to begin with, near leaky_relu."""

    a0: float | nn.Parameter
    a1: float | nn.Parameter
    a2: float | nn.Parameter
    a3: float | nn.Parameter
    a4: float | nn.Parameter
    a5: float | nn.Parameter
    b1: float | nn.Parameter
    b2: float | nn.Parameter
    b3: float | nn.Parameter
    b4: float | nn.Parameter
    def __init__(
        self,
        a0: float = 0.033377,
        a1: float = 0.505,
        a2: float = 1.656706,
        a3: float = 2.015921,
        a4: float = 0.935109,
        a5: float = 0.152987,
        b1: float = 0.0,
        b2: float = 3.991924,
        b3: float = 0.0,
        b4: float = 0.302945,
        learnable: bool = False,
        num_parameters: int = 1,
        dim: int = 1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None: ...

class ReGLU(Gated):
    """A value weighted by the ReLU of its gate."""

    def __init__(self, dim: int = -1, gate: Literal["first", "second", "interleaved", None] = None) -> None: ...

class ReLU(Elementwise):
    """x where it is positive, else 0."""

    def __init__(self, inplace: bool = False) -> None: ...

class ReLU6(Elementwise):
    """ReLU that ends at 6, for arithmetic of few bits."""

    def __init__(self, inplace: bool = False) -> None: ...

class ReLUSquared(Elementwise):
    """The square of ReLU: its derivative has no jump."""

    def __init__(self) -> None: ...

class RReLU(Elementwise):
    """x where it is positive, else a multiple of it that is drawn for each number; in evaluation, the middle one."""

    lower: float
    upper: float
    def __init__(self, lower: float = 0.125, upper: float = 0.3333333333333333, inplace: bool = False) -> None: ...

class SELU(Elementwise):
    """ELU, scaled so that layers of it keep mean 0 and variance 1."""

    def __init__(self, inplace: bool = False) -> None: ...

class Serf(Elementwise):
    """x weighted by the error function of its softplus."""

    def __init__(self) -> None: ...

class Sigmoid(Elementwise):
    """A number squeezed into (0, 1); its inverse is the logarithm of the odds."""

    def __init__(self) -> None: ...

class SiLU(Elementwise):
    """x weighted by its sigmoid."""

    def __init__(self, inplace: bool = False) -> None: ...

class Sin(Elementwise):
    """The sine; networks for signals take an omega of 30."""

    omega: float
    def __init__(self, omega: float = 1.0) -> None: ...

class SituGLU(Gated):
    """A swiglu whose halves both level out: tanh holds the gate within beta1 and the value within beta2."""

    def __init__(
        self,
        dim: int = -1,
        gate: Literal["first", "second", "interleaved", None] = None,
        beta1: float = 4.0,
        beta2: float = 25.0,
    ) -> None: ...

class Smish(Elementwise):
    """x weighted by the tanh of log(1 + sigmoid), which with s for sigmoid is s(s + 2)/(s(s + 2) + 2)."""

    def __init__(self) -> None: ...

class SMU(Elementwise):
    """A smooth Leaky ReLU of slope alpha, sharper with mu."""

    alpha: float
    mu: float | nn.Parameter
    def __init__(
        self,
        alpha: float = 0.25,
        mu: float = 1.0,
        learnable: bool = False,
        num_parameters: int = 1,
        dim: int = 1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None: ...

class Snake(Elementwise):
    """x and a wave of learned frequency, which never falls. An alpha of 0 leaves x."""

    alpha: float | nn.Parameter
    def __init__(
        self,
        alpha: float = 1.0,
        learnable: bool = False,
        num_parameters: int = 1,
        dim: int = 1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None: ...

class SnakeBeta(Elementwise):
    """x and a wave whose size is learned beside its frequency."""

    alpha: float | nn.Parameter
    beta: float | nn.Parameter
    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 1.0,
        learnable: bool = False,
        num_parameters: int = 1,
        dim: int = 1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None: ...

class Softshrink(Elementwise):
    """x, moved towards 0 by a fixed step."""

    lambd: float
    def __init__(self, lambd: float = 0.5) -> None: ...

class Softcap(Elementwise):
    """x held smoothly between -cap and cap, as logits are."""

    cap: float
    def __init__(self, cap: float = 30.0) -> None: ...

class Softplus(Elementwise):
    """A smooth ReLU: the integral of sigmoid. With a negative beta it is smooth min(x, 0)."""

    beta: float
    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None: ...

class Softsign(Elementwise):
    """A tanh without an exponential, whose slope falls slowly."""

    def __init__(self) -> None: ...

class SparsePlus(Elementwise):
    """ReLU whose corner is a parabola, from -beta to beta."""

    beta: float
    def __init__(self, beta: float = 1.0) -> None: ...

class SparseSigmoid(Elementwise):
    """The derivative of sparse_plus: 0 and 1 are reached at -1 and 1."""

    def __init__(self) -> None: ...

class Sqrtsoftplus(Elementwise):
    """The square root of softplus, which grows slowly."""

    def __init__(self) -> None: ...

class Squareplus(Elementwise):
    """A softplus without an exponential: half of x and of a hyperbola."""

    b: float
    def __init__(self, b: float = 4.0) -> None: ...

class StarRelu(Elementwise):
    """The square of ReLU, brought to mean 0 and variance 1 for normal inputs."""

    scale: float | nn.Parameter
    bias: float | nn.Parameter
    def __init__(
        self,
        scale: float = 0.8944,
        bias: float = -0.4472,
        learnable: bool = False,
        num_parameters: int = 1,
        dim: int = 1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None: ...

class StochasticGELU(Elementwise):
    """x kept with probability Φ(x), else 0: what GELU is the mean of."""

    def __init__(self) -> None: ...

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

class Tanhshrink(Elementwise):
    """x less its tanh: small near 0, where the difference is a series, and x ∓ 1 far from it."""

    def __init__(self) -> None: ...

class TeLU(Elementwise):
    """x weighted by the tanh of its exponential."""

    def __init__(self) -> None: ...

class Threshold(Elementwise):
    """x where it is above a threshold, else a fixed value."""

    threshold: float
    value: float
    def __init__(self, threshold: float = 1.0, value: float = 0.0, inplace: bool = False) -> None: ...

class XIELU(Elementwise):
    """The integral of a trainable ELU: a parabola on the right, nearly a line on the left."""

    alpha_p: float | nn.Parameter
    alpha_n: float | nn.Parameter
    beta: float
    def __init__(
        self,
        alpha_p: float = 0.8,
        alpha_n: float = 0.8,
        beta: float = 0.5,
        learnable: bool = False,
        num_parameters: int = 1,
        dim: int = 1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None: ...
