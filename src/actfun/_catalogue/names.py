"""What a name means: our own, an alias, or a framework's. Standard library only.

`conventions.csv` says who calls what by which name; aliases follow from it. A row holds the canonical name (none where
the catalogue has no such function), parameters by our names, the slopes at points where they are not ours, and what
else differs. Rows of the framework `any` are names that people use and no framework has.
"""

import ast
import csv
import difflib
import functools
import re
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actfun._catalogue import registry
from actfun._catalogue.kinds import ELEMENTWISE
from actfun._catalogue.registry import Activation, Choice, Parameter, nearest
from actfun._catalogue.sides import Sides, is_sided, named, with_sides

FRAMEWORKS = {  # other names of frameworks
    "flash_attn": "flash_attention",
    "hf": "transformers",
    "keras3": "keras",
    "liger_kernel": "liger",
    "tensorflow_addons": "tfa",
    "te": "transformer_engine",
    "tf": "tensorflow",
    "tf_keras": "keras2",
}
WRITTEN = re.compile(r"(?P<name>[^@()]+)(?P<inside>\(.*\))?(@(?P<framework>[^@()]+)(?P<last>\(.*\))?)?")
END, POINTS = 10.0, 2001  # where values are compared
SAME = 1e-6  # a difference that is one of digits


@dataclass(frozen=True)
class Meaning:
    """What a name stands for.

    canonical: our name. parameters: those that were stated, or that a framework's name brings. kinks: the slopes at
    points where they are not ours.
    """

    canonical: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    kinks: Sides = field(default_factory=dict)

    def __str__(self) -> str:
        """The name that gives just this and needs no framework, without parameters that are the usual ones."""
        inside = ", ".join(f"{name}={value!r}" for name, value in self.changed.items())
        return f"{self.activation.name}({inside})" if inside else self.activation.name

    @property
    def changed(self) -> dict[str, Any]:
        """The parameters that are not the usual ones."""
        known = registry.spec(self.canonical).parameters
        usual = {name: parameter.default for name, parameter in known.items()}
        return {name: value for name, value in self.parameters.items() if name not in usual or usual[name] != value}

    @property
    def activation(self) -> Activation:
        """With the slopes that are meant, which are not the usual ones everywhere."""
        return with_sides(registry.spec(self.canonical), self.kinks, self.parameters)

    def bound(self) -> tuple[Activation, tuple[float, ...]]:
        """The activation that its choices lead to, and the values of its parameters."""
        known = self.activation.parameters
        values = {argument: self.parameters.get(argument, p.default) for argument, p in known.items()}
        chosen = self.activation.variant({name: values[name] for name, p in known.items() if isinstance(p, Choice)})
        return chosen, tuple(values[name] for name, p in known.items() if isinstance(p, Parameter))

    def difference(self, other: "Meaning") -> float | None:
        """The largest difference of values on [-10, 10]; None where these are no functions of a number."""
        (own, numbers), (others, theirs) = self.bound(), other.bound()
        if own.kind is not ELEMENTWISE or others.kind is not ELEMENTWISE:
            return None
        if (own.formula, numbers) == (others.formula, theirs):
            return 0.0
        points = (END * (2 * k / (POINTS - 1) - 1) for k in range(POINTS))
        return max(float(abs(own.formula(x, *numbers) - others.formula(x, *theirs))) for x in points)

    def differs_from(self, other: "Meaning") -> bool:
        """Whether it gives other values: what both state, where these are no functions of a number."""
        difference = self.difference(other)
        if difference is None:
            both = self.parameters.keys() & other.parameters.keys()
            return self.canonical != other.canonical or any(self.parameters[k] != other.parameters[k] for k in both)
        return not difference <= SAME

    def slopes(self) -> dict[float, float]:
        """The slopes at the kinks, and at the other points where they are not ours."""
        activation, numbers = self.bound()
        if activation.kind is not ELEMENTWISE:
            return {}
        return {x: activation.derivatives["x"](x, *numbers) for x in sorted({*activation.kinks, *self.kinks})}


