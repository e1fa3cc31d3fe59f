"""Numbers of the literature, of theory and by Monte Carlo: what is expected, ours, and how far they are apart."""

import math
import statistics
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from actfun._catalogue.registry import spec
from actfun._claims import dead_at_init, depth, maxout_fit, theory
from actfun._claims.evidence import Text, text, texts
from actfun._claims.experiment import Record, column
from actfun._operators.functional import function_of
from actfun._operators.gains import gain


class Reference(NamedTuple):
    """A number to be expected, and ours.

    source: where it is from; what: a key of `texts`, with numbers to fill in; tolerance: how far apart they may be.
    """

    source: str
    what: str
    numbers: Mapping[str, Any]
    expected: float
    ours: float
    tolerance: float

    def as_record(self) -> dict[str, Any]:
        """As references.json has it."""
        source = text(self.source) if self.source in texts() else Text(self.source, self.source)
        what = text(self.what, **self.numbers)
        return {
            "source": source.en, "source_zh": source.zh, "what": what.en, "what_zh": what.zh,
            "expected": self.expected, "ours": self.ours, "tolerance": self.tolerance,
            "agrees": abs(self.ours - self.expected) <= self.tolerance,
        }  # fmt: skip


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
# Of the second moments of 64 independent outputs of N(0, 1): largest eigenvalue over the others (LeCun 1998, 4.3).
INPUTS = 64
CONDITIONS = {
    "sigmoid": "370",
    "relu": "30.9",
    "gelu": "15.7",
    "silu": "9.7",
    "elu": "3.7",
    "tanh": "1.0",
}  # as printed
BORN_DEAD = {  # by width and layers of weights: bound from below, by Monte Carlo, bound from above, as printed
    (2, 10): ("0.870", "0.880", "0.925"),
    (3, 10): ("0.513", "0.584", "0.699"),
    (5, 10): ("0.064", "0.128", "0.249"),
    (5, 20): ("0.214", "0.355", "0.453"),
    (10, 10): ("0.0001", "0.0011", "0.0088"),
    (10, 50): ("0.002", "0.033", "0.047"),
}
MAXOUT = {2: 1.0, 3: 0.78391, 4: 0.64461, 5: 0.55555}  # by pieces: the inverse of the largest one's mean square
DRAWS = 4_000_000
# Source, text, target, pieces, largest error, tolerance; a parabola's least error with k lines is 1/(2k²).
FITS = (
    *(("theory", "fit of a square", maxout_fit.SQUARE, k, 0.5 / k**2, 0.05 / k**2) for k in maxout_fit.PIECES[:2]),
    ("theory", "fit of minus a square", maxout_fit.MINUS_SQUARE, maxout_fit.PIECES[-1], 0.5, 0.05),
    ("Goodfellow 2013", "fit of a sine", maxout_fit.SINE, maxout_fit.TWO_UNITS, 0.0, 0.02),
)


