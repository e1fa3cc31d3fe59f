"""One trial: a network trained once. What it needs is in its configuration; the same configuration, the same score."""

import dataclasses
import math
import statistics
import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from actfun._catalogue.names import spec
from actfun._compare.models import Network, candidate_of, initialise, parameters
from actfun._compare.tasks import Part, Split, Task, task
from actfun._compare.training import steps
from actfun._models.measures import Meter
from actfun._runs.digest import own_code
from actfun._runs.job import Job
from actfun._version import __version__

WARM_UP = 10  # steps left out of the step time: they load kernels and fill caches
POINTS = 10  # of a learning curve
SAMPLES = 4_096  # enough for the dead share: the rule of three asks for 3,000


@dataclass(frozen=True)
class Trial(Job):
    """The configuration of a trial.

    stage: "tune" (scored on validation data) or "confirm" (scored on test data, once, at the end).
    activation: the candidate's label. init: "matched" to the activation's gain, or "shared".
    """

    studies: ClassVar[tuple[str, ...]] = ("_compare",)

    task: str
    stage: str
    activation: str
    learning_rate: float
    seed: int
    steps: int
    init: str = "matched"
    version: str = __version__

    @property
    def configuration(self) -> dict[str, Any]:
        """The fields, and what a user's own activation computes."""
        return {**dataclasses.asdict(self), "own": own_code(spec(candidate_of(self.activation).activation))}

    @property
    def label(self) -> str:
        """What a reader knows the trial by."""
        return f"{self.stage} {self.activation} lr {self.learning_rate:g} seed {self.seed}"

    def run(self) -> dict[str, Any]:
        """Train and score; a `Result` as a dictionary."""
        return dataclasses.asdict(_train(self, task(self.task)))

    def failure(self, error: str) -> dict[str, Any]:
        """A failed result: the worst score."""
        return dataclasses.asdict(Result(task(self.task).worst, failed=True, error=error))


@dataclass
class Result:
    """What a trial gave, beside its configuration.

    curve: (step, validation score) as training went on. score: the worst possible where the trial failed.
    step_milliseconds: the median.
    dead_share, saturated_share: at the end, on the training data (`actfun._models.measures`).
    """

    score: float
    failed: bool = False
    error: str | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)
    step_milliseconds: float | None = None
    dead_share: float | None = None
    saturated_share: float | None = None
    parameters: int | None = None


def _train(trial: Trial, task: Task) -> Result:
    split = task.split(trial.seed)
    candidate = candidate_of(trial.activation)
    network = task.build(candidate, split)
    initialise(network, candidate, trial.seed, trial.init == "matched")
    torch.manual_seed(trial.seed)  # for stochastic activations
    result = Result(task.worst, parameters=parameters(network))
    optimizer = torch.optim.Adam(network.parameters(), trial.learning_rate)
    times: list[float] = []
    losses = steps(network, task.loss, split.train, task.batch_size, optimizer, trial.seed)
    for _ in range(trial.steps):
        start = time.perf_counter()
        value = next(losses)
        times.append(time.perf_counter() - start)
        if not math.isfinite(value):
            result.failed, result.error = True, f"loss became {value} at step {len(times)}"
            return result
        if len(times) % max(trial.steps // POINTS, 1) == 0:
            score = _evaluate(network, task, split.validation)
            if not math.isfinite(score):
                result.failed, result.error = True, f"validation score became {score} at step {len(times)}"
                return result
            result.curve.append((len(times), score))
    _finish(result, network, task, split, trial, times)
    return result


def _finish(result: Result, network: Network, task: Task, split: Split, trial: Trial, times: list[float]) -> None:
    if trial.stage == "confirm":
        result.score = _evaluate(network, task, split.test)
    else:
        result.score = _evaluate(network, task, split.validation)
    if not math.isfinite(result.score):
        result.score, result.failed, result.error = task.worst, True, "the score is not finite"
    with Meter(network.activations) as meter:
        for x in split.train[0].split(64):  # type: ignore[no-untyped-call]
            with torch.no_grad():
                network(x)
            if meter.samples >= SAMPLES:
                break
    shares = meter.shares()
    result.dead_share, result.saturated_share = shares.dead, shares.saturated
    result.step_milliseconds = 1_000.0 * statistics.median(times[WARM_UP:] or times)


@torch.no_grad()
def _evaluate(network: Network, task: Task, part: Part) -> float:
    network.eval()
    outputs: list[Tensor] = [network(x) for x in part[0].split(1_024)]  # type: ignore[no-untyped-call]
    network.train()
    return task.score(torch.cat(outputs), part[1])
