"""Hidden and output activations for two classes: breast cancer, log-loss and calibration, five-fold."""

import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from actfun._catalogue.registry import spec
from actfun._claims.evidence import Measurement, measure
from actfun._claims.experiment import Experiment, Measurements, Record, Scale, column, less
from actfun._claims.networks import grid, mlp, optimizer, outputs
from actfun._compare.problem import Part, Split
from actfun._compare.tasks import task
from actfun._compare.training import steps
from actfun._operators.functional import function_of
from actfun._operators.gains import gain

TASK, FOLDS = "breast_cancer", 5
HIDDEN, RATES, STEPS = ("tanh", "sigmoid", "relu", "gelu"), (0.001, 0.003, 0.01), 200
OUTPUTS = {"sigmoid": 1.0, "tanh": 2.0}  # (1 + tanh z)/2 is sigmoid(2z)
NOISE = (0.0, 0.2)  # the share of training labels that are flipped
SURE, TIE, BINS, STRETCH = 0.99, task(TASK).decides.same_within, 10, 3.0
CALIBRATED = 0.1  # a mean distance of confidence and accuracy that one may live with


def calibration_error(probability: Tensor, target: Tensor) -> float:
    """The mean distance of confidence and accuracy over ten bins of equal width (Guo et al., arXiv:1706.04599)."""
    confidence = torch.maximum(probability, 1.0 - probability)
    right = ((probability > 0.5) == (target > 0.5)).float()
    bins = ((confidence - 0.5) * 2 * BINS).long().clamp_(max=BINS - 1)
    gaps = [(confidence[bins == k].sum() - right[bins == k].sum()).abs() for k in range(BINS)]
    return float(torch.stack(gaps).sum() / len(right))


def folds(split: Split, seed: int) -> list[Split]:
    """All of a task's rows cut into FOLDS: each tests once, the one after it validates, the others train."""
    x, y = (torch.cat(parts) for parts in zip(split.train, split.validation, split.test, strict=True))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    cut = list(order.tensor_split(FOLDS))
    found = []
    for k in range(FOLDS):
        test, validation, *others = cut[k:] + cut[:k]
        train = torch.cat(others)
        scaled = (x - x[train].mean(0)) / x[train].std(0)
        parts = [(scaled[rows], y[rows]) for rows in (train, validation, test)]
        found.append(Split(parts[0], parts[1], parts[2], split.outputs))
    return found


def run(hidden: str, output: str, rates: Sequence[float], noise: float, tested: int, seed: int) -> dict[str, Any]:
    """Test log-loss, how sure predictions are, and calibration, in the mean over so many folds.

    Each fold is tested at the rate that its own validation rows choose. stretched: calibration of logits three times
    as large; changed: the share of predictions that this changes; untrained: calibration of each feature in place of
    a logit, in the mean over features.
    """
    tests = []
    for split in folds(task(TASK).split(0), seed)[:tested]:
        tried = [_train(split, hidden, output, rate, noise, seed) for rate in rates]
        tests.append(min(tried, key=lambda measures: measures["validation"]))
    return {key: statistics.fmean(test[key] for test in tests) for key in tests[0]}


def _train(split: Split, hidden: str, output: str, rate: float, noise: float, seed: int) -> dict[str, float]:
    network = mlp(split, hidden, 32, 2, seed, gain(hidden))
    x, y = split.train
    flipped = torch.rand(len(y), generator=torch.Generator().manual_seed(seed)) < noise
    stretch, loss = OUTPUTS[output], task(TASK).loss

    def stretched_loss(z: Tensor, target: Tensor) -> Tensor:
        return loss(stretch * z, target)

    labelled = x, torch.where(flipped, 1.0 - y, y)
    training = steps(network, stretched_loss, labelled, 32, optimizer("Adam", network, rate), seed)
    for _ in range(STEPS):
        next(training)

    def logits(part: Part) -> Tensor:
        return stretch * outputs(network, part[0]).squeeze(-1)

    probability_of, z = function_of(spec("sigmoid")), logits(split.test)
    p, target = probability_of(z), split.test[1]
    features = [calibration_error(probability_of(feature), target) for feature in split.test[0].unbind(1)]
    return {
        "validation": float(loss(logits(split.validation)[:, None], split.validation[1])),
        "loss": float(loss(z[:, None], target)),
        "sure": float((torch.maximum(p, 1.0 - p) > SURE).float().mean()),
        "calibration": calibration_error(p, target),
        "stretched": calibration_error(probability_of(STRETCH * z), target),
        "changed": float(((probability_of(STRETCH * z) > 0.5) != (p > 0.5)).float().mean()),
        "untrained": statistics.fmean(features),
    }


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """Hidden by output; tanh and sigmoid once more at one rate, so that labels, with noise or without, alone differ."""
    rates, tested = (RATES[1:2], 2) if scale.quick else (RATES, FOLDS)
    tuned = grid(scale, hidden=HIDDEN, output=OUTPUTS, rates=(rates,), noise=NOISE[:1])
    labelled = grid(scale, hidden=("tanh",), output=("sigmoid",), rates=(RATES[-1:],), noise=NOISE)
    return [{**job, "tested": tested} for job in tuned + labelled]


def measurements(records: list[Record]) -> Measurements:
    """Pairs of activations, how sure and how well calibrated the predictions are."""
    labelled = [record for record in records if list(record["rates"]) == list(RATES[-1:])]
    arms = [record for record in records if record not in labelled]

    def at_best_rate(key: str, hidden: str, output: str) -> list[float]:
        return column(arms, key, hidden=hidden, output=output)

    def sure(noise: float) -> list[float]:
        return column(labelled, "sure", noise=noise)

    def against(hidden: str, output: str) -> Measurement:
        more = less(at_best_rate("loss", hidden, output), at_best_rate("loss", "tanh", "sigmoid"))
        return measure("loss less that of the pair", more, -TIE, when="against",
                        hidden=hidden, output=output)  # fmt: skip

    calm, stretched, changed, untrained = (
        at_best_rate(key, "tanh", "sigmoid") for key in ("calibration", "stretched", "changed", "untrained")
    )
    others = [(hidden, output) for hidden in HIDDEN for output in OUTPUTS if (hidden, output) != ("tanh", "sigmoid")]
    return {
        2: [
            measure("calibration error", calm, CALIBRATED, above=False, when="logits trained by log-loss"),
            measure("calibration error", stretched, CALIBRATED, above=False, when="logits three times as large"),
            measure("rise of the calibration error", less(stretched, calm), None, when="logits three times as large"),
            measure("predictions changed", changed, None, when="logits three times as large"),
            measure("calibration error", untrained, CALIBRATED, above=False, when="any number"),
        ],
        6: [
            measure("sure predictions", sure(NOISE[0]), 0.5, when="clean labels"),
            measure("sure predictions", sure(NOISE[1]), 0.5, when="noisy labels"),
        ],
        12: [against(*other) for other in others],
    }


EXPERIMENT = Experiment("pairing", jobs, run, measurements)