@dataclass(frozen=True)
class Convention:
    """A row of the table: what a framework means by a name."""

    canonical: str
    framework: str
    name: str
    parameters: Mapping[str, Any]
    kinks: Sides
    differs: str

    @functools.cached_property
    def key(self) -> str:
        """The name as it is compared."""
        return key_of(self.name)

    @property
    def known(self) -> bool:
        """Whether the catalogue has the function."""
        return self.canonical in registry.names()

    @property
    def meaning(self) -> Meaning:
        """What the name stands for."""
        return Meaning(self.canonical, self.parameters, self.kinks)

    @property
    def asked(self) -> str:
        """The text that asks for it."""
        return f"{self.name}@{self.framework}" if self.framework != "any" else self.name


@functools.cache
def table() -> tuple[Convention, ...]:
    """All rows."""
    with (Path(__file__).parent / "conventions.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Convention(
                row["canonical"],
                row["framework"],
                row["name"],
                _arguments(row["parameters"]),
                {float(point): value for point, value in _pairs(row["kinks"])},
                row["differs"],
            )
            for row in csv.DictReader(file)
        )


def _pairs(text: str) -> list[tuple[str, Any]]:
    parts = (part.partition("=") for part in text.split(",") if part)
    return [(point, value if value in ("left", "right") else float(value)) for point, _, value in parts]


def _arguments(text: str, of: str = "") -> dict[str, Any]:
    """Parameters that are written in parentheses. of: the activation, whose parameters may come without their names."""
    try:
        call: Any = ast.parse(f"f({text})", mode="eval").body
        given = [_literal(node) for node in call.args]
        named = {pair.arg: _literal(pair.value) for pair in call.keywords}
        if None in named:
            raise ValueError("**")
    except (AttributeError, SyntaxError, ValueError):
        raise ValueError(f"{of}({text}): write parameters as name=value, separated by commas") from None
    known = tuple(registry.spec(of).parameters) if of else ()
    if len(given) > len(known):
        raise ValueError(f"{of}({text}): {of} takes {', '.join(known) or 'no parameters'}")
    found = dict(zip(known, given, strict=False))
    if twice := found.keys() & named.keys():
        raise ValueError(f"{of}({text}): {min(twice)} is given twice")
    return found | named


def _literal(node: ast.expr) -> Any:
    if ast.unparse(node) in ("inf", "-inf", "nan"):  # as Python shows them
        return float(ast.unparse(node))
    value = node.id if isinstance(node, ast.Name) else ast.literal_eval(node)
    if not isinstance(value, bool | int | float | str):
        raise ValueError(value)
    return value


def _split(text: str) -> tuple[str, str]:
    """A name, without what stands before its last point, and what it has in parentheses."""
    head, _, inside = text.partition("(")
    return head.rpartition(".")[2].strip(), inside.rpartition(")")[0]


def key_of(text: str) -> str:
    """A name as it is compared: without prefix, capitals, underscores, hyphens, blanks and quotes."""
    name, inside = _split(text)
    return "".join(letter for letter in f"{name}({inside})" if letter not in "_- '\"").lower().removesuffix("()")


_warned: set[str] = set()


def resolve(text: str, ours_too: bool = False) -> Meaning:
    """What a name means: `name` or `name@framework`, either with parameters in parentheses.

    ours_too: whether to warn of a canonical name as well where frameworks mean something else by it. Other names that
    mean different things always warn, once in a process each.
    Raises ValueError for an unknown name or framework, or parameters that cannot be read.
    """
    found, rows = _read(text)
    if ours_too or text != found.canonical:
        _warn(text, found, rows)
    return found


