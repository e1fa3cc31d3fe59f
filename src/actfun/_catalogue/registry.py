"""What an activation is, and the registry that all else is derived from. Standard library only."""

import difflib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib.machinery import PathFinder
from typing import Any

from actfun._catalogue.derivation import derive
from actfun._catalogue.facts import FINDABLE, find
from actfun._catalogue.kinds import ELEMENTWISE, Kind
from actfun._catalogue.language import arguments_of, trace
from actfun._catalogue.notation import latex

PACKAGE = "actfun"  # where users find activations
INFINITY = float("inf")

Formula = Callable[..., Any]


@dataclass(frozen=True)
class Parameter:
    """A number that an activation takes beside its input.

    default: the value when none is given.
    low: the smallest value that a learnable one may take in training, and that any other may have.
    learnable: whether a tensor may be given, which then receives a gradient (its derivative formula must exist).
    nonzero: whether 0 is not allowed.
    extra: whether torch's function has no such argument; it comes by keyword then, after torch's.
    least: the name of a parameter before it, than which this one may not be less.
    learned: whether the module always learns it, and takes torch.nn.PReLU's arguments (`num_parameters`, `init`, …).
    """

    default: float
    low: float = -INFINITY
    learnable: bool = False
    nonzero: bool = False
    extra: bool = False
    least: str | None = None
    learned: bool = False


@dataclass(frozen=True)
class Ignored:
    """A number that torch's call takes and that changes nothing here; it is shown in a module's repr."""

    default: float


@dataclass(frozen=True)
class Choice:
    """An argument that picks among variants of an activation: option -> the formula of another, None for its own."""

    default: str
    options: Mapping[str, Formula | None]


class Derivatives(dict[str, Formula]):
    """argument -> formula of the derivative in it, derived where nobody has written it."""

    def __init__(self, formula: Formula) -> None:
        super().__init__()
        self.formula = formula
        self.unchecked: set[str] = set()  # those that were derived, until it is known what they cost in digits

    def __missing__(self, argument: str) -> Formula:
        self[argument] = derive(self.formula, argument)
        self.unchecked.add(argument)
        return self[argument]


@dataclass(frozen=True, eq=False, kw_only=True)
class Activation:
    """An activation: its formula, and the facts that the formula alone does not tell.

    range, monotonic, convex, saturates and kinks hold at the default parameters. Those not stated are found by trying
    numbers.

    - name: canonical name, torch's where torch has the function.
    - formula: the function of x and the parameters, over `actfun.formula`.
    - derivatives: argument name -> formula of the derivative in it, with the formula's own arguments.
    - parameters: argument name -> Parameter, Choice or Ignored, in order.
    - domain: where it has values: from, to.
    - range: infimum and supremum of the values.
    - monotonic: whether it never falls. convex: whether it lies nowhere above its chords.
    - zero_centred: odd, so that inputs symmetric about 0 give outputs of mean 0.
    - saturates: the sides, "left" and "right", on which the derivative tends to 0.
    - kinks: where the derivative jumps.
    - latex: the formula for people.
    - reference: where it was introduced.
    - chinese: the summary, in Chinese.
    - used_in: who uses it: models, libraries, domains.
    - module: its class name in `actfun.nn` (and `torch.nn`).
    - inplace: whether torch's takes `inplace=`.
    - torch: name in `torch.nn.functional`, or None where torch has no such function.
    - torch_is_exact: torch's function of the name gives the same bits, gradients included, so it is what is called.
    - kind: how it takes its input.
    - keeps: what backward needs beside the parameters: what its kind says, or "output" where, for positive parameters,
      the derivative formula gives the same at the output as at the input.
    - found: the facts that nobody stated.
    - mean: of a random activation, which is x times a slope that is drawn: its parameters -> the formula of the
      activation that is its mean over the noise, and the parameters of that one.
    """

    name: str
    formula: Formula
    module: str
    monotonic: bool = False
    convex: bool = False
    latex: str = ""
    reference: str = ""
    chinese: str = ""
    used_in: str = ""
    range: tuple[float, float] = (-INFINITY, INFINITY)
    domain: tuple[float, float] = (-INFINITY, INFINITY)
    zero_centred: bool = False
    saturates: tuple[str, ...] = ()
    kinks: tuple[float, ...] = ()
    parameters: Mapping[str, Parameter | Choice | Ignored] = field(default_factory=dict)
    inplace: bool = False
    torch: str | None = None
    torch_is_exact: bool = False
    kind: Kind = ELEMENTWISE
    keeps: str = ELEMENTWISE.keeps
    found: tuple[str, ...] = ()
    mean: Callable[..., tuple[Formula, tuple[float, ...]]] | None = None
    derivatives: Derivatives

    def __reduce__(self) -> tuple[Any, ...]:
        return spec, (self.name,)  # copies and pickles are the registered one

    def _repr_html_(self) -> str | None:
        """Curve and facts, in a notebook; nothing where the packages that draw are not installed."""
        try:
            return sys.modules[PACKAGE].show(self.name)._repr_html_()  # type: ignore[no-any-return]
        except ImportError:
            return None

    @property
    def summary(self) -> str:
        """The first line of the formula's docstring."""
        return (self.formula.__doc__ or "").strip().partition("\n")[0]

    @property
    def learnable(self) -> bool:
        """Whether any parameter may be learned."""
        return any(isinstance(parameter, Parameter) and parameter.learnable for parameter in self.parameters.values())

    @property
    def learned(self) -> str | None:
        """The parameter that its module always learns, or None."""
        free = ((name, parameter) for name, parameter in self.parameters.items() if isinstance(parameter, Parameter))
        return next((name for name, parameter in free if parameter.learned), None)

    @property
    def variants(self) -> tuple["Activation", ...]:
        """The activation itself and those that its choices lead to."""
        choices = (parameter for parameter in self.parameters.values() if isinstance(parameter, Choice))
        others = (other for choice in choices for other in choice.options.values() if other is not None)
        return (self, *(_registry[other.__name__] for other in others))

    def variant(self, options: Mapping[str, str]) -> "Activation":
        """The activation that the given choices (all of them) lead to: itself, or the one that an option names."""
        variant = self
        for argument, option in options.items():
            choice = self.parameters[argument]
            assert isinstance(choice, Choice)
            if not isinstance(option, str) or option not in choice.options:
                allowed = ", ".join(repr(name) for name in choice.options)
                raise ValueError(f"{self.name}: {argument} must be one of {allowed}, got {option!r}")
            other = choice.options[option]
            variant = variant if other is None else _registry[other.__name__]
        return variant


