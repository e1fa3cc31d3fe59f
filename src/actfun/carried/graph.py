"""Float32 arithmetic as a graph: what a formula does to one element, each node an operation of one rounding.

Equal nodes are one, constants are folded, and adding a constant 0 adds no node. A graph is computed over NumPy arrays
here, and emitted as machine code by a backend.
"""

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy


def _power(m: Any) -> Any:
    return (m.view(numpy.int32) << numpy.int32(23)).view(numpy.float32)


def _fma(x: Any, y: Any, z: Any) -> Any:
    wide = numpy.float64
    return (x.astype(wide) * y.astype(wide) + z).astype(numpy.float32)  # off from one rounding in some 2⁻²⁹ of cases


def _lookup(index: Any, *entries: Any) -> Any:
    return numpy.array(entries, numpy.float32)[index.view(numpy.int32) % len(entries)]


OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": numpy.add,
    "sub": numpy.subtract,
    "mul": numpy.multiply,
    "div": numpy.divide,
    "fma": _fma,
    "neg": numpy.negative,
    "abs": numpy.abs,
    "copysign": numpy.copysign,
    "power": _power,
    "select": numpy.where,
    "rarely": numpy.where,
    "lookup": _lookup,
    "<": numpy.less,
    "<=": numpy.less_equal,
    ">": numpy.greater,
    ">=": numpy.greater_equal,
    "!=": lambda x, y: (x < y) | (x > y),
}

_known: "weakref.WeakValueDictionary[Any, Node]" = weakref.WeakValueDictionary()


class Node:
    """An operation on other nodes, an input of a name, or a constant; it has the operators of arithmetic.

    error: whether it stands for a rounding error that is carried along.
    """

    __slots__ = ("__weakref__", "args", "error", "op")

    def __init__(self, op: str, args: tuple[Any, ...]) -> None:
        self.op, self.args, self.error = op, args, False

    @property
    def value(self) -> float | None:
        """The number that a constant is."""
        return float(self.args[0]) if self.op == "constant" else None

    def __add__(self, other: "Number") -> "Node":
        return node("add", self, other)

    def __radd__(self, other: float) -> "Node":
        return node("add", other, self)

    def __sub__(self, other: "Number") -> "Node":
        return node("sub", self, other)

    def __rsub__(self, other: float) -> "Node":
        return node("sub", other, self)

    def __mul__(self, other: "Number") -> "Node":
        return node("mul", self, other)

    def __rmul__(self, other: float) -> "Node":
        return node("mul", other, self)

    def __rtruediv__(self, other: float) -> "Node":
        return node("div", other, self)

    def __neg__(self) -> "Node":
        return node("neg", self)

    def __lt__(self, other: "Number") -> "Node":
        return node("<", self, other)

    def __le__(self, other: "Number") -> "Node":
        return node("<=", self, other)

    def __gt__(self, other: "Number") -> "Node":
        return node(">", self, other)

    def __ge__(self, other: "Number") -> "Node":
        return node(">=", self, other)

    def __bool__(self) -> NoReturn:
        raise TypeError("what a formula computes has no truth before it is computed; use where(condition, x, y)")

    def differs(self, other: "Number") -> "Node":
        """Whether it differs from another, neither being NaN."""
        return node("!=", self, other)

    def fma(self, y: "Number", z: "Number") -> "Node":
        """self·y + z with one rounding."""
        return node("fma", self, y, z)

    def select(self, x: "Number", y: "Number") -> "Node":
        """x where this condition holds, else y."""
        return node("select", self, x, y)

    def rarely(self, x: "Number", y: "Number") -> "Node":
        """The same, where x need not be computed unless this condition holds for one of many elements."""
        return node("rarely", self, x, y)

    def magnitude(self) -> "Node":
        """Without its sign."""
        return node("abs", self)

    def with_sign_of(self, other: "Node") -> "Node":
        """The magnitude with the sign of another."""
        return node("copysign", self, other)

    def power(self) -> "Node":
        """2 to the power m - 127, for 1.5·2²³ + m: m moved to where float32 has its exponent."""
        return node("power", self)


Number = Node | float


def leaf(op: str, *args: Any) -> Node:
    """The node of an operation, as it is; that of `leaf("input", name)` is an input."""
    key = (op, *args) if op != "constant" else (op, args[0], math.copysign(1.0, args[0]))
    found = _known.get(key)
    if found is None:
        found = _known[key] = Node(op, args)
    return found


