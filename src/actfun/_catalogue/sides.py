"""Activations whose slope at a point is another than their own formula's. Standard library only.

Frameworks agree on where leaky_relu has its kink, and disagree on the slope there: torch takes the left one, JAX the
right one. Such an activation is the usual one with another derivative in x. Its name says what it is, so that copies in
other processes and compiled code know it: `leaky_relu__right_at_0`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from actfun._catalogue.derivation import compile_text
from actfun._catalogue.kinds import ELEMENTWISE, RANDOM
from actfun._catalogue.language import arguments_of
from actfun._catalogue.primitives import where
from actfun._catalogue.registry import Activation, Derivatives, Formula, Parameter, spec
from actfun._once import Once

Side = str | float  # "left", "right", or the slope itself
Sides = Mapping[float, Side]

SMALLEST = 2.0**-126  # the next number to 0 that no arithmetic takes for 0
NEXT = 2.0**-23  # the distance to the next float32 number, of 1
WRITTEN = {"-": "m", ".": "p", "+": ""}  # numbers within a name


@dataclass(frozen=True, eq=False, kw_only=True)
class Sided(Activation):
    """An activation with slopes of their own at some points. base: the usual one. sides: point -> Side."""

    base: Activation
    sides: Sides

    def __reduce__(self) -> tuple[Any, ...]:
        return named, (self.name,)


def with_sides(base: Activation, sides: Sides, numbers: Mapping[str, Any] | None = None) -> Activation:
    """The activation with these slopes; the usual one where they are its own.

    numbers: values of its parameters, at which slopes are compared with its own; the defaults if None.
    Raises ValueError for an activation of several inputs, TypeError or ValueError for a side that is none.
    """
    other = {float(point): _check(base, point, side) for point, side in sides.items()}
    if other and base.kind not in (ELEMENTWISE, RANDOM):
        raise ValueError(f"{base.name}: kinks are those of element-wise activations, and it is {base.kind.name}")
    given = {**{a: p.default for a, p in base.parameters.items() if isinstance(p, Parameter)}, **(numbers or {})}
    given["noise"] = 0.5  # in the middle, where it is drawn
    values = [given[argument] for argument in arguments_of(base.derivatives["x"])[1:]] if other else []

    def slope(at: float) -> float:
        return base.derivatives["x"](at, *values)  # type: ignore[no-any-return]

    other = {p: s for p, s in other.items() if slope(p) != (slope(_beside(p, s)) if isinstance(s, str) else s)}
    return named(_name(base.name, other)) if other else base


def _check(base: Activation, point: Any, side: Any) -> Side:
    if side in ("left", "right") and isinstance(side, str):
        return side
    if isinstance(side, bool) or not isinstance(side, int | float):
        raise TypeError(f"{base.name}: the slope at {point} must be 'left', 'right' or a number, got {side!r}")
    return float(side)


def _beside(point: float, side: str) -> float:
    step = abs(point) * NEXT or SMALLEST
    return point + step if side == "right" else point - step


def _name(base: str, sides: Sides) -> str:
    parts = (f"{side if isinstance(side, str) else _write(side)}_at_{_write(p)}" for p, side in sorted(sides.items()))
    return "__".join((base, *parts))


def _write(number: float) -> str:
    text = repr(number + 0.0).removesuffix(".0")
    return "".join(WRITTEN.get(letter, letter) for letter in text)


def _read(text: str) -> float:
    return float(text.replace("m", "-").replace("p", "."))


PART = re.compile(r"(left|right|m?[\dpem]+)_at_(m?[\dpem]+)")


def is_sided(name: str) -> bool:
    """Whether a name says that some slopes are not the activation's own."""
    _, *parts = name.split("__")
    return bool(parts) and all(map(PART.fullmatch, parts))


def named(name: str) -> Sided:
    """The activation of a name that `is_sided`. Raises ValueError where there is none."""
    base, *parts = name.split("__")
    found = [PART.fullmatch(part) for part in parts]
    sides = {_read(part[2]): part[1] if part[1] in ("left", "right") else _read(part[1]) for part in found if part}
    return _make(spec(base), name, tuple(sides.items()))


@Once
def _make(base: Activation, name: str, sides: tuple[tuple[float, Side], ...]) -> Sided:
    kept = {fact.name: getattr(base, fact.name) for fact in fields(Activation)}
    module = base.module + name.removeprefix(base.name)
    derivatives = Derivatives(base.formula)
    derivatives.update(base.derivatives | {"x": _slope(base.derivatives["x"], name, sides)})
    own = {"name": name, "module": module, "derivatives": derivatives, "keeps": base.kind.keeps}
    return Sided(**kept | own | {"torch": None, "torch_is_exact": False, "base": base, "sides": dict(sides)})


def _slope(own: Formula, name: str, sides: tuple[tuple[float, Side], ...]) -> Formula:
    """The formula of the slope, written as text, which some backends compile."""
    arguments = ", ".join(arguments_of(own))
    at, slope = "x", "slope"
    for point, side in sides:
        if isinstance(side, str):
            at = f"where(x >= {point}, where(x <= {point}, {_beside(point, side)!r}, {at}), {at})"
        else:
            slope = f"where(x >= {point}, where(x <= {point}, {side!r}, {slope}), {slope})"
    lines = (
        f"def {name}_dx({arguments}):",
        f"    slope = own({arguments.replace('x', at, 1)})",
        f"    return {slope}",
        "",
    )
    return compile_text(f"{name}_dx", "\n".join(lines), {"__name__": own.__module__, "own": own, "where": where})
