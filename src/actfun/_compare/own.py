"""A problem of one's own: a model, data, a loss and metrics, in a file that each worker imports."""

import copy
import dataclasses
import functools
import hashlib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Subset

from actfun._catalogue.registry import nearest
from actfun._compare import metrics
from actfun._compare.models import Candidate
from actfun._compare.problem import FEWEST_ROWS, RATES, Metric, Problem, Split, adam, in_order, outputs_of, rows
from actfun._compare.tasks import TEST_SEED
from actfun._operators.modules import hidden
from actfun._runs.files import named_in, told
from actfun._surgery.replace import replace

KNOWN = {
    metric.name: metric for metric in (*metrics.of_classes([0.5, 0.5]), *metrics.of_numbers(1.0))
}  # metrics that go by their names


class Task:
    """A problem of one's own for `actfun.compare`.

    data: a pair of tensors (inputs, targets), a Dataset of such pairs, or a DataLoader, which is split 60, 20 and 20%,
    the test part the same for all seeds; or a dictionary of these with "train", "test" and, where there is one,
    "validation"; or a function of the seed that gives any of them. Inputs that are a dictionary or a tuple become the
    model's arguments.
    model: a function of an activation, which is itself a function that makes a new module of it; or a function without
    arguments, or a module, whose activation is exchanged by `actfun.replace` (`activation`: for which one).
    loss: (outputs, targets) -> the mean loss. Outputs that are an object with `logits` count as those.
    metrics: names ("accuracy", "log-loss", "RMSE", "MAE", "R²", "ROC AUC", …), or name -> a function of all outputs and
    targets of a part; the first decides. lower_is_better: those names of one's own for which that holds. same_within:
    the difference that nobody would mind, by name or of the first (default: 0.005 of what is between 0 and 1, else 1%).
    name: what the results are called (default: the file). optimizer: (parameters, rate) -> an optimizer (default Adam).
    schedule: (optimizer, steps) -> what has a `step()` that is called after each step. seeds, steps, batch_size,
    learning_rates: as for the other tasks.

    Raises ValueError and TypeError that name the argument.
    """

    def __init__(
        self,
        data: Any,
        model: Callable[..., nn.Module] | nn.Module,
        loss: Callable[[Any, Any], Tensor],
        metrics: Sequence[str] | Mapping[str, Callable[[Tensor, Tensor], float]],
        *,
        name: str = "",
        activation: str = "relu",
        lower_is_better: Iterable[str] = (),
        same_within: float | Mapping[str, float] | None = None,
        optimizer: Callable[[Iterable[nn.Parameter], float], torch.optim.Optimizer] | None = None,
        schedule: Callable[[torch.optim.Optimizer, int], Any] | None = None,
        seeds: int = 10,
        steps: int = 300,
        batch_size: int = 32,
        learning_rates: Sequence[float] = RATES,
    ) -> None:
        _check_model(model, (0, 1))
        if not callable(loss):
            raise TypeError(f"`loss` must be a function of outputs and targets, got {type(loss).__name__}")
        for word, number in (("seeds", seeds), ("steps", steps), ("batch_size", batch_size)):
            if not isinstance(number, int) or number < 1:
                raise ValueError(f"`{word}` must be a whole number of at least 1, got {number!r}")
        self.data, self.model, self.loss, self.name, self.activation = data, model, loss, name, activation
        self.lower_is_better, self.same_within = frozenset(lower_is_better), same_within
        self.optimizer, self.schedule, self.seeds, self.steps = optimizer, schedule, seeds, steps
        self.batch_size, self.learning_rates = batch_size, tuple(learning_rates)
        self.metrics = self._functions(metrics)

    def _functions(self, asked: Any) -> dict[str, Callable[[Tensor, Tensor], float]]:
        if isinstance(asked, str):
            asked = (asked,)
        if not isinstance(asked, Mapping):
            if odd := [name for name in asked if name not in KNOWN]:
                raise ValueError(f"`metrics`: {odd[0]!r} is not known by name; known: {', '.join(KNOWN)}")
            asked = {name: KNOWN[name].score for name in asked}
        if not asked:
            raise ValueError("`metrics` is empty; the first one decides")
        return {name: functools.partial(_number, name, score) for name, score in asked.items()}

    def split(self, seed: int) -> Split:
        """The three parts for a seed."""
        data = self.data(seed) if callable(self.data) and not isinstance(self.data, Dataset) else self.data
        if isinstance(data, Mapping):
            if missing := {"train", "test"} - set(data):
                raise ValueError(f"`data` has no {' and no '.join(sorted(missing))}, only {', '.join(data)}")
            train, test = _rows(data["train"]), _rows(data["test"])
            if "validation" in data:
                return Split(train, _rows(data["validation"]), test, 0)
            rest, validation = _apart(train, 0.25, seed)
            return Split(rest, validation, test, 0)
        if (count := rows(found := _rows(data))) < FEWEST_ROWS:
            raise ValueError(f"`data` has {count} rows; at least {FEWEST_ROWS} are needed for three parts")
        rest, test = _apart(found, 0.2, TEST_SEED)
        train, validation = _apart(rest, 0.25, seed)
        return Split(train, validation, test, 0)

    def build(self, candidate: Candidate, split: Split) -> nn.Module:
        """The model with an activation."""
        return _build(self.model, self.activation, self.batch_size, candidate, split)

    def problem(self) -> Problem:
        """The problem as a comparison takes it."""
        split = self.split(0)
        torch.manual_seed(0)
        network = self.build(Candidate(self.activation), split).eval()
        with torch.no_grad():
            found = [(outputs_of(network, x), y) for x, y in in_order(split.validation, self.batch_size)]
        untrained = torch.cat([output for output, _ in found]), torch.cat([y for _, y in found])
        known = tuple(self._metric(name, score, untrained) for name, score in self.metrics.items())
        own = self.optimizer
        return Problem(
            name=self.name or "own",
            description="a model of one's own",
            metrics=known,
            seeds=self.seeds,
            steps=self.steps,
            batch_size=self.batch_size,
            split=self.split,
            build=self.build,
            loss=self.loss,
            learning_rates=self.learning_rates,
            optimizer=adam if own is None else lambda model, rate: own(model.parameters(), rate),
            optimizer_name="Adam" if own is None else "the task's own",
            schedule=self.schedule,
            element_wise=True,
        )

    def _metric(self, name: str, score: Callable[[Tensor, Tensor], float], untrained: tuple[Tensor, Tensor]) -> Metric:
        known = KNOWN.get(name)
        higher = known.higher_is_better if known else name not in self.lower_is_better
        at_first = float(score(*untrained))
        if not math.isfinite(at_first):
            raise ValueError(f"`metrics`: {name} of an untrained model is {at_first}")
        usual = 0.005 if higher and 0.0 <= at_first <= 1.0 else 0.01 * abs(at_first)
        asked = self.same_within if not isinstance(self.same_within, Mapping) else self.same_within.get(name)
        first = name == next(iter(self.metrics))
        band = asked if asked is not None and (first or isinstance(self.same_within, Mapping)) else usual
        return Metric(name, score, higher, min(0.0, at_first) if higher else metrics.FAILED * abs(at_first), band)


