"""What Maxout can fit: x² and -x² by one unit, a sine by the difference of two; and what its pieces do on digits."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from actfun._claims.evidence import measure
from actfun._claims.experiment import Experiment, Measurements, Record, Scale, column
from actfun._claims.networks import grid, meter_of, mlp, optimizer, train
from actfun._compare.models import Network
from actfun._compare.problem import Split
from actfun._compare.tasks import task
from actfun._operators.gains import gain
from actfun._operators.layers import Maxout

SQUARE, MINUS_SQUARE, SINE = "square", "minus square", "sine"
TARGETS: dict[str, Callable[[Tensor], Tensor]] = {
    SQUARE: lambda x: x * x,
    MINUS_SQUARE: lambda x: -x * x,
    SINE: lambda x: torch.sin(math.pi * x),
}
# Two units start as the same parabola a·x², and their difference bends by at most 2a: a sine's π² asks for a ≥ 4.93.
BEND = {SQUARE: 1.0, MINUS_SQUARE: 1.0, SINE: 5.0}
PIECES, TWO_UNITS, FITTING_STEPS, RATE = (2, 4, 16), 32, 2_000, 0.003
POWERS = (2, 6, 12, 24)  # of errors, a quarter of the steps each, so that in the end the largest counts
CLOSE, SELDOM = 0.01, 0.01
PUSHED, BIAS, AFTER = 16, -10.0, 500
WIDTH, DEPTH = 64, 3


class Difference(nn.Module):
    """One Maxout unit less another: (N, 1) -> (N, 1). Any continuous function is near one (Goodfellow 2013, 4)."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.up, self.down = Maxout(1, 1, pieces), Maxout(1, 1, pieces)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as x."""
        y: Tensor = self.up(x) - self.down(x)
        return y


def _fit(target: str, pieces: int, seed: int) -> float:
    """The largest error on [-1, 1] of a fit by the least mean of ever higher powers of errors."""
    torch.manual_seed(seed)
    model = Difference(pieces) if target == SINE else Maxout(1, 1, pieces)
    for unit in (module for module in model.modules() if isinstance(module, Maxout)):
        at = torch.linspace(-1.0, 1.0, pieces) + 0.1 * torch.randn(pieces)  # lines that touch a parabola, all over
        unit.weight.data, unit.bias.data = 2.0 * BEND[target] * at[:, None], -BEND[target] * at * at
    x = torch.linspace(-1.0, 1.0, 401)[:, None]
    y, by = TARGETS[target](x), optimizer("Adam", model, RATE)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(by, FITTING_STEPS)
    for step in range(FITTING_STEPS):
        by.zero_grad()
        error = model(x) - y
        (error / error.detach().abs().max()).pow(POWERS[step * len(POWERS) // FITTING_STEPS]).mean().backward()
        by.step()
        rates.step()
    with torch.no_grad():
        return float((model(x) - y).abs().max())


def _digits(split: Split, seed: int) -> dict[str, Any]:
    network = mlp(split, "maxout", WIDTH, DEPTH, seed, gain("maxout"))
    x = split.train[0]
    train(network, "digits", split, optimizer("Adam", network, 0.003), seed, 320)
    meter = meter_of(network, x)
    zero, winning = meter.shares.zero, torch.cat([meter[module].winning for module in network.activations])
    dead = _without_gradient(network, split)
    first = next(module for module in network.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        first.bias[: 2 * PUSHED : 2] = BIAS
    idle = ~meter_of(network, x)[network.activations[0]].winning[:PUSHED, 0]
    train(network, "digits", split, optimizer("SGD", network, 0.1), seed + 1, AFTER)
    again = meter_of(network, x)[network.activations[0]].winning[:PUSHED, 0][idle]
    return {
        "dead": dead,
        "zero": zero,
        "idle": 1.0 - float(winning.all(-1).float().mean()),
        "again": float(again.float().mean()) if len(again) else None,
    }


def _without_gradient(network: Network, split: Split) -> float:
    """The share of units none of whose pieces' weights gets a gradient from the training data.

    By the slope of the largest piece, which is 1, no unit could be dead; this asks the gradients themselves.
    """
    x, y = split.train
    network.zero_grad()
    task("digits").loss(network(x), y).backward()  # type: ignore[no-untyped-call]
    hidden = [module.weight.grad for module in network.modules() if isinstance(module, nn.Linear)][:DEPTH]
    still = [(gradient.view(WIDTH, -1) == 0.0).all(1) for gradient in hidden if gradient is not None]
    return float(torch.cat(still).float().mean())


def run(what: str, seed: int, pieces: int = 2) -> dict[str, Any]:
    """The largest error of a fit; or, on digits, the shares of units without gradient, of zeros, of idle pieces' units.

    again: a piece each of 16 units of the first layer is pushed to -10; of those that then win nowhere, the share
    that win somewhere after 500 more steps of SGD.
    """
    return _digits(task("digits").split(seed), seed) if what == "digits" else {"error_left": _fit(what, pieces, seed)}


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """x² with more and more pieces, what one unit cannot do, what two can, and digits."""
    return [
        *grid(scale, what=(SQUARE,), pieces=PIECES),
        *grid(scale, what=(MINUS_SQUARE,), pieces=PIECES[-1:]),
        *grid(scale, what=(SINE,), pieces=(TWO_UNITS,)),
        *grid(scale, what=("digits",)),
    ]


def measurements(records: list[Record]) -> Measurements:
    """One unit fits convex functions as well as its pieces allow; units live, pieces may not."""

    def left(pieces: int) -> list[float]:
        return column(records, "error_left", what=SQUARE, pieces=pieces)

    digits = {key: column(records, key, what="digits") for key in ("dead", "zero", "idle", "again")}
    return {
        47: [measure("error left", left(k), CLOSE, above=False, when="pieces", k=k, f="x²") for k in PIECES],
        49: [measure("zeros in training", digits["zero"], 0.1)],
        50: [
            measure("dead Maxout units", digits["dead"], 1e-9, above=False, when="units"),
            measure("pieces that never win", digits["idle"], SELDOM, above=False, when="single pieces"),
            measure("pieces that win again", digits["again"], 0.5, when="pushed pieces"),
        ],
    }


EXPERIMENT = Experiment("fitting", jobs, run, measurements)
