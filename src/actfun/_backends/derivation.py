"""What a derived derivative costs in digits, and a better one where the rules of calculus alone lose some.

The rules give x/(1 + |x|) the slope (1 - |x|/(1 + |x|))/(1 + |x|), which cancels far from 0. On each side of every
condition a formula is a rational function of x and of what it calls; there SymPy finds 1/(1 + |x|)².
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

import mpmath
import torch

from actfun._backends.mpmath import lower
from actfun._backends.torch import evaluate
from actfun._catalogue import primitives
from actfun._catalogue.derivation import add, choose, differentiate, divide, multiply, write
from actfun._catalogue.language import Condition, Node, Number, arguments_of, trace
from actfun._catalogue.registry import Activation, Parameter

DEEPEST = 6  # conditions within conditions
RIGHT = 2.0**-40  # relative error of digits that are lost
SIZES = [10.0 ** (k / 4.0) for k in range(-48, 49)]
POINTS = sorted([0.0, *SIZES, *(-x for x in SIZES), *(0.37 * k + 0.11 for k in range(-40, 41))])


def settle(activation: Activation, argument: str) -> None:
    """Choose the derivative of a user's activation in an argument, which is derived, and warn of digits it loses."""
    formula = activation.formula
    numbers = tuple(p.default for p in activation.parameters.values() if isinstance(p, Parameter))
    place = arguments_of(formula).index(argument)
    slopes = [(x, slope) for x in POINTS if (slope := _slope(formula, place, x, numbers)) is not None]
    plain = activation.derivatives[argument]
    worst = _worst(plain, slopes, numbers)
    if worst[0] > RIGHT and (better := _rational(formula, argument)) is not None:
        other = _worst(better, slopes, numbers)
        if other[0] < worst[0]:
            activation.derivatives[argument], worst = better, other
    values = [(x, _value(formula, x, numbers)) for x in POINTS]
    for what, (error, x) in (("value", _worst(formula, values, numbers)), (f"derivative in {argument}", worst)):
        if error > RIGHT:
            digits = max(0, math.floor(-math.log10(error)))
            write_it = f'write it under @derivative({activation.name}, "{argument}")'
            advice = "write it without a difference that cancels" if what == "value" else write_it
            warnings.warn(
                f"{activation.name}: of its {what}, {digits} of 16 digits are right at x = {x:.6g}; {advice}",
                stacklevel=2,
            )


def _value(formula: Callable[..., Any], x: float, numbers: tuple[float, ...]) -> Any:
    with mpmath.workdps(50):
        try:
            return lower(formula)(mpmath.mpf(x), *map(mpmath.mpf, numbers))
        except (ZeroDivisionError, ValueError):
            return mpmath.nan


def _slope(formula: Callable[..., Any], place: int, x: float, numbers: tuple[float, ...]) -> Any:
    """The slope at x in 30 digits, or None beside a kink, where those of both sides differ."""
    with mpmath.workdps(80):
        at, h = [mpmath.mpf(x), *map(mpmath.mpf, numbers)], mpmath.mpf(10) ** -30 * max(abs(x), 1e-12)

        def value(step: Any) -> Any:
            return lower(formula)(*at[:place], at[place] + step, *at[place + 1 :])

        try:
            left, middle, right = value(-h), value(0), value(h)
        except (ZeroDivisionError, ValueError):
            return None
        before, after = (middle - left) / h, (right - middle) / h
        close = abs(before - after) <= mpmath.mpf(10) ** -20 * (abs(before) + abs(after))
        return (before + after) / 2 if close else None


def _worst(
    formula: Callable[..., Any], exact: list[tuple[float, Any]], numbers: tuple[float, ...]
) -> tuple[float, float]:
    """The largest relative error in float64, and where; not beside roots and among subnormal numbers."""
    x = torch.tensor([at for at, _ in exact], dtype=torch.float64)
    found = (0.0, 0.0)
    for k, got in enumerate(evaluate(formula, x, *numbers).tolist()):
        at, true = exact[k]
        beside = [value for _, value in exact[max(k - 1, 0) : k + 2]]
        if math.isnan(got) and not mpmath.isnan(true):
            found = max(found, (1.0, at))
        elif 1e-280 < abs(true) < 1e280 and min(beside) * max(beside) > 0:
            found = max(found, (min(float(abs(got - true) / abs(true)), 1.0), at))
    return found


# What follows is of the form (condition, where it holds, where not), or a number without conditions.