def _number(name: str, score: Callable[[Tensor, Tensor], Any], outputs: Tensor, targets: Tensor) -> float:
    found = score(outputs, targets)
    try:
        return float(found)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"`metrics`: {name} must give a number, got {type(found).__name__}") from None


def _build(model: Any, exchanged: str, batch_size: int, candidate: Candidate, split: Split) -> nn.Module:
    """A model of one's own with an activation. exchanged: the one that gives way where the model is not asked."""
    asked = 0 if isinstance(model, nn.Module) else _arguments(model)
    if asked == 0:
        network = copy.deepcopy(model) if isinstance(model, nn.Module) else _module(model())
        state = torch.get_rng_state()
        x, _ = next(in_order(split.train, min(batch_size, 4)))
        replace(network, {exchanged: candidate.activation}, example=x, functional="swap")
        torch.set_rng_state(state)
        return network
    made: list[nn.Module] = []

    def activation() -> nn.Module:
        made.append(hidden(candidate.activation))
        return made[-1]

    sizes = (split.train[0].shape[1], split.outputs) if asked == 3 else ()
    network = _module(model(activation, *sizes))
    inside = {id(part) for part in network.modules()}
    if not any(id(one) in inside for one in made):
        raise ValueError("`model` does not use the activation that it is given")
    return network


