"""Numbers of the literature, of theory and by Monte Carlo: what is expected, ours, and how far they are apart."""

import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from actfun.claims import born, depth, fitting
from actfun.claims.experiment import Record, column
from actfun.functional import function_of
from actfun.gains import gain, normal_mean
from actfun.registry import spec


class Reference(NamedTuple):
    """A number to be expected, and ours. source: where it is from; tolerance: how far apart they may be."""

    source: str
    what: str
    expected: float
    ours: float
    tolerance: float


def _mean_square(name: str, variance: float, derivative: bool = False) -> float:
    """E[f(z)²] or E[f'(z)²] for z ~ N(0, variance)."""
    activation, scale = spec(name), math.sqrt(variance)

    def squared(z: Tensor) -> Tensor:
        x = (scale * z).requires_grad_(derivative)
        y = function_of(activation)(x)
        if derivative:
            (y,) = torch.autograd.grad(y.sum(), x)
        return y * y

    return normal_mean(squared, activation.kinks)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that changes sign once does, by halving."""
    sign = function(low) > 0.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if (function(middle) > 0.0) == sign else (low, middle)
    return 0.5 * (low + high)


def edge_of_chaos(name: str, bias: float) -> tuple[float, float]:
    """The weights' scale and the variance q at which correlations neither grow nor fade, for a scale of biases.

    q = w²·E[f²] + b² and w²·E[f'²] = 1 (Poole et al., arXiv:1606.05340; Hayou et al., arXiv:1902.06853).
    """

    def excess(q: float) -> float:
        return _mean_square(name, q) / _mean_square(name, q, derivative=True) + bias * bias - q

    q = _root(excess, 1e-6, 50.0)
    return 1.0 / math.sqrt(_mean_square(name, q, derivative=True)), q


def critical_point(name: str) -> tuple[float, float, float]:
    """K*, C_W and C_b at which both of a smooth activation's susceptibilities are 1 (Roberts et al., 5.3.3)."""

    def parallel(k: float) -> float:
        activation = spec(name)
        mean = normal_mean(lambda z: function_of(activation)(math.sqrt(k) * z) ** 2 * (z * z - 1.0))
        return mean / (2.0 * k)

    k = _root(lambda k: parallel(k) - _mean_square(name, k, derivative=True), 0.5, 40.0)
    weight = 1.0 / _mean_square(name, k, derivative=True)
    return k, weight, k - weight * _mean_square(name, k)


def selu() -> tuple[float, float]:
    """alpha and lambda that give mean 0 and variance 1 (Klambauer et al., arXiv:1706.02515)."""
    below = normal_mean(lambda z: torch.expm1(z.clamp_max(0.0)), (0.0,))
    alpha = -normal_mean(lambda z: z.clamp_min(0.0), (0.0,)) / below
    square = normal_mean(lambda z: torch.where(z > 0.0, z, alpha * torch.expm1(z.clamp_max(0.0))) ** 2, (0.0,))
    return alpha, 1.0 / math.sqrt(square)


EDGES: tuple[tuple[str, float, float, float | None], ...] = (  # activation, scale of biases, of weights, variance
    ("tanh", 0.05, 1.12254, 0.15369),
    ("tanh", 0.2, 1.30415, 0.51208),
    ("tanh", 0.5, 1.54967, 1.31794),
    ("tanh", 1.0, 1.85559, 3.03640),
    ("elu", 0.1, 1.17615, 0.43783),
    ("tanh", 0.05**0.5, 1.76095**0.5, None),
    ("elu", 0.2, 1.22925, None),
    ("gelu", 0.2, 1.54701, None),
    ("silu", 0.2, 1.67953, None),
)
CRITICAL = {"gelu": ((3 + 17**0.5) / 2, *depth.CRITICAL), "silu": (14.32017, 1.98800468, 0.55514317)}
SELU = (1.6732632423543772, 1.0507009873554805)
GAINS = {  # forward, backward
    "sigmoid": (1.8462, 4.7226),
    "tanh": (1.5925, 1.4674),
    "relu": (2.0**0.5, 2.0**0.5),
    "elu": (1.2452, 1.2234),
    "gelu": (1.5335, 1.4811),
    "silu": (1.6765, 1.6233),
}
MAXOUT = {2: 1.0, 3: 0.78391, 4: 0.64461, 5: 0.55555}  # by pieces: the inverse of the largest one's mean square
DRAWS = 4_000_000


def _by_theory() -> Iterator[Reference]:
    for name, bias, *expected in EDGES:
        what = f"edge of chaos, {name}, bias scale {bias:g}"
        for part, value, own in zip(("weight scale", "variance"), expected, edge_of_chaos(name, bias), strict=True):
            if value is not None:
                yield Reference("Hayou 2019", f"{what}: {part}", value, own, 1e-4)
    for name, point in CRITICAL.items():
        for part, value, own in zip(("K*", "C_W", "C_b"), point, critical_point(name), strict=True):
            yield Reference("Roberts 2021", f"critical point of {name}: {part}", value, own, 1e-4)
    for part, value, own in zip(("alpha", "lambda"), SELU, selu(), strict=True):
        yield Reference("Klambauer 2017", f"SELU: {part}", value, own, 1e-9)
    for name, both in GAINS.items():
        for direction, value in zip(("forward", "backward"), both, strict=True):
            yield Reference("quadrature", f"{direction} gain of {name}", value, gain(name, direction), 1e-4)
    for pieces, value in MAXOUT.items():
        what = f"squared forward gain of maxout, {pieces} pieces"
        yield Reference("quadrature", what, value, gain("maxout", pieces=pieces) ** 2, 1e-5)
    yield Reference("He 2015", "forward gain of relu", 2.0**0.5, gain("relu"), 1e-9)


def _by_monte_carlo() -> Iterator[Reference]:
    """The gains that `actfun.gain` computes by quadrature, within four standard errors of a mean square of draws."""
    z = torch.randn(DRAWS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def drawn(what: str, squares: Tensor, own: float) -> Reference:
        mean, error = float(squares.mean()), float(squares.std()) / math.sqrt(len(squares))
        return Reference("Monte Carlo", what, mean**-0.5, own, 2.0 * error * mean**-1.5)

    for name in GAINS:
        x = z.clone().requires_grad_()
        y = function_of(spec(name))(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        yield drawn(f"forward gain of {name}", y.detach() ** 2, gain(name))
        yield drawn(f"backward gain of {name}", slope**2, gain(name, "backward"))
    for pieces in range(2, 6):
        largest = z[: DRAWS // 60 * 60].view(-1, 60)[:, :pieces].amax(1)
        yield drawn(f"forward gain of maxout, {pieces} pieces", largest**2, gain("maxout", pieces=pieces))


def _by_experiment(records: list[Record]) -> Iterator[Reference]:
    """Theory's predictions beside what the experiments measured."""
    for width, layers in born.SHAPES:
        shares = column(records, "born_dead", width=width, layers=layers)
        if shares:
            low, high = born.bounds(width, layers)
            what = f"born dead, width {width}, {layers} layers: middle of the bounds"
            yield Reference("Lu 2019", what, (low + high) / 2, statistics.fmean(shares), (high - low) / 2)
    for activation, init, *decades in depth.PREDICTED:
        for layers, expected in zip(depth.DEPTHS[1:], decades, strict=True):
            values = column(records, "decades", activation=activation, init=init, depth=layers)
            if values:
                what = f"{activation}, {init}, {layers} layers: decades of gradient lost (−) or won"
                yield Reference("mean field", what, expected, statistics.fmean(values), 0.5)
    for pieces in fitting.PIECES[:2]:
        errors = column(records, "error_left", what=fitting.SQUARE, pieces=pieces)
        if errors:
            least, what = 1.0 / (2.0 * pieces**2), f"one Maxout unit of {pieces} pieces fitted to x²: largest error"
            yield Reference("theory", what, least, statistics.fmean(errors), 0.1 * least)
    for source, target, what, expected, tolerance in (
        ("theory", fitting.MINUS_SQUARE, "one Maxout unit fitted to −x²: largest error", 0.5, 0.05),
        ("Goodfellow 2013", fitting.SINE, "two Maxout units' difference fitted to sin πx: largest error", 0.0, 0.02),
    ):
        errors = column(records, "error_left", what=target)
        if errors:
            yield Reference(source, what, expected, statistics.fmean(errors), tolerance)


def references(records: list[Record]) -> list[dict[str, Any]]:
    """All that can be had from the records, as references.json has them."""
    return [
        {**reference._asdict(), "agrees": abs(reference.ours - reference.expected) <= reference.tolerance}
        for reference in (*_by_theory(), *_by_monte_carlo(), *_by_experiment(records))
        if math.isfinite(reference.ours)  # a run that failed has nothing to say
    ]
