"""What activations do inside a network: dead and flat, by one rule for every activation.

Flat: |f'(z)| below 6% of the largest |f'|, z the pre-activation; for tanh |z| > 2.08, for sigmoid |z| > 4.17. ReLU is
flat on its left half by design. Dead: a unit whose |f'| stays below 0.1% of the largest on every sample seen; with n
samples, a unit that shows none responds to less than 3/n of the data (95%, rule of three).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from actfun.backends import torch as torch_ops
from actfun.registry import Activation, spec

FLAT, DEAD = 0.06, 0.001


def slopes(module: nn.Module, z: Tensor) -> Tensor:
    """The derivative of an actfun module's output in its pre-activation z, for each output.

    Maxout passes the whole gradient to the piece that wins, so a unit's slope is 1.
    """
    activation = _spec_of(module)
    if activation.kind == "reduction":
        return torch.ones_like(z[..., :: module.pieces])  # its units are along the last dimension
    if activation.kind == "random":
        activation = spec("gelu")  # the mean of the mask's slope would not show where the unit has died
    numbers = (getattr(module, argument) for argument in getattr(module, "arguments", ()))
    return torch_ops.evaluate(activation.derivatives["x"], z, *numbers)


def _spec_of(module: nn.Module) -> Activation:
    activation = getattr(module, "chosen", None) or getattr(module, "activation", None)
    if not isinstance(activation, Activation):
        raise TypeError(f"expected an activation of actfun.nn, got {type(module).__name__}")
    return activation


@cache
def largest_slope(formula: Any, numbers: tuple[float, ...]) -> float:
    """The largest |f'| on [-10, 10]; 1 where it keeps growing (relu_squared), for want of a largest."""
    z = torch.linspace(-10.0, 10.0, 20_001, dtype=torch.float64)
    slope = torch_ops.evaluate(formula, z, *numbers).abs()
    largest, near = float(slope.max()), float(slope[z.abs() <= 5.0].max())
    return largest if largest < 1.1 * near else 1.0


@dataclass(frozen=True)
class Shares:
    """dead: the share of units that are dead; flat: the share of single responses that are flat; samples: how many."""

    dead: float
    flat: float
    samples: int


class SlopeMeter:
    """Counts dead units and flat responses at some activation modules while data passes, as a context manager.

    The last dimension of their input (of its maximum, for maxout) holds the units; all others count as samples.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._modules = tuple(modules)
        self._alive: dict[nn.Module, Tensor] = {}
        self._flat = self._seen = 0
        self._samples: dict[nn.Module, int] = {}

    def __enter__(self) -> "SlopeMeter":
        self._hooks = [module.register_forward_pre_hook(self._record) for module in self._modules]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()

    @torch.no_grad()
    def _record(self, module: nn.Module, inputs: tuple[Tensor]) -> None:
        slope = slopes(module, inputs[0]).abs().flatten(0, -2)
        activation = _spec_of(module)
        top = 1.0
        if activation.kind == "elementwise":
            numbers = tuple(float(getattr(module, argument)) for argument in getattr(module, "arguments", ()))
            top = largest_slope(activation.derivatives["x"], numbers)
        alive = (slope > DEAD * top).any(0)
        self._alive[module] = alive | self._alive.get(module, torch.zeros_like(alive))
        self._flat += int((slope < FLAT * top).sum())
        self._seen += slope.numel()
        self._samples[module] = self._samples.get(module, 0) + slope.shape[0]

    @property
    def samples(self) -> int:
        """How many samples every module has seen."""
        return min((self._samples.get(module, 0) for module in self._modules), default=0)

    def shares(self) -> Shares:
        """What was counted so far."""
        units = sum(alive.numel() for alive in self._alive.values())
        alive = sum(int(alive.sum()) for alive in self._alive.values())
        return Shares(1.0 - alive / max(units, 1), self._flat / max(self._seen, 1), self.samples)