def _arguments(model: Callable[..., Any]) -> int:
    """How many arguments a function has to be given."""
    parameters = inspect.signature(model).parameters.values()
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def with_model(problem: Problem, model: Any) -> Problem:
    """A problem with a model of one's own in place of its network.

    model: as of a `Task`, or a function of the activation, the number of inputs of a row, and that of outputs.
    Raises ValueError and TypeError where it is none of these.
    """
    _check_model(model, (0, 1, 3))

    def build(candidate: Candidate, split: Split) -> nn.Module:
        network = _build(model, "relu", problem.batch_size, candidate, split)
        return network if problem.around is None else problem.around(network, split)

    split = problem.split(0)
    torch.manual_seed(0)
    network = build(Candidate("relu"), split).eval()
    x, y = next(in_order(split.train, 8))
    with torch.no_grad():
        shape = tuple(outputs_of(network, x).shape)
    if shape[-1] != split.outputs or shape[0] != len(y):
        raise ValueError(f"`model` must give outputs ({len(y)}, {split.outputs}) for {len(y)} rows, got {shape}")
    description = f"{problem.description.rpartition(';')[0]}; a model of one's own"
    return dataclasses.replace(problem, build=build, description=description, element_wise=True, tunable={}, tuned=None)


def task_of(data: Any, model: Any, kind: str | None, metric: str | None) -> Task:
    """The task that data and a model are: classes where targets are whole numbers, else regression.

    Raises ValueError for another `kind`, and for targets that are not one number a row.
    """
    part = data["train"] if isinstance(data, Mapping) and "train" in data else data
    _, y = next(in_order(_rows(part), 64))
    if not isinstance(y, Tensor) or y.dim() != 1:
        raise ValueError("`data` must have one number a row for its target; for other ones make an actfun.Task")
    read = metrics.REGRESSION if y.is_floating_point() else metrics.SEVERAL
    if kind not in (None, read, metrics.TWO if read == metrics.SEVERAL else read):
        raise ValueError(f"`kind`: {kind!r} does not go with targets of {y.dtype}, which are {read}")
    known = ("log-loss", "accuracy", "balanced accuracy") if read == metrics.SEVERAL else ("RMSE", "MAE", "R²")
    if metric is not None and metric not in known:
        raise ValueError(f"`metric`: {metric!r} is not known; {nearest(metric, known)}")
    names = known if metric is None else (metric, *(name for name in known if name != metric))
    return Task(data, model, _classes if read == metrics.SEVERAL else _squares, names, name="the data")


def _classes(outputs: Tensor, targets: Tensor) -> Tensor:
    if outputs.shape[-1] == 1:
        return functional.binary_cross_entropy_with_logits(outputs.squeeze(-1), targets.to(outputs.dtype))
    return functional.cross_entropy(outputs, targets)


def _squares(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.mse_loss(outputs.squeeze(-1), targets.to(outputs.dtype))


def _check_model(model: Any, arguments: tuple[int, ...]) -> None:
    if not callable(model):
        raise TypeError(f"`model` must be a module or a function that makes one, got {type(model).__name__}")
    if not isinstance(model, nn.Module) and (found := _arguments(model)) not in arguments:
        allowed = ", ".join(map(str, arguments[:-1]))
        raise ValueError(f"`model` must be a function of {allowed} or {arguments[-1]} arguments, not of {found}")


def _module(made: Any) -> nn.Module:
    if not isinstance(made, nn.Module):
        raise TypeError(f"`model` must give a torch.nn.Module, got {type(made).__name__}")
    return made


class _Loaded(Dataset[Any]):
    """The data set of a DataLoader, with how it makes batches."""

    def __init__(self, loader: "DataLoader[Any]") -> None:
        self.dataset, self.collate = loader.dataset, loader.collate_fn

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, place: int) -> Any:
        return self.dataset[place]


