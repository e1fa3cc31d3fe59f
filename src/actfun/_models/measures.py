"""What activations do inside a network: dead and saturated, by one rule for every activation, and gradients' norms.

Saturated: |f'(z)| below 6% of the largest |f'|, z the pre-activation; for tanh |z| > 2.08, for sigmoid |z| > 4.17.
ReLU saturates on its left half by design. Dead: a unit whose |f'| stays below 0.1% of the largest on every sample seen.
With n samples, a unit that shows none responds to less than 3/n of the data (95%, rule of three).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

import torch
from torch import Tensor, nn

from actfun._catalogue.registry import Activation
from actfun._operators.behaviours.base import Behaviour, behaviour_of

SATURATED, DEAD = 0.06, 0.001


def slopes(module: nn.Module, z: Tensor) -> Tensor:
    """The derivative of an actfun module's output in its pre-activation z, for each output."""
    return _behaviour(module).slope(module, z)


def _behaviour(module: nn.Module) -> Behaviour:
    activation = getattr(module, "variant", None) or getattr(module, "activation", None)
    if not isinstance(activation, Activation):
        raise TypeError(f"expected an activation of actfun.nn, got {type(module).__name__}")
    return behaviour_of(activation)


@dataclass(frozen=True)
class Shares:
    """What was counted at activations.

    dead: the share of units that are dead.
    saturated, zero: the shares of single responses that are saturated, and that are exactly 0.
    mean, std: of all responses. z_std: of the pre-activations. samples: how many there were of each unit.
    """

    dead: float
    saturated: float
    zero: float
    mean: float
    std: float
    z_std: float
    samples: int


class _Moments:
    """Means of units, mean and deviation of all, of numbers that come in parts, summed in float64."""

    def __init__(self) -> None:
        self.count, self.squares = 0, 0.0
        self.totals = torch.zeros(0, dtype=torch.float64)  # of each unit

    def add(self, values: Tensor) -> None:
        rows = values.flatten(0, -2)
        self.count += rows.numel()
        totals = rows.sum(0, dtype=torch.float64)
        self.totals = self.totals.to(totals.device) + totals if len(self.totals) else totals
        self.squares += float(rows.double().square().sum())

    @classmethod
    def of(cls, parts: "Iterable[_Moments]") -> "_Moments":
        """Those of all units together."""
        found, whole = list(parts), cls()
        whole.count, whole.squares = sum(part.count for part in found), sum(part.squares for part in found)
        whole.totals = torch.cat([whole.totals, *(part.totals.cpu() for part in found)])
        return whole

    @property
    def total(self) -> float:
        return float(self.totals.sum())

    @property
    def means(self) -> Tensor:
        return self.totals / max(self.count / max(len(self.totals), 1), 1)

    @property
    def mean(self) -> float:
        return self.total / max(self.count, 1)

    @property
    def std(self) -> float:
        return math.sqrt(max(self.squares / max(self.count, 1) - self.mean**2, 0.0))


def _either(before: Tensor | None, now: Tensor) -> Tensor:
    return now if before is None else now | before


class _Counts:
    """What a module's responses come to so far."""

    def __init__(self) -> None:
        self.alive: Tensor | None = None  # masks over units: on some sample not dead, not saturated, exactly 0
        self.unsaturated: Tensor | None = None
        self.zeroed: Tensor | None = None
        self.winning: Tensor | None = None  # over units and their pieces: the largest on some sample
        self.samples = self.responses = self.saturated = self.zero = 0
        self.z, self.y, self.gradient = _Moments(), _Moments(), _Moments()

    def slopes(self, slope: Tensor, top: float) -> None:
        self.alive = _either(self.alive, (slope > DEAD * top).any(0))
        self.unsaturated = _either(self.unsaturated, (slope >= SATURATED * top).any(0))
        self.saturated += int((slope < SATURATED * top).sum())
        self.samples += slope.shape[0]
        self.responses += slope.numel()

    def outputs(self, y: Tensor) -> None:
        zero = y == 0.0
        self.zeroed = _either(self.zeroed, zero.flatten(0, -2).any(0))
        self.zero += int(zero.sum())
        self.y.add(y)

    def pieces(self, z: Tensor) -> None:
        self.winning = _either(self.winning, (z == z.amax(-1, keepdim=True)).flatten(0, -3).any(0))


