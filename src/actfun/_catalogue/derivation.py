"""Derivatives that follow from formulas, as formulas of their own. Standard library only.

A formula is traced, differentiated by the rules of calculus, and written as a function again. What that costs in digits
is for `actfun._backends.derivation` to see.
"""

import itertools
import linecache
import math
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from actfun._catalogue import primitives
from actfun._catalogue.language import Condition, Node, Number, arguments_of, trace

Value = Number | float
_count = itertools.count()


def derive(formula: Callable[..., Any], argument: str) -> FunctionType:
    """The derivative of a formula in one of its arguments, as a formula of the same arguments."""
    return write(f"{formula.__name__}_d{argument}", formula, differentiate(trace(formula), argument))


def _is(x: Value, number: float) -> bool:
    return isinstance(x, float) and x == number


def _is_negative(x: Value) -> bool:
    return isinstance(x, Number) and x.operation == "negative"


def add(x: Value, y: Value) -> Value:
    """x + y; this and the next leave out what a 0 or 1 makes unnecessary."""
    if _is(x, 0.0):
        return y
    return x if _is(y, 0.0) else x - y.operands[0] if _is_negative(y) else x + y  # type: ignore[union-attr]


def subtract(x: Value, y: Value) -> Value:
    """x - y."""
    if _is(y, 0.0):
        return x
    return negative(y) if _is(x, 0.0) else x + y.operands[0] if _is_negative(y) else x - y  # type: ignore[union-attr]


def negative(x: Value) -> Value:
    """-x."""
    return x.operands[0] if _is_negative(x) else -x  # type: ignore[union-attr]


def multiply(x: Value, y: Value) -> Value:
    """x·y."""
    for one, other in ((x, y), (y, x)):
        if _is(one, 0.0):
            return 0.0
        if _is(one, 1.0):
            return other
        if _is(one, -1.0):
            return negative(other)
    return x * y


def divide(x: Value, y: Value) -> Value:
    """x/y."""
    return x if _is(x, 0.0) or _is(y, 1.0) else x / y


def choose(condition: Condition, x: Value, y: Value) -> Value:
    """x where the condition holds, else y."""
    same = x is y or (isinstance(x, float) and _is(y, x))
    return x if same else Number(primitives.where, condition, x, y)


def call(primitive: Callable[..., Any], *operands: Value) -> Number:
    """A primitive of operands."""
    return Number(primitive, *operands)


def _sign(x: Value) -> Value:
    return choose(Condition(">=", x, 0.0), 1.0, -1.0)


def _tanh(y: Value, x: Value) -> Value:
    e = call(primitives.decay, multiply(2.0, call(primitives.absolute, x)), 4.0)
    c = add(1.0, multiply(0.25, e))
    return divide(e, multiply(c, c))


def _rate(primitive: Callable[..., Any], x: Value) -> Value:
    """What -log of a decay grows by with x."""
    if primitive is primitives.decay:
        return 1.0
    if primitive is primitives.gaussian_decay:
        return x
    return multiply(_sign(x), add(primitives.LINEAR, multiply(3.0 * primitives.CUBIC, multiply(x, x))))


DECAYS = (primitives.decay, primitives.gaussian_decay, primitives.cubic_decay)  # of x, times a factor

# primitive -> for each operand, of the result and the operands: the derivative.
SLOPES: dict[Callable[..., Any], tuple[Callable[..., Value], ...]] = {
    primitives.absolute: (lambda y, x: _sign(x),),
    primitives.copysign: (lambda y, x, z: multiply(_sign(x), _sign(z)), lambda y, x, z: 0.0),
    primitives.exp: (lambda y, x: y,),
    primitives.expm1: (lambda y, x: call(primitives.decay, call(primitives.maximum, negative(x), 0.0), 1.0),),
    primitives.sqrt: (lambda y, x: divide(0.5, y),),
    primitives.log: (lambda y, x: divide(1.0, x),),
    primitives.sin: (lambda y, x: call(primitives.cos, x),),
    primitives.cos: (lambda y, x: negative(call(primitives.sin, x)),),
    primitives.erf: (
        lambda y, x: call(primitives.gaussian_decay, multiply(primitives.SQRT2, x), primitives.ERF_SLOPE),
    ),
    primitives.log1p: (lambda y, x: divide(1.0, add(1.0, x)),),
    primitives.tanh: (_tanh,),
    primitives.ndtr_scaled: (lambda y, x: subtract(multiply(x, y), primitives.DENSITY),),
}


def differentiate(value: Value, argument: str) -> Value:
    """The derivative of a value in one of the arguments that it depends on."""
    done: dict[int, Value] = {}

    def slope(node: Value) -> Value:
        if isinstance(node, float):
            return 0.0
        if id(node) not in done:
            done[id(node)] = _slope(node, slope, argument)
        return done[id(node)]

    return slope(value)


