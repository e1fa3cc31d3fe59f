"""GELU's mask: its mean by Monte Carlo, and networks trained with the mask itself, on digits."""

import math
from typing import Any

import torch

from actfun._catalogue.registry import spec
from actfun._claims.evidence import measure
from actfun._claims.experiment import Experiment, Measurements, Record, Scale, column, less
from actfun._claims.networks import grid, mlp, optimizer, score, train
from actfun._compare.tasks import task
from actfun._operators.functional import function_of
from actfun._operators.gains import gain

DRAWS, POINTS = 100_000, 21
STEPS, RATE, NEAR = 320, 0.003, 0.03
LIMIT = 4.0  # standard errors; of 21 points one is beyond it in less than 0.2% of runs


def run(activation: str, seed: int) -> dict[str, Any]:
    """Test accuracy; of the mask, the standard errors of its mean from GELU, at worst, and how two draws differ."""
    split = task("digits").split(seed)
    network = mlp(split, activation, 64, 3, seed, gain("gelu"))
    train(network, "digits", split, optimizer("Adam", network, RATE), seed, STEPS)
    found = {"accuracy": score(network, "digits", split.test)}
    return found if activation == "gelu" else {**found, **_draw(seed)}


def _draw(seed: int) -> dict[str, float]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.linspace(-3.0, 3.0, POINTS, dtype=torch.float64)
    drawn = function_of(spec("stochastic_gelu"))(x.expand(DRAWS, POINTS).contiguous(), generator=generator)
    expected = function_of(spec("gelu"))(x)
    error = drawn.std(0) / math.sqrt(DRAWS)
    off = ((drawn.mean(0) - expected).abs() / error.clamp_min(1e-12)).max()
    two = float((drawn[0] - drawn[1]).abs().max())
    return {"errors": float(off), "differ": two}


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """GELU, and its stochastic form."""
    return grid(scale, activation=("gelu", "stochastic_gelu"))


def measurements(records: list[Record]) -> Measurements:
    """The mask's mean is GELU; the mask alone trains nearly as well."""

    def of(key: str, activation: str) -> list[float]:
        return column(records, key, activation=activation)

    off = of("errors", "stochastic_gelu")
    behind = less(of("accuracy", "gelu"), of("accuracy", "stochastic_gelu"))
    return {
        38: [
            measure("two draws", of("differ", "stochastic_gelu"), 0.0, when="the stochastic form"),
            measure("accuracy behind", behind, NEAR, above=False, when="the stochastic form"),
        ],
        39: [measure("standard errors off", off, LIMIT, above=False, when="any input is masked")],
    }


EXPERIMENT = Experiment("mask", jobs, run, measurements)
