"""`af.watch`: what activations do inside a network, while it trains."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from actfun._runs.host import machine
from actfun._watch.history import Window
from actfun._watch.rules import Finding
from actfun._watch.watcher import Watcher
from actfun._watch.writers import scalars, writer_for

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 140  # of a table, in characters, where nothing else is asked for


class Watch(Watcher):
    """What was seen of a model. Made by `actfun.watch`; what it has to say may be asked during training and after.

    `records()`, `findings()`, `diagnose()`, `coverage()` and `overhead` need PyTorch alone; `table()`, `html(path)`,
    `print` and notebooks need the extra `compare`.
    """

    def __init__(
        self, model: nn.Module, every: int | str, budget: float, live: bool | None, log: Iterable[Any]
    ) -> None:
        super().__init__(model, every, budget)
        self._asked = live
        self._display: Any = None
        self.listeners += [_listener(writer) for writer in map(writer_for, log)]

    def __enter__(self) -> Watch:
        shown = _display(self._asked) if self._asked is not False and _is_first_rank() else None
        super().__enter__()
        if shown is not None:
            self._display = shown
            self.listeners.append(shown)
        return self

    def close(self) -> None:
        """End it, or pause it, and leave the last table."""
        try:
            super().close()
        finally:
            if self._display is not None:
                self._display.close(self)
                if self._display in self.listeners:
                    self.listeners.remove(self._display)
                self._display = None

    def coverage(self, language: int = 0) -> str:
        """How many of the known nonlinearities were seen, and which were not. language: 0 is English, 1 Chinese."""
        from actfun._report.watch import coverage

        return coverage(self, language)

    def table(self, width: int = WIDTH) -> RenderableType:
        """The last window as a table, for rich to print on a terminal of that many characters."""
        from actfun._report.watch import table

        return table(self, width)

    def html(self, path: Path | str) -> None:
        """Write a page that needs no network to `path`, all or nothing, in English and Chinese."""
        from actfun._report.watch_page import write_watch

        write_watch(Path(path), self, machine(1, torch.get_num_threads()))

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=WIDTH, highlight=False)
        with console.capture() as shown:
            console.print(self.table())
        return "\n".join(line.rstrip() for line in shown.get().splitlines()).strip("\n")

    __repr__ = object.__repr__

    def _repr_html_(self) -> str:
        from actfun._report.watch_live import page_part

        return page_part(self)


def watch(
    model: nn.Module,
    every: int | str = "auto",
    budget: float = 0.03,
    live: bool | None = None,
    log: Any = (),
) -> Watch:
    """A context around training in which the activations of a model are watched: modules, functions, methods, any.

    model: any torch.nn.Module; it is not changed. Compiled, under autocast, with checkpoints, in
    DistributedDataParallel (give that module) and with FSDP too.
    every: one step in so many is watched; "auto": as seldom as the budget demands, at most one in 10 after the first.
    budget: the share of the time that watching may cost.
    live: a table that is drawn anew in a terminal or a notebook; elsewhere, and where another display runs, a line for
    each finding. None: so; False: neither; True: the table even where no terminal is.
    log: what keeps scalars, or several: a `SummaryWriter`, a run of wandb or the module, the module mlflow, a logger of
    Lightning, or a function of a dictionary and a step.

    A step is an optimizer's; all passes with gradients before it count to it, and validation does not. Without an
    optimizer every pass is one. What was compiled runs eagerly in watched steps.

    Raises TypeError for a model that is no module and a log that takes no scalars; ValueError for the rest.
    """
    several = isinstance(log, list | tuple)
    return Watch(model, every, budget, live, log if several else (log,))


def _listener(write: Callable[[dict[str, float], int], None]) -> Callable[[Watcher, Window, list[Finding]], None]:
    return lambda watcher, window, new: write(scalars(window), window.step)


def _is_first_rank() -> bool:
    return (
        not torch.distributed.is_available()
        or not torch.distributed.is_initialized()
        or torch.distributed.get_rank() == 0
    )


def _display(asked: bool | None) -> Any:
    try:
        from actfun._report import watch_live
    except ModuleNotFoundError as error:  # the table needs the extra; lines would too
        if asked:
            raise ImportError(f"watch: live=True needs {error.name}: pip install 'actfun[compare]'") from None
        return _Nothing()
    return watch_live.Terminal() if asked and not sys.stdout.isatty() else watch_live.display_for()


class _Nothing:
    """What shows nothing."""

    def __call__(self, watcher: Watcher, window: Window, new: list[Finding]) -> None:
        """Nothing."""

    def close(self, watcher: Watcher) -> None:
        """Nothing."""