def _rows(data: Any) -> Any:
    """A part as a comparison takes it. Raises TypeError where it is none."""
    if isinstance(data, DataLoader):
        return _Loaded(data)
    if isinstance(data, tuple | list) and len(data) == 2 and all(isinstance(part, Tensor) for part in data):
        if len(data[0]) != len(data[1]):
            raise ValueError(f"`data`: {len(data[0])} inputs and {len(data[1])} targets")
        return tuple(data)
    if isinstance(data, Dataset) and hasattr(data, "__len__"):
        return data
    raise TypeError(f"`data` must be two tensors, a Dataset with a length, or a DataLoader, got {type(data).__name__}")


def _apart(rows: Any, share: float, seed: int) -> tuple[Any, Any]:
    """Two parts, the second with that share, drawn by the seed."""
    count = len(rows[0]) if isinstance(rows, tuple) else len(rows)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    away, stay = order[: round(share * count)], order[round(share * count) :]
    if not len(away) or not len(stay):
        raise ValueError(f"`data` has {count} rows, too few for three parts")
    if isinstance(rows, tuple):
        return tuple(part[stay] for part in rows), tuple(part[away] for part in rows)
    return _subset(rows, stay), _subset(rows, away)


def _subset(rows: Any, chosen: Tensor) -> Any:
    part = Subset(rows, chosen.tolist())
    if hasattr(rows, "collate"):
        part.collate = rows.collate  # type: ignore[attr-defined]
    return part


def problem(file: str, name: str, targets: str) -> Problem:
    """The problem that a file of one's own calls `name`; targets: what `digest_of_targets` gave for it elsewhere.

    Raises ValueError where it is no task, the file raises, or the data differ.
    """
    found = _task(file, name)
    if told(Path(file), lambda: _digest(found)) != targets:
        raise ValueError(f"{file} makes other data each time it is read; give its random numbers a seed")
    problem = told(Path(file), found.problem)
    return problem if found.name else dataclasses.replace(problem, name=Path(file).name)


def digest_of_targets(file: str, name: str) -> str:
    """A digest of the test targets of a task. Raises as `problem` does."""
    found = _task(file, name)
    return told(Path(file), lambda: _digest(found))


def _task(file: str, name: str) -> Task:
    found = named_in(file, name)
    if not isinstance(found, Task):
        raise ValueError(f"{name} in {file} must be an actfun.Task, got {type(found).__name__}")
    return found


def _digest(task: Task) -> str:
    _, y = next(in_order(task.split(0).test, 256))
    numbers = y.tolist() if isinstance(y, Tensor) else y
    return hashlib.sha256(repr(numbers).encode()).hexdigest()[:16]


NEW = '''\
"""A task for `actfun compare {name}`: change what you need.

Each worker process imports this file, so nothing in it has to be picklable. Seeds are set before `model` is called.
"""

import torch
from torch import nn

import actfun as af


def images(count=2_000):
    """A made-up problem: whether a bright square is in the upper or the lower half of an image."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 1, 12, 12, generator=generator)
    y = torch.randint(2, (count,), generator=generator)
    for image, half in zip(x, y):
        row = int(torch.randint(0, 4, (), generator=generator)) + 6 * int(half)
        column = int(torch.randint(0, 10, (), generator=generator))
        image[0, row : row + 2, column : column + 2] += 1.5
    return x, y


def model(activation):
    """activation() makes a new module; so does each layer get one of its own.

    Or write it without an argument, with nn.ReLU() inside: then that is exchanged.
    """
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        activation(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        activation(),
        nn.Flatten(),
        nn.Linear(16 * 6 * 6, 2),
    )


task = af.Task(
    data=images(),  # (inputs, targets), a Dataset, a DataLoader, {{"train": …, "test": …}}, or a function of the seed
    model=model,
    loss=nn.functional.cross_entropy,
    metrics=["accuracy", "log-loss"],  # the first decides; or {{"name": function of all outputs and targets}}
    steps=200,
    batch_size=32,
    # optimizer=lambda parameters, rate: torch.optim.SGD(parameters, rate, momentum=0.9),
    # schedule=lambda optimizer, steps: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps),
)
'''
