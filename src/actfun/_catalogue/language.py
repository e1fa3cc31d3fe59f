"""The language of formulas, and what a function that keeps to it computes. Standard library only.

Assignments, + - * /, the comparisons < <= > >=, and calls of primitives and of other formulas; literals are floats,
because kernels would take an int for an integer. What a formula does is seen by running it, with values that refuse all
else: that is the same for every version of Python, as its bytecode is not. Only branches and loops are looked for in
the code, before it runs.
"""

import builtins
import dis
import inspect
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, NoReturn

from actfun._catalogue import primitives

ALLOWED = "a formula has assignments, + - * /, < <= > >=, and calls of `actfun.formula` and of other formulas"
VOCABULARY = {
    name
    for name, value in vars(primitives).items()
    if isinstance(value, FunctionType) and value.__module__ == primitives.__name__ and value is not primitives.primitive
}
INSTEAD = {"max": "maximum", "min": "minimum", "abs": "absolute"}  # of Python's functions
ONE_RUN = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR  # flags of code that is not just run
ANY_NUMBER = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


class Node:
    """What a formula computes: an operation and what it is done to.

    operation: "+", "-", "*", "/", "negative", a comparison, a primitive, or "argument", whose one operand is its name.
    operands: nodes and numbers.
    """

    __slots__ = ("operands", "operation")

    def __init__(self, operation: Any, *operands: Any) -> None:
        self.operation, self.operands = operation, operands

    def __bool__(self) -> NoReturn:
        raise ValueError("a formula has no branches or loops; use where(condition, x, y)")


class Condition(Node):
    """The result of a comparison: `where` alone takes it."""


def _binary(operation: str, turned: bool = False, kind: type[Node] | None = None) -> Callable[[Any, Any], Any]:
    def apply(self: "Number", other: object) -> Node:
        check_number(other)
        return (kind or Number)(operation, *((other, self) if turned else (self, other)))

    return apply


class Number(Node):
    """What stands for a number while a formula is traced."""

    __slots__ = ()

    def _power(self, other: object) -> NoReturn:
        raise ValueError("a formula has no powers; multiply, or use exp(x)")

    def _in_place(self, other: object) -> NoReturn:
        raise ValueError("x += y would change the caller's numbers; write x = x + y")

    def _equal(self, other: object) -> NoReturn:
        raise ValueError("a formula has no == and !=; compare with < <= > >=")

    def __neg__(self) -> "Number":
        return Number("negative", self)

    __hash__ = object.__hash__
    __add__, __radd__ = _binary("+"), _binary("+", turned=True)
    __sub__, __rsub__ = _binary("-"), _binary("-", turned=True)
    __mul__, __rmul__ = _binary("*"), _binary("*", turned=True)
    __truediv__, __rtruediv__ = _binary("/"), _binary("/", turned=True)
    __lt__, __le__ = _binary("<", kind=Condition), _binary("<=", kind=Condition)
    __gt__, __ge__ = _binary(">", kind=Condition), _binary(">=", kind=Condition)
    __eq__ = __ne__ = _equal
    __pow__ = __rpow__ = _power
    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = _in_place


def check_number(value: object) -> None:
    """Raise ValueError unless a value may be calculated with."""
    if type(value) in (int, bool):
        raise ValueError(f"write the literal {value} as {float(value)}")  # type: ignore[arg-type]
    if isinstance(value, Condition):
        raise ValueError("a condition goes to where(condition, x, y), and nowhere else")
    if not isinstance(value, float | Number):
        raise ValueError(f"{value!r} is not a number; {ALLOWED}")


def trace(function: Callable[..., Any], inline: bool = False) -> "Number | float":
    """What a formula computes. Raises ValueError, which names what is wrong, where it leaves the language.

    inline: whether calls of activations are traced too, so that only primitives are called.
    """
    name = getattr(function, "__name__", repr(function))
    try:
        runnable = _check(function, (), inline)
        result = runnable(*(Number("argument", argument) for argument in arguments_of(function)))
        if result is None:
            raise ValueError("it returns nothing; a formula ends with `return` and a number")
        check_number(result)
        return result  # type: ignore[no-any-return]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    except Exception as error:
        raise ValueError(f"{name}: {error}; {ALLOWED}") from None


