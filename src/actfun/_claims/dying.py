"""When ReLU units die: digits, two layers of 64, by learning rate, initialisation and optimiser.

Dead is judged on all training data, which is all that could wake a unit while it is trained.
"""

import math
import statistics
from typing import Any

from actfun._claims.evidence import Measurement, measure
from actfun._claims.experiment import Experiment, Measurements, Record, Scale, column, less
from actfun._claims.networks import HE, XAVIER, grid, meter_of, mlp, optimizer, score, train
from actfun._compare.tasks import task

RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
TOO_LARGE = 9.9  # times a good rate: ten, whatever rounding leaves of it
TIE = task("digits").decides.same_within
INITS, STEPS = {"He": HE, "Xavier": XAVIER}, 320
TRIED = ("SGD", "Adagrad", "Adam")
MANY, FEWER = 0.1, 0.05  # a tenth of the units; a difference of shares


def run(optimizer_name: str, rate: float, init: str, seed: int) -> dict[str, Any]:
    """Shares of dead units and of zero responses after training, accuracy on validation data, whether it diverged.

    zero_units: of the units that give 0 for some sample, the share that are dead. A network whose loss is not finite
    has no units to speak of: all count as dead.
    """
    split = task("digits").split(seed)
    network = mlp(split, "relu", 64, 2, seed, INITS[init])
    loss = train(network, "digits", split, optimizer(optimizer_name, network, rate), seed, STEPS)
    if not math.isfinite(loss):
        return {"dead": 1.0, "zero": None, "zero_units": None, "accuracy": 0.0, "diverged": True}
    meter = meter_of(network, split.train[0])
    shares = meter.shares
    dead = sum(int(meter[module].dead.sum()) for module in network.activations)
    zeroed = sum(int(meter[module].zeroed.sum()) for module in network.activations)
    return {
        "dead": shares.dead,
        "zero": shares.zero,
        "zero_units": dead / max(zeroed, 1),
        "accuracy": score(network, "digits", split.validation),
        "diverged": False,
    }


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """Each optimiser after either initialisation; in a quick run at every other rate, and Xavier's with SGD alone."""
    rates = RATES[::2] if scale.quick else RATES
    return [
        *grid(scale, optimizer_name=TRIED, rate=rates, init=("He",)),
        *grid(scale, optimizer_name=TRIED[:1] if scale.quick else TRIED, rate=rates, init=("Xavier",)),
    ]


def _rates(records: list[Record]) -> tuple[dict[str, float], dict[str, float]]:
    """Of each optimiser the smallest rate that ties with the best, by validation accuracy, and ten times that."""
    usual, large = {}, {}
    for name in TRIED:
        arm = {"optimizer_name": name, "init": "He"}
        rates = sorted({record["rate"] for record in records if arm.items() <= record.items()})
        means = {rate: statistics.fmean(column(records, "accuracy", rate=rate, **arm)) for rate in rates}
        known = [mean for mean in means.values() if math.isfinite(mean)]
        usual[name] = next((rate for rate in rates if known and means[rate] >= max(known) - TIE), rates[0])
        large[name] = next((rate for rate in rates if rate >= TOO_LARGE * usual[name]), rates[-1])
    return usual, large


def _dead(records: list[Record], name: str, rate: float, init: str = "He") -> list[float]:
    return column(records, "dead", optimizer_name=name, rate=rate, init=init)


def _fewer(what: str, a: list[float], b: list[float], name: str, rate: float, when: str = "") -> Measurement:
    """How many fewer units are dead in `b` than in `a`."""
    return measure(what, less(a, b), FEWER, when=when, optimizer=name, rate=rate)


def _remedies(records: list[Record], usual: dict[str, float], large: dict[str, float]) -> Measurements:
    """Xavier's scale, a smaller rate, another optimiser."""
    beyond = {name: _dead(records, name, large[name]) for name in TRIED}
    at_good = {name: _dead(records, name, usual[name]) for name in TRIED}
    xavier = {name: _dead(records, name, large[name], "Xavier") for name in TRIED}
    against, what = large["SGD"], "dead with SGD less dead with another"
    return {
        25: [
            _fewer("dead with He less dead with Xavier", beyond[name], xavier[name], name, large[name])
            for name in TRIED if xavier[name]
        ],
        26: [
            _fewer("dead at a large rate less dead at a good one", beyond[name], at_good[name], name, large[name])
            for name in TRIED
        ],
        27: [
            _fewer(what, dead, other, name, against, when)
            for name in TRIED[1:]
            for dead, other, when in (
                (at_good["SGD"], at_good[name], "as prevention at good rates"),
                (beyond["SGD"], _dead(records, name, against), "as prevention"),
            )
        ],
    }  # fmt: skip


def measurements(records: list[Record]) -> Measurements:
    """At a good rate of each optimiser and at ten times that.

    A rank correlation of rate and death would be capped: no unit dies at small rates, and nearly all beyond large ones.
    """
    usual, large = _rates(records)
    given = {"optimizer_name": "SGD", "rate": usual["SGD"], "init": "He"}
    return {
        22: [
            measure("units with zeros that are dead", column(records, "zero_units", **given), 0.99),
            measure("zero responses", column(records, "zero", **given), None),
        ],
        23: [
            measure("dead units", _dead(records, name, rates[name]), MANY, when=when, optimizer=name, rate=rates[name])
            for rates, when in ((usual, "at a good rate"), (large, "at ten times a good rate"))
            for name in TRIED
        ]
        + [
            measure(
                "diverged",
                column(records, "diverged", optimizer_name=name, rate=large[name], init="He"),
                None,
                optimizer=name,
                rate=large[name],
            )
            for name in TRIED
        ],
        **_remedies(records, usual, large),
    }


EXPERIMENT = Experiment("dying", jobs, run, measurements)
