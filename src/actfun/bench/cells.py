"""What is timed, and how: contestants in turn, so that whatever disturbs the machine disturbs them alike."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from actfun.accuracy.subject import library_function
from actfun.backends import disk
from actfun.bench.contestants import CONTESTANTS, EAGER, OURS
from actfun.compare.models import MLP, CharTransformer, Contender, Network

SIZES = (16, 4096, 65_536, 2**20, 2**24)  # the first shows what a call costs
ROUNDS = (11, 2000)  # at least, at most
NETWORKS = ("MLP", "Transformer")


@dataclass(frozen=True)
class Cell:
    """An activation at one size: forward, or both ways.

    spread: the standard deviation of the normal inputs. budget: the seconds to spend, beyond what a few rounds take.
    """

    activation: str
    dtype: str
    size: int
    backward: bool
    spread: float
    contestants: tuple[str, ...]
    budget: float

    @property
    def id(self) -> str:
        """What the cell is called in the file of results."""
        versions = " ".join(f"{name} {CONTESTANTS[name].version}" for name in self.contestants)
        way = "both ways" if self.backward else "forward"
        where = f"{torch.get_num_threads()} threads, {self.spread:g}, {disk.fingerprint()[:8]}"
        return f"{self.activation} {self.dtype} {self.size} {way}, {where}, {versions}"

    def run(self) -> dict[str, Any]:
        """Time the contestants; the record."""
        random = torch.Generator().manual_seed(0)
        dtype = getattr(torch, self.dtype)
        x, g = (torch.randn(self.size, generator=random) for _ in range(2))
        x, incoming = (x * self.spread).to(dtype), g.to(dtype) if self.backward else None
        prepared = {name: CONTESTANTS[name].prepared(self.activation, x, incoming) for name in self.contestants}
        with torch.set_grad_enabled(self.backward):
            times = in_turn({name: call for name, call in prepared.items() if call is not None}, self.budget)
        return {"id": self.id, **asdict(self), **times}


@dataclass(frozen=True)
class Step:
    """A training step of a small network: forward, loss, backward and SGD, with torch's activation or with ours."""

    activation: str
    network: str
    budget: float

    @property
    def id(self) -> str:
        """What the step is called in the file of results."""
        where = f"{torch.get_num_threads()} threads, torch {torch.__version__}, {disk.fingerprint()[:8]}"
        return f"{self.activation} step of {self.network}, {where}"

    def run(self) -> dict[str, Any]:
        """Time the step with both; the record."""
        calls = {library: self._step(library) for library in (EAGER, OURS)}
        return {"id": self.id, **asdict(self), **in_turn(calls, self.budget)}

    def _step(self, library: str) -> Callable[[], None]:
        torch.manual_seed(0)
        contender = Contender(self.activation)
        network: Network
        if self.network == "MLP":
            network, x, y = MLP(784, 512, 3, 10, contender), torch.randn(256, 784), torch.randint(10, (256,))
        else:
            network = CharTransformer(64, 64, 128, 2, 512, contender)
            x, y = torch.randint(64, (2, 32, 64)).unbind()
        if library != OURS:
            exchange(network, library)
        optimizer = torch.optim.SGD(network.parameters(), 1e-3)

        def step() -> None:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x).flatten(0, -2), y.flatten()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        return step


class _Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def exchange(network: Network, library: str) -> None:
    """Put another library's activations in place of a network's own."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if child in network.activations:
                function = library_function(library, child.activation.name)  # type: ignore[union-attr]
                assert function is not None
                setattr(module, name, _Function(function))


def in_turn(calls: Mapping[str, Callable[[], Any]], budget: float) -> dict[str, Any]:
    """Times of calls that take turns, for some seconds: the quartiles of each in seconds, and the number of rounds.

    In each round their order is another, and a call is timed after one that is not: what ran before it (threads that
    still spin, a cache full of other data) would else cost one contestant more than another.
    """
    for _ in range(3):  # the first compiles, the second allocates
        once = 2.0 * sum(map(_timed, calls.values()))
    rounds = min(max(int(budget / once), ROUNDS[0]), ROUNDS[1])
    times: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    try:
        order, random = list(calls), Random(0)
        for _ in range(rounds):
            random.shuffle(order)
            for name in order:
                calls[name]()
                times[name].append(_timed(calls[name]))
    finally:
        gc.enable()
    return {"seconds": {name: statistics.quantiles(taken, n=4) for name, taken in times.items()}, "rounds": rounds}


def _timed(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def cells(
    activations: Sequence[str],
    dtypes: Sequence[str],
    sizes: Sequence[int],
    spread: float,
    contestants: Sequence[str],
    budget: float,
) -> list[Cell]:
    """All cells, one size after another, so that a run that is cut short has whole rows."""
    return [
        Cell(name, dtype, size, backward, spread, tuple(contestants), budget)
        for dtype in dtypes
        for backward in (False, True)
        for size in sizes
        for name in activations
    ]


def steps(activations: Sequence[str], budget: float) -> list[Step]:
    """The training steps, of each network with each activation."""
    return [Step(name, network, budget) for network in NETWORKS for name in activations]
