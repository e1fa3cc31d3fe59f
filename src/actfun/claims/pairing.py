"""Hidden and output activations for two classes: breast cancer, log-loss and calibration, five-fold."""

import statistics
from typing import Any

import torch
from torch import Tensor

from actfun.claims.evidence import Figure, measured
from actfun.claims.experiment import Experiment, Figures, Record, Scale, best, column
from actfun.claims.networks import grid, mlp, optimizer, outputs
from actfun.compare.tasks import Part, Split, task
from actfun.compare.training import steps
from actfun.functional import function_of
from actfun.gains import gain
from actfun.registry import spec

TASK, FOLDS = "breast_cancer", 5
HIDDEN, RATES, STEPS = ("tanh", "sigmoid", "relu", "gelu"), (0.001, 0.003, 0.01), 200
OUTPUTS = {"sigmoid": 1.0, "tanh": 2.0}  # (1 + tanh z)/2 is sigmoid(2z)
NOISE = (0.0, 0.2)  # the share of training labels that are flipped
SURE, TIE, BINS, STRETCH = 0.99, task(TASK).same_within, 10, 3.0
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


def run(hidden: str, output: str, rate: float, noise: float, tested: int, seed: int) -> dict[str, Any]:
    """Validation and test log-loss, how sure predictions are, and calibration, in the mean over so many folds.

    stretched: calibration of logits three times as large; untrained: of the first feature in place of a logit.
    """
    splits = folds(task(TASK).split(0), seed)[:tested]
    measures = [_trained(split, hidden, output, rate, noise, seed) for split in splits]
    return {key: statistics.fmean(fold[key] for fold in measures) for key in measures[0]}


def _trained(split: Split, hidden: str, output: str, rate: float, noise: float, seed: int) -> dict[str, float]:
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
    return {
        "validation": float(loss(logits(split.validation)[:, None], split.validation[1])),
        "loss": float(loss(z[:, None], target)),
        "sure": float((torch.maximum(p, 1.0 - p) > SURE).float().mean()),
        "calibration": calibration_error(p, target),
        "stretched": calibration_error(probability_of(STRETCH * z), target),
        "untrained": calibration_error(probability_of(split.test[0][:, 0]), target),
    }


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """Hidden by output by rate on clean labels; tanh and sigmoid once more with noise."""
    rates, tested = (RATES[1:2], 2) if scale.quick else (RATES, FOLDS)
    clean = grid(scale, hidden=HIDDEN, output=OUTPUTS, rate=rates, noise=NOISE[:1])
    noisy = grid(scale, hidden=("tanh",), output=("sigmoid",), rate=rates[-1:], noise=NOISE[1:])
    return [{**job, "tested": tested} for job in clean + noisy]


def figures(records: list[Record]) -> Figures:
    """Each arm at the rate with the best validation loss."""

    def tuned(key: str, hidden: str, output: str) -> list[float]:
        arm = [r for r in records if (r["hidden"], r["output"], r["noise"]) == (hidden, output, NOISE[0])]
        return column(arm, key, rate=best(arm, "validation"))

    def sure(noise: float) -> list[float]:
        """At one rate, so that only the labels differ."""
        rate = max(r["rate"] for r in records)
        return column(records, "sure", hidden="tanh", output="sigmoid", rate=rate, noise=noise)

    def against(hidden: str, output: str) -> Figure:
        pairs = zip(tuned("loss", hidden, output), tuned("loss", "tanh", "sigmoid"), strict=True)
        return measured("loss less that of the pair", [a - b for a, b in pairs], -TIE, when="against",
                        hidden=hidden, output=output)  # fmt: skip

    calm = tuned("calibration", "tanh", "sigmoid")
    stretched, untrained = tuned("stretched", "tanh", "sigmoid"), tuned("untrained", "tanh", "sigmoid")
    others = [(hidden, output) for hidden in HIDDEN for output in OUTPUTS if (hidden, output) != ("tanh", "sigmoid")]
    return {
        2: [
            measured("calibration error", calm, CALIBRATED, above=False, when="logits trained by log-loss"),
            measured("calibration error", stretched, CALIBRATED, above=False, when="logits three times as large"),
            measured("calibration error", untrained, CALIBRATED, above=False, when="any number"),
        ],
        6: [
            measured("sure predictions", sure(NOISE[0]), 0.5, when="clean labels"),
            measured("sure predictions", sure(NOISE[1]), 0.5, when="noisy labels"),
        ],
        12: [against(*other) for other in others],
    }


EXPERIMENT = Experiment("pairing", jobs, run, figures)
