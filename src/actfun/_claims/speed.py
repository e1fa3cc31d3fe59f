"""What activations cost on one thread: a call with its gradient on 2^20 numbers, a training step of the digits MLP."""

import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from actfun._catalogue.registry import spec
from actfun._claims.evidence import Measurement, ratios
from actfun._claims.experiment import Experiment, Measurements, Record, Scale, column
from actfun._claims.networks import NARROW, grid, mlp, optimizer, training
from actfun._compare.tasks import task
from actfun._operators.functional import function_of

SIZE, CACHED, ROUNDS, IN_A_ROW, STEPS = 2**20, 2**16, 20, 3, 60
CALLS = ("relu", "leaky_relu", "sigmoid", "tanh", "elu")
STEPPED = (*CALLS, "maxout", NARROW)
# A call is slow that takes half as long again, and takes more if by a quarter: from run to run its time varies by a
# tenth. In a training step, of which activations are a small part, 5% count.
SLOW, MORE, STEP = 1.5, 1.25, 1.05


def _call(function: Callable[[Tensor], Tensor], x: Tensor, g: Tensor | None) -> float:
    """The seconds of the fastest of three calls in a row: the first finds the caches as others left them."""
    seconds = []
    for _ in range(IN_A_ROW):
        y = None  # its memory is free for the next
        start = time.perf_counter()
        y = function(x)
        if g is not None:
            torch.autograd.grad(y, x, g)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _in_turns(labels: Iterable[str], rounds: int, seed: int) -> Iterator[str]:
    """Each once a round, in an order that changes, so that none profits from what another leaves in the caches."""
    order, chance = list(labels), random.Random(seed)
    for _ in range(rounds):
        chance.shuffle(order)
        yield from order


def _calls(seed: int) -> dict[str, float]:
    """Median seconds of each library's activations, in turns, and of a copy."""
    x, g = torch.randn(2, SIZE, generator=torch.Generator().manual_seed(seed))
    functions = {f"actfun {name}": function_of(spec(name)) for name in CALLS}
    functions |= {f"torch {name}": getattr(nn.functional, spec(name).torch or name) for name in CALLS}
    functions["torch copy"] = torch.clone
    cases = {label: (function, x.requires_grad_(), g) for label, function in functions.items()}
    cases |= {f"{label.replace(' ', ' forward ')}": (f, x.detach()[:CACHED], None) for label, f in functions.items()}
    times: dict[str, list[float]] = {label: [] for label in cases}
    for label in _in_turns(cases, ROUNDS + 1, seed):
        times[label].append(_call(*cases[label]))
    return {label: statistics.median(values[1:]) for label, values in times.items()}


def _steps(seed: int) -> dict[str, float]:
    """Median seconds of a training step with each activation, in turns."""
    split = task("digits").split(seed)
    runs = {}
    for name in STEPPED:
        network = mlp(split, name, 64, 3, seed, 1.0)
        runs[f"step {name}"] = training(network, "digits", split, optimizer("SGD", network, 0.01), seed)
    times: dict[str, list[float]] = {label: [] for label in runs}
    for label in _in_turns(runs, STEPS, seed):
        start = time.perf_counter()
        next(runs[label])
        times[label].append(time.perf_counter() - start)
    return {label: statistics.median(values[10:]) for label, values in times.items()}


def run(seed: int) -> dict[str, Any]:
    """Medians by label; each seed is a block of its own, and blocks give the interval."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {**_calls(seed), **_steps(seed)}
    finally:
        torch.set_num_threads(threads)


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """A block for each seed."""
    return grid(scale)


def measurements(records: list[Record]) -> Measurements:
    """Exponentials are said to be slow, in a call and in training; ReLU cheap; Maxout dear."""

    def ratio(where: str, a: str, b: str, threshold: float, /, above: bool, **given: str) -> Measurement:
        over, under = column(records, f"{where} {a}"), column(records, f"{where} {b}")
        said = {"what": "time over time", "when": f"in {where}", "a": a, "b": b, **given}
        return ratios(over=over, under=under, threshold=threshold, above=above, **said)

    def slow(name: str, threshold: float = SLOW, what: str = "time over time") -> list[Measurement]:
        cases = ("torch", "actfun", "torch forward", "actfun forward")
        calls = [ratio(case, name, "relu", threshold, above=True, what=what) for case in cases]
        return [*calls, ratio("step", name, "relu", STEP, above=True, what=what)]

    return {
        9: slow("sigmoid"),
        17: slow("tanh"),
        37: slow("elu", MORE, "more time"),
        20: [ratio("torch forward", "relu", "copy", SLOW, above=False, when="cheap")],
        31: [ratio("actfun", "leaky_relu", "relu", SLOW, above=False)],
        49: [ratio("step", "maxout", "relu", STEP, above=False)],
        51: [
            ratio("step", "maxout", "relu", STEP, above=True),
            ratio("step", NARROW, "relu", STEP, above=True, when="in narrow step", a="maxout"),
        ],
    }


EXPERIMENT = Experiment("speed", jobs, run, measurements, alone=True)
