"""The user's own MNIST and CIFAR-10, in a full run: eight layers of 128, Adam, 50 epochs, the best of three rates.

As in the GELU paper (Hendrycks and Gimpel, arXiv:1606.08415, section 3.1), but for weights drawn to each activation's
gain.
"""

import statistics
from typing import Any

import torch

from actfun._claims.evidence import Measurement, measure
from actfun._claims.experiment import Experiment, Measurements, Record, Scale, best, column, less
from actfun._claims.networks import grid, mlp, noisy, optimizer, outputs
from actfun._claims.side_by_side import POINTS
from actfun._compare.images import split
from actfun._compare.problem import Split
from actfun._compare.tasks import accuracy
from actfun._compare.training import steps
from actfun._operators.gains import gain

ARMS = ("relu", "leaky_relu", "elu", "gelu", "tanh", "sigmoid")
WIDTH, DEPTH, BATCH, EPOCHS, EARLY = 128, 8, 128, 50, 5
RATES = (1e-3, 1e-4, 1e-5)
SEEDS = 5  # the paper's runs


def run(dataset: str, folder: str, arm: str, rate: float, epochs: int, seed: int) -> dict[str, Any]:
    """Accuracies on validation and test images, and on noisy ones; training loss over the first epochs."""
    data = split(dataset, folder, seed)
    torch.set_flush_denormal(True)  # GELU's smallest outputs would make an epoch take up to six times as long
    try:
        return _train(data, arm, rate, epochs, seed)
    finally:
        torch.set_flush_denormal(False)


def _train(data: Split, arm: str, rate: float, epochs: int, seed: int) -> dict[str, Any]:
    network = mlp(data, arm, WIDTH, DEPTH, seed, gain(arm))
    by = optimizer("Adam", network, rate)
    losses = steps(network, torch.nn.functional.cross_entropy, data.train, BATCH, by, seed)
    each = len(data.train[0]) // BATCH
    means = [statistics.fmean(next(losses) for _ in range(each)) for _ in range(epochs)]
    test, targets = data.test

    def right(x: torch.Tensor, y: torch.Tensor) -> float:
        return accuracy(outputs(network, x), y)

    return {
        "validation": right(*data.validation),
        "accuracy": right(test, targets),
        "noisy": statistics.fmean(right(x, targets) for x in noisy(test, seed)),
        "early_loss": statistics.fmean(means[:EARLY]),
    }


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """Each arm at each rate, on what image data there is."""
    few = Scale(scale.seeds[:SEEDS])
    epochs, rates = (1, RATES[:1]) if scale.quick else (EPOCHS, RATES)
    return [
        {**job, "dataset": dataset, "folder": folder, "epochs": epochs}
        for dataset, folder in scale.images
        for job in sorted(grid(few, arm=ARMS, rate=rates), key=lambda job: job["seed"])  # a seed's images are read once
    ]


def measurements(records: list[Record]) -> Measurements:
    """What the networks of digits say of noise, leaky slopes and fast learning, said by larger ones."""
    found: Measurements = {}
    for dataset in dict.fromkeys(record["dataset"] for record in records):
        of_dataset = [record for record in records if record["dataset"] == dataset]
        for claim, said in _of(dataset, of_dataset).items():
            found.setdefault(claim, []).extend(said)
    return found


def _of(dataset: str, records: list[Record]) -> Measurements:
    def at_best_rate(key: str, arm: str) -> list[float]:
        of_arm = [record for record in records if record["arm"] == arm]
        return column(of_arm, key, rate=best(of_arm, "validation", largest=True))

    def lost(arm: str) -> list[float]:
        return less(at_best_rate("accuracy", arm), at_best_rate("noisy", arm))

    def sturdier(arm: str) -> Measurement:
        more = less(lost(arm), lost("relu"))
        return measure(
            "accuracy lost to noise, less ReLU's", more, POINTS, when="compared on", arm=arm, dataset=dataset
        )

    gained = less(at_best_rate("accuracy", "leaky_relu"), at_best_rate("accuracy", "relu"))
    sooner = less(at_best_rate("early_loss", "relu"), at_best_rate("early_loss", "elu"))
    return {
        21: [sturdier(arm) for arm in ("tanh", "sigmoid", "gelu", "leaky_relu")],
        32: [
            measure("accuracy gained", gained, POINTS, above=False, when="compared on", arm="leaky_relu",
                     dataset=dataset)
        ],
        35: [measure("early loss", sooner, 0.0, when="on images", dataset=dataset)],
    }  # fmt: skip


EXPERIMENT = Experiment("images", jobs, run, measurements)
