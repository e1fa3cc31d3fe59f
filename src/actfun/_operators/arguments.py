"""The arguments of a call, settled and checked."""

from typing import Any

import torch
from torch import Tensor

from actfun._catalogue.registry import Activation, Choice, Parameter, nearest
from actfun._operators.dispatch import DTYPES


def bind(activation: Activation, values: tuple[Any, ...], named: dict[str, Any]) -> tuple[Activation, tuple[Any, ...]]:
    """Settle an activation's arguments, positional and named: the form they choose, and its numbers and tensors.

    Raises TypeError for an argument too many or unknown, ValueError for an option or value that is not allowed.
    """
    known = activation.parameters
    if len(values) > len(known):
        raise TypeError(f"{activation.name}: expected at most {len(known)} parameters, got {len(values)}")
    given = dict(zip(known, values, strict=False))
    for argument, value in named.items():
        if argument not in known:
            hint = nearest(argument, tuple(known)) if known else "it takes none"
            raise TypeError(f"{activation.name}: unknown parameter {argument!r}; {hint}")
        if argument in given:
            raise TypeError(f"{activation.name}: {argument} was given twice")
        given[argument] = value
    settled = {argument: given.get(argument, parameter.default) for argument, parameter in known.items()}
    choices = {argument: settled[argument] for argument, parameter in known.items() if isinstance(parameter, Choice)}
    numbers = (
        _check(activation.name, argument, parameter, settled[argument])
        for argument, parameter in known.items()
        if isinstance(parameter, Parameter)
    )
    return activation.variant(choices), tuple(numbers)


def _check(name: str, argument: str, parameter: Parameter, value: Any) -> Any:
    if not isinstance(value, Tensor) and torch.overrides.has_torch_function_unary(value):
        return value  # fx, which traces
    if isinstance(value, Tensor):
        if not parameter.learnable:
            raise TypeError(f"{name}: {argument} must be a number, got a tensor")
        if value.dtype not in DTYPES or value.layout is not torch.strided:
            kind = f"{value.dtype}, {value.layout}"
            raise TypeError(f"{name}: {argument} must be a number or a dense floating-point tensor, got {kind}")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: {argument} must be a number, got {type(value).__name__}")
    if parameter.nonzero and value == 0.0:
        raise ValueError(f"{name}: {argument} must not be 0, got {value}")
    return float(value)


def check_dim(name: str, x: Tensor, dim: Any) -> None:
    """Raise ValueError unless `dim` is one of x's dimensions."""
    if not isinstance(dim, int) or not -x.dim() <= dim < x.dim():
        raise ValueError(f"{name}: dim must be from {-x.dim()} to {x.dim() - 1} for {x.dim()} dimensions, got {dim!r}")


def check_whole(name: str, argument: str, value: Any, low: float = float("-inf")) -> None:
    """Raise TypeError unless an argument is a whole number, ValueError unless it is at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: {argument} must be a whole number, got {type(value).__name__}")
    if value < low:
        raise ValueError(f"{name}: {argument} must be at least {low}, got {value}")