_registry: dict[str, Activation] = {}


SETTLED = ("name", "formula", "parameters", "derivatives", "found")  # follow from the formula and its decorators
FACTS = {fact.name: fact for fact in fields(Activation) if fact.name not in SETTLED}


def activation(formula: Formula | None = None, /, **stated: Any) -> Any:
    """Register a formula as an activation; the function itself comes back, so formulas can use one another.

    stated: the facts, by the names of `Activation`'s fields, a Parameter for each further argument of the formula, and
    what else a call takes, as Choice or Ignored. Facts that are left out are found by trying numbers, the LaTeX is
    written from the formula, and the class name in `actfun.nn` is the name in CamelCase; `@activation` alone will do.
    Raises TypeError for a fact that is unknown, ValueError for a formula outside the language, an argument without a
    Parameter, or a name that is taken.
    """
    if formula is not None:
        return activation(**stated)(formula)
    parameters = {
        argument: value for argument, value in stated.items() if isinstance(value, Parameter | Choice | Ignored)
    }
    stated_facts = {name: value for name, value in stated.items() if name not in parameters}

    def register(formula: Formula) -> Formula:
        trace(formula)
        name = formula.__name__
        kind = stated.get("kind", ELEMENTWISE)
        if not isinstance(kind, Kind):
            raise TypeError(f"{name}: kind must be a Kind, such as actfun._catalogue.kinds.ELEMENTWISE, got {kind!r}")
        if unknown := stated_facts.keys() - FACTS.keys():
            raise TypeError(f"{name}: unknown fact {min(unknown)!r}; {nearest(min(unknown), tuple(FACTS))}")
        derivatives = Derivatives(formula)
        assumed = {"module": "".join(part.capitalize() for part in name.split("_")), "keeps": kind.keeps}
        given: dict[str, Any] = {"name": name, "formula": formula, "parameters": parameters, "derivatives": derivatives}
        made = Activation(**given, **(assumed | stated_facts))
        _check_arguments(made)
        _check_names(made)
        if not formula.__module__.startswith(f"{PACKAGE}."):  # which states its own, and is imported sooner
            made = replace(made, **_found(made, stated_facts))
        formula.slopes = derivatives  # type: ignore[attr-defined]  # for formulas that call this one
        _registry[name] = made
        return formula

    return register