def _rational(formula: Callable[..., Any], argument: str) -> Any:
    """The derivative, simplified on each side of every condition; None where there are too many."""
    try:
        return write(f"{formula.__name__}_d{argument}", formula, _by_sides(trace(formula), argument, 0))
    except RecursionError:
        return None


def _by_sides(value: Any, argument: str, depth: int) -> Any:
    condition = _condition(value)
    if condition is None:
        return _simplify(value, argument)
    if depth == DEEPEST:
        raise RecursionError
    upper, lower_side = (_by_sides(_take(value, condition, holds), argument, depth + 1) for holds in (True, False))
    x, limit = condition.operands
    if isinstance(x, Number) and x.operation == "argument" and isinstance(limit, float):
        # Both sides are computed: a pole of one, on the other, would make NaN of gradients of gradients.
        if condition.operation in ("<", "<="):
            upper, lower_side = lower_side, upper
        upper = _replace(upper, x, choose(Condition("<", x, limit), limit, x))
        lower_side = _replace(lower_side, x, choose(Condition(">", x, limit), limit, x))
        if condition.operation in ("<", "<="):
            upper, lower_side = lower_side, upper
    return choose(condition, upper, lower_side)


def _replace(node: Any, x: Number, other: Any) -> Any:
    """A value with another one in the place of an argument."""
    if not isinstance(node, Node):
        return node
    if node.operation == "argument":
        return other if node.operands == x.operands else node
    return type(node)(node.operation, *(_replace(operand, x, other) for operand in node.operands))


def _condition(node: Any) -> Condition | None:
    """A condition of a value whose own operands have none."""
    if not isinstance(node, Node) or node.operation == "argument":
        return None
    for operand in node.operands:
        if (inner := _condition(operand)) is not None:
            return inner
    if node.operation is primitives.where:
        return node.operands[0]
    if node.operation in (primitives.absolute, primitives.copysign):
        return Condition(">=", node.operands[-1], 0.0)
    return None


def _key(node: Any) -> Any:
    return (node.operation, *map(_key, node.operands)) if isinstance(node, Node) else node


def _take(node: Any, condition: Condition, holds: bool) -> Any:
    """A value where a condition holds, or where it does not."""
    if not isinstance(node, Node) or node.operation == "argument":
        return node
    operands = [_take(operand, condition, holds) for operand in node.operands]
    if node.operation is primitives.where and _key(node.operands[0]) == _key(condition):
        return operands[1] if holds else operands[2]
    if node.operation in (primitives.absolute, primitives.copysign):
        if _key(Condition(">=", operands[-1], 0.0)) == _key(condition):
            size = operands[0] if node.operation is primitives.absolute else Number(primitives.absolute, operands[0])
            return size if holds else -size
    return type(node)(node.operation, *operands)


def _simplify(value: Any, argument: str) -> Any:
    """The derivative of a value without conditions: a rational function of arguments and calls, factored."""
    import sympy  # type: ignore[import-untyped]  # half a second, which most formulas do without

    calls: dict[Any, tuple[Any, Any]] = {}  # what is no arithmetic -> its symbol, itself

    def to_sympy(node: Any) -> Any:
        if not isinstance(node, Node):
            return sympy.Rational(repr(float(node)))
        if isinstance(node.operation, str) and node.operation != "argument":
            x, *others = map(to_sympy, node.operands)
            match node.operation:
                case "negative":
                    return -x
                case "+":
                    return x + others[0]
                case "-":
                    return x - others[0]
                case "*":
                    return x * others[0]
            return x / others[0]
        key = _key(node)
        if key not in calls:
            calls[key] = sympy.Symbol(f"s{len(calls)}"), node
        return calls[key][0]

    def from_sympy(expression: Any) -> Any:
        if expression.is_Symbol:
            return known[expression]
        if expression.is_Rational:
            return float(expression)
        if expression.is_Pow and expression.exp.is_Integer:
            base, power = from_sympy(expression.base), int(expression.exp)
            total: Any = 1.0
            for _ in range(abs(power)):
                total = multiply(total, base)
            return total if power > 0 else divide(1.0, total)
        if expression.is_Mul:
            above, below = expression.as_numer_denom()
            if below != 1:
                return divide(from_sympy(above), from_sympy(below))
            total = 1.0
            for factor in expression.args:
                total = multiply(total, from_sympy(factor))
            return total
        total = 0.0
        for term in expression.args:
            total = add(total, from_sympy(term))
        return total

    slope = differentiate(value, argument)
    if _condition(slope) is not None:  # its own, as the derivative of cubic_decay has
        return slope
    simplified = sympy.factor(sympy.together(to_sympy(slope)))
    known = dict(calls.values())
    return from_sympy(simplified)
