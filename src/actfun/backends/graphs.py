"""Formulas as graphs of float32 operations: what CPU kernels are made of.

Which rounding errors of a formula are carried is found by a search of seconds (`actfun.carried.economy`). What it found
for the activations of this package lies in the folder `chosen`, written by `tools/choose_graphs.py`: it is these
graphs that were tried with every number. What it finds for others is kept on disk.
"""

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import torch

from actfun import primitives
from actfun.backends import disk
from actfun.backends import torch as torch_ops
from actfun.backends.lowering import Lowering, uses
from actfun.carried import economy, pairs, pieces
from actfun.carried.graph import Node, computed, leaf, ordered
from actfun.carried.pairs import Pair
from actfun.carried.primitives import PRIMITIVES
from actfun.carried.trial import LARGEST, Trial
from actfun.carried.writing import read, written
from actfun.once import Once, working

CHOSEN = Path(__file__).parent / "chosen"
PATIENCE = 2.0  # seconds after which somebody wants to know what takes so long
G = leaf("input", "g")  # what a slope is multiplied by on the way back

lower = Lowering(
    native={
        primitives.where: pairs.where,
        primitives.absolute: pairs.absolute,
        primitives.copysign: pairs.copysign,
        primitives.add_smaller: pairs.add_smaller,
        **PRIMITIVES,
    }
)


Parameters = int | tuple[float, ...]  # how many a formula has that are inputs of its graph, or all their values


def _exact(formula: Callable[..., Any], numbers: tuple[float, ...], inputs: dict[str, Any]) -> Any:
    arguments = (torch.from_numpy(values).double() for values in inputs.values())
    return torch_ops.evaluate(formula, *arguments, *numbers).numpy()


def names(parameters: Parameters) -> list[str]:
    """What a graph calls the parameters of a formula."""
    return [f"parameter {k}" for k in range(parameters)] if isinstance(parameters, int) else []


def full(formula: Callable[..., Any], parameters: Parameters) -> Pair:
    """formula(x, *parameters) with every rounding error."""
    inputs = [Pair(leaf("input", name)) for name in ["x", *names(parameters)]]
    numbers = () if isinstance(parameters, int) else parameters
    return Pair.of(lower(formula)(*inputs, *numbers))


def trial_of(formula: Callable[..., Any], parameters: Parameters, derivative: bool) -> Trial:
    """What graphs of formula(x, *parameters) are held against."""
    exact = functools.partial(_exact, formula, () if isinstance(parameters, int) else parameters)
    return Trial(full(formula, parameters).rounded(), names(parameters), exact, derivative)


def searched(formula: Callable[..., Any], parameters: Parameters, derivative: bool) -> Node:
    """formula(x, *parameters) with the errors that it needs; if x is its one input, by polynomials where that is right.

    What it comes to for all numbers is not known before they are tried.
    """
    trial = trial_of(formula, parameters, derivative)
    careful = economy.thrifty(trial.first, trial)
    return careful if trial.parameters else pieces.pieced(careful, trial)


def file_name(formula: Callable[..., Any], parameters: Parameters, derivative: bool) -> str:
    """What a file is called that holds what was found for a formula."""
    return disk.digest(str(derivative), written(full(formula, parameters).rounded())) + ".graph"


def _found(formula: Callable[..., Any], parameters: Parameters, derivative: bool) -> Node:
    name = file_name(formula, parameters, derivative)
    if (path := CHOSEN / name).exists():
        return read(path.read_text())

    def search() -> bytes:
        with _announced(f"actfun: searching for a float32 kernel of {formula.__name__}; this may take minutes, once"):
            return written(searched(formula, parameters, derivative)).encode()

    return read(disk.kept(name, search).decode())


@contextlib.contextmanager
def _announced(line: str) -> Iterator[None]:
    """Say on a terminal what takes longer than PATIENCE; who reads a file has no use for it."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    timer = threading.Timer(PATIENCE, print, (line,), {"file": sys.stderr, "flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def comes_with(formula: Callable[..., Any], numbers: tuple[float, ...], derivative: bool) -> bool:
    """Whether the package has a graph for these values of the parameters alone, as it has for the usual ones."""
    with working:
        return uses(formula, PRIMITIVES) and (CHOSEN / file_name(formula, numbers, derivative)).exists()


@Once
def graph(formula: Callable[..., Any], backward: bool, parameters: Parameters, sixteen: bool) -> Node:
    """What a kernel does to an element: formula(x, *parameters), times g if it goes backward."""
    if sixteen:
        value = full(formula, parameters)
        return _times_g(value.hi, (Pair(G) * value).odd()) if backward else value.odd()
    careful = uses(formula, PRIMITIVES)
    result = _found(formula, parameters, backward) if careful else full(formula, parameters).rounded()
    return _times_g(result, G * result) if backward else result


def _times_g(slope: Node, product: Node) -> Node:
    """g·slope, but where one of both is exactly 0 that one, whatever the other is: 0·inf would be NaN.

    A g of 0 needs a look only where slopes overflow (relu_squared's): in the cache it takes up to a sixth of the time.
    """
    if slope.value:
        return product
    smaller = (G.magnitude() < slope.magnitude()).select(G, slope) if _overflows(slope) else slope
    return (smaller.magnitude() <= 0.0).select(smaller, product)


def _overflows(slope: Node) -> bool:
    """Whether a slope is infinite for a finite x, parameters being 1."""
    size = numpy.append(2.0 ** numpy.arange(-149, 128), LARGEST).astype(numpy.float32)
    x, nodes = numpy.append(-size, size), ordered(slope)
    inputs = {n.args[0]: numpy.ones_like(x) for n in nodes if n.op == "input"} | {"x": x}
    return bool(numpy.isinf(computed(nodes, inputs)[slope]).any())
