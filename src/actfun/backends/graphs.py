"""Formulas as graphs of float32 operations: what CPU kernels are made of.

Which rounding errors of a formula are carried is found by a search of seconds (`actfun.carried.economy`). What it found
for the activations of this package lies in the folder `chosen`, written by `tools/choose_graphs.py`: it is these
graphs that were tried with every number. What it finds for others is kept on disk.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from actfun import primitives
from actfun.backends import disk
from actfun.backends import torch as torch_ops
from actfun.backends.lowering import Lowering, uses
from actfun.carried import economy, pairs, pieces
from actfun.carried.graph import Node, leaf
from actfun.carried.pairs import Pair
from actfun.carried.primitives import PRIMITIVES
from actfun.carried.trial import Trial
from actfun.carried.writing import read, written

CHOSEN = Path(__file__).parent / "chosen"

lower = Lowering(
    native={
        primitives.where: pairs.where,
        primitives.absolute: pairs.absolute,
        primitives.copysign: pairs.copysign,
        primitives.add_smaller: pairs.add_smaller,
        **PRIMITIVES,
    }
)


def _exact(formula: Callable[..., Any], inputs: dict[str, Any]) -> Any:
    return torch_ops.evaluate(formula, *(torch.from_numpy(values).double() for values in inputs.values())).numpy()


def names(parameters: int) -> list[str]:
    """What a graph calls the parameters of a formula."""
    return [f"parameter {k}" for k in range(parameters)]


def full(formula: Callable[..., Any], parameters: int) -> Pair:
    """formula(x, *parameters) with every rounding error."""
    return Pair.of(lower(formula)(*(Pair(leaf("input", name)) for name in ["x", *names(parameters)])))


def searched(formula: Callable[..., Any], parameters: int, derivative: bool) -> Node:
    """formula(x, *parameters) with the errors that it needs."""
    first, exact = full(formula, parameters).rounded(), functools.partial(_exact, formula)
    trial = Trial(first, names(parameters), exact, derivative)
    careful = economy.thrifty(first, trial)
    return careful if parameters else pieces.pieced(careful, trial)


def file_name(formula: Callable[..., Any], parameters: int, derivative: bool) -> str:
    """What a file is called that holds what was found for a formula."""
    return disk.digest(str(derivative), written(full(formula, parameters).rounded())) + ".graph"


def _found(formula: Callable[..., Any], parameters: int, derivative: bool) -> Node:
    name = file_name(formula, parameters, derivative)
    if (path := CHOSEN / name).exists():
        return read(path.read_text())
    return read(disk.kept(name, lambda: written(searched(formula, parameters, derivative)).encode()).decode())


@functools.cache
def graph(formula: Callable[..., Any], backward: bool, parameters: int, sixteen: bool) -> Node:
    """What a kernel does to an element: formula(x, *parameters), times g if it goes backward."""
    g = leaf("input", "g")
    if sixteen:
        value = full(formula, parameters)
        return (Pair(g) * value if backward else value).odd()
    careful = uses(formula, PRIMITIVES)
    result = _found(formula, parameters, backward) if careful else full(formula, parameters).rounded()
    return g * result if backward else result
