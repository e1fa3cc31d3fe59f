"""When ReLU units die: digits, two layers of 64, by learning rate, initialisation and optimiser."""

import math
from typing import Any

from actfun.claims.evidence import measured
from actfun.claims.experiment import Experiment, Figures, Record, Scale, best, column
from actfun.claims.networks import HE, XAVIER, grid, metered, mlp, optimizer, score, train
from actfun.compare.tasks import task

RATES = (0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0)
INITS, STEPS = {"He": HE, "Xavier": XAVIER}, 320
MANY, FEWER = 0.1, 0.05  # a tenth of the units; a difference of shares


def run(optimizer_name: str, rate: float, init: str, seed: int) -> dict[str, Any]:
    """The share of dead units after training, the share of zero responses, accuracy on validation data.

    zero_units: of the units that give 0 for some sample, the share that are dead. A network whose loss is not finite
    has no units to speak of: all count as dead.
    """
    split = task("digits").split(seed)
    network = mlp(split, "relu", 64, 2, seed, INITS[init])
    loss = train(network, "digits", split, optimizer(optimizer_name, network, rate), seed, STEPS)
    if not math.isfinite(loss):
        return {"dead": 1.0, "zero": None, "zero_units": None, "accuracy": 0.0}
    meter = metered(network, split.train[0])
    shares = meter.shares()
    dead = sum(int(meter.dead(module).sum()) for module in network.activations)
    silent = sum(int(meter.silent(module).sum()) for module in network.activations)
    accuracy = score(network, "digits", split.validation)
    return {"dead": shares.dead, "zero": shares.zero, "zero_units": dead / max(silent, 1), "accuracy": accuracy}


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """SGD after either initialisation, Adagrad after He's."""
    rates = RATES[::2] if scale.quick else RATES
    return [
        *grid(scale, optimizer_name=("SGD",), rate=rates, init=INITS),
        *grid(scale, optimizer_name=("Adagrad",), rate=rates, init=("He",)),
    ]


def figures(records: list[Record]) -> Figures:
    """At the best rate and at the largest: ties among rates that kill no unit would cap a rank correlation near 0.8."""
    rates = sorted({record["rate"] for record in records})
    largest = rates[-1]

    def dead(name: str, rate: float, init: str = "He") -> list[float]:
        return column(records, "dead", optimizer_name=name, rate=rate, init=init)

    def usual(name: str) -> float:
        return best([r for r in records if (r["optimizer_name"], r["init"]) == (name, "He")], "accuracy", largest=True)

    sgd, adagrad = usual("SGD"), usual("Adagrad")
    risen = [b - a for a, b in zip(dead("SGD", sgd), dead("SGD", largest), strict=True)]
    spared = [s - a for s, a in zip(dead("SGD", sgd), dead("Adagrad", adagrad), strict=True)]
    xavier = [h - x for h, x in zip(dead("SGD", largest), dead("SGD", largest, "Xavier"), strict=True)]
    adaptive = [s - a for s, a in zip(dead("SGD", largest), dead("Adagrad", largest), strict=True)]
    silent = column(records, "zero_units", optimizer_name="SGD", rate=sgd, init="He")
    return {
        22: [measured("units with zeros that are dead", silent, 0.99)],
        23: [
            measured("dead units", dead("SGD", sgd), MANY, when="at the best rate", rate=sgd),
            measured("dead units", dead("SGD", largest), MANY, when="at a large rate", rate=largest),
        ],
        25: [measured("dead with He less dead with Xavier", xavier, FEWER)],
        26: [measured("dead at a large rate less dead at the best", risen, FEWER, rate=largest)],
        27: [
            measured("dead with SGD less dead with Adagrad", spared, FEWER, when="as prevention at best rates"),
            measured("dead with SGD less dead with Adagrad", adaptive, FEWER, when="as prevention", rate=largest),
        ],
    }


EXPERIMENT = Experiment("dying", jobs, run, figures)
