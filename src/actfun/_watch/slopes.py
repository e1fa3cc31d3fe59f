"""The derivative of an activation as a network calls it, at its own pre-activations."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from actfun._catalogue.kinds import RANDOM
from actfun._operators.behaviours.base import behaviour_of, slope_of_call
from actfun._watch.tally import FLAT

Call = Callable[[Tensor], Tensor]
REACH, POINTS, FEWER = 10.0, 2_001, 401  # of a probe: where it lies, of how many numbers, where channels differ


@dataclass(frozen=True)
class Natural:
    """What an activation does by itself, with standard normal pre-activations.

    flat: the share of flat responses. ratio: |mean|/std of its outputs. ends: whether it is flat at both ends.
    """

    flat: float
    ratio: float
    ends: bool


class Slope:
    """The slope of an activation: of an element-wise one by autograd through the call itself, else by a module of ours.

    call: computes the activation of z, parameters included. learned: whether its parameters change. module: of another
    kind than element-wise, one of actfun.nn that computes the same.
    """

    def __init__(self, call: Call, learned: bool = False, module: nn.Module | None = None) -> None:
        self._call, self.learned, self._module = call, learned, module
        self._behaviour = None if module is None else behaviour_of(module.activation)  # type: ignore[arg-type]
        self._top: float | None = None
        self._natural: Natural | None = None
        self._like: tuple[Tensor, int] = torch.empty(1, 1), 1  # of the shape that it is called with, without memory

    def __call__(self, z: Tensor) -> Tensor:
        """At z; of the shape of what the activation gives."""
        if self._behaviour is None or self._module is None:
            return slope_of_call(self._call, z)
        with torch.inference_mode(False):
            return self._behaviour.slope(self._module, z.detach().clone())

    def top(self, z: Tensor, dim: int) -> float:
        """What a slope is small beside: the largest for parameters as they are now; of other kinds 1."""
        if self._module is not None:
            return 1.0
        if self._top is None or self.learned:
            self._top = self._largest(z, dim)
        return self._top

    def _largest(self, z: Tensor, dim: int) -> float:
        """The largest |f'| on [-10, 10]; 1 where it keeps growing (relu_squared), for want of a largest."""
        points = self._spread(torch.linspace(-REACH, REACH, FEWER if self.learned else POINTS), z, dim)
        sizes = slope_of_call(self._call, points).abs()
        largest, near = float(sizes.max()), float(sizes[points.abs() <= REACH / 2].max())
        return largest if largest < 1.1 * near else 1.0

    def _spread(self, values: Tensor, z: Tensor, dim: int) -> Tensor:
        """Values along the first dimension of a tensor that the call takes: where channels differ, one of each."""
        shape = [1] * z.dim()
        shape[0] = len(values)
        points = values.to(z.device, z.dtype).view(shape)
        if self.learned and z.dim() > 1 and dim:
            shape[dim] = z.shape[dim]
        elif self.learned and z.dim() == 1:
            points, shape = points[:, None], [len(values), len(z)]
        return points.expand(shape)

    @torch.no_grad()
    def natural(self, z: Tensor, dim: int) -> "Natural":
        """What it does with standard normal pre-activations; z, dim: as it is called. Asked once."""
        if self._natural is None:
            self._like = torch.empty_strided(z.shape, [0] * z.dim(), dtype=z.dtype, device=z.device), dim
            if self._module is not None:
                self._natural = Natural(0.0, 0.0, False)
                return self._natural
            within = (torch.arange(FEWER, dtype=torch.float64) + 0.5) / FEWER
            points = self._spread(torch.special.ndtri(within), z, dim)
            top, y = self.top(z, dim), self._call(points.clone())
            flat = (slope_of_call(self._call, points).abs() < FLAT * top).double().mean()
            ends = slope_of_call(self._call, self._spread(torch.tensor([-REACH, REACH]), z, dim)).abs() < FLAT * top
            ratio = float(y.double().mean().abs() / y.double().std())
            self._natural = Natural(float(flat), ratio if math.isfinite(ratio) else 0.0, bool(ends.all()))
        return self._natural

    @property
    def draws(self) -> bool:
        """Whether it has a curve: element-wise, and of one channel like of another."""
        return self._module is None

    def drawn(self, x: Tensor) -> tuple[Tensor, Tensor, float]:
        """Values and slopes at some numbers, and the largest slope; of several channels those of the first."""
        z, dim = self._like
        points = self._spread(x, z, dim)
        with torch.no_grad():
            y = self._call(points.clone())
        columns = [values.reshape(len(x), -1)[:, 0].cpu() for values in (y, slope_of_call(self._call, points))]
        return columns[0].float(), columns[1].float(), self.top(z, dim)

    def pieces(self, z: Tensor) -> Tensor | None:
        """z (…, units, pieces) of pieces of which one wins, or None where there are none."""
        if self._behaviour is None or self._module is None:
            return None
        return self._behaviour.pieces(self._module, z)

    @property
    def dim(self) -> int | None:
        """The dimension along which it works, if it does so along one."""
        if self._module is None or self._behaviour is None or self._behaviour.activation.kind is RANDOM:
            return None
        found: Any = getattr(self._module, "dim", None)
        return found if isinstance(found, int) else None
