"""Claims that need no chance: sigmoid, tanh and GELU, by arithmetic in float64."""

import math

import mpmath
import torch
from torch import Tensor

from actfun._catalogue.registry import spec
from actfun._claims.evidence import Measurement, exact
from actfun._claims.experiment import Measurements
from actfun._operators.functional import function_of
from actfun._operators.quadrature import normal_mean

TOLERANCE = 1e-6
LINE = torch.linspace(-20.0, 20.0, 400_001, dtype=torch.float64)


def of(name: str, x: Tensor) -> Tensor:
    """An activation of a tensor."""
    return function_of(spec(name))(x)


def slope(name: str, x: Tensor, order: int = 1) -> Tensor:
    """Its derivative, or one of higher order, by autograd."""
    x = x.clone().requires_grad_()
    y = of(name, x)
    for _ in range(order):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    return y.detach()


def mean(name: str) -> float:
    """E[f(z)] for z ~ N(0, 1)."""
    return normal_mean(lambda z: of(name, z), spec(name).kinks)


def sigmoid_range() -> list[Measurement]:
    y, centre = of("sigmoid", LINE), mean("sigmoid")
    spread = math.sqrt(normal_mean(lambda z: (of("sigmoid", z) - centre) ** 2))
    outside = float(((y < 0) | (y > 1)).double().mean())
    return [
        exact("sigmoid outside", outside, TOLERANCE, when="as a range"),
        exact("sigmoid mean", abs(centre), 0.1, when="as statistics"),
        exact("sigmoid deviation", abs(1.0 - spread), 0.1, when="as statistics"),
    ]


def sigmoid_smooth() -> list[Measurement]:
    return [
        exact("steepest", abs(float(slope("sigmoid", LINE).max()) - 0.25), TOLERANCE),
        exact("most bent", float(slope("sigmoid", LINE, 2).abs().max()), 0.1),
    ]


def sigmoid_slope() -> list[Measurement]:
    x = LINE[::100]

    def apart(half: float) -> float:
        secant = (of("sigmoid", x + half) - of("sigmoid", x - half)) / (2.0 * half)
        return float((slope("sigmoid", x) - secant).abs().max())

    return [
        exact("derivative and secant", apart(1e-5), TOLERANCE, when="at a point", width=2e-5),
        exact("derivative and secant", apart(1.0), TOLERANCE, when="between two points", width=2.0),
    ]


def off_centre() -> list[Measurement]:
    """For one sample, all weights of a unit that sigmoids feed get gradients of one sign: that of the unit's own."""
    generator = torch.Generator().manual_seed(0)
    inputs = of("sigmoid", torch.randn(1_000, 64, generator=generator, dtype=torch.float64))
    gradients = inputs * torch.randn(1_000, 1, generator=generator, dtype=torch.float64)
    share = float((gradients.sign() == gradients.sign()[:, :1]).all(1).double().mean())
    return [exact("same sign", share, 1.0 - TOLERANCE, above=True, when="for a sample")]


def tanh_like_sigmoid() -> list[Measurement]:
    difference = (of("tanh", LINE) - (2.0 * of("sigmoid", 2.0 * LINE) - 1.0)).abs().max()
    return [exact("tanh and sigmoid", float(difference), TOLERANCE)]


def tanh_range() -> list[Measurement]:
    with mpmath.workdps(60):
        gap = float(1 - mpmath.tanh(40))
    single = torch.linspace(0.0, 20.0, 2_001)
    first = float(single[of("tanh", single) == 1.0].min())
    rounded = float(1.0 - of("tanh", torch.tensor(first)))
    return [
        exact("tanh gap", gap, 1e-100, when="for real numbers"),
        exact("tanh gap in float32", rounded, 2.0**-30, when="after rounding", x=first),
    ]


def tanh_interval() -> list[Measurement]:
    low, high = of("tanh", torch.tensor([-40.0, 40.0], dtype=torch.float64)).tolist()
    return [exact("length less 1", high - low - 1.0, TOLERANCE)]


def tanh_signs() -> list[Measurement]:
    zero = float(of("tanh", torch.zeros((), dtype=torch.float64)).abs())
    negative = float(of("tanh", LINE[LINE < 0]).max())
    return [exact("tanh at 0", zero, TOLERANCE), exact("tanh below 0", negative, 0.0)]


def tanh_flat() -> list[Measurement]:
    ends = torch.tensor([-5.0, -3.0, 3.0, 5.0], dtype=torch.float64)
    return [exact("tanh slope at 3", float(slope("tanh", ends).max()), 0.01)]


def gelu_is_fixed() -> list[Measurement]:
    difference = float((of("gelu", LINE) - of("gelu", LINE)).abs().max())
    return [exact("two calls", difference, 0.0, above=True, when="GELU itself")]


def gelu_zeroing() -> list[Measurement]:
    """The probability of zero is 1 - gelu(x)/x; it has to fall all along. At the ends rounding hides the fall."""
    x = torch.linspace(-6.0, 6.0, 12_000, dtype=torch.float64)  # an even number, so that 0 is not among them
    zeroed = 1.0 - of("gelu", x) / x
    return [exact("rise of zeroing", float(zeroed.diff().max()), 0.0)]


def relu_boundary() -> list[Measurement]:
    """GELU for a normal variable of a vanishing deviation s is x·Φ(x/s), that is s·gelu(x/s)."""
    narrow = 1e-6
    limit = float((narrow * of("gelu", LINE / narrow) - of("relu", LINE)).abs().max())
    x = torch.tensor([-1e-300, 1e-300], dtype=torch.float64)
    beside = float((of("relu", x) - torch.tensor([0.0, 1e-300], dtype=torch.float64)).abs().max())
    return [exact("ReLU as a limit", limit, TOLERANCE), exact("ReLU beside 0", beside, 1e-301)]


def gelu_users() -> list[Measurement]:
    """Their papers say so (Devlin 2018, A.2; Liu 2019; Radford 2019); what can run is how near GPT-2's form comes."""
    tanh_form = function_of(spec("gelu_tanh"))(LINE)
    return [exact("GELU and its tanh form", float((of("gelu", LINE) - tanh_form).abs().max()), 5e-4)]


def measurements() -> Measurements:
    """All of them, by claim."""
    return {
        3: sigmoid_range(), 4: sigmoid_smooth(), 5: sigmoid_slope(), 8: off_centre(), 10: tanh_like_sigmoid(),
        11: tanh_range(), 13: tanh_interval(), 15: tanh_signs(), 16: tanh_flat(), 38: gelu_is_fixed(),
        40: gelu_zeroing(), 41: relu_boundary(), 42: gelu_users(),
    }  # fmt: skip
