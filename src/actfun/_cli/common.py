"""What the commands share: the application, input errors, words and counts."""

import contextlib
import re
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer
from rich.console import Console

if TYPE_CHECKING:
    from actfun._runs.store import Store

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
    """Errors raised in here are about what the user wrote; an argument in backquotes is the option of that name."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(f"actfun: {message}", file=sys.stderr)
            yield
    except OSError as error:
        known = error.filename is not None
        raise BadInputError(f"cannot use {error.filename}: {error.strerror}" if known else str(error)) from error
    except (ValueError, TypeError) as error:
        option = r"`([a-z]\w*)`"
        message = re.sub(option, lambda found: "--" + found[1].replace("_", "-"), str(error))
        raise BadInputError(message) from error


def console(piped_width: int) -> Console:
    """Where a command prints: as wide as the terminal, or `piped_width` where output is piped, unwrapped."""
    terminal = sys.stdout.isatty()
    return Console(highlight=False, soft_wrap=not terminal, width=None if terminal else piped_width)


def count(number: int, thing: str, plural: str = "s") -> str:
    """A number and what it counts: "1 seed", "2 seeds"."""
    return f"{number} {thing}{plural if number != 1 else ''}"


def print_folder(screen: Console, store: "Store") -> None:
    """Say where results go, and where earlier ones are."""
    if store.kept_as:
        screen.print(f"Earlier results are kept as {store.kept_as}.")
    screen.print(f"Results go to {store.folder}, each as it ends; after an interruption --resume goes on there.\n")


def words(text: str) -> list[str]:
    """The parts of a list that is separated by commas; those in parentheses are parameters'."""
    return [word.strip() for word in re.split(r",(?![^()]*\))", text) if word.strip()]