class Meter:
    """Counts dead units, saturated and zero responses at some activation modules while data passes: a context manager.

    It measures gradients too, where they pass, also after it has been left. The last dimension of the modules' input
    (of its maximum, for maxout) holds the units; all others count as samples.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._counts = {module: _Counts() for module in modules}

    def __enter__(self) -> "Meter":
        self._hooks = [module.register_forward_pre_hook(self._before) for module in self._counts]
        self._hooks += [module.register_forward_hook(self._after) for module in self._counts]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()

    @torch.no_grad()
    def _before(self, module: nn.Module, inputs: tuple[Tensor]) -> None:  # before, for it may work in place
        behaviour, counts, z = _behaviour(module), self._counts[module], inputs[0]
        if z.requires_grad:
            # Of the tensor: a hook of the module would forbid in-place.
            z.register_hook(lambda g: counts.gradient.add(g.detach()))  # type: ignore[no-untyped-call]
        if (pieces := behaviour.pieces(module, z)) is not None:
            counts.pieces(pieces)
        counts.slopes(slopes(module, z).abs().flatten(0, -2), behaviour.largest_slope(module))
        counts.z.add(z)

    @torch.no_grad()
    def _after(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        self._counts[module].outputs(output)

    @property
    def samples(self) -> int:
        """How many samples every module has seen."""
        return min((counts.samples for counts in self._counts.values()), default=0)

    def dead(self, module: nn.Module) -> Tensor:
        """Which of a module's units are dead: a mask (units,)."""
        return ~self._seen(self._counts[module].alive)

    def saturated(self, module: nn.Module) -> Tensor:
        """Which of a module's units are saturated on every sample: a mask (units,)."""
        return ~self._seen(self._counts[module].unsaturated)

    def zeroed(self, module: nn.Module) -> Tensor:
        """Which of a module's units are exactly 0 on some sample: a mask (units,)."""
        return self._seen(self._counts[module].zeroed)

    @staticmethod
    def _seen(mask: Tensor | None) -> Tensor:
        if mask is None:
            raise ValueError("no data has passed through this module")
        return mask

    def winning(self, module: nn.Module) -> Tensor:
        """Which of a maxout module's pieces are the largest on some sample: a mask (units, pieces)."""
        return self._seen(self._counts[module].winning)

    def means(self, module: nn.Module) -> Tensor:
        """The mean of what each of a module's units gave: (units,), float64."""
        moments = self._counts[module].y
        return self._seen(moments.means if moments.count else None)

    def gradient_norm(self, module: nn.Module) -> float:
        """The norm of the gradients at a module's pre-activations, of all data together; 0 where none came."""
        return math.sqrt(self._counts[module].gradient.squares)

    def shares(self, *modules: nn.Module) -> Shares:
        """What was counted so far at some of the modules, or at all."""
        counted = [self._counts[module] for module in modules or self._counts]
        units = sum(counts.alive.numel() for counts in counted if counts.alive is not None)
        alive = sum(int(counts.alive.sum()) for counts in counted if counts.alive is not None)
        responses = max(sum(counts.responses for counts in counted), 1)
        y = _Moments.of(counts.y for counts in counted)
        return Shares(
            dead=1.0 - alive / max(units, 1),
            saturated=sum(counts.saturated for counts in counted) / responses,
            zero=sum(counts.zero for counts in counted) / responses,
            mean=y.mean,
            std=y.std,
            z_std=_Moments.of(counts.z for counts in counted).std,
            samples=min((counts.samples for counts in counted), default=0),
        )
