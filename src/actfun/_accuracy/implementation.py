"""What is measured: a value or a derivative, as a library computes it in a dtype, beside the exact one."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from actfun._accuracy.error import GATED_TARGETS, TARGETS, Bound, Target
from actfun._backends import torch as torch_ops
from actfun._catalogue.formulas.gated import PARTS
from actfun._catalogue.kinds import GATED
from actfun._catalogue.registry import Activation, Choice, names, spec
from actfun._operators.arguments import bind
from actfun._operators.functional import function_of

LIBRARIES = ("actfun", "torch")
SPAN = 40.0  # where roots are looked for: activations level out before, but for periodic ones
STEPS = 2**14 - 1  # not divisible by 2 or 5: no round number is on the grid, where a root would have no sign
NOTHING = 2.0**-40  # what is smaller may have its sign from rounding


@dataclass(frozen=True)
class Implementation:
    """An activation's values, or their derivative in x, at the default parameters.

    x is the gate of a gated one; what it multiplies are random numbers of size 1 to 2, which leave ulp what they are.
    """

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
        numbers = bind(spec(self.name), {})[1]
        return numbers if self.dtype is torch.float64 else tuple(torch.tensor(numbers).tolist())

    @property
    def gated(self) -> bool:
        """Whether there is a value beside x."""
        return spec(self.name).kind is GATED

    @property
    def target(self) -> Target:
        """The error aimed at."""
        return (GATED_TARGETS if self.gated else TARGETS)[self.dtype]

    @property
    def bound(self) -> Bound:
        """The error allowed."""
        numbers = (1.0, *self.numbers) if self.gated else self.numbers
        return self.target.bound(self.derivative, roots(self.formula, numbers) if self.derivative else ())

    def values(self, x: Tensor) -> tuple[Tensor, ...]:
        """What the function takes after x: of a gated one a number for each of x, the same at each call."""
        if not self.gated:
            return ()
        drawn = 2.0 * torch.rand(x.shape, generator=torch.Generator().manual_seed(len(x)), dtype=torch.float64) - 1.0
        return ((drawn + drawn.sign()).to(self.dtype),)

    def compute(self, x: Tensor) -> Tensor:
        """What the library gives for x, of this dtype."""
        function = library_function(self.library, self.name)
        assert function is not None
        if not self.derivative:
            with torch.no_grad():
                return function(x, *self.values(x))
        x = x.detach().requires_grad_()
        return torch.autograd.grad(function(x, *self.values(x)), x, torch.ones_like(x))[0]

    def exact(self, x: Tensor) -> Tensor:
        """The exact values of x, of this dtype, as float64 has them: good to a few units of its last place."""
        return _exact(self.formula, x, (*self.values(x), *self.numbers))


def _exact(formula: Callable[..., Any], x: Tensor, numbers: tuple[float | Tensor, ...]) -> Tensor:
    with torch.no_grad():
        wide = [torch.as_tensor(value, dtype=torch.float64) for value in numbers]
        return torch_ops.evaluate(formula, x.double(), *wide)


@functools.cache
def roots(formula: Callable[..., Any], numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Where a formula goes through 0, but for 0 itself, beside which floating point has all the bits it needs.

    A jump over 0 is no root, nor is a stretch where the formula is exactly 0, nor a sign that rounding makes.
    """
    x = torch.linspace(-SPAN, SPAN, STEPS + 1, dtype=torch.float64)
    y = _exact(formula, x, numbers)
    changes = (y[:-1].sign() * y[1:].sign() < 0.0) & (torch.maximum(y[:-1].abs(), y[1:].abs()) > NOTHING)
    low, high = x[:-1][changes], x[1:][changes]
    side = _exact(formula, low, numbers).sign()
    for _ in range(60):  # halvings: more than float64 has digits
        middle = 0.5 * (low + high)
        before = _exact(formula, middle, numbers).sign() == side
        low, high = torch.where(before, middle, low), torch.where(before, high, middle)
    ends = torch.maximum(_exact(formula, low, numbers).abs(), _exact(formula, high, numbers).abs())
    return tuple(low[(ends < NOTHING) & (low.sign() * high.sign() > 0.0)].tolist())


@functools.cache
def library_function(library: str, name: str) -> Callable[..., Tensor] | None:
    """A library's function of the name, at its default parameters; None where it has none."""
    if library == "actfun":
        return function_of(spec(name))
    return _of_torch(spec(name))


def _of_torch(activation: Activation) -> Callable[..., Tensor] | None:
    """torch's function, be it under a name of its own, as an option of another, or as the gate of a product."""
    if activation.kind is GATED:
        gate = library_function("torch", PARTS[activation.formula][0].__name__) if activation.formula in PARTS else None
        return None if gate is None else lambda x, up: gate(x) * up
    if activation.torch is not None:
        function: Callable[..., Tensor] = getattr(torch.nn.functional, activation.torch)
        if activation.torch == "threshold":  # the only one whose parameters have no defaults
            return functools.partial(function, **{name: p.default for name, p in activation.parameters.items()})
        if activation.learned:  # of which torch wants a tensor, in the dtype of the input
            start = activation.parameters[activation.learned].default
            return lambda x: function(x, x.new_tensor(start))
        return function
    for other in map(spec, names()):
        for argument, choice in other.parameters.items():
            if isinstance(choice, Choice) and other.torch is not None:
                for option, formula in choice.options.items():
                    if formula is activation.formula:
                        return functools.partial(getattr(torch.nn.functional, other.torch), **{argument: option})
    return None


def implementations(
    names: tuple[str, ...], dtypes: tuple[torch.dtype, ...], libraries: tuple[str, ...]
) -> list[Implementation]:
    """Values and derivatives of the activations, in every dtype, as far as the libraries have them."""
    return [
        Implementation(library, name, derivative, dtype)
        for dtype in dtypes
        for name in names
        for derivative in (False, True)
        for library in libraries
        if library_function(library, name) is not None
    ]
