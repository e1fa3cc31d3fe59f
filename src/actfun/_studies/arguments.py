"""The arguments that the functions share. Errors name one in backquotes, which a command makes its option."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from actfun._catalogue.kinds import Kind
from actfun._catalogue.names import Meaning, resolve
from actfun._catalogue.registry import names, nearest
from actfun._catalogue.sides import Sided
from actfun._runs.host import cores

Names = str | Iterable[str] | None


def worker_count(asked: int | None) -> int:
    """The number of worker processes, one a core unless asked otherwise. Raises ValueError below 1."""
    if asked is not None and asked < 1:
        raise ValueError(f"`workers` must be at least 1, got {asked}")
    return cores() if asked is None else asked


def folder(out: Path | str | None, resume: bool) -> Path | None:
    """The folder for results, if any. Raises ValueError where there is none to go on in."""
    if resume and out is None:
        raise ValueError("`resume` goes on with what is in a folder; name it with `out`")
    return None if out is None else Path(out)


def as_tuple(asked: Names) -> tuple[str, ...]:
    """Names, of which one may come alone."""
    return (asked,) if isinstance(asked, str) else tuple(asked or ())


def of_kinds(asked: Names, *kinds: Kind) -> tuple[str, ...]:
    """The activations of these names, at their usual parameters, or all of the kinds. Raises ValueError for others."""
    known = tuple(name for kind in kinds for name in names(kind))
    return tuple(dict.fromkeys(_usual(name, kinds, known) for name in as_tuple(asked))) or known


def _usual(name: str, kinds: Sequence[Kind], known: Sequence[str]) -> str:
    meaning = resolve(name)
    activation, numbers = meaning.bound()
    if activation.kind not in kinds:
        words = " or ".join(kind.name for kind in kinds)
        raise ValueError(f"{name} is no {words} activation; known: {', '.join(known)}")
    if isinstance(activation, Sided) or numbers != Meaning(activation.name).bound()[1]:
        raise ValueError(f"{name} is {meaning}; only {meaning.canonical} with its usual parameters is measured")
    return activation.name


def one_of(argument: str, asked: str, known: Sequence[str]) -> str:
    """What was asked for, if it is known. Raises ValueError where it is not."""
    if asked not in known:
        raise ValueError(f"`{argument}`: {asked!r} is not known; {nearest(asked, tuple(known))}")
    return asked


def command(name: str, words: Iterable[str], options: Mapping[str, object]) -> str:
    """The command that does the same as a call. options: those that are not None, False, or their defaults."""
    parts = ["actfun", name, *words]
    for option, value in options.items():
        if value is True:
            parts.append(f"--{option}")
        elif value is not None and value is not False:
            values = value if isinstance(value, list | tuple) else [value]
            parts += [f"--{option}", ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)]
    return " ".join(parts)
