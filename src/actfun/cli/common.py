"""What the commands share: the application, input errors, words and counts."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

import typer
from rich.console import Console

from actfun.kinds import ELEMENTWISE
from actfun.registry import names, nearest

app = typer.Typer(
    name="actfun",
    help="Activation functions: compare them on real data, measure their accuracy and speed, see which there are.",
    add_completion=False,
    rich_markup_mode=None,
)


class BadInputError(Exception):
    """Something that the user wrote cannot be right; the message names it and the nearest right thing."""


@contextlib.contextmanager
def user_input() -> Iterator[None]:
    """Errors raised in here are about what the user wrote."""
    try:
        yield
    except OSError as error:
        raise BadInputError(f"cannot use {error.filename}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise BadInputError(str(error)) from error


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_count(asked: int | None) -> int:
    """The number of worker processes, one a core unless asked otherwise. Raises ValueError below 1."""
    if asked is not None and asked < 1:
        raise ValueError(f"--workers must be at least 1, got {asked}")
    return cores() if asked is None else asked


def console(piped_width: int) -> Console:
    """Where a command prints: as wide as the terminal, or `piped_width` where output is piped, unwrapped."""
    terminal = sys.stdout.isatty()
    return Console(highlight=False, soft_wrap=not terminal, width=None if terminal else piped_width)


def counted(number: int, thing: str, plural: str = "s") -> str:
    """A number and what it counts: "1 seed", "2 seeds"."""
    return f"{number} {thing}{plural if number != 1 else ''}"


def elementwise(asked: Sequence[str]) -> tuple[str, ...]:
    """The element-wise activations of these names, or all. Raises ValueError for another name."""
    known = names(ELEMENTWISE)
    for name in asked:
        if name not in known:
            raise ValueError(f"unknown element-wise activation {name!r}; {nearest(name, known)}")
    return tuple(dict.fromkeys(asked)) or known


def words(text: str) -> list[str]:
    """The parts of a list that is separated by commas."""
    return [word.strip() for word in text.split(",") if word.strip()]
