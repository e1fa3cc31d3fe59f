"""What is measured: a value or a derivative, as a library computes it in a dtype, beside the exact one."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from actfun.accuracy.error import TARGETS, Bound
from actfun.backends import torch as torch_ops
from actfun.functional import bind, function_of
from actfun.registry import Activation, Choice, names, spec

LIBRARIES = ("actfun", "torch")


@dataclass(frozen=True)
class Subject:
    """An activation's values, or their derivative in x, at the default parameters."""

    library: str
    name: str
    derivative: bool
    dtype: torch.dtype

    @property
    def formula(self) -> Callable[..., Any]:
        """What is to be computed."""
        activation = spec(self.name)
        return activation.derivatives["x"] if self.derivative else activation.formula

    @property
    def numbers(self) -> tuple[float, ...]:
        """The parameters as the dtype's arithmetic takes them: float32, but for float64."""
        numbers = bind(spec(self.name), (), {})[1]
        return numbers if self.dtype is torch.float64 else tuple(torch.tensor(numbers).tolist())

    @property
    def bound(self) -> Bound:
        """The error allowed."""
        found = roots(self.formula, self.numbers) if self.derivative else ()
        return TARGETS[self.dtype].bound(self.derivative, found)

    def computed(self, x: Tensor) -> Tensor:
        """What the library gives for x, of this dtype."""
        function = library_function(self.library, self.name)
        assert function is not None
        if not self.derivative:
            with torch.no_grad():
                return function(x)
        x = x.detach().requires_grad_()
        return torch.autograd.grad(function(x), x, torch.ones_like(x))[0]

    def exact(self, x: Tensor) -> Tensor:
        """The exact values of x, of this dtype, as float64 has them: good to a few units of its last place."""
        with torch.no_grad():
            return torch_ops.evaluate(self.formula, x.double(), *self.numbers)


@functools.cache
def roots(formula: Callable[..., Any], numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Where a formula goes through 0, to three digits; a jump over 0 is no root, and neither is what stays 0.

    The far tails, which approach 0, have none.
    """
    x = torch.linspace(-20.0, 20.0007, 40_001, dtype=torch.float64)  # no number of it is a round one
    with torch.no_grad():
        y = torch_ops.evaluate(formula, x, *numbers)
    crossed = (y[1:] * y[:-1] < 0.0) & ((y[1:] - y[:-1]).abs() < 0.005)  # a slope below 5
    return tuple(x[1:][crossed].tolist())


@functools.cache
def library_function(library: str, name: str) -> Callable[[Tensor], Tensor] | None:
    """A library's function of the name, at its default parameters; None where it has none."""
    if library == "actfun":
        return function_of(spec(name))
    return _of_torch(spec(name))


def _of_torch(activation: Activation) -> Callable[[Tensor], Tensor] | None:
    """torch's function, be it under a name of its own or as an option of another."""
    if activation.torch is not None:
        function: Callable[[Tensor], Tensor] = getattr(torch.nn.functional, activation.torch)
        return function
    for other in map(spec, names()):
        for argument, choice in other.parameters.items():
            if isinstance(choice, Choice) and other.torch is not None:
                for option, formula in choice.options.items():
                    if formula is activation.formula:
                        return functools.partial(getattr(torch.nn.functional, other.torch), **{argument: option})
    return None


def subjects(chosen: tuple[str, ...], dtypes: tuple[torch.dtype, ...], libraries: tuple[str, ...]) -> list[Subject]:
    """Values and derivatives of the activations, in every dtype, as far as the libraries have them."""
    return [
        Subject(library, name, derivative, dtype)
        for dtype in dtypes
        for name in chosen
        for derivative in (False, True)
        for library in libraries
        if library_function(library, name) is not None
    ]
