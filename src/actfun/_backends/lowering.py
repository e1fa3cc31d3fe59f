"""One formula, many backends: the lowering that they share.

A lowered formula is a copy of the function whose names resolve to a backend's own primitives. Formulas and derived
primitives that it calls are lowered with it. Each backend is one module, imported at first use.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from types import FunctionType
from typing import Any


def _same(value: Any) -> Any:
    return value


class Lowering:
    """How to lower formulas to one backend; calling it lowers one, and remembers the result.

    native: primitive -> the backend's own version.
    derived: primitive -> a formula over simpler primitives, where the backend has no version of its own.
    compile: what turns a copied function into one of the backend.
    constant: what turns a module-level number into one of the backend; literal: the same for numbers in the code.
    extra: further globals that the backend's compiler wants to find.
    """

    def __init__(
        self,
        native: Mapping[Any, Any],
        derived: Mapping[Any, Any] | None = None,
        compile: Callable[[FunctionType], Any] = _same,
        constant: Callable[[float], Any] = _same,
        literal: Callable[[float], Any] = _same,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self._derived = derived or {}
        self._compile = compile
        self._constant = constant
        self._literal = literal
        self._extra = extra or {}
        self._done: dict[Any, Any] = dict(native)

    def __call__(self, formula: Callable[..., Any]) -> Any:
        if formula not in self._done:
            self._done[formula] = self._lower(self._derived.get(formula, formula))
        return self._done[formula]

    def _lower(self, formula: Any) -> Any:
        code = formula.__code__
        names: dict[str, Any] = {"__name__": formula.__module__, "__builtins__": __builtins__, **self._extra}
        for name, value in _globals_of(formula):
            names[name] = self(value) if isinstance(value, FunctionType) else self._constant(value)
        literals = tuple(self._literal(c) if isinstance(c, float) else c for c in code.co_consts)
        copy = FunctionType(code.replace(co_consts=literals), names, formula.__name__)
        copy.__module__ = formula.__module__
        return self._compile(copy)


def _globals_of(formula: Any) -> Iterator[tuple[str, Any]]:
    """The functions and numbers that a formula's names stand for."""
    for name in formula.__code__.co_names:
        if (value := formula.__globals__.get(name)) is not None:
            yield name, value


def uses(formula: Callable[..., Any], primitives: Container[Callable[..., Any]]) -> bool:
    """Whether a formula, or one that it calls, calls one of some primitives."""
    called = [
        v for _, v in _globals_of(formula) if isinstance(v, FunctionType) and v is not formula
    ]  # math.copysign's name
    return formula in primitives or any(uses(value, primitives) for value in called)


def fingerprint(formula: Callable[..., Any]) -> str:
    """What tells a formula, with all that it calls, from others: its code and the numbers that it names."""
    code, called = formula.__code__, []
    for name, value in _globals_of(formula):
        deeper = isinstance(value, FunctionType) and value is not formula
        called.append(
            f"{name}: {fingerprint(value) if deeper else value!r}"
            if not isinstance(value, FunctionType) or deeper
            else name
        )
    return repr((formula.__name__, code.co_code, code.co_consts, code.co_names, code.co_varnames, called))
