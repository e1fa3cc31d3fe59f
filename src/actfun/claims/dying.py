"""When ReLU units die: digits, two layers of 64, by learning rate, initialisation and optimiser.

Dead is judged on all training data, which is all that could wake a unit while it is trained.
"""

import math
from typing import Any

from actfun.claims.evidence import Figure, measured
from actfun.claims.experiment import Experiment, Figures, Record, Scale, best, column
from actfun.claims.networks import HE, XAVIER, grid, metered, mlp, optimizer, score, train
from actfun.compare.tasks import task

RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
TOO_LARGE = 9.0  # times the best rate: ten, for all that 0.03 is not quite a tenth of 0.3
INITS, STEPS = {"He": HE, "Xavier": XAVIER}, 320
TRIED = ("SGD", "Adagrad", "Adam")
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
    """Each optimiser after either initialisation; in a quick run at every other rate, and Xavier's with SGD alone."""
    rates = RATES[::2] if scale.quick else RATES
    return [
        *grid(scale, optimizer_name=TRIED, rate=rates, init=("He",)),
        *grid(scale, optimizer_name=TRIED[:1] if scale.quick else TRIED, rate=rates, init=("Xavier",)),
    ]


def _rates(records: list[Record]) -> tuple[dict[str, float], dict[str, float]]:
    """Of each optimiser the best rate, by validation accuracy, and ten times that."""
    usual, large = {}, {}
    for name in TRIED:
        arm = [record for record in records if (record["optimizer_name"], record["init"]) == (name, "He")]
        usual[name] = best(arm, "accuracy", largest=True)
        rates = sorted({record["rate"] for record in arm})
        large[name] = next((rate for rate in rates if rate >= TOO_LARGE * usual[name]), rates[-1])
    return usual, large


def _dead(records: list[Record], name: str, rate: float, init: str = "He") -> list[float]:
    return column(records, "dead", optimizer_name=name, rate=rate, init=init)


def _fewer(what: str, a: list[float], b: list[float], name: str, rate: float, when: str = "") -> Figure:
    """How many fewer units are dead in `b` than in `a`."""
    return measured(what, [x - y for x, y in zip(a, b, strict=True)], FEWER, when=when, optimizer=name, rate=rate)


def _remedies(records: list[Record], usual: dict[str, float], large: dict[str, float]) -> Figures:
    """Xavier's scale, a smaller rate, another optimiser."""
    beyond = {name: _dead(records, name, large[name]) for name in TRIED}
    at_best = {name: _dead(records, name, usual[name]) for name in TRIED}
    xavier = {name: _dead(records, name, large[name], "Xavier") for name in TRIED}
    against, what = large["SGD"], "dead with SGD less dead with another"
    return {
        25: [
            _fewer("dead with He less dead with Xavier", beyond[name], xavier[name], name, large[name])
            for name in TRIED if xavier[name]
        ],
        26: [
            _fewer("dead at a large rate less dead at the best", beyond[name], at_best[name], name, large[name])
            for name in TRIED
        ],
        27: [
            _fewer(what, dead, other, name, against, when)
            for name in TRIED[1:]
            for dead, other, when in (
                (at_best["SGD"], at_best[name], "as prevention at best rates"),
                (beyond["SGD"], _dead(records, name, against), "as prevention"),
            )
        ],
    }  # fmt: skip


def figures(records: list[Record]) -> Figures:
    """At each optimiser's best rate and at ten times that.

    A rank correlation of rate and death would be capped: no unit dies at small rates, and nearly all beyond large ones.
    """
    usual, large = _rates(records)
    given = {"optimizer_name": "SGD", "rate": usual["SGD"], "init": "He"}
    return {
        22: [
            measured("units with zeros that are dead", column(records, "zero_units", **given), 0.99),
            measured("zero responses", column(records, "zero", **given), None),
        ],
        23: [
            measured("dead units", _dead(records, name, rates[name]), MANY, when=when, optimizer=name, rate=rates[name])
            for rates, when in ((usual, "at the best rate"), (large, "at ten times the best rate"))
            for name in TRIED
        ],
        **_remedies(records, usual, large),
    }


EXPERIMENT = Experiment("dying", jobs, run, figures)
