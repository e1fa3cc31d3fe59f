"""Counts what activations do while data passes, for those who have the data: comparisons and experiments."""

from collections.abc import Iterable
from types import TracebackType

from torch import nn

from actfun._watch.observer import Observer
from actfun._watch.tally import Shares, Tally, shares


class Meter:
    """A context in which the activations of a model, or of some modules, are counted.

    `meter[module]` has what was counted at a module, `meter.shares` that of all together. Gradients count that pass
    within or later.
    """

    def __init__(self, models: nn.Module | Iterable[nn.Module]) -> None:
        self._observer = Observer([models] if isinstance(models, nn.Module) else models)

    def __enter__(self) -> "Meter":
        self._observer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._observer.stop()

    def __getitem__(self, module: nn.Module) -> Tally:
        """What was counted at a module, of all its calls with the same number of units."""
        found, name = Tally(), self._observer.names[id(module)]
        for key, tally in self._observer.tallies.items():
            if (key.owner, key.function) == (name, ""):
                found.add(tally)
        return found

    @property
    def shares(self) -> Shares:
        """What was counted at all of them."""
        return shares(self._observer.tallies.values())

    @property
    def samples(self) -> int:
        """How many samples every activation that was called has seen."""
        return self.shares.samples
