"""Metrics by kind of target; scikit-learn computes what torch does not."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy
from sklearn import metrics as sk
from torch import Tensor
from torch.nn import functional

from actfun._catalogue.registry import nearest
from actfun._compare.problem import Metric

TWO, SEVERAL, REGRESSION, COUNTS = KINDS = ("two classes", "several classes", "regression", "counts")
RARE = 0.1  # a share of a class below which the average precision decides
BINS = 10
FAILED = 10.0  # what a failed trial scores where there is no worst: so many times what is scored without learning


def softmax(logits: Tensor) -> numpy.ndarray:
    """Shares of classes, (N, classes), of logits of that shape, or (N, 1) of two classes."""
    logits = logits.double()
    if logits.shape[-1] == 1:
        p = logits.squeeze(-1).sigmoid().numpy()
        return numpy.stack([1.0 - p, p], 1)
    shares: numpy.ndarray = logits.softmax(-1).numpy()
    return shares


def _log_loss(logits: Tensor, targets: Tensor) -> float:
    if logits.shape[-1] == 1:
        return float(functional.binary_cross_entropy_with_logits(logits.squeeze(-1).double(), targets.double()))
    return float(functional.cross_entropy(logits.double(), targets))


def _by_classes(score: Callable[..., float]) -> Callable[[Tensor, Tensor], float]:
    def of(logits: Tensor, targets: Tensor) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a class that is guessed and not there
            return float(score(targets.long().numpy(), softmax(logits).argmax(1)))

    return of


def _by_shares(score: Callable[..., float], **several: object) -> Callable[[Tensor, Tensor], float]:
    def of(logits: Tensor, targets: Tensor) -> float:
        shares, true = softmax(logits), targets.long().numpy()
        if not numpy.isfinite(shares).all() or len(set(true.tolist())) < shares.shape[1]:
            return math.nan  # a class that is not there has no ranks
        if shares.shape[1] == 2:
            return float(score(true, shares[:, 1]))
        one_hot = numpy.eye(shares.shape[1])[true]
        return float(score(one_hot, shares, **several))

    return of


def of_classes(shares: list[float]) -> tuple[Metric, ...]:
    """Of classes with these shares of the rows; the first decides: average precision where one of two is rare."""
    guess = -sum(p * math.log(p) for p in shares if p > 0.0)
    chance = 1.0 / len(shares)
    log_loss = Metric("log-loss", _log_loss, False, FAILED * guess, 0.01)
    accuracy = Metric("accuracy", _by_classes(sk.accuracy_score), True, 0.0, 0.005)
    balanced = Metric("balanced accuracy", _by_classes(sk.balanced_accuracy_score), True, 0.0, 0.01)
    auc = Metric("ROC AUC", _by_shares(sk.roc_auc_score, average="macro"), True, min(0.5, chance), 0.005)
    precision = Metric("average precision", _by_shares(sk.average_precision_score), True, 0.0, 0.01)
    if len(shares) == 2 and min(shares) < RARE:
        return precision, log_loss, auc, balanced, accuracy
    return log_loss, accuracy, auc, precision, balanced


def of_each_class(logits: Tensor, targets: Tensor, names: tuple[str, ...]) -> dict[str, Any]:
    """What charts show of classes: how often a share that was given came true, and how many of each were found.

    calibration: in each tenth of the shares (of the second class of two, else of the most likely) the number of rows,
    the sum of the shares, and how many came true.
    """
    shares, true = softmax(logits), targets.long().numpy()
    guessed = shares.argmax(1)
    sure = shares[:, 1] if len(names) == 2 else shares.max(1)
    came = true == 1 if len(names) == 2 else guessed == true
    bins = numpy.minimum((sure * BINS).astype(int), BINS - 1)
    inside = [bins == b for b in range(BINS)]
    calibration = [(int(k.sum()), float(sure[k].sum()), int(came[k].sum())) for k in inside]
    there = {name: true == k for k, name in enumerate(names) if (true == k).any()}
    recall = {name: float((guessed[rows] == true[rows]).mean()) for name, rows in there.items()}
    return {"calibration": calibration, "recall": recall}


def of_numbers(deviation: float) -> tuple[Metric, ...]:
    """Of numbers with this standard deviation, which is what a constant guess scores."""
    band, worst = 0.01 * deviation, FAILED * deviation

    def rmse(outputs: Tensor, targets: Tensor) -> float:
        return float((outputs.squeeze(-1).double() - targets).square().mean().sqrt())

    def mae(outputs: Tensor, targets: Tensor) -> float:
        return float((outputs.squeeze(-1).double() - targets).abs().mean())

    def r2(outputs: Tensor, targets: Tensor) -> float:
        return float(sk.r2_score(targets.numpy(), outputs.squeeze(-1).double().nan_to_num(1e30).numpy()))

    return (
        Metric("RMSE", rmse, False, worst, band),
        Metric("MAE", mae, False, worst, band),
        Metric("R²", r2, True, 1.0 - FAILED**2, 0.01),
    )


def of_counts(mean: float, deviation: float, deviance: float) -> tuple[Metric, ...]:
    """Of counts; outputs are rates. deviance: of the mean as a constant guess."""

    def poisson(outputs: Tensor, targets: Tensor) -> float:
        rate = outputs.squeeze(-1).double().clamp(1e-9 * mean, 1e9 * mean)
        if not rate.isfinite().all():
            return math.nan
        return float(sk.mean_poisson_deviance(targets.numpy(), rate.numpy()))

    return (Metric("Poisson deviance", poisson, False, FAILED * deviance, 0.01 * deviance), *of_numbers(deviation))


def decided_by(metrics: tuple[Metric, ...], name: str | None) -> tuple[Metric, ...]:
    """The metrics with the one of that name first."""
    if name is None:
        return metrics
    found = [metric for metric in metrics if metric.name.lower() == name.lower()]
    if not found:
        raise ValueError(f"`metric`: {name!r} is not known here; {nearest(name, tuple(m.name for m in metrics))}")
    return (found[0], *(metric for metric in metrics if metric is not found[0]))