def constant(value: float) -> Node:
    """A number, rounded to float32."""
    return leaf("constant", float(numpy.float32(value)))


ZERO = constant(0.0)


def as_node(value: Number) -> Node:
    """A number as a constant; a node as it is."""
    return value if isinstance(value, Node) else constant(value)


def node(op: str, *args: Number) -> Node:
    """The node of an operation, simplified."""
    nodes = tuple(map(as_node, args))
    simple = _folded(op, *nodes)
    return leaf(op, *nodes) if simple is None else simple


def _is(node: Node, number: float) -> bool:
    return node.op == "constant" and node.value == number


def _folded(op: str, *args: Node) -> Node | None:
    """An operation on constants, or simplified; -ZERO is ZERO, for a sign of 0 is never a constant's."""
    if op == "neg" and args[0] is ZERO:
        return ZERO
    if op in ("add", "sub", "mul", "div", "neg", "abs") and all(a.op == "constant" for a in args):
        with numpy.errstate(all="ignore"):
            return constant(float(OPERATIONS[op](*(numpy.float32(a.value) for a in args))))
    if op == "sub" and args[0] is args[1]:  # an error that nothing makes
        return ZERO
    return args[1] if op == "select" and args[1] is args[2] else _simplified(op, *args)


def bounded(condition: Node, bound: Node, x: Node) -> bool:
    """Whether `condition.select(bound, x)` is the smaller of x and a constant."""
    return bound.op == "constant" and condition.op == ">" and condition.args == (x, bound)


def _positive(n: Node) -> bool:
    """Whether it is known not to be below 0."""
    return n.op == "abs" or (n.op == "select" and bounded(*n.args) and n.args[1].value > 0.0 and _positive(n.args[2]))


def _tighter(condition: Node, bound: Node, x: Node) -> Node | None:
    """`condition.select(bound, x)` where x is bounded already: by the smaller of both constants."""
    if x.op != "select" or not bounded(condition, bound, x) or not bounded(*x.args):
        return None
    free: Node = x.args[2]
    return (free > bound).select(bound, free) if bound.value < x.args[1].value else x


def _simplified(op: str, x: Node, y: Node = ZERO, z: Node = ZERO, *_: Node) -> Node | None:
    """An operation in which a constant 0 or 1, a negation, or a bound makes another one do."""
    if op == "select":
        return _tighter(x, y, z)
    if (op == "abs" and _positive(x)) or (op in ("add", "sub") and _is(y, 0.0)):
        return x
    if op == "add" and (_is(x, 0.0) or x.op == "neg"):
        return y if _is(x, 0.0) else node("sub", y, *x.args)
    if op in ("add", "sub") and y.op == "neg":
        return node("sub" if op == "add" else "add", x, *y.args)
    if op == "sub" and _is(x, 0.0):
        return -y
    if op == "neg" and x.op in ("neg", "sub"):
        inner: tuple[Node, ...] = x.args
        return inner[0] if x.op == "neg" else inner[1] - inner[0]
    if op in ("mul", "fma") and (_is(x, 0.0) or _is(y, 0.0)):
        return z
    if op in ("mul", "fma") and (_is(x, 1.0) or _is(y, 1.0)):
        return (y if _is(x, 1.0) else x) + z
    return x * y if op == "fma" and _is(z, 0.0) else None


def ordered(*outputs: Node) -> list[Node]:
    """All nodes that outputs rest on, each after those that it needs."""
    done: dict[Node, None] = {}

    def visit(n: Node) -> None:
        if n not in done:
            for a in n.args:
                if isinstance(a, Node):
                    visit(a)
            done[n] = None

    for output in outputs:
        visit(output)
    return list(done)


def computed(nodes: Sequence[Node], inputs: Mapping[str, Any]) -> dict[Node, Any]:
    """The values of nodes, in an order as of `ordered`, over arrays of float32."""
    values: dict[Node, Any] = {}
    with numpy.errstate(all="ignore"):
        for n in nodes:
            if n.op == "constant":
                values[n] = numpy.float32(n.value)
            elif n.op == "input":
                values[n] = inputs[n.args[0]]
            else:
                values[n] = OPERATIONS[n.op](*(values[a] for a in n.args))
    return values
