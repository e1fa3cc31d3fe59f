"""A digest of the code that decides a result, so that results of other code are never used again."""

import functools
import hashlib
from importlib.metadata import version
from pathlib import Path

from actfun._backends.lowering import fingerprint
from actfun._catalogue.registry import Activation

PACKAGE = Path(__file__).parents[1]
STUDIES = ("_accuracy", "_bench", "_claims", "_compare")  # a study's code decides its own results
RUNNING = (
    "_studies",
    "_cli",
    "_report",
    "_runs",
    "__main__.py",
    "callbacks.py",
)  # these run jobs and show records, and decide none
SUFFIXES = (".py", ".toml", ".json", ".csv")


@functools.cache
def code(studies: tuple[str, ...], package: Path = PACKAGE) -> str:
    """The digest of the code that decides the results of some studies: theirs, that of no study, and torch's version.

    studies: those of `STUDIES` that take part. Cached: a process has one code, whatever becomes of its files.
    """
    left_out = {*STUDIES, *RUNNING} - {*studies}
    whole = hashlib.sha256(version("torch").encode())
    for path in sorted(package.rglob("*")):
        place = path.relative_to(package)
        if path.suffix in SUFFIXES and place.parts[0] not in left_out:
            contents = path.read_bytes()
            whole.update(f"{place.as_posix()} {len(contents)} ".encode() + contents)
    return whole.hexdigest()


def own_code(activation: Activation) -> str | None:
    """What a user's own activation computes, as text that changes with it; None for one of this package."""
    if activation.formula.__module__.startswith("actfun."):
        return None
    return repr([fingerprint(formula) for formula in (activation.formula, *activation.derivatives.values())])
