"""How far a long run has come: a bar on a terminal, a plain line now and then where output is piped."""

import time
from collections.abc import Iterable
from typing import Any, Self

from rich import progress
from rich.console import Console
from rich.table import Column

PLAIN_EVERY = 20.0  # seconds between plain lines


class Progress:
    """Shows finished and running jobs on standard error; a context manager. things: what the jobs are called."""

    def __init__(self, total: int, done: int, things: str) -> None:
        self._things = things
        self._console = Console(stderr=True)
        self._total, self._done, self._failed = total, done, 0
        self._printed = time.monotonic()
        self._bar = progress.Progress(
            progress.SpinnerColumn(),
            progress.BarColumn(bar_width=20),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(compact=True),
            progress.TextColumn(
                "{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
            ),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
            expand=True,
        )
        self._task = self._bar.add_task("starting workers", total=total, completed=done)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, running: Iterable[str]) -> None:
        """These are in work now."""
        self._bar.update(self._task, description=" | ".join(running))

    def grow(self, more: int) -> None:
        """There are this many more than was known."""
        self._total += more
        self._bar.update(self._task, total=self._total)

    def skip(self, count: int) -> None:
        """So many were there already."""
        self._done += count
        self._bar.advance(self._task, count)

    def finished(self, record: dict[str, Any]) -> None:
        """One more has ended."""
        self._done += 1
        self._failed += record.get("failed", False)
        self._bar.advance(self._task)
        if not self._console.is_terminal and time.monotonic() - self._printed > PLAIN_EVERY:
            self._printed = time.monotonic()
            failed = f", {self._failed} failed" if self._failed else ""
            self._console.print(f"{self._done} of {self._total} {self._things}{failed}")