def _slope(node: Number, slope: Callable[[Value], Value], argument: str) -> Value:
    operation, operands = node.operation, node.operands
    if operation == "argument":
        return 1.0 if operands[0] == argument else 0.0
    if operation is primitives.where:
        return choose(operands[0], *map(slope, operands[1:]))
    slopes = [slope(operand) for operand in operands]
    if operation in DECAYS:  # one decay of a sum, not a sum of decays, which may cancel
        x, factor = operands
        grown = subtract(slopes[1], multiply(multiply(factor, _rate(operation, x)), slopes[0]))
        return grown if _is(grown, 0.0) else call(operation, x, grown)
    match operation:
        case "negative":
            return negative(slopes[0])
        case "+":
            return add(*slopes)
        case "-":
            return subtract(*slopes)
        case "*":
            x, y = operands
            if x is y:
                return multiply(multiply(2.0, x), slopes[0])
            return add(multiply(slopes[0], y), multiply(x, slopes[1]))
        case "/":
            return divide(subtract(slopes[0], multiply(node, slopes[1])), operands[1])
    total: Value = 0.0
    for k, inner in enumerate(slopes):
        if not _is(inner, 0.0):
            total = add(total, multiply(_outer(operation, k)(node, *operands), inner))
    return total


def _outer(operation: Any, k: int) -> Callable[..., Value]:
    """Of the result and the operands of a function: the derivative in the k-th operand."""
    if operation in SLOPES:
        return SLOPES[operation][k]
    known = operation.slopes[arguments_of(operation)[k]]
    return lambda y, *operands: call(known, *operands)


def write(name: str, formula: Callable[..., Any], value: Value) -> FunctionType:
    """A value as a function with a formula's arguments, which has a source for compilers that read one."""
    lines, result, functions = assignments(value, arguments_of(formula))
    body = textwrap.indent("\n".join([*lines, f"return {result}"]), "    ")
    text = f"def {name}({', '.join(arguments_of(formula))}):\n{body}\n"
    unwritten = {"inf": math.inf, "nan": math.nan}  # numbers that have no literal
    return compile_text(name, text, {**functions, **unwritten, "__name__": formula.__module__})


def compile_text(name: str, text: str, names: dict[str, Any]) -> FunctionType:
    """A function from its text, which those that ask for its source get; names: its globals."""
    file = f"<{name}, written, {next(_count)}>"
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    exec(compile(text, file, "exec"), names)
    return names[name]  # type: ignore[no-any-return]


def assignments(value: Value, taken: Sequence[str]) -> tuple[list[str], str, dict[str, Any]]:
    """What is used more than once, assigned, then the expression of the value, and the functions called, by name.

    taken: names of arguments, which nothing else may have.
    But for what begins and ends a statement, JavaScript has the same words for it.
    """
    numbers: dict[Any, int] = {}  # an operation and the numbers of its operands -> its own
    nodes: list[tuple[Any, tuple[int, ...]]] = []
    seen: dict[int, int] = {}

    def number(node: Any) -> int:
        if id(node) in seen:
            return seen[id(node)]
        leaf = not isinstance(node, Node) or node.operation == "argument"
        operands = () if leaf else tuple(map(number, node.operands))
        operation = (node.operands[0] if isinstance(node, Node) else repr(node)) if leaf else node.operation
        key = operation, *operands
        if key not in numbers:
            numbers[key] = len(nodes)
            nodes.append((operation, operands))
        if isinstance(node, Node):
            seen[id(node)] = numbers[key]
        return numbers[key]

    last = number(value)
    uses = Counter(operand for _, operands in nodes for operand in operands)
    functions: dict[str, Any] = {}
    texts: list[str] = []
    lines: list[str] = []
    free = (name for name in map("t{}".format, itertools.count()) if name not in taken)
    for place, (operation, operands) in enumerate(nodes):
        given = [texts[k] for k in operands]
        text = _call(operation, given, functions, taken) if callable(operation) else _arithmetic(operation, given)
        if operands and operation not in COMPARISONS and uses[place] > 1:
            name = next(free)
            lines.append(f"{name} = {_bare(text)}")
            text = name
        texts.append(text)
    return lines, _bare(texts[last]), functions


COMPARISONS = ("<", "<=", ">", ">=")


def _bare(text: str) -> str:
    return text[1:-1] if text.startswith("(") else text


def _arithmetic(operation: str, operands: list[str]) -> str:
    if len(operands) < 2:
        return f"(-{operands[0]})" if operands else operation
    return f"({operands[0]} {operation} {operands[1]})"


def _call(function: Callable[..., Any], operands: list[str], functions: dict[str, Any], taken: Sequence[str]) -> str:
    """A call, of a function that is put under a name of its own among those called."""
    name = function.__name__
    while name in taken or functions.setdefault(name, function) is not function:
        name += "_"  # the activation tanh beside the primitive
    return f"{name}({', '.join(map(_bare, operands))})"
