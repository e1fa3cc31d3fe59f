"""The arguments of a call, settled and checked."""

from typing import Any

import torch
from torch import Tensor

from actfun._catalogue.registry import Activation, Choice, Ignored, Parameter, nearest
from actfun._operators.dispatch import DTYPES


def collect(
    name: str, places: tuple[str, ...], x: Any, values: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The input of a call, which may be named `input` as torch names it, and the further arguments by their names.

    places: the names of the positional arguments after the input. Raises TypeError for an argument too many or given
    twice, and where the input is missing.
    """
    if len(values) > len(places):
        raise TypeError(f"{name}: expected at most {len(places)} arguments after the input, got {len(values)}")
    given = dict(zip(places, values, strict=False))
    if x is not None:
        given["input"] = x
    for argument, value in named.items():
        if argument in given:
            raise TypeError(f"{name}: {argument} was given twice")
        given[argument] = value
    if "input" not in given:
        raise TypeError(f"{name}: input is missing")
    return given.pop("input"), given


def bind(activation: Activation, given: dict[str, Any]) -> tuple[Activation, tuple[Any, ...]]:
    """Settle an activation's parameters: the form they choose, and its numbers and tensors.

    Raises TypeError for an argument that is unknown, ValueError for an option or value that is not allowed.
    """
    known = activation.parameters
    for argument in given:
        if argument not in known:
            hint = nearest(argument, tuple(known)) if known else "it takes none"
            raise TypeError(f"{activation.name}: unknown parameter {argument!r}; {hint}")
    name, choices, numbers = activation.name, {}, {}
    for argument, parameter in known.items():
        value = given.get(argument, parameter.default)
        if isinstance(parameter, Choice):
            choices[argument] = value
            continue
        value = _check(name, argument, parameter, value)
        if isinstance(parameter, Parameter):
            numbers[argument] = value
            if parameter.least and value < numbers[parameter.least]:
                least = f"{parameter.least}, {numbers[parameter.least]}"
                raise ValueError(f"{name}: {argument} must be at least {least}, got {value}")
    return activation.variant(choices), tuple(numbers.values())


def _check(name: str, argument: str, parameter: Parameter | Ignored, value: Any) -> Any:
    if not isinstance(value, Tensor) and torch.overrides.has_torch_function_unary(value):
        return value  # fx, which traces
    if isinstance(value, Tensor):
        if isinstance(parameter, Ignored) or not parameter.learnable:
            raise TypeError(f"{name}: {argument} must be a number, got a tensor")
        if value.dtype not in DTYPES or value.layout is not torch.strided:
            kind = f"{value.dtype}, {value.layout}"
            raise TypeError(f"{name}: {argument} must be a number or a dense floating-point tensor, got {kind}")
        return value
    value = number(name, argument, value)
    if isinstance(parameter, Parameter) and parameter.nonzero and value == 0.0:
        raise ValueError(f"{name}: {argument} must not be 0, got {value}")
    if isinstance(parameter, Parameter) and not parameter.learnable and value < parameter.low:
        raise ValueError(f"{name}: {argument} must be at least {parameter.low}, got {value}")
    return float(value)


def number(name: str, argument: str, value: Any) -> int | float:
    """A number as Python has it, of numpy's or an array without dimensions too; TypeError for all else."""
    plain = value if type(value) in (int, float) or getattr(value, "shape", None) != () else value.item()
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise TypeError(f"{name}: {argument} must be a number, got {type(value).__name__}")
    return plain


def whole(name: str, argument: str, value: Any) -> int:
    """A whole number as Python has it, likewise."""
    plain = value if type(value) is int or getattr(value, "shape", None) != () else value.item()
    if type(plain) is not int:
        raise TypeError(f"{name}: {argument} must be a whole number, got {type(value).__name__}")
    return plain


def check_whole(name: str, argument: str, value: Any, low: float = float("-inf")) -> int:
    """The same. Raises ValueError unless it is at least `low`."""
    plain = whole(name, argument, value)
    if plain < low:
        raise ValueError(f"{name}: {argument} must be at least {low}, got {plain}")
    return plain


def check_dim(name: str, x: Tensor, dim: Any) -> int:
    """A dimension of x as Python's number. Raises TypeError unless it is whole, ValueError where x has none such."""
    plain = whole(name, "dim", dim)
    count = max(x.dim(), 1)  # a tensor without dimensions stands for one of one, as in torch
    if not -count <= plain < count:
        raise ValueError(f"{name}: dim must be from {-count} to {count - 1} for {x.dim()} dimensions, got {plain}")
    return plain
