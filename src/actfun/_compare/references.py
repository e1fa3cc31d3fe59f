"""Other kinds of models on the same split: what a network should be measured against."""

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy
import torch
from sklearn import ensemble, linear_model
from torch import Tensor

from actfun._compare.metrics import COUNTS, REGRESSION
from actfun._compare.sources import problem
from actfun._runs.job import Job

if TYPE_CHECKING:
    from actfun._compare.tables import Vectorised


def predict(name: str, kind: str, numbers: "Vectorised", classes: int) -> Tensor:
    """What a model of that name, fitted to the training part, gives for the test part: as a network does.

    classes: how many there are, of which the training part may lack some.
    """
    boosting = {"early_stopping": True, "validation_fraction": 0.2, "random_state": 0}
    models: dict[tuple[str, str], Any] = {
        ("linear", REGRESSION): lambda: linear_model.RidgeCV(numpy.logspace(-3, 4, 15)),
        ("linear", COUNTS): lambda: linear_model.PoissonRegressor(max_iter=1_000),
        ("gradient boosting", REGRESSION): lambda: ensemble.HistGradientBoostingRegressor(**boosting),
        ("gradient boosting", COUNTS): lambda: ensemble.HistGradientBoostingRegressor(loss="poisson", **boosting),
    }
    classifiers = {
        "linear": lambda: linear_model.LogisticRegression(max_iter=2_000),
        "gradient boosting": lambda: ensemble.HistGradientBoostingClassifier(**boosting),
    }
    model = models.get((name, kind), classifiers[name])()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a fit that has not converged
        model.fit(numbers.inputs[0], numbers.targets[0])
    if kind in (REGRESSION, COUNTS):
        return torch.from_numpy(model.predict(numbers.inputs[2]).astype(float))[:, None]
    shares = numpy.zeros((len(numbers.inputs[2]), classes))
    shares[:, model.classes_.astype(int)] = model.predict_proba(numbers.inputs[2])
    logarithms = torch.from_numpy(numpy.log(shares.clip(1e-12)))
    return logarithms if classes > 2 else (logarithms[:, 1] - logarithms[:, 0])[:, None]


@dataclass(frozen=True)
class Reference(Job):
    """A model of another kind, fitted on the split of a seed and scored on the test part."""

    studies: ClassVar[tuple[str, ...]] = ("_compare",)

    task: str
    model: str
    seed: int

    @property
    def label(self) -> str:
        """What a reader knows it by."""
        return f"{self.model} seed {self.seed}"

    def run(self) -> dict[str, Any]:
        """Fit and score."""
        of = problem(self.task)
        assert of.reference is not None
        found = of.reference(self.model, self.seed)
        scores = {name: value for name, value in found.items() if math.isfinite(value)}
        return {"stage": "reference", "scores": scores, "score": scores[of.decides.name], "failed": False}
