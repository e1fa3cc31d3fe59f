"""Claims that need no chance: ReLU and its kin, ELU, Maxout, and networks without activations."""

import itertools

import torch
from torch import Tensor, nn

from actfun._claims.evidence import Measurement, exact
from actfun._claims.exact_smooth import TOLERANCE, mean, of, slope
from actfun._claims.experiment import Measurements
from actfun._compare.models import parameters
from actfun._operators.behaviours.reduction import maxout
from actfun._operators.layers import Maxout
from actfun._operators.modules import module_named
from actfun._watch.tally import FLAT

WIDTH = 64


def _layers(count: int, seed: int = 0) -> list[nn.Linear]:
    torch.manual_seed(seed)
    return [nn.Linear(WIDTH, WIDTH, dtype=torch.float64) for _ in range(count)]


def nonlinearity() -> list[Measurement]:
    """Five linear layers are one matrix and a shift; with ReLU between them no such thing comes near."""
    x = torch.randn(4_096, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    layers = _layers(5)

    def unexplained(y: Tensor) -> float:
        """The share of the variance that the best linear map leaves."""
        design = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
        rest = y - design @ torch.linalg.lstsq(design, y).solution
        return float(rest.var() / y.var())

    straight = bent = x
    for layer in layers:
        straight, bent = layer(straight).detach(), of("relu", 4.0 * layer(bent)).detach()
    return [
        exact("left by a linear map, linear layers", unexplained(straight), 1e-12),
        exact("left by a linear map, ReLU", unexplained(bent), 0.01, above=True),
    ]


def feed_forward() -> list[Measurement]:
    """Vaswani 2017, 3.3, which torch's layer follows; BERT's feed-forward block has GELU (Devlin 2018, A.2)."""
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    x = torch.linspace(-3.0, 3.0, 101)

    def apart(f: Tensor) -> float:
        return float((f - of("relu", x)).abs().max())

    return [
        exact("first layer and ReLU", apart(layer.activation(x)), TOLERANCE, when="original Transformer"),
        exact("first layer and ReLU", apart(of("gelu", x)), TOLERANCE, when="BERT and GPT-2"),
    ]


def relu_positive() -> list[Measurement]:
    x = torch.logspace(-30.0, 30.0, 10_001, dtype=torch.float64)
    return [exact("slope less 1", float((slope("relu", x) - 1.0).abs().max()), TOLERANCE)]


def relu_linear() -> list[Measurement]:
    left, middle, right = of("relu", torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)).tolist()
    return [exact("departure from a line", abs(left + right - 2.0 * middle), TOLERANCE, when="linear")]


def xavier_masks() -> list[Measurement]:
    """With biases 0 the scale of weights changes no sign, so the same units are dead under either rule."""
    x = torch.randn(3_000, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def dead(scale: float) -> Tensor:
        masks, h = [], x[:, :4]
        for k in range(8):
            weight = torch.randn(h.shape[1], 4, dtype=x.dtype, generator=torch.Generator().manual_seed(k))
            h = of("relu", scale * h @ weight)
            masks.append((h == 0.0).all(0))
        return torch.stack(masks)

    he, xavier = dead(2.0**0.5), dead(1.0)
    saved = float((he & ~xavier).sum() / he.sum())
    return [exact("dead with He that Xavier saves", saved, 0.0, above=True)]


def relu_mean() -> list[Measurement]:
    return [exact("mean of ReLU", abs(mean("relu")), 0.1, above=True)]


def leaky_start() -> list[Measurement]:
    at_zero = float(of("leaky_relu", torch.zeros((), dtype=torch.float64)))
    below = float(slope("leaky_relu", torch.tensor(-1.0, dtype=torch.float64)))
    return [
        exact("value at 0 and 0.01", abs(at_zero - 0.01), TOLERANCE, when="0.01 as a first value"),
        exact("slope below 0 and 0.01", abs(below - 0.01), TOLERANCE, when="0.01 as the slope"),
    ]


def leaky_fixed() -> list[Measurement]:
    return [exact("learned numbers", float(parameters(module_named("leaky_relu"))), 0.5)]


def leaky_virtues() -> list[Measurement]:
    x = torch.linspace(-3.0, 3.0, 6_000)
    zeros = float((of("leaky_relu", x) == 0.0).double().mean())
    excess = float((slope("leaky_relu", x[x > 0]) - 1.0).abs().max())
    return [exact("slope less 1", excess, TOLERANCE), exact("share of exact zeros", zeros, 0.1, above=True)]


def elu_slope() -> list[Measurement]:
    """Compared with the share of the largest slope that counts as saturated (`tally.FLAT`)."""

    def at(below: float) -> float:
        return float(slope("elu", torch.tensor(-below, dtype=torch.float64)))

    return [exact("slope of ELU", at(x), FLAT, above=True, when="input at", x=x) for x in (1.0, 2.0, 5.0, 10.0)]


def elu_mean() -> list[Measurement]:
    return [exact("mean of ELU less ReLU", abs(mean("elu")) - abs(mean("relu")), 0.0)]


def elu_alpha() -> list[Measurement]:
    learned = module_named("elu", learnable=True)
    return [
        exact("learned numbers", float(parameters(nn.ELU())), 0.5, above=True, when="ELU as published"),
        exact("learned numbers", float(parameters(learned)), 0.5, above=True, when="ELU made learnable"),
    ]


def maxout_layer() -> list[Measurement]:
    x, worst = torch.randn(100, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3)), 0.0
    for pieces in range(1, 7):
        layer = Maxout(5, 3, pieces, dtype=torch.float64)
        by_hand = nn.functional.linear(x, layer.weight, layer.bias).view(100, 3, pieces).amax(2)
        worst = max(worst, float((layer(x) - by_hand).detach().abs().max()))
    return [exact("maxout by hand", worst, TOLERANCE)]


