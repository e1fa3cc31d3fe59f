"""The networks of the experiments: those of `compare`, on its tasks, with any module for an activation."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from actfun._claims.experiment import Scale
from actfun._compare.models import MLP, Candidate, Network, build_network, candidate_of, draw
from actfun._compare.problem import Part, Split
from actfun._compare.tasks import task
from actfun._compare.training import steps
from actfun._operators.modules import Elementwise, module_named
from actfun._watch.meter import Meter

HE, XAVIER = 2.0**0.5, 1.0
NARROW = Candidate("maxout", equal_parameters=True).label
NOISES = (1.0, 2.0, 3.0)
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD": torch.optim.SGD,
    "momentum": lambda parameters, lr: torch.optim.SGD(parameters, lr, momentum=0.9),
    "Adagrad": torch.optim.Adagrad,
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
}


class Shifted(nn.Module):
    """An activation with a constant added to it: only its centre differs."""

    def __init__(self, inner: Elementwise, shift: float) -> None:
        super().__init__()
        self.inner, self.shift = inner, shift
        self.variant, self.values, self.dim = inner.variant, inner.values, inner.dim

    def forward(self, x: Tensor) -> Tensor:
        """Same shape and dtype as x."""
        y: Tensor = self.inner(x) + self.shift
        return y


def mlp(split: Split, label: str, width: int, depth: int, seed: int, scale: float, **parameters: Any) -> Network:
    """An MLP with drawn weights.

    label: an activation's, or of a candidate that may have no more parameters than ReLU. scale: of the weights after
    activations; parameters: the activation's, or a shift.
    """
    shift = parameters.pop("shift", None)

    def of_width(width: int, of: Candidate) -> Network:
        def make() -> nn.Module:
            module = module_named(of.activation, **parameters)
            return module if shift is None else Shifted(module, shift)  # type: ignore[arg-type]

        return MLP(split.train[0].shape[1], width, depth, split.outputs, of, make)

    network = build_network(of_width, width, candidate_of(label))
    draw(network, seed, scale)
    torch.manual_seed(seed)  # for activations that draw
    return network


def optimizer(name: str, network: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """One of OPTIMIZERS for all of a network's parameters."""
    return OPTIMIZERS[name](network.parameters(), learning_rate)


def training(network: nn.Module, name: str, split: Split, by: torch.optim.Optimizer, seed: int) -> Iterator[float]:
    """The losses of endless training on a task."""
    of = task(name)
    return steps(network, of.loss, split.train, of.batch_size, by, seed)


def train(network: nn.Module, name: str, split: Split, by: torch.optim.Optimizer, seed: int, count: int) -> float:
    """So many steps of it; the last loss."""
    losses, loss = training(network, name, split, by, seed), float("nan")
    for _ in range(count):
        loss = next(losses)
    return loss


@torch.no_grad()
def outputs(network: nn.Module, x: Tensor) -> Tensor:
    """What a network gives in evaluation."""
    network.eval()
    y: Tensor = network(x)
    network.train()
    return y


def score(network: nn.Module, name: str, part: Part) -> float:
    """A task's metric."""
    return task(name).decides.score(outputs(network, part[0]), part[1])


def noisy(x: Tensor, seed: int) -> Iterator[Tensor]:
    """Standardised inputs with noise of one, two and three standard deviations on them."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    for deviation in NOISES:
        yield x + deviation * noise


def meter_of(network: Network, x: Tensor) -> Meter:
    """What the activations do with some data."""
    with Meter(network) as meter:
        outputs(network, x)
    return meter


def grid(scale: Scale, **axes: Iterable[Any]) -> list[dict[str, Any]]:
    """Every combination of the values of some arguments, for every seed."""
    jobs: list[dict[str, Any]] = [{"seed": seed} for seed in scale.seeds]
    for argument, values in axes.items():
        jobs = [{**job, argument: value} for value in values for job in jobs]
    return jobs
