"""Does it matter where outputs are centred? Steps to a training loss of 0.1 on digits, each arm at its best rate."""

import math
from typing import Any

import torch

from actfun._claims.evidence import Measurement, ratios
from actfun._claims.experiment import Experiment, Measurements, Record, Scale, best, column
from actfun._claims.networks import grid, mlp, optimizer, outputs, training
from actfun._compare.tasks import task
from actfun._operators.gains import gain

ARMS: dict[str, tuple[str, float, float]] = {  # activation, what is added to it, where its outputs are centred
    "tanh": ("tanh", 0.0, 0.0),
    "1 + tanh": ("tanh", 1.0, 1.0),
    "sigmoid - 1/2": ("sigmoid", -0.5, 0.0),
    "sigmoid": ("sigmoid", 0.0, 0.5),
    "relu": ("relu", 0.0, 0.0),
    "elu": ("elu", 0.0, 0.0),
}
RATES = {"SGD": (0.03, 0.1, 0.3, 1.0, 3.0), "Adam": (0.001, 0.003, 0.01, 0.03, 0.1)}
TARGET, EVERY = 0.1, 5
LEAST = 1.05  # fewer steps by less than 5% are no gain


def run(arm: str, optimizer_name: str, rate: float, last: int, seed: int) -> dict[str, Any]:
    """Steps until the loss on all training data is below TARGET, between two looks by interpolation; `last` if never.

    Arms of a pair start as the same function: with the same weights, and biases that take the other centre back.
    """
    activation, shift, centre = ARMS[arm]
    split = task("digits").split(seed)
    network = mlp(split, activation, 64, 3, seed, gain(activation, "backward"), shift=shift)
    with torch.no_grad():
        for layer in network.fed:
            layer.bias.sub_(centre * layer.weight.sum(1))
    losses = training(network, "digits", split, optimizer(optimizer_name, network, rate), seed)
    x, y = split.train
    before = math.inf
    for step in range(0, last + 1, EVERY):
        loss = float(task("digits").loss(outputs(network, x), y))
        if loss < TARGET:
            return {"steps": step - EVERY * math.log(TARGET / loss) / math.log(before / loss)}
        if not math.isfinite(loss):
            break
        before = loss
        for _ in range(EVERY):
            next(losses)
    return {"steps": last}


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """Each arm with each optimiser at each of its rates; in a quick run at the two that serve most arms best."""
    return [
        {**job, "optimizer_name": name, "last": 300 if scale.quick else 1_000}
        for name, rates in RATES.items()
        for job in grid(scale, arm=ARMS, rate=rates[2:4] if scale.quick else rates)
    ]


def measurements(records: list[Record]) -> Measurements:
    """How many times as many steps the arm takes that is said to be worse."""

    def steps(arm: str, name: str) -> list[float]:
        """Each seed's at the rate that is best for the others, so that no seed profits from its own luck."""
        own = [r for r in records if (r["arm"], r["optimizer_name"]) == (arm, name)]
        found = []
        for seed in sorted({r["seed"] for r in own}):
            rate = best([r for r in own if r["seed"] != seed] or own, "steps")
            found += column([r for r in own if r["seed"] == seed], "steps", rate=rate)
        return found

    def ratio(worse: str, better: str, name: str) -> Measurement:
        return ratios("steps over steps", steps(worse, name), steps(better, name), LEAST, when="optimizer",
                      a=worse, b=better, optimizer=name)  # fmt: skip

    return {
        8: [ratio("sigmoid", "sigmoid - 1/2", name) for name in RATES],
        14: [ratio(worse, "tanh", name) for worse in ("1 + tanh", "sigmoid") for name in RATES],
        35: [ratio("relu", "elu", name) for name in RATES],
    }


EXPERIMENT = Experiment("centring", jobs, run, measurements)