def maxout_parameters() -> list[Measurement]:
    apart = [abs(parameters(Maxout(5, 3, k)) / parameters(nn.Linear(5, 3)) - k) for k in range(1, 7)]
    return [exact("parameters over k", max(apart), TOLERANCE)]


def maxout_crossings() -> list[Measurement]:
    """Eight random lines, 200 times: at most seven of their 28 crossings lie on the upper envelope."""
    generator = torch.Generator().manual_seed(4)
    step = 1e-3
    grid = torch.arange(-60.0, 60.0, step, dtype=torch.float64)
    bounding, crossings, farthest = 0, 0, 0.0
    for slopes, shifts in torch.randn(200, 2, 8, dtype=torch.float64, generator=generator):
        for i, j in itertools.combinations(range(8), 2):
            x = (shifts[j] - shifts[i]) / (slopes[i] - slopes[j])
            bounding += float(maxout(slopes * x + shifts, 8)) - float(slopes[i] * x + shifts[i]) < 1e-9
            crossings += 1
        winner = (grid[:, None] * slopes + shifts).argmax(1)
        for at in (winner[1:] != winner[:-1]).nonzero().flatten().tolist():
            i, j = winner[at], winner[at + 1]
            x = (shifts[j] - shifts[i]) / (slopes[i] - slopes[j])
            farthest = max(farthest, float((grid[at] + step / 2 - x).abs()))
    return [
        exact("crossings that bound", bounding / crossings, 1.0 - TOLERANCE, above=True, when="all crossings"),
        exact("boundary and crossing", farthest, step, when="envelope"),
    ]


def maxout_virtues() -> list[Measurement]:
    """Linear and without saturation: the largest piece gets the whole gradient. Without zeros, though."""
    x = torch.randn(2_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).requires_grad_()
    y = maxout(x, 2)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    return [
        exact("gradient to pieces", float((gradient.sum(1) - 1.0).abs().max()), TOLERANCE),
        exact("share of exact zeros, Maxout", float((y == 0.0).double().mean()), 0.1, above=True),
    ]


def plain_functions() -> list[Measurement]:
    return [
        exact("learned numbers", float(parameters(module_named("relu"))), 0.5, when="ReLU and its like"),
        exact("learned numbers", float(parameters(nn.PReLU())), 0.5, when="PReLU"),
    ]


def measurements() -> Measurements:
    """All of them, by claim."""
    return {
        1: nonlinearity(), 18: feed_forward(), 19: relu_positive(), 20: relu_linear(), 25: xavier_masks(),
        28: relu_mean(), 29: leaky_start(), 30: leaky_fixed(), 31: leaky_virtues(), 33: elu_slope(), 34: elu_mean(),
        36: elu_alpha(), 45: maxout_layer(), 46: maxout_parameters(), 48: maxout_crossings(), 49: maxout_virtues(),
        51: plain_functions(),
    }  # fmt: skip