def _half_a_digit(printed: str) -> float:
    """What rounding to the last printed digit may hide."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2]) + 1e-12


def _by_theory() -> Iterator[Reference]:
    for name, bias, *expected in EDGES:
        found = theory.edge_of_chaos(name, bias)
        for part, value, own in zip(("weight scale", "variance"), expected, found, strict=True):
            if value is not None:
                of: dict[str, Any] = {"name": name, "bias": bias, "part": part}
                yield Reference("Hayou 2019", "edge of chaos", of, value, own, 1e-4)
    for name, point in CRITICAL.items():
        for part, value, own in zip(("K*", "C_W", "C_b"), point, theory.critical_point(name), strict=True):
            yield Reference("Roberts 2021", "critical point", {"name": name, "part": part}, value, own, 1e-4)
    for part, value, own in zip(("alpha", "lambda"), SELU, theory.selu(), strict=True):
        yield Reference("Klambauer 2017", "SELU", {"part": part}, value, own, 1e-9)
    for name, both in GAINS.items():
        for direction, value in zip(("forward", "backward"), both, strict=True):
            of = {"name": name, "direction": direction}
            yield Reference("quadrature", "gain", of, value, gain(name, direction), 1e-4)
    for k, value in MAXOUT.items():
        yield Reference(
            "quadrature", "square gain of Maxout", {"pieces": k}, value, gain("maxout", pieces=k) ** 2, 1e-5
        )
    yield Reference("He 2015", "gain", {"name": "relu", "direction": "forward"}, 2.0**0.5, gain("relu"), 1e-9)
    for name, printed in CONDITIONS.items():
        own, of = theory.condition_number(name, INPUTS), {"name": name, "n": INPUTS}
        yield Reference("quadrature", "condition number", of, float(printed), own, _half_a_digit(printed))
    yield Reference("Lu 2019", "exact bound", {}, 5 / 32, dead_at_init.bounds(2, 3)[0], 1e-12)
    for (width, layers), (low, _, high) in BORN_DEAD.items():
        for side, printed, own in zip(("lower", "upper"), (low, high), dead_at_init.bounds(width, layers), strict=True):
            of = {"width": width, "layers": layers, "side": side}
            yield Reference("Lu 2019", "bound", of, float(printed), own, _half_a_digit(printed))


def _by_monte_carlo() -> Iterator[Reference]:
    """The gains that `actfun.gain` computes by quadrature, within four standard errors of a mean square of draws."""
    z = torch.randn(DRAWS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def monte_carlo(what: str, squares: Tensor, own: float, **of: float | str) -> Reference:
        mean, error = float(squares.mean()), float(squares.std()) / math.sqrt(len(squares))
        return Reference("Monte Carlo", what, of, mean**-0.5, own, 2.0 * error * mean**-1.5)

    for name in GAINS:
        x = z.clone().requires_grad_()
        y = function_of(spec(name))(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        yield monte_carlo("gain", y.detach() ** 2, gain(name), name=name, direction="forward")
        yield monte_carlo("gain", slope**2, gain(name, "backward"), name=name, direction="backward")
    for pieces in range(2, 6):
        largest = z[: DRAWS // 60 * 60].view(-1, 60)[:, :pieces].amax(1)
        yield monte_carlo("gain of Maxout", largest**2, gain("maxout", pieces=pieces), pieces=pieces)


def _by_experiment(records: list[Record]) -> Iterator[Reference]:
    """Theory's predictions beside what the experiments measured."""
    for width, layers in dead_at_init.SHAPES:
        shares = column(records, "born_dead", width=width, layers=layers)
        if shares:
            share, (low, high) = statistics.fmean(shares), dead_at_init.bounds(width, layers)
            of: dict[str, Any] = {"width": width, "layers": layers}
            yield Reference("Lu 2019", "between the bounds", of, (low + high) / 2, share, (high - low) / 2)
            printed = BORN_DEAD[width, layers][1]
            chance = 4.0 * math.sqrt(
                float(printed) / (dead_at_init.NETWORKS * len(shares))
            )  # four standard errors, at most
            yield Reference(
                "Monte Carlo", "born dead by chance", of, float(printed), share, _half_a_digit(printed) + chance
            )
    for name, init, *decades in depth.PREDICTED:
        for layers, expected in zip(depth.DEPTHS[1:], decades, strict=True):
            for width in (depth.WIDTH, depth.WIDE):
                values = column(records, "decades", activation=name, init=init, depth=layers, width=width)
                if values:
                    of = {"name": name, "init": init, "layers": layers, "width": width}
                    yield Reference("mean field", "decades of theory", of, expected, statistics.fmean(values), 0.5)
    for source, what, target, pieces, expected, tolerance in FITS:
        errors = column(records, "error_left", what=target, pieces=pieces)
        if errors:
            yield Reference(source, what, {"pieces": pieces}, expected, statistics.fmean(errors), tolerance)


def references(records: list[Record]) -> list[dict[str, Any]]:
    """All that can be had from the records, as references.json has them."""
    found = (*_by_theory(), *_by_monte_carlo(), *_by_experiment(records))
    return [reference.as_record() for reference in found if math.isfinite(reference.ours)]  # a failed run says nothing
