"""What is counted at one activation: dead and flat by one rule for every activation, moments, gradients.

Flat: |f'(z)| below 6% of the largest |f'|, z the pre-activation; for tanh |z| > 2.08, for sigmoid |z| > 4.17. ReLU is
flat on its left half by design. Active: |f'| above 0.1% of the largest. A unit is dead where no sample makes it active.
With n samples, a unit that shows none responds to less than 3/n of the data (95%, rule of three).
"""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from actfun._watch.weights import stride

FLAT, DEAD = 0.06, 0.001
RULE_OF_THREE = 3.0
PER_OCTAVE, OCTAVES = 4, 12  # of the histogram's bins: from 2^-12 to 2^12 on either side of 0
SHOWN = 4_096  # numbers of a histogram, which has to be cheap: a sample of this size is within 1.6% everywhere


@functools.cache
def edges() -> tuple[float, ...]:
    """Where the bins of a histogram end, ascending: by size and sign, with one bin around 0."""
    sizes = [2.0 ** (k / PER_OCTAVE) for k in range(-OCTAVES * PER_OCTAVE, OCTAVES * PER_OCTAVE + 1)]
    return tuple([-size for size in reversed(sizes)] + sizes)


@functools.cache
def _ends(device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(edges(), dtype=torch.float32, device=device)


@dataclass(frozen=True)
class Shares:
    """What was counted at activations.

    dead: the share of units that are dead; None where nothing was counted.
    flat, zero: the shares of single responses that are flat, and that are exactly 0.
    mean, std: of all responses. z_std: of the pre-activations. samples: how many there were of each unit.
    """

    dead: float | None
    flat: float | None
    zero: float | None
    mean: float
    std: float
    z_std: float
    samples: int


class Tally:
    """What the responses of a layer's units come to, over any number of calls. All of it adds up: parts, ranks.

    units: of each unit how often it was active, flat and exactly 0, and the sum of its outputs: (4, units), float64.
    sums: the square of outputs, pre-activations and their square, the gradient's square, and of how many.
    bins: how many pre-activations lie between `edges`. pieces: of maxout how often each piece won, (units, pieces).
    samples: of each unit. responses: outputs. inputs: pre-activations. gradients: those counted, of so many slots.
    """

    def __init__(self, bins: bool = False) -> None:
        self.units: Tensor | None = None
        self.sums: Tensor | None = None
        self.bins: Tensor | None = None
        self.pieces: Tensor | None = None
        self.samples = self.responses = self.inputs = self.gradients = self.slots = 0
        self._counts_bins = bins
        self.closed = False  # whether what comes later belongs to another one

    def before(self, z: Tensor, slope: Tensor, top: float, dim: int, samples: int) -> None:
        """Count pre-activations and slopes. dim: of the slopes' shape, which is the outputs', that holds the units."""
        size = slope.abs()  # masks are float32, whose sums take a quarter of the time of those of bool
        size = size.to(torch.float32) if size.dtype in (torch.float16, torch.bfloat16) else size
        if self.units is None:
            self.units = torch.zeros(4, size.shape[dim], dtype=torch.float64, device=z.device)
        self.units[0] += _of_units(torch.gt(size, DEAD * top, out=torch.empty_like(size)), dim)
        self.units[1] += _of_units(torch.lt(size, FLAT * top, out=torch.empty_like(size)), dim)
        wide = z.to(torch.float32) if z.dtype in (torch.float16, torch.bfloat16) else z
        self._add_sum(1, wide.sum(dtype=torch.float64))
        self._add_sum(2, _squares(wide))
        self.samples += samples
        self.responses += size.numel()
        self.inputs += z.numel()
        if self._counts_bins:
            self.bins = _add(self.bins, _histogram(wide))

    def after(self, y: Tensor, dim: int) -> None:
        """Count outputs."""
        wide = y.to(torch.float32) if y.dtype in (torch.float16, torch.bfloat16) else y
        assert self.units is not None
        self.units[2] += _of_units(torch.eq(y, 0.0, out=torch.empty_like(wide)), dim)
        self.units[3] += _of_units(wide, dim)
        self._add_sum(0, _squares(wide))

    def gradient(self, g: Tensor, slots: int) -> None:
        """Count the gradient of pre-activations, be it a part of so many."""
        wide = g.to(torch.float32) if g.dtype in (torch.float16, torch.bfloat16) else g
        self._add_sum(3, _squares(wide))
        self.gradients += g.numel()
        self.slots += slots

    def won(self, z: Tensor) -> None:
        """Count the pieces that are largest. z: (…, units, pieces)."""
        self.pieces = _add(self.pieces, (z == z.amax(-1, keepdim=True)).flatten(0, -3).sum(0))

    def _add_sum(self, place: int, value: Tensor) -> None:
        if self.sums is None:
            self.sums = torch.zeros(4, dtype=torch.float64, device=value.device)
        self.sums[place] += value

    def add(self, other: "Tally") -> None:
        """Count what another tally has counted."""
        self.units, self.sums = _add(self.units, other.units), _add(self.sums, other.sums)
        self.bins, self.pieces = _add(self.bins, other.bins), _add(self.pieces, other.pieces)
        self.samples += other.samples
        self.responses += other.responses
        self.inputs += other.inputs
        self.gradients += other.gradients
        self.slots += other.slots

    # What it comes to. Masks are over units; each raises ValueError where no data has passed.

    def _of_units(self, row: int) -> Tensor:
        if self.units is None:
            raise ValueError("no data has passed through this activation")
        return self.units[row].cpu()

    @property
    def per_unit(self) -> int:
        """How many responses each unit gave."""
        return self.responses // max(0 if self.units is None else self.units.shape[1], 1)

    @property
    def dead(self) -> Tensor:
        """Which units are dead."""
        return self._of_units(0) == 0

    @property
    def flat(self) -> Tensor:
        """Which units are flat in every response."""
        return self._of_units(1) == self.per_unit

    @property
    def zeroed(self) -> Tensor:
        """Which units are exactly 0 in some response."""
        return self._of_units(2) > 0

    @property
    def means(self) -> Tensor:
        """The mean output of each unit, float64."""
        return self._of_units(3) / max(self.per_unit, 1)

    @property
    def winning(self) -> Tensor:
        """Which pieces of maxout are the largest in some sample: (units, pieces)."""
        if self.pieces is None:
            raise ValueError("no data has passed through a maxout here")
        return self.pieces.cpu() > 0

    @property
    def gradient_norm(self) -> float:
        """The norm of the gradients at the pre-activations, of all data together; 0 where none came."""
        return 0.0 if self.sums is None else math.sqrt(max(float(self.sums[3]), 0.0))

    @property
    def shares(self) -> Shares:
        """What was counted so far."""
        return shares([self])


def shares(tallies: Iterable[Tally]) -> Shares:
    """What was counted at several activations together."""
    seen = [tally for tally in tallies if tally.units is not None]
    units: list[Tensor] = [tally.units.cpu() for tally in seen if tally.units is not None]
    sums = sum((tally.sums.cpu() for tally in seen if tally.sums is not None), torch.zeros(4, dtype=torch.float64))
    responses, inputs = (sum(getattr(tally, key) for tally in seen) for key in ("responses", "inputs"))
    mean, std = moments(sum(float(part[3].sum()) for part in units), float(sums[0]), responses)
    _, z_std = moments(float(sums[1]), float(sums[2]), inputs)

    def of_all(row: int) -> float | None:
        return sum(float(part[row].sum()) for part in units) / responses if responses else None

    dead = sum(int((part[0] == 0).sum()) for part in units)
    return Shares(
        dead=dead / sum(part.shape[1] for part in units) if units else None,
        flat=of_all(1),
        zero=of_all(2),
        mean=mean,
        std=std,
        z_std=z_std,
        samples=min((tally.samples for tally in seen), default=0),
    )


def moments(total: float, squares: float, count: int) -> tuple[float, float]:
    """Mean and standard deviation of so many numbers, from their sum and that of their squares."""
    mean = total / max(count, 1)
    return mean, math.sqrt(max(squares / max(count, 1) - mean * mean, 0.0)) if math.isfinite(squares) else math.nan


def _add(before: Tensor | None, more: Tensor | None) -> Tensor | None:
    if before is None or more is None:
        return before if more is None else more
    return before.to(more.device) + more


def _of_units(x: Tensor, dim: int) -> Tensor:
    """The sum along all dimensions but one."""
    others = [k for k in range(x.dim()) if k != dim % x.dim()]
    return x.sum(others, dtype=torch.float64) if others else x.to(torch.float64)


def _squares(x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dtype=torch.float64)
    return norm.square()


def _histogram(z: Tensor) -> Tensor:
    """How many numbers lie below the first edge, between each two, and above the last; of a sample where z is large."""
    flat = z.flatten()
    part = flat[:: stride(len(flat), SHOWN)]
    ends = _ends(z.device)
    return torch.bincount(
        torch.bucketize(part.to(torch.float32).contiguous(), ends, right=True), minlength=len(ends) + 1
    )
