"""What differs between the kinds of activations, as the methods of one class."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from actfun._catalogue.kinds import Kind
from actfun._catalogue.registry import Activation
from actfun._once import Once

POSITIONS = 21  # of a slider


@dataclass(frozen=True)
class Slider:
    """What a reader of a curve may change.

    name: empty where there is nothing to change. values: those it takes; start: the first shown. function: the curve at
    x (points,), for one of the values.
    """

    name: str
    values: tuple[float, ...]
    start: float
    function: Callable[[Tensor, float], Tensor]

    @classmethod
    def fixed(cls, function: Callable[[Tensor], Tensor]) -> "Slider":
        """One with nothing to change."""
        return cls("", (0.0,), 0.0, lambda x, _: function(x))


class Behaviour(ABC):
    """What an activation does with tensors: a subclass for each kind, under `@implement(KIND)`."""

    only: ClassVar[str | None] = None  # the one activation of the kind, where function and module are written by hand

    def __init__(self, activation: Activation) -> None:
        if self.only not in (None, activation.name):
            raise ValueError(f"{activation.name}: {self.only} is the one {activation.kind.name} activation there is")
        self.activation = activation

    @abstractmethod
    def function(self) -> Callable[..., Tensor]:
        """Make the function that `actfun` shows under the activation's name."""

    @abstractmethod
    def module(self) -> type[nn.Module]:
        """Make the class that `actfun.nn` shows; `activation` is an attribute of its instances."""

    @abstractmethod
    def slope(self, module: nn.Module, z: Tensor) -> Tensor:
        """The derivative of each of a module's outputs in its pre-activation, at z; the shape is the output's."""

    @abstractmethod
    def gain(self, preserve: str, parameters: dict[str, Any]) -> float:
        """What `actfun.gain` gives; preserve: "forward" or "backward"."""

    @abstractmethod
    def slider(self) -> Slider:
        """The curve that shows the activation."""

    def along_last(self) -> dict[str, Any]:
        """What the class takes for units along the last dimension. Raises ValueError where they cannot be there."""
        return {}

    def inputs(self, module: nn.Module) -> float:
        """How many pre-activations a module has for each output."""
        return 1.0

    def pieces(self, module: nn.Module, z: Tensor) -> Tensor | None:
        """z (…, units, pieces) of pieces of which one wins, or None where there are none."""
        return None


_table: dict[Kind, type[Behaviour]] = {}
B = TypeVar("B", bound=Behaviour)


def _same(x: Tensor) -> Tensor:
    return x


def slope_of_call(call: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """The derivative of an element-wise call, which may work in place, at z."""
    own = torch.autograd.graph.saved_tensors_hooks(
        _same, _same
    )  # a checkpoint around it shall not count what this keeps
    with torch.inference_mode(False), torch.enable_grad(), own:
        leaf = (z.clone() if z.is_inference() else z).detach().requires_grad_()
        (slope,) = torch.autograd.grad(call(leaf.clone()).sum(), leaf)
    return slope


def implement(kind: Kind) -> Callable[[type[B]], type[B]]:
    """Register a class as what activations of a kind do. Raises TypeError for a class that lacks a method."""

    def register(behaviour: type[B]) -> type[B]:
        if lacking := sorted(behaviour.__abstractmethods__):
            raise TypeError(f"{behaviour.__name__}: {kind.name} activations lack {', '.join(lacking)}; see Behaviour")
        _table[kind] = behaviour
        return behaviour

    return register


def behaviour_of(activation: Activation) -> Behaviour:
    """What an activation does. Raises TypeError where no class says so for its kind."""
    kind = activation.kind
    if kind not in _table:
        raise TypeError(f"{activation.name}: what {kind.name} activations do is to be written, under @implement")
    return _table[kind](activation)


@Once
def function_of(activation: Activation) -> Callable[..., Tensor]:
    """The function of tensors that an activation stands for, made once."""
    return behaviour_of(activation).function()
