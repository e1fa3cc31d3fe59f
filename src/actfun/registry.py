"""What an activation is, and the registry that all else is derived from. Standard library only."""

import difflib
import dis
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

INFINITY = float("inf")

Formula = Callable[..., Any]


@dataclass(frozen=True)
class Parameter:
    """A number that an activation takes beside its input.

    default: the value when none is given.
    low: the smallest value that a learnable one may take in training.
    learnable: whether a tensor may be given, which then receives a gradient (its derivative formula must exist).
    """

    default: float
    low: float = -INFINITY
    learnable: bool = False


@dataclass(frozen=True)
class Choice:
    """An argument that picks among forms of an activation: option -> the formula of another, None for its own."""

    default: str
    options: Mapping[str, Formula | None]


@dataclass(frozen=True, eq=False, kw_only=True)
class Activation:
    """An element-wise activation: its formula, and the facts that the formula alone does not tell.

    range, monotonic, convex, saturates and kinks hold at the default parameters.

    name: canonical name, torch's where torch has the function.
    formula: the function of x and the parameters, over `actfun.primitives`.
    derivatives: argument name -> formula of the derivative in it, with the formula's own arguments.
    parameters: argument name -> Parameter or Choice, in order.
    range: infimum and supremum of the values.
    zero_centred: odd, so that inputs symmetric about 0 give outputs of mean 0.
    saturates: the sides, "left" and "right", on which the derivative tends to 0.
    kinks: where the derivative jumps.
    latex: the formula for people.
    reference: where it was introduced.
    module: its class name in `actfun.nn` (and `torch.nn`); inplace: whether torch's takes `inplace=`.
    torch: name in `torch.nn.functional`, or None where torch has no such function.
    kind: "elementwise"; "random" (its last argument is uniform noise in [0, 1)); "reduction" (folds pieces).
    """

    name: str
    formula: Formula
    range: tuple[float, float]
    monotonic: bool
    convex: bool
    latex: str
    reference: str
    module: str
    zero_centred: bool = False
    saturates: tuple[str, ...] = ()
    kinks: tuple[float, ...] = ()
    parameters: Mapping[str, Parameter | Choice] = field(default_factory=dict)
    inplace: bool = False
    torch: str | None = None
    kind: str = "elementwise"
    derivatives: dict[str, Formula] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first line of the formula's docstring."""
        return (self.formula.__doc__ or "").strip().partition("\n")[0]

    def chosen(self, options: Mapping[str, str]) -> "Activation":
        """The activation that the given choices (all of them) lead to: itself, or the one that an option names."""
        chosen = self
        for argument, option in options.items():
            choice = self.parameters[argument]
            assert isinstance(choice, Choice)
            if option not in choice.options:
                allowed = ", ".join(repr(name) for name in choice.options)
                raise ValueError(f"{self.name}: {argument} must be one of {allowed}, got {option!r}")
            other = choice.options[option]
            chosen = chosen if other is None else _registry[other.__name__]
        return chosen


_registry: dict[str, Activation] = {}


def activation(
    *,
    module: str | None = None,
    range: tuple[float, float] = (-INFINITY, INFINITY),
    kinks: tuple[float, ...] = (),
    saturates: tuple[str, ...] = (),
    zero_centred: bool = False,
    inplace: bool = False,
    torch: str | None = None,
    kind: str = "elementwise",
    monotonic: bool,
    convex: bool,
    latex: str,
    reference: str,
    **parameters: Parameter | Choice,
) -> Callable[[Formula], Formula]:
    """Register a formula as an activation; the function itself comes back, so formulas can use one another.

    The keywords are the fields of `Activation`; any other names a parameter of the activation. The class name in
    `actfun.nn` defaults to the name in CamelCase.
    """

    def register(formula: Formula) -> Formula:
        check_formula(formula)
        name = formula.__name__
        _registry[name] = Activation(
            name=name,
            formula=formula,
            module=module or "".join(part.capitalize() for part in name.split("_")),
            range=range,
            kinks=kinks,
            saturates=saturates,
            zero_centred=zero_centred,
            inplace=inplace,
            torch=torch,
            kind=kind,
            monotonic=monotonic,
            convex=convex,
            latex=latex,
            reference=reference,
            parameters=parameters,
        )
        return formula

    return register


def derivative(formula: Formula, argument: str) -> Callable[[Formula], Formula]:
    """Register a function as the derivative of an activation's formula in one of its arguments."""

    def register(function: Formula) -> Formula:
        check_formula(function)
        _registry[formula.__name__].derivatives[argument] = function
        return function

    return register


def check_formula(function: Formula) -> None:
    """Raise ValueError where a formula leaves the language that every backend understands.

    The language: assignments, + - * /, comparisons, and calls of primitives and other formulas. No branches, no loops,
    no powers; literals are floats, because numba would take an int for an integer and compute in double.
    """
    for step in dis.get_instructions(function):
        if "JUMP" in step.opname or step.opname == "FOR_ITER":
            raise ValueError(f"{function.__name__}: a formula has no branches or loops; use where(condition, x, y)")
        if step.opname == "BINARY_OP" and step.argrepr.startswith("**"):
            raise ValueError(f"{function.__name__}: a formula has no powers; multiply, or use times_exp(x, y)")
        if type(step.argval) is int and step.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
            raise ValueError(f"{function.__name__}: write the literal {step.argval} as {float(step.argval)}")


def names() -> tuple[str, ...]:
    """The canonical names of all activations, sorted."""
    return tuple(sorted(_registry))


def spec(name: str) -> Activation:
    """The activation of that name.

    Raises ValueError, with the closest names, where there is none.
    """
    if name not in _registry:
        raise ValueError(f"unknown activation {name!r}; {nearest(name, names())}")
    return _registry[name]


def nearest(word: str, allowed: tuple[str, ...]) -> str:
    """What to offer somebody who wrote a word that is not allowed: the closest ones, or all."""
    close = difflib.get_close_matches(str(word).lower(), allowed, n=3, cutoff=0.6)
    return "did you mean " + " or ".join(close) + "?" if close else "known: " + ", ".join(allowed)
