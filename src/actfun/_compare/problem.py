"""What a comparison needs to know of a problem: data, network, loss and metrics."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torch.utils.data import default_collate as collate

from actfun._compare.models import Candidate

Part = tuple[Tensor, Tensor]  # inputs and targets
Rows = Part | Dataset[Any]  # the same, or what gives pairs of them
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03)
FEWEST_ROWS = 50  # for three parts
EVALUATED = 1_024  # rows at a time where nothing is learned


@dataclass(frozen=True)
class Split:
    """Training, validation and test data, `Rows` each, and how many numbers a network gives for each row."""

    train: Any
    validation: Any
    test: Any
    outputs: int


@dataclass(frozen=True)
class Metric:
    """A number that says how good outputs are.

    score: (outputs, targets) of a whole part -> the number. worst: what a failed trial scores. same_within: the
    difference that nobody would mind.
    """

    name: str
    score: Callable[[Tensor, Tensor], float]
    higher_is_better: bool
    worst: float
    same_within: float


def adam(network: nn.Module, rate: float) -> torch.optim.Optimizer:
    """The optimizer of the tasks that come with the package."""
    return torch.optim.Adam(network.parameters(), rate)


@dataclass(frozen=True)
class Problem:
    """A problem to compare activations on.

    metrics: the first decides. split: seed -> Split; the test part is the same for all. build: (candidate, split) -> a
    network. around: what puts a network of whatever kind into the units of the targets. loss: (outputs, targets) ->
    mean loss. seeds: how many confirm a result where nothing else is asked for;
    steps: how many a trial trains for. early: whether a tuning trial stops where validation no longer gets better, and
    confirmation trains as long as that took. schedule: of an optimizer and the number of steps, what sets its rate.
    tunable: settings by name, and values to try beside the usual one; tuned: the problem with some of them.
    reference: (name, seed) -> the metrics of another kind of model on the same split; references: their names.
    element_wise: whether only such activations fit. facts: what a reader should know of the data. details: (outputs,
    targets) of the test part -> what charts show.
    """

    name: str
    description: str
    metrics: tuple[Metric, ...]
    seeds: int
    steps: int
    batch_size: int
    split: Callable[[int], Split]
    build: Callable[[Candidate, Split], nn.Module]
    loss: Callable[[Any, Any], Tensor]
    around: Callable[[nn.Module, Split], nn.Module] | None = None
    learning_rates: tuple[float, ...] = RATES
    optimizer: Callable[[nn.Module, float], torch.optim.Optimizer] = adam
    optimizer_name: str = "Adam"
    schedule: Callable[[torch.optim.Optimizer, int], Any] | None = None
    early: bool = False
    element_wise: bool = False
    tunable: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    tuned: Callable[[Mapping[str, float]], "Problem"] | None = None
    references: tuple[str, ...] = ()
    reference: Callable[[str, int], Mapping[str, float]] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    details: Callable[[Tensor, Tensor], Mapping[str, Any]] | None = None

    @property
    def decides(self) -> Metric:
        """The metric that decides."""
        return self.metrics[0]

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """All metrics."""
        return {metric.name: metric.score(outputs, targets) for metric in self.metrics}


def rows(part: Rows) -> int:
    """How many rows a part has."""
    return len(part[0]) if isinstance(part, tuple) else len(part)  # type: ignore[arg-type]


def batches(part: Rows, size: int, generator: torch.Generator) -> Iterator[tuple[Any, Any]]:
    """One epoch in random order; a last batch that is not full is left out."""
    size = min(size, rows(part))
    if isinstance(part, tuple):
        x, y = part
        for chosen in torch.randperm(len(x), generator=generator).split(size):  # type: ignore[no-untyped-call]
            if len(chosen) == size:
                yield x[chosen], y[chosen]
    else:
        order = RandomSampler(part, generator=generator)  # type: ignore[arg-type]
        yield from DataLoader(part, size, sampler=order, drop_last=True, collate_fn=collate_of(part))


def in_order(part: Rows, size: int = EVALUATED) -> Iterator[tuple[Any, Any]]:
    """All rows of a part."""
    if isinstance(part, tuple):
        x, y = part
        yield from zip(x.split(size), y.split(size), strict=True)  # type: ignore[no-untyped-call]
    else:
        yield from DataLoader(part, size, collate_fn=collate_of(part))


def collate_of(part: Rows) -> Callable[[list[Any]], Any]:
    """How rows of a data set become a batch."""
    own: Callable[[list[Any]], Any] = getattr(part, "collate", collate)
    return own


def outputs_of(network: nn.Module, x: Any) -> Any:
    """What a network gives for a batch of inputs, a tensor or arguments, also by name; of an object its logits."""
    output = network(**x) if isinstance(x, Mapping) else network(*x) if isinstance(x, tuple | list) else network(x)
    return getattr(output, "logits", output)