def _read(text: str) -> tuple[Meaning, Sequence[Convention]]:
    """What a name means, and the rows that may mean something else by it: none if parameters settle that."""
    _check_text(text)
    if not (parts := WRITTEN.fullmatch(text.strip())):
        raise ValueError(f"{text!r} is no name; write name, name@framework, or either with (parameter=value, …)")
    name, inside = parts["name"].strip(), parts["inside"] or parts["last"] or ""
    framework = _framework(parts["framework"]) if parts["framework"] else None
    found, rows = _find(name + inside, framework, text)
    if found is not None:
        return found, rows
    found, _ = _find(name, framework, text) if inside else (None, ())
    if found is None:
        raise _unknown(text)
    given = _arguments(inside[1:-1], found.canonical)
    return Meaning(found.canonical, {**found.parameters, **given}, found.kinks), ()


def _check_text(name: object) -> None:
    if not isinstance(name, str):
        hint = "; actfun.config(module) gives what actfun.get takes" if callable(name) else ""
        raise TypeError(f"the name of an activation must be a str, got {name!r}{hint}")


def _framework(asked: str) -> str:
    """Its name in the table."""
    written = asked.strip().lower().replace("-", "_")
    known = {row.framework for row in table()} - {"any"}
    if FRAMEWORKS.get(written, written) not in known:
        raise ValueError(f"unknown framework {asked!r}; {nearest(written, tuple(sorted(known)))}")
    return FRAMEWORKS.get(written, written)


def _find(name: str, framework: str | None, text: str) -> tuple[Meaning | None, Sequence[Convention]]:
    """What a name means, and the rows that may mean something else by it."""
    key = key_of(name)
    if framework is None:
        if is_sided(name):
            activation = named(name)
            return Meaning(activation.base.name, {}, activation.sides), ()
        known = registry.names()
        ours = name if name in known else next((own for own in known if key_of(own) == key), None)
        rows = [row for row in table() if row.key == key and (row.known or not row.canonical)]
        torchs_first = sorted((row for row in rows if row.known), key=lambda row: row.framework != "torch")
        return Meaning(ours) if ours else torchs_first[0].meaning if torchs_first else None, rows
    rows = [row for row in table() if row.framework == framework]
    fits = [row for row in rows if row.key == key] or [row for row in rows if key_of(row.canonical) == key]
    exact = [row for row in fits if row.name == name] or [row for row in fits if _split(row.name) == _split(name)]
    if not fits:
        return None, ()
    row = (exact or fits)[0]
    if not row.known:
        raise ValueError(f"{text}: not in the catalogue: {row.canonical or row.differs}")
    is_bare = name == name.lower() and "." not in name  # neither a class nor a place
    return row.meaning, [other for other in fits if other.known and is_bare]


def _warn(text: str, found: Meaning, rows: Iterable[Convention]) -> None:
    """Say once which of several meanings was taken, and how to ask for the others."""
    if key_of(text) in _warned:
        return
    others: dict[str, list[str]] = {}
    for row in rows:
        if not row.known or row.meaning.differs_from(found):
            others.setdefault(str(row.meaning) if row.known else row.differs, []).append(row.asked)
    if others:
        _warned.add(key_of(text))
        rest = "; ".join(f"{what}: {', '.join(dict.fromkeys(asked))}" for what, asked in others.items())
        told = f"{text} means different things; taken as {found}. Others, and how to ask for them: {rest}"
        warnings.warn(told, UserWarning, stacklevel=_callers_level())


