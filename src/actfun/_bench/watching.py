"""What `actfun.watch` costs: blocks of training steps with it and without, in turn, in one process."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

import torch
from torch import nn

from actfun._bench.memory import highest
from actfun._bench.networks import NETWORKS, Task, networks
from actfun._bench.timing import Timing, interval
from actfun._catalogue.kinds import ELEMENTWISE, REDUCTION
from actfun._catalogue.registry import names, spec
from actfun._compare import ARTICLE
from actfun._compare.models import MLP, Candidate, initialise
from actfun._compare.tasks import task
from actfun._compare.training import steps
from actfun._compare.trial import evaluate
from actfun._operators.torch_private import allocations
from actfun._watch.watcher import Watcher

BLOCKS = 20  # pairs of blocks at least
SECONDS = 1.0  # of a block
TINY = "tiny MLP"  # the worst case: a step takes well under a millisecond
WATCHED = (TINY, "ResNet", "GPT block", "GPT-2", "BERT")
COMPILED = ("ResNet", "GPT-2")
OFTEN, RATES = 5, (0.001, 0.003, 0.01)  # steps between windows, and learning rates, of trainings for alarms
EVERY = tuple(
    name for name in names() if spec(name).kind in (ELEMENTWISE, REDUCTION) and name not in ("identity", "log1mexp")
)
TRAINED = {"digits": EVERY, "breast_cancer": EVERY, "text": (*ARTICLE, "silu", "softplus", "mish", "hard_tanh")}


def _task(name: str) -> Task:
    if name == TINY:
        return Task(MLP(20, 64, 3, 5, Candidate("relu")), torch.randn(64, 20), torch.randint(5, (64,)))
    return NETWORKS[name]()


@dataclass(frozen=True)
class Watching(Timing):
    """A network's training step, watched as by default and not. blocks: pairs; seconds: of a block."""

    kind: ClassVar[str] = "watch"

    network: str
    compiled: bool
    blocks: int
    seconds: float

    @property
    def label(self) -> str:
        """What a reader knows it by."""
        return f"{self.network}{', compiled' * self.compiled}"

    def run(self) -> dict[str, Any]:
        """Time and memory."""
        torch.compiler.reset()
        torch.manual_seed(0)
        network, x, y = _task(self.network)
        optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
        model = torch.compile(network) if self.compiled else network

        def step() -> None:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x).flatten(0, -2), y.flatten()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        watcher = Watcher(network)
        found = _in_turn(step, watcher, self.blocks, self.seconds)
        return {**found, **_memory(step, network), "places": len(watcher.places)}


def _in_turn(step: Callable[[], None], watcher: Watcher, blocks: int, seconds: float) -> dict[str, Any]:
    """Ratios of watched to plain: of blocks, and of steps that were not chosen to steps without; with intervals."""
    for _ in range(3):  # the first compiles
        step()
    begun = time.perf_counter()
    step()
    count = max(int(seconds / (time.perf_counter() - begun)), 10)
    with watcher:  # until its interval is settled
        for _ in range(count):
            step()
    ratios: list[float] = []
    plain: list[float] = []
    idle: list[float] = []
    gc.collect()
    gc.disable()
    try:
        random = Random(0)
        for _ in range(blocks):
            times = {}
            for on in random.sample((False, True), 2):
                times[on] = _block(step, watcher if on else None, count, idle if on else plain)
            ratios.append(times[True] / times[False])
    finally:
        gc.enable()
    usual = statistics.median(plain)
    parts = min(blocks, len(idle))  # each with steps of all blocks, for an interval of the median
    between = [statistics.median(idle[k::parts]) / usual for k in range(parts)]
    return {
        "milliseconds": 1_000.0 * usual,
        "ratio": interval(ratios),
        "idle": interval(between) if between else None,
        "share": watcher.watched_steps / watcher.steps,
        "said": watcher.overhead,
    }


def _block(step: Callable[[], None], watcher: Watcher | None, count: int, kept: list[float]) -> float:
    """The seconds of a block; those of its steps that were not watched are kept."""
    if watcher is None:
        begun = time.perf_counter()
        for _ in range(count):
            start = time.perf_counter()
            step()
            kept.append(time.perf_counter() - start)
        return time.perf_counter() - begun
    with watcher:
        begun = time.perf_counter()
        for _ in range(count):
            before, start = watcher.watched_steps, time.perf_counter()
            step()
            if watcher.watched_steps == before:
                kept.append(time.perf_counter() - start)
        return time.perf_counter() - begun


def _memory(step: Callable[[], None], network: nn.Module) -> dict[str, Any]:
    """The most that a step allocates at a time: without, when it is not chosen, and when it is."""
    plain = highest(allocations(step)[1])
    with Watcher(network, every=2):
        step()
        idle = highest(allocations(step)[1])
        watched = highest(allocations(step)[1])
    return {"peak": plain, "peak_idle": idle, "peak_watched": watched}


@dataclass(frozen=True)
class Alarm(Timing):
    """A training of one of compare's tasks, watched: its score on validation data, and the findings."""

    kind: ClassVar[str] = "alarm"

    task: str
    activation: str
    rate: float

    @property
    def label(self) -> str:
        """What a reader knows it by."""
        return f"{self.task} {self.activation} lr {self.rate:g}"

    def run(self) -> dict[str, Any]:
        """Train as a trial does, with weights that are drawn for the activation."""
        of, candidate = task(self.task), Candidate(self.activation)
        split = of.split(0)
        torch.manual_seed(0)
        network: Any = of.build(candidate, split)
        initialise(network, candidate, 0, matched=True)
        losses = steps(network, of.loss, split.train, of.batch_size, of.optimizer(network, self.rate), 0)
        with Watcher(network, every=OFTEN) as watcher:
            for _ in range(of.steps):
                next(losses)
        found = [[finding.kind, finding.site, finding.value] for finding in watcher.findings()]
        return {"score": evaluate(network, of, split.validation)[of.decides.name], "findings": found}


def jobs(modes: Sequence[bool], seconds: float) -> list[Watching | Alarm]:
    """Every network that can be made here, and a training of each activation; modes: whether compiled."""
    known = {TINY, *networks()}
    cost = [
        Watching(name, compiled, BLOCKS, SECONDS * seconds)
        for compiled in modes
        for name in (COMPILED if compiled else WATCHED)
        if name in known
    ]
    alarms = [Alarm(name, act, rate) for name, acts in TRAINED.items() for act in acts for rate in RATES]
    return [*cost, *(alarms if False in modes else [])]
