"""One trial: a network trained once. What it needs is in its configuration; the same configuration, the same score."""

import dataclasses
import math
import statistics
import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from actfun._catalogue.names import spec
from actfun._compare.models import Network, candidate_of, initialise, parameters
from actfun._compare.problem import EVALUATED, Problem, Rows, Split, in_order, outputs_of
from actfun._compare.sources import problem
from actfun._compare.training import on, steps
from actfun._runs.digest import own_code
from actfun._runs.job import Job
from actfun._version import __version__
from actfun._watch.meter import Meter
from actfun._watch.tally import Shares

WARM_UP = 10  # steps left out of the step time: they load kernels and fill caches
POINTS, EARLY_POINTS = 10, 20  # of a learning curve
PATIENCE = 5  # points without a better score after which tuning stops
SAMPLES = 4_096  # enough for the dead share: the rule of three asks for 3,000


@dataclass(frozen=True)
class Trial(Job):
    """The configuration of a trial.

    task: the name of one, or what `actfun._compare.sources` makes a problem of. stage: "tune" (scored on validation
    data) or "confirm" (scored on test data, once, at the end). activation: the candidate's label. init: "matched" to
    the activation's gain, or "shared". settings: those of the problem that are not the usual ones.
    """

    studies: ClassVar[tuple[str, ...]] = ("_compare",)

    task: str
    stage: str
    activation: str
    learning_rate: float
    seed: int
    steps: int
    init: str = "matched"
    device: str = "cpu"
    settings: tuple[tuple[str, float], ...] = ()
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
        of = problem(self.task)
        return dataclasses.asdict(_train(self, of.tuned(dict(self.settings)) if of.tuned and self.settings else of))

    def failure(self, error: str) -> dict[str, Any]:
        """A failed result: the worst score."""
        return dataclasses.asdict(Result(problem(self.task).decides.worst, failed=True, error=error))


@dataclass
class Result:
    """What a trial gave, beside its configuration.

    curve: (step, validation score) as training went on. score: the worst possible where the trial failed; scores: by
    all metrics. best_step: of a problem that stops early, where validation was best. step_milliseconds: the median.
    dead_share, saturated_share: at the end, on the training data (`actfun._watch.tally`).
    details: what charts show of the test part.
    """

    score: float
    failed: bool = False
    error: str | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    best_step: int | None = None
    step_milliseconds: float | None = None
    dead_share: float | None = None
    saturated_share: float | None = None
    parameters: int | None = None
    details: dict[str, Any] = field(default_factory=dict)


def _train(trial: Trial, problem: Problem) -> Result:
    split = problem.split(trial.seed)
    candidate = candidate_of(trial.activation)
    torch.manual_seed(trial.seed)  # for networks that draw their own weights
    network = problem.build(candidate, split)
    if isinstance(network, Network):
        initialise(network, candidate, trial.seed, trial.init == "matched")
    network.to(trial.device)
    torch.manual_seed(trial.seed)  # for stochastic activations
    result = Result(problem.decides.worst, parameters=parameters(network))
    optimizer = problem.optimizer(network, trial.learning_rate)
    schedule = None if problem.schedule is None else problem.schedule(optimizer, trial.steps)
    times: list[float] = []
    data = split.train, problem.batch_size
    losses = steps(network, problem.loss, *data, optimizer, trial.seed, trial.device, schedule)
    stops = problem.early and trial.stage == "tune"
    points = EARLY_POINTS if problem.early else POINTS
    for _ in range(trial.steps):
        start = time.perf_counter()
        value = next(losses)
        times.append(time.perf_counter() - start)
        if not math.isfinite(value):
            result.failed, result.error = True, f"loss became {value} at step {len(times)}"
            return result
        if len(times) % max(trial.steps // points, 1) == 0:
            score = evaluate(network, problem, split.validation, trial.device)[problem.decides.name]
            if not math.isfinite(score):
                result.failed, result.error = True, f"validation score became {score} at step {len(times)}"
                return result
            result.curve.append((len(times), score))
            if stops and _is_past_best(result.curve, problem.decides.higher_is_better):
                break
    _finish(result, network, problem, split, trial, times)
    return result


def _best(curve: list[tuple[int, float]], higher_is_better: bool) -> int:
    """The place of the best score of a curve, the first of equals."""
    scores = [score if higher_is_better else -score for _, score in curve]
    return scores.index(max(scores))


def _is_past_best(curve: list[tuple[int, float]], higher_is_better: bool) -> bool:
    return len(curve) - 1 - _best(curve, higher_is_better) >= PATIENCE


def _finish(
    result: Result, network: nn.Module, problem: Problem, split: Split, trial: Trial, times: list[float]
) -> None:
    name = problem.decides.name
    if trial.stage == "confirm":
        outputs, targets = _outputs(network, split.test, trial.device)
        scores = problem.scores(outputs, targets)
        result.scores = {name: value for name, value in scores.items() if math.isfinite(value)}
        result.details = dict(problem.details(outputs, targets)) if problem.details else {}
        result.score = scores[name]
    elif problem.early and result.curve:
        place = _best(result.curve, problem.decides.higher_is_better)
        result.best_step, result.score = result.curve[place]
    else:
        result.score = evaluate(network, problem, split.validation, trial.device)[name]
    if not math.isfinite(result.score):
        result.score, result.failed, result.error = problem.decides.worst, True, "the score is not finite"
    result.step_milliseconds = 1_000.0 * statistics.median(times[WARM_UP:] or times)
    shares = _shares(network, split.train, trial.device)
    result.dead_share, result.saturated_share = shares.dead, shares.flat


def _shares(network: nn.Module, part: Rows, device: str) -> Shares:
    with Meter(network) as meter, torch.no_grad():
        for x, _ in in_order(part, 64):
            outputs_of(network, on(device, x))
            if meter.samples >= SAMPLES:
                break
    return meter.shares


def evaluate(network: nn.Module, problem: Problem, part: Rows, device: str = "cpu") -> dict[str, float]:
    """The metrics of a network on a part."""
    return problem.scores(*_outputs(network, part, device))


@torch.no_grad()
def _outputs(network: nn.Module, part: Rows, device: str) -> tuple[Tensor, Tensor]:
    """What a network gives for a part, and its targets, in order, on the CPU."""
    network.eval()
    size = EVALUATED if isinstance(part, tuple) else 256
    found = [(outputs_of(network, on(device, x)).cpu(), y) for x, y in in_order(part, size)]
    network.train()
    return torch.cat([output for output, _ in found]), torch.cat([y for _, y in found])