def _callers_level() -> int:
    """How far away the code is that called this package, so that a warning shows its line."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == registry.PACKAGE:
        frame, level = frame.f_back, level + 1
    return level


def aliases() -> dict[str, Meaning]:
    """Every name that needs no framework, canonical ones first: as it is written -> what it means."""
    found = {name: Meaning(name) for name in registry.names()}
    taken = {key_of(name) for name in found}
    for row in sorted(table(), key=lambda row: row.framework != "torch"):
        name, inside = _split(row.name)
        if row.known and not inside and row.key not in taken:
            taken.add(row.key)
            found[name] = row.meaning
    return found


def _unknown(text: str) -> ValueError:
    """The error that offers the nearest of all names and aliases, each meaning once."""
    parts = WRITTEN.fullmatch(text.strip())
    word, framework = (parts["name"], parts["framework"]) if parts else (text, None)
    known = {name.lower(): (name, str(meaning)) for name, meaning in reversed(aliases().items())}
    if framework:
        theirs = [row for row in table() if row.framework == _framework(framework) and row.known]
        known = {_split(row.name)[0].lower(): (row.asked, str(row.meaning)) for row in theirs}
    offers: dict[str, str] = {}
    for close in difflib.get_close_matches(_split(word)[0].lower(), known, n=12, cutoff=0.6):
        name, meaning = known[close]
        offers.setdefault(meaning, meaning if name == meaning else f"{meaning} ({name})")
    all_names = registry.names() if not framework else sorted({name for name, _ in known.values()})
    hint = f"did you mean {' or '.join([*offers.values()][:3])}?" if offers else f"known: {', '.join(all_names)}"
    return ValueError(f"unknown activation {text!r}; {hint}")


def spec(name: str) -> Activation:
    """The activation that a name means, whatever its parameters: `name` or `name@framework`, or an alias.

    Raises ValueError, with the nearest names, where there is none.
    """
    return registry.spec(resolve(name).canonical)


def conventions(name: str | None = None) -> list[dict[str, Any]]:
    """Who means what by a name, or by all names: one dictionary for each framework and name.

    Keys: canonical (None where the catalogue has no such function), framework, framework_name, parameters, kinks (point
    -> "left", "right" or the slope, where it is not ours), differs (what else). With a name: all that is called so, and
    all that is the same function. Raises ValueError for an unknown name.
    """
    return [
        {
            "canonical": row.canonical or None,
            "framework": row.framework,
            "framework_name": row.name,
            "parameters": dict(row.parameters),
            "kinks": write_kinks(row.kinks),
            "differs": row.differs,
        }
        for row in rows_of(name)
    ]


def rows_of(name: str | None = None) -> list[Convention]:
    """The rows of `conventions`."""
    if name is None:
        return list(table())
    _check_text(name)
    key = key_of(name)
    called = [row for row in table() if row.key == key]
    try:
        canonical = _read(name)[0].canonical
    except ValueError:
        if not called:
            raise
        return called  # functions that the catalogue does not have
    return [row for row in table() if row.key == key or row.canonical == canonical]


def by_meaning(rows: Iterable[Convention]) -> list[tuple[str, list[Convention]]]:
    """Rows that mean the same, together, each time with the name of ours that is asked for by theirs."""
    ours = {key_of(own): own for own in reversed(registry.names())}
    groups: dict[tuple[str, str], list[Convention]] = {}
    for row in rows:
        own = ours.get(row.key, row.canonical)
        groups.setdefault((own, str(row.meaning) if row.known else ""), []).append(row)
    return [(own, group) for (own, _), group in groups.items()]


def other_differences(rows: Sequence[Convention]) -> dict[str, list[str]]:
    """What else differs -> the names that ask for it."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.differs:
            found.setdefault(row.differs, []).append(row.asked)
    return found


def write_kinks(kinks: Sides) -> dict[str, str | float]:
    """As JSON has them: keys are text."""
    return {repr(point).removesuffix(".0"): side for point, side in kinks.items()}


def read_config(config: Mapping[str, Any]) -> Meaning:
    """What `actfun.config` wrote. Raises ValueError where a key is unknown or missing, TypeError for other values."""
    known = ("activation", "parameters", "kinks")
    for key in config:
        if key not in known:
            raise ValueError(f"config: unknown key {key!r}; {nearest(key, known)}")
    if "activation" not in config:
        raise ValueError("config: the key 'activation' is missing")
    for key in known[1:]:
        if not isinstance(config.get(key, {}), Mapping):
            raise TypeError(f"config: {key} must be a dictionary, got {config[key]!r}")
    named = resolve(config["activation"])
    try:
        kinks = {float(point): side for point, side in config.get("kinks", {}).items()}
    except ValueError:
        raise ValueError(f"config: kinks are at numbers, got {', '.join(map(repr, config['kinks']))}") from None
    return Meaning(named.canonical, {**named.parameters, **config.get("parameters", {})}, {**named.kinks, **kinks})
