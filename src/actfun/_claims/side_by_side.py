"""Nine activations on digits, trained alike: accuracy with and without noise, zeros, means, pre-activations."""

import statistics
from typing import Any

import torch

from actfun._claims.evidence import Measurement, measure
from actfun._claims.experiment import Experiment, Measurements, Record, Scale, column, less
from actfun._claims.networks import NARROW, grid, meter_of, mlp, noisy, optimizer, score, train
from actfun._compare.models import candidate_of
from actfun._compare.tasks import task
from actfun._operators.gains import gain

ARMS: dict[str, tuple[str, dict[str, float]]] = {
    name: (name, {}) for name in ("relu", "tanh", "sigmoid", "elu", "gelu", "silu", "maxout", NARROW)
} | {f"leaky_relu {slope:.2g}": ("leaky_relu", {"negative_slope": slope}) for slope in (0.01, 1 / 5.5, 0.3)}  # Xu 2015
STEPS, RATE = 320, 0.003
POINTS = task("digits").decides.same_within


def run(arm: str, seed: int) -> dict[str, Any]:
    """Test accuracy, that under noise of some standard deviations, and what the activations do on training data.

    started_zero: the share of zero responses before training. mean: the distance from 0 of a unit's mean output, in
    the mean over units. z_std: the deviation of the pre-activations after training.
    """
    label, parameters = ARMS[arm]
    split, scale = task("digits").split(seed), gain(candidate_of(label).activation, "forward", **parameters)
    network = mlp(split, label, 64, 3, seed, scale, **parameters)
    started = meter_of(network, split.train[0]).shares
    train(network, "digits", split, optimizer("Adam", network, RATE), seed, STEPS)
    meter = meter_of(network, split.train[0])
    shares, means = meter.shares, torch.cat([meter[module].means for module in network.activations])
    x, y = split.test
    return {
        "accuracy": score(network, "digits", split.test),
        "noisy": statistics.fmean(score(network, "digits", (shaken, y)) for shaken in noisy(x, seed)),
        "started_zero": started.zero,
        "zero": shares.zero,
        "mean": float(means.abs().mean()),
        "z_std": shares.z_std,
    }


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """Each arm."""
    return grid(scale, arm=ARMS)


def measurements(records: list[Record]) -> Measurements:
    """Robustness of ReLU, virtues of its leaky kin, means, and whether GELU's inputs are standard normal."""

    def of(key: str, arm: str) -> list[float]:
        return column(records, key, arm=arm)

    def lost(arm: str) -> list[float]:
        return less(of("accuracy", arm), of("noisy", arm))

    def sturdier(arm: str) -> Measurement:
        more = less(lost(arm), lost("relu"))
        return measure("accuracy lost to noise, less ReLU's", more, POINTS, when="compared with", arm=arm)

    leaky = [arm for arm in ARMS if arm.startswith("leaky")]
    gained = {arm: less(of("accuracy", arm), of("accuracy", "relu")) for arm in (*leaky, "maxout", NARROW)}
    nearer = less(of("mean", "elu"), of("mean", "relu"))
    spread = [abs(deviation - 1.0) for deviation in of("z_std", "gelu")]
    return {
        21: [
            measure("zeros at the start", of("started_zero", "relu"), None),
            *(sturdier(arm) for arm in ("tanh", "sigmoid", "elu", "gelu", "silu", leaky[0])),
        ],
        31: [measure("zeros in training", of("zero", leaky[0]), 0.1)],
        32: [
            measure("accuracy gained", gained[arm], POINTS, above=False, when="compared with", arm=arm) for arm in leaky
        ],
        34: [measure("mean of trained ELU less ReLU", nearer, 0.0, above=False)],
        46: [
            measure("accuracy of Maxout", gained["maxout"], None),
            measure("accuracy of narrow Maxout", gained[NARROW], None),
        ],
        39: [measure("deviation less 1", spread, 0.1, above=False, when="inputs are standard normal")],
    }


EXPERIMENT = Experiment("zoo", jobs, run, measurements)
