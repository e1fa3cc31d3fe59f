"""What a formula computes, in LaTeX, for formulas that nobody has written so. Standard library only."""

from collections.abc import Callable
from typing import Any

from actfun._catalogue import primitives
from actfun._catalogue.language import Node, trace

GREEK = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "rho",
    "sigma",
    "tau",
    "phi",
    "chi",
    "psi",
    "omega",
]
SUM, PRODUCT, ATOM = range(3)  # how tightly a text binds

Text = tuple[str, int]


def latex(formula: Callable[..., Any]) -> str:
    """A formula in LaTeX."""
    return _write(trace(formula))[0]


def _within(text: Text, tightness: int) -> str:
    return text[0] if text[1] >= tightness else rf"\left({text[0]}\right)"


def _write(node: Any) -> Text:
    if not isinstance(node, Node):
        return _number(node)
    if node.operation == "argument":
        return _name(node.operands[0]), ATOM
    if node.operation is primitives.where:
        return _cases(*node.operands)
    operands = [_write(operand) for operand in node.operands]
    if callable(node.operation):
        return CALLS[node.operation](*operands) if node.operation in CALLS else _call(node.operation.__name__, operands)
    return _arithmetic(node.operation, operands)


def _number(value: float) -> Text:
    text = f"{value:.10g}"
    if "e" in text:
        digits, power = text.split("e")
        text = rf"{digits} \cdot 10^{{{int(power)}}}"
    return text, SUM if value < 0.0 else PRODUCT if "cdot" in text else ATOM


def _name(name: str) -> str:
    first, _, rest = name.partition("_")
    shown = rf"\{first}" if first in GREEK else first if len(first) == 1 else rf"\mathrm{{{first}}}"
    return f"{shown}_{{{rest.replace('_', ' ')}}}" if rest else shown


def _arithmetic(operation: str, operands: list[Text]) -> Text:
    match operation, operands:
        case "negative", [x]:
            return f"-{_within(x, PRODUCT)}", SUM
        case "+", [x, y]:
            return f"{x[0]} + {_within(y, SUM if y[0][0] != '-' else PRODUCT)}", SUM
        case "-", [x, y]:
            return f"{x[0]} - {_within(y, PRODUCT)}", SUM
        case "*", [x, y]:
            return rf"{_within(x, PRODUCT)} \, {_within(y, PRODUCT)}", PRODUCT
        case "/", [x, y]:
            return rf"\frac{{{x[0]}}}{{{y[0]}}}", PRODUCT
    x, y = operands
    sign = {"<=": r"\le", ">=": r"\ge"}.get(operation, operation)
    return f"{x[0]} {sign} {y[0]}", SUM


def _cases(condition: Node, x: Any, y: Any) -> Text:
    left, right = condition.operands
    if condition.operation in "<>" and x is right and y is left:  # maximum, minimum
        name = r"\max" if condition.operation == "<" else r"\min"
        return rf"{name}\left({_write(left)[0]}, {_write(right)[0]}\right)", ATOM
    rows = rf"{_write(x)[0]} & {_write(condition)[0]} \\ {_write(y)[0]} & \text{{otherwise}}"
    return rf"\begin{{cases}} {rows} \end{{cases}}", ATOM


def _call(name: str, operands: list[Text]) -> Text:
    shown = name.replace("_", r"\_")
    return rf"\operatorname{{{shown}}}\left({', '.join(text for text, _ in operands)}\right)", ATOM


def _power(x: str, factor: Text = ("1", ATOM)) -> Text:
    power = f"e^{{{x}}}"
    return (power, PRODUCT) if factor[0] == "1" else (rf"{_within(factor, PRODUCT)} \, {power}", PRODUCT)


def _minus(x: Text) -> str:
    return f"-{_within(x, PRODUCT)}"


CUBIC = r"\sqrt{8/\pi} \left(|%s| + 0.044715 \, |%s|^3\right)"
CALLS: dict[Callable[..., Any], Callable[..., Text]] = {
    primitives.absolute: lambda x: (rf"\left|{x[0]}\right|", ATOM),
    primitives.copysign: lambda x, y: (rf"\left|{x[0]}\right| \operatorname{{sign}}\left({y[0]}\right)", PRODUCT),
    primitives.exp: lambda x: _power(x[0]),
    primitives.decay: lambda x, y: _power(_minus(x), y),
    primitives.expm1: lambda x: (f"e^{{{x[0]}}} - 1", SUM),
    primitives.sqrt: lambda x: (rf"\sqrt{{{x[0]}}}", ATOM),
    primitives.log: lambda x: (rf"\log\left({x[0]}\right)", ATOM),
    primitives.log1p: lambda x: (rf"\log\left(1 + {_within(x, SUM)}\right)", ATOM),
    primitives.sin: lambda x: (rf"\sin\left({x[0]}\right)", ATOM),
    primitives.cos: lambda x: (rf"\cos\left({x[0]}\right)", ATOM),
    primitives.tanh: lambda x: (rf"\tanh\left({x[0]}\right)", ATOM),
    primitives.ndtr_scaled: lambda x: (rf"\Phi\left({_minus(x)}\right) \, e^{{{_within(x, ATOM)}^2 / 2}}", PRODUCT),
    primitives.gaussian_decay: lambda x, y: _power(f"-{_within(x, ATOM)}^2 / 2", y),
    primitives.cubic_decay: lambda x, y: _power("-" + CUBIC % (x[0], x[0]), y),
}