def arguments_of(formula: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a formula's arguments."""
    code = formula.__code__
    return code.co_varnames[: code.co_argcount]


def _check(function: Any, callers: tuple[Any, ...], inline: bool) -> Callable[..., Any]:
    """A formula that can be run with what stands for numbers; callers: those that call it; inline: as in `trace`."""
    _check_form(function)
    if function in callers:
        raise ValueError("it calls itself; a formula has no recursion")
    names = {name: _meaning(function, name, (*callers, function), inline) for name in function.__code__.co_names}
    return FunctionType(function.__code__, {"__builtins__": {}, **names}, function.__name__)


def _check_form(function: Any) -> None:
    """Raise ValueError unless this is a function with a fixed number of arguments, and runs from its top to its end."""
    if not isinstance(function, FunctionType):
        raise ValueError(f"a formula is a function written with def, got {type(function).__name__}")
    code = function.__code__
    if code.co_freevars:
        outer = ", ".join(code.co_freevars)
        raise ValueError(
            f"it takes {outer} from the function around it; a formula takes numbers from its module, or as arguments, "
            f"each with a Parameter"
        )
    if function.__defaults__ or code.co_kwonlyargcount or code.co_flags & ANY_NUMBER or not code.co_argcount:
        raise ValueError(
            "a formula takes x and its parameters by position, without defaults (those stand in Parameter), * and **"
        )
    if code.co_flags & ONE_RUN or any(isinstance(value, CodeType) for value in code.co_consts):
        raise ValueError(f"no function inside, no yield or await; {ALLOWED}")
    steps = [step.opname for step in dis.get_instructions(code)]
    if any("JUMP" in step or step == "FOR_ITER" for step in steps) or code.co_exceptiontable:
        raise ValueError("a formula has no branches or loops; use where(condition, x, y)")
    if any(step.startswith(("STORE_GLOBAL", "DELETE", "IMPORT")) for step in steps):
        raise ValueError(f"no import, global and del; {ALLOWED}")


def _meaning(function: Any, name: str, callers: tuple[Any, ...], inline: bool) -> Any:
    """What stands for a name of a formula's module: a number, a primitive, or another formula."""
    if name not in function.__globals__:
        if hasattr(builtins, name):
            instead = f"use {INSTEAD[name]}, from actfun.formula" if name in INSTEAD else ALLOWED
            raise ValueError(f"{name} is Python's own; {instead}")
        missing = "import it from actfun.formula" if name in VOCABULARY else "what a formula uses is defined before it"
        raise ValueError(f"{name} is not known in {function.__module__}; {missing}")
    value = function.__globals__[name]
    if type(value) is float:
        return value
    if type(value) is int:
        raise ValueError(f"write the constant {name} as {float(value)}")
    if not isinstance(value, FunctionType):
        raise ValueError(f"{name} is {value!r}, neither a float nor a primitive or another formula; {ALLOWED}")
    if value in primitives.CONTRACTS:
        return _opaque(value)
    try:
        checked = _check(value, callers, inline)
        return _opaque(value) if hasattr(value, "slopes") and not inline else checked
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _opaque(primitive: Callable[..., Any]) -> Callable[..., Number]:
    """What stands for a primitive, or for a formula whose derivatives are known."""
    takes = inspect.signature(primitive)

    def call(*arguments: Any, **named: Any) -> Number:
        name = primitive.__name__
        if named or len(arguments) != len(takes.parameters):
            raise ValueError(f"{name} takes {len(takes.parameters)} arguments by position: {name}{takes}")
        if primitive is primitives.where:
            if not isinstance(arguments[0], Condition):
                raise ValueError("where takes a comparison first: where(x > 0.0, x, y)")
        for argument in arguments[primitive is primitives.where :]:
            check_number(argument)
        return Number(primitive, *arguments)

    return call
