"""How far an optimizer's step moves weights, beside their size."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOST = 65_536  # numbers of a matrix that are looked at: a sample of this size is within 1% of the whole

Weight = tuple[nn.Module, str]


class Updates:
    """The relative change |Δw|/|w| of weights by optimizer steps, 0 for those that no optimizer moved."""

    def __init__(self) -> None:
        self._before: dict[tuple[int, str], tuple[Weight, Tensor]] = {}
        self._squares: dict[tuple[int, str], tuple[Tensor, Tensor]] = {}

    def before(self, weights: Iterable[Weight], moved: set[int]) -> None:
        """Keep weights as they are. moved: ids of the parameters that the step may change."""
        self._before.clear()
        for module, name in weights:
            parameter = getattr(module, name, None)
            if isinstance(parameter, Tensor) and id(parameter) in moved and parameter.is_floating_point():
                self._before[_key(module, name)] = (module, name), sample(parameter).clone()

    def after(self) -> None:
        """Compare with what was kept."""
        for key, ((module, name), before) in self._before.items():
            now = sample(getattr(module, name))
            if now.shape == before.shape:
                change = torch.linalg.vector_norm(now - before, dtype=torch.float64).square()
                self._squares[key] = change, torch.linalg.vector_norm(before, dtype=torch.float64).square()
        self._before.clear()

    def clear(self) -> None:
        """Forget what was seen."""
        self._squares.clear()

    def of(self, weight: Weight | None) -> tuple[Tensor, Tensor] | None:
        """The squares of a weight's change and of its size; None where no step was seen."""
        return None if weight is None else self._squares.get(_key(*weight))


def _key(module: nn.Module, name: str) -> tuple[int, str]:
    return id(module), name


def sample(parameter: Any) -> Tensor:
    """Some numbers of a parameter, evenly spread; of one that is spread over ranks, of this rank's part."""
    part = parameter.detach()
    part = part.to_local() if hasattr(part, "to_local") else part
    flat: Tensor = part.reshape(-1)
    return flat[:: stride(len(flat), MOST)]


def stride(count: int, most: int) -> int:
    """A step that takes about `most` of so many numbers, and falls in with no dimension of what they are part of."""
    step = max(-(-count // most), 1)
    while math.gcd(step, count) > 1:
        step += 1
    return step
