"""Can the dead live again? A trained network, a quarter of a layer's biases pushed to -10, 500 more steps."""

from typing import Any

import torch
from torch import nn

from actfun._claims.evidence import measure
from actfun._claims.experiment import Experiment, Measurements, Record, Scale, column
from actfun._claims.networks import OPTIMIZERS, grid, meter_of, mlp, optimizer, train
from actfun._compare.tasks import task
from actfun._operators.gains import gain

PUSHED, BIAS, BEFORE, AFTER = 16, -10.0, 200, 500
RATES = {"SGD": 0.1, "momentum": 0.03, "Adagrad": 0.03, "Adam": 0.003, "AdamW": 0.003}


def run(activation: str, optimizer_name: str, layer: int, seed: int) -> dict[str, Any]:
    """What became of the pushed units of a layer, 1 or 2, of three.

    dead: how many were dead after the push; revived: the share of them that were not any more at the end. frozen:
    whether the weights into those in layer 1 are bit for bit what they were. behind: the share of the next layer's
    units that get a gradient right after the push. not_dead: the share of pushed units that at the end are not dead;
    responding: of those that the push saturated on all samples, the share that are not so any more.
    """
    split = task("digits").split(seed)
    network = mlp(split, activation, 64, 3, seed, gain(activation))
    x, y = split.train
    train(network, "digits", split, optimizer("Adam", network, 0.003), seed, BEFORE)
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    with torch.no_grad():
        linear[layer - 1].bias[:PUSHED] = BIAS
    module = network.activations[layer - 1]
    pushed = meter_of(network, x)[module]
    dead, saturated = pushed.dead[:PUSHED], pushed.flat[:PUSHED]
    weights = linear[layer - 1].weight[:PUSHED][dead].detach().clone()
    network.zero_grad()
    task("digits").loss(network(x), y).backward()  # type: ignore[no-untyped-call]
    gradient = linear[layer].weight.grad
    behind = 0.0 if gradient is None else float((gradient != 0.0).any(1).float().mean())
    train(network, "digits", split, optimizer(optimizer_name, network, RATES[optimizer_name]), seed + 1, AFTER)
    ended = meter_of(network, x)[module]
    alive = ~ended.dead[:PUSHED]
    count = int(dead.sum())
    return {
        "dead": count,
        "revived": int((alive & dead).sum()) / count if count else None,
        "frozen": bool(torch.equal(weights, linear[layer - 1].weight[:PUSHED][dead])),
        "behind": behind,
        "not_dead": float(alive.float().mean()),
        "responding": float((~ended.flat[:PUSHED])[saturated].float().mean()) if saturated.any() else None,
    }


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """ReLU with every optimiser in both layers, in a quick run with two; what the kin are asked, in layer 1."""
    names = ("SGD", "Adagrad") if scale.quick else OPTIMIZERS
    return [
        *grid(scale, activation=("relu",), optimizer_name=names, layer=(1, 2)),
        *grid(scale, activation=("leaky_relu",), optimizer_name=("SGD",), layer=(1,)),
        *grid(scale, activation=("elu",), optimizer_name=("SGD", "Adam"), layer=(1,)),
    ]


def measurements(records: list[Record]) -> Measurements:
    """Gradients behind dead units, revivals in either layer, and what became of the kin."""
    tried = [name for name in OPTIMIZERS if any(record["optimizer_name"] == name for record in records)]

    def of(key: str, activation: str, name: str, layer: int = 1) -> list[float]:
        return column(records, key, activation=activation, optimizer_name=name, layer=layer)

    def revived(name: str, layer: int) -> list[float]:
        return of("revived", "relu", name, layer)

    return {
        24: [
            measure("gradient behind", of("behind", "relu", "SGD"), 1e-12, above=False),
            measure("frozen", of("frozen", "relu", "SGD"), None, optimizer="SGD"),
            *(
                measure("revived", revived(name, layer), 1e-12, above=False, layer=layer, optimizer=name)
                for layer in (1, 2)
                for name in tried
            ),
        ],
        27: [
            measure(
                "frozen",
                of("frozen", "relu", "Adagrad"),
                0.5,
                above=False,
                when="as a cure",
                layer=1,
                optimizer="Adagrad",
            ),
            measure("revived", revived("Adagrad", 2), 0.5, when="as a cure", layer=2, optimizer="Adagrad"),
        ],
        29: [measure("not dead", of("not_dead", "leaky_relu", "SGD"), 0.99, when="units stay active")],
        33: [
            measure("responding", of("responding", "elu", name), 0.5, when="pushed far down", optimizer=name)
            for name in ("SGD", "Adam")
        ]
        + [
            measure("ELU not dead", of("not_dead", "elu", name), 0.5, when="not to die is meant", optimizer=name)
            for name in ("SGD", "Adam")
        ],
    }


EXPERIMENT = Experiment("revival", jobs, run, measurements)