def _found(made: Activation, stated: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of an element-wise activation that nobody stated."""
    found = {} if "latex" in stated else {"latex": latex(made.formula)}
    missing = [fact for fact in FINDABLE if fact not in stated]
    if made.kind is ELEMENTWISE and missing:
        numbers = tuple(p.default for p in made.parameters.values() if isinstance(p, Parameter))
        facts = find(made.formula, derive(made.formula, "x"), numbers)
        found |= {fact: facts[fact] for fact in missing}
    return found | {"found": tuple(found)}


# Arguments that functions and modules have themselves.
OWN = ("input", "inplace", "learnable", "num_parameters", "device", "dtype", "training", "generator", "init")


def _check_arguments(made: Activation) -> None:
    """Raise ValueError unless a formula takes what its kind says, parameters in the order in which they are stated."""
    numbers = tuple(name for name, parameter in made.parameters.items() if isinstance(parameter, Parameter))
    expected = made.kind.arguments(numbers)
    if arguments_of(made.formula) != expected:
        allowed, got = (", ".join(arguments) for arguments in (expected, arguments_of(made.formula)))
        told = f"a formula that is {made.kind.name} takes x and what has a Parameter, in that order"
        raise ValueError(f"{made.name}: {told}, ({allowed}), got ({got})")
    for name in made.parameters.keys() & {*OWN, *["dim"] * made.learnable}:
        raise ValueError(f"{made.name}: {name} is an argument that every module may have; name the parameter otherwise")


def _check_names(made: Activation) -> None:
    """Raise ValueError where the function or class would hide another one."""
    package, name = sys.modules[PACKAGE], made.name
    if not name.isidentifier():
        raise ValueError(f"{name} is no name; a formula is a function written with def")
    if name in _registry:
        if _registry[name].formula.__module__ != made.formula.__module__:
            raise ValueError(f"activation {name!r} exists already, in {_registry[name].formula.__module__}")
    elif hasattr(package, name) or PathFinder.find_spec(f"{PACKAGE}.{name}", package.__path__):
        raise ValueError(f"{name}: {PACKAGE}.{name} exists already, and is no activation; name the formula otherwise")
    for other in _registry.values():
        if other.module == made.module and other.name != name:
            raise ValueError(f"{name}: the class {made.module} is {other.name}'s; state another, with module=")


def derivative(formula: Formula, argument: str) -> Callable[[Formula], Formula]:
    """Register a function as the derivative of an activation's formula in one of its arguments.

    Raises ValueError for a function outside the language, or with other arguments than the formula's.
    """

    def register(function: Formula) -> Formula:
        trace(function)
        name, known = formula.__name__, arguments_of(formula)
        if name not in _registry:
            raise ValueError(f"{function.__name__}: {name} is no activation; its formula is to be registered first")
        if argument not in known or arguments_of(function) != known:
            raise ValueError(
                f"{function.__name__}: the derivative of {name} in one of ({', '.join(known)}) takes just these, "
                f"got one in {argument} that takes ({', '.join(arguments_of(function))})"
            )
        _registry[name].derivatives[argument] = function
        _registry[name].derivatives.unchecked.discard(argument)
        return function

    return register


def names(kind: Kind | None = None) -> tuple[str, ...]:
    """The canonical names of all activations, or of those of a kind, sorted."""
    return tuple(sorted(name for name, known in _registry.items() if kind in (None, known.kind)))


def spec(name: str) -> Activation:
    """The activation of that name.

    Raises ValueError, with the closest names, where there is none.
    """
    if not isinstance(name, str) or name not in _registry:
        raise ValueError(f"unknown activation {name!r}; {nearest(name, names())}")
    return _registry[name]


def nearest(word: str, allowed: tuple[str, ...]) -> str:
    """What to offer somebody who wrote a word that is not allowed: the closest ones, or all."""
    lowered = {name.lower(): name for name in allowed}
    close = [lowered[name] for name in difflib.get_close_matches(str(word).lower(), lowered, n=3, cutoff=0.6)]
    if close:
        return "did you mean " + " or ".join(close) + "?"
    more = f" and {len(allowed) - 99:,} more" if len(allowed) > 100 else ""
    return "known: " + ", ".join(allowed[:99] if more else allowed) + more
