"""A user's own Python file: what it defines, and what is said where it raises."""

import runpy
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from actfun._catalogue.registry import nearest

T = TypeVar("T")


def names_of(file: Path | str) -> dict[str, Any]:
    """What a file defines. What stands beside it can be imported, as if the file was run.

    Raises OSError where it cannot be read; ValueError with its own line where it raises.
    """
    path = Path(file)
    path.open("rb").close()
    if (folder := str(path.resolve().parent)) not in sys.path:
        sys.path.insert(0, folder)
    return told(path, lambda: runpy.run_path(str(path)))


def named_in(file: Path | str, name: str) -> Any:
    """What a file calls `name`. Raises as `names_of` does, and ValueError where there is nothing of that name."""
    known = names_of(file)
    if name not in known:
        own = tuple(key for key in known if not key.startswith("_"))
        raise ValueError(f"{file} has no {name}; {nearest(name, own) if own else 'it defines nothing'}")
    return known[name]


def told(file: Path, work: Callable[[], T]) -> T:
    """What `work` gives; where a user's file raises in it, ValueError that says in which line of it."""
    try:
        return work()
    except SyntaxError as error:
        raise ValueError(f"{file}, line {error.lineno}: {error.msg}: {(error.text or '').strip()}") from error
    except Exception as error:
        own = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == file.resolve()]
        at = f", line {own[-1].lineno}: {own[-1].line}" if own else ""
        raise ValueError(f"{file}{at}: {type(error).__name__}: {error}") from error
