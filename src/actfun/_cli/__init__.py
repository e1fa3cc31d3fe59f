"""The command line. Exit codes: 0 done; 1 ran and failed; 2 wrong usage or bad input; 130 interrupted."""

import sys
from collections.abc import Sequence
from typing import Any

from typer.exceptions import TyperException

from actfun._catalogue.registry import nearest
from actfun._cli import accuracy, atlas, bench, claims, compare, conventions, listing, show, swap, watch
from actfun._cli.common import BadInputError, app
from actfun._runs.job import JobsFailedError

__all__ = [
    "COMMANDS",
    "accuracy",
    "atlas",
    "bench",
    "claims",
    "compare",
    "conventions",
    "listing",
    "main",
    "show",
    "swap",
    "watch",
]  # importing a command's module adds it to the application; torch and the like it imports when it runs

COMMANDS = tuple(command.name or command.callback.__name__ for command in app.registered_commands if command.callback)


def main(arguments: Sequence[str]) -> int:
    """Run a command; its exit code. Whatever the user got wrong becomes one line on standard error."""
    try:
        if not arguments:
            arguments = ["--help"]
        if not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
            raise BadInputError(f"unknown command {arguments[0]!r}; {nearest(arguments[0], COMMANDS)}")
        code: Any = app(
            compare.with_values(arguments) if arguments[0] == "compare" else arguments, standalone_mode=False
        )
    except TyperException as error:
        print(f"actfun: {getattr(error, 'format_message', error.__str__)()}", file=sys.stderr)
        return 2
    except BadInputError as error:
        print(f"actfun: {error}", file=sys.stderr)
        return 2
    except JobsFailedError as error:
        print(f"actfun: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        code = 130
    if code == 130 and arguments[0] != "watch":
        print("actfun: interrupted; all finished work is kept, --resume goes on", file=sys.stderr)
    return code if isinstance(code, int) else 0
