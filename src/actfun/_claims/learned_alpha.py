"""ELU with an alpha of its own for each layer that is learned, beside one that is fixed: digits."""

from typing import Any

import torch

from actfun._claims.evidence import measure
from actfun._claims.experiment import Experiment, Measurements, Record, Scale, column, less
from actfun._claims.networks import grid, mlp, optimizer, score, train
from actfun._compare.tasks import task
from actfun._operators.gains import gain

STEPS, RATE, MOVED = 320, 0.003, 0.05


def run(learnable: bool, seed: int) -> dict[str, Any]:
    """Test accuracy, and how far alpha is from 1 at the end, in the mean over layers."""
    split = task("digits").split(seed)
    network = mlp(split, "elu", 64, 3, seed, gain("elu"), learnable=learnable)
    train(network, "digits", split, optimizer("Adam", network, RATE), seed, STEPS)
    moved = [abs(float(torch.as_tensor(module.alpha).detach()) - 1.0) for module in network.activations]
    return {"accuracy": score(network, "digits", split.test), "moved": sum(moved) / len(moved)}


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """Fixed and learned."""
    return grid(scale, learnable=(False, True))


def measurements(records: list[Record]) -> Measurements:
    """Backpropagation moves alpha where it may; what that does to accuracy."""
    fixed, learned = (column(records, "accuracy", learnable=learnable) for learnable in (False, True))
    return {
        36: [
            measure("alpha moved", column(records, "moved", learnable=True), MOVED, when="ELU made learnable"),
            measure("accuracy gained by learning", less(learned, fixed), None, when="ELU made learnable"),
        ]
    }


EXPERIMENT = Experiment("learned", jobs, run, measurements)
