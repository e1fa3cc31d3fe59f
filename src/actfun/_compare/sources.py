"""From what a user names to the problem that it is, in whatever process it is asked for.

What a trial knows the problem by is a text: a task's name, or a description in JSON with a digest of the data, so that
results of other data are never used again.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actfun._catalogue.registry import nearest
from actfun._compare import tasks
from actfun._compare.problem import Problem
from actfun._compare.reading import BUNDLED, ENDINGS

PIECE = 2**20


def describe(data: str, options: Mapping[str, str | None]) -> str:
    """The text for a task's name, a data set of scikit-learn, a table, a text, a folder of images or FILE.py[:NAME].

    options: of tables, as `af.compare` has them; None where one was not given. Raises ValueError for what is none of
    these, and for an option that it does not take; OSError where a file cannot be read.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if data in tasks.TASKS:
        return _only(data, data, given, ())
    file, _, name = data.partition(".py:") if ".py:" in data else (data.removesuffix(".py"), "", "")
    if data.endswith(".py") or ".py:" in data:
        path = Path(f"{file}.py")
        from actfun._compare import own

        about = {"file": str(path.resolve()), "task": name or "task", "digest": digest(path)}
        about["targets"] = own.digest_of_targets(about["file"], about["task"])
        return _only(json.dumps(about), data, given, ())
    path = Path(data)
    if is_table(data):
        if "target" not in given and data not in BUNDLED:
            raise ValueError(f"`target` is missing: which column of {data} is to be predicted?")
        about = {"table": data, "name": data, "target": "target"}
        if data not in BUNDLED:
            name = "the table" if path.name == "table.pickle" else path.name  # a frame of pandas
            about = {"table": str(path.resolve()), "name": name, "digest": digest(path)}
        return json.dumps(about | given)
    if path.is_dir():
        about = {"images": str(path.resolve()), "name": path.resolve().name, "digest": digest_of_folder(path)}
        return _only(json.dumps(about | given), data, given, ("metric",))
    if path.suffix.lower() in (".txt", ".md") or path.is_file():
        about = {"text": str(path.resolve()), "name": path.name, "digest": digest(path)}
        return _only(json.dumps(about), data, given, ())
    if path.suffix or "/" in data:
        path.open("rb").close()  # says that it is not there
    raise ValueError(f"unknown task {data!r}; {nearest(data, (*tasks.TASKS, *BUNDLED))}")


def is_table(data: str) -> bool:
    """Whether it is a table by its ending, or a data set of scikit-learn, which says its target."""
    return data in BUNDLED or is_file_of_table(data)


def is_file_of_table(data: str) -> bool:
    """Whether it is a table by its ending."""
    return Path(data).suffix.lower() in ENDINGS


def takes_element_wise(data: str) -> bool:
    """Whether its network takes element-wise activations alone: images, and models of one's own."""
    return data.endswith(".py") or ".py:" in data or (data not in tasks.TASKS and Path(data).is_dir())


def _only(text: str, data: str, given: Mapping[str, str], allowed: tuple[str, ...]) -> str:
    if odd := [name for name in given if name not in allowed]:
        raise ValueError(f"`{odd[0]}` is for tables; {data} is none")
    return text


def digest(path: Path) -> str:
    """A digest of a file."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            whole.update(piece)
    return whole.hexdigest()[:16]


def digest_of_folder(path: Path) -> str:
    """A digest of names, sizes and times of the files in a folder."""
    files = sorted(p for p in path.rglob("*") if p.is_file())
    facts = [(str(p.relative_to(path)), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=8)
def _described(text: str) -> Problem:
    asked = json.loads(text)
    if "table" in asked:
        from actfun._compare import tabular

        return tabular.problem(asked)
    if "images" in asked:
        from actfun._compare import folders

        return folders.problem(asked["images"], asked["name"], asked.get("metric"))
    if "text" in asked:
        return tasks.text_task(asked["text"], asked["name"])
    from actfun._compare import own

    return own.problem(asked["file"], asked["task"], asked["targets"])


HELD: dict[str, Problem] = {}  # of this process alone: those of objects


def problem(text: str) -> Problem:
    """The problem of a task's name, or of a description."""
    if text in HELD:
        return HELD[text]
    found: Any = _described(text) if text.startswith("{") else tasks.task(text)
    return found  # type: ignore[no-any-return]
