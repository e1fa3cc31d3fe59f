"""Eager calls: an activation at one size, as this library computes it, as others do, and a copy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from actfun._bench.libraries import COPY, EAGER, LIBRARIES, OURS
from actfun._bench.timing import Timing, in_turn

SIZES = (16, 4096, 65_536, 2**20, 2**24)  # the first shows what a call costs
SMALLEST = 4096  # elements from which on it is the work that is timed, and not the call alone
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Cell(Timing):
    """An activation at one size: forward, or both ways.

    spread: the standard deviation of the normal inputs. budget: the seconds to spend, beyond what a few rounds take.
    """

    kind: ClassVar[str] = "eager"

    activation: str
    dtype: str
    size: int
    backward: bool
    spread: float
    libraries: tuple[str, ...]
    budget: float

    @property
    def label(self) -> str:
        """What a reader knows it by."""
        way = "both ways" if self.backward else "forward"
        return f"{self.activation} {self.dtype} {self.size} {way}, {self.spread:g}"

    @property
    def configuration(self) -> dict[str, Any]:
        """The fields, the number of threads, and the libraries' versions."""
        return {**super().configuration, "versions": [LIBRARIES[name].version for name in self.libraries]}

    def run(self) -> dict[str, Any]:
        """Time the libraries."""
        random = torch.Generator().manual_seed(0)
        dtype = getattr(torch, self.dtype)
        x, g = (torch.randn(self.size, generator=random) for _ in range(2))
        x, incoming = (x * self.spread).to(dtype), g.to(dtype) if self.backward else None
        prepared = {name: LIBRARIES[name].prepare(self.activation, x, incoming) for name in self.libraries}
        with torch.set_grad_enabled(self.backward):
            return in_turn({name: call for name, call in prepared.items() if call is not None}, self.budget)


def cells(
    activations: Sequence[str],
    dtypes: Sequence[str],
    sizes: Sequence[int],
    spreads: Sequence[float],
    peers: Sequence[str],
    budget: float,
) -> list[Cell]:
    """All cells, one size after another, so that a run that is cut short has whole rows.

    What another spread than the first changes is the work, so it is timed beside torch alone, from `SMALLEST` on.
    """
    return [
        Cell(name, dtype, size, backward, spread, (OURS, *against, COPY), budget)
        for spread in spreads
        for dtype in dtypes
        for backward in (False, True)
        for size in sizes
        if (first := spread == spreads[0]) or size >= SMALLEST
        for against in [tuple(peer for peer in peers if first or peer == EAGER)]
        for name in activations
    ]
