"""What `watch` sees, while it is seen: a table drawn anew in a terminal or a notebook, elsewhere a line a finding."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from rich import get_console
from rich.console import Console
from rich.live import Live

from actfun._report import watch as words
from actfun._report.tables import Section, part
from actfun._watch.history import Window
from actfun._watch.rules import Finding
from actfun._watch.watcher import Watcher

SECONDS = 0.5  # from one drawing to the next


class Lines:
    """A line for each finding as it is raised, and one at the end."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file

    def __call__(self, watcher: Watcher, window: Window, new: list[Finding]) -> None:
        for finding in new:
            self._print(f"step {window.step:,}: {finding}")

    def close(self, watcher: Watcher) -> None:
        """Say what it came to."""
        self._print(f"{words.verdict(watcher)} {words.summary(watcher)}.")

    def _print(self, text: str) -> None:
        print(f"actfun.watch: {text}", file=self._file or sys.stderr, flush=True)


class Terminal:
    """The table, drawn in one place; where another display comes, lines take over."""

    def __init__(self) -> None:
        self._console = get_console()  # that of others too, so that they are seen
        self._live: Live | None = None
        self._lines: Lines | None = None
        self._drawn = 0.0

    def __call__(self, watcher: Watcher, window: Window, new: list[Finding]) -> None:
        if self._lines is not None:
            return self._lines(watcher, window, new)
        if is_taken(self._console, self._live):
            self._stop()
            self._lines = Lines()
            return self._lines(watcher, window, new)
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        if new or time.monotonic() - self._drawn > SECONDS:
            self._draw(watcher)
        return None

    def _draw(self, watcher: Watcher) -> None:
        assert self._live is not None
        self._live.update(words.table(watcher, self._console.width), refresh=True)
        self._drawn = time.monotonic()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def close(self, watcher: Watcher) -> None:
        """Leave the last table."""
        if self._live is not None:
            self._draw(watcher)
            self._stop()
        elif self._lines is not None:
            self._lines.close(watcher)


class Notebook:
    """The table, updated in place in the output of a cell."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._drawn = 0.0

    def __call__(self, watcher: Watcher, window: Window, new: list[Finding]) -> None:
        if new or time.monotonic() - self._drawn > SECONDS:
            self.close(watcher)

    def close(self, watcher: Watcher) -> None:
        """Show the last table."""
        from IPython.display import HTML, display

        shown = HTML(page_part(watcher))  # type: ignore[no-untyped-call]
        self._drawn = time.monotonic()
        if self._handle is None:
            self._handle = display(shown, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(shown)


def page_part(watcher: Watcher) -> str:
    """The table and what stands below it, as a part of a page."""
    sentences = [words.verdict(watcher), *words.lines(watcher)]
    records = watcher.last.records if watcher.last else []
    return part("Activations", sentences, [Section(words.title(watcher), "", words.columns(records))])


def is_taken(console: Console, own: Live | None) -> bool:
    """Whether another live display writes to the terminal: one of rich, or a bar of tqdm."""
    stack = getattr(console, "_live_stack", None)  # rich 14 and newer; before it had room for one
    active = [getattr(console, "_live", None)] if stack is None else stack
    bars = getattr(getattr(sys.modules.get("tqdm"), "tqdm", None), "_instances", None)
    return bool(bars) or any(live is not None and live is not own for live in active)


Display = Lines | Terminal | Notebook


def display_for() -> Display:
    """What fits where this runs: a notebook, a terminal, or neither."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None and type(shell).__name__ == "ZMQInteractiveShell":
        return Notebook()
    return Terminal() if sys.stdout.isatty() else Lines()
