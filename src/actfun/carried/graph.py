"""Float32 arithmetic as a graph: what a formula does to one element, each node an operation of one rounding.

Equal nodes are one, constants are folded, and adding a constant 0 adds no node. A graph is computed over NumPy arrays
here, and emitted as machine code by a backend.
"""

import math
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy


def single(value: float) -> float:
    """A number rounded to float32."""
    return float(numpy.float32(value))


def _power(m):
    return (m.view(numpy.int32) << numpy.int32(23)).view(numpy.float32)


def _fma(x, y, z):
    wide = numpy.float64
    return (x.astype(wide) * y.astype(wide) + z).astype(numpy.float32)  # off from one rounding in some 2⁻²⁹ of cases


OPERATIONS = {
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
    "<": numpy.less,
    "<=": numpy.less_equal,
    ">": numpy.greater,
    ">=": numpy.greater_equal,
    "!=": lambda x, y: (x < y) | (x > y),
}

_known: "weakref.WeakValueDictionary[Any, Node]" = weakref.WeakValueDictionary()


class Node:
    """An operation, with the operators of arithmetic; `error` marks what stands for a rounding error."""

    __slots__ = ("__weakref__", "args", "error", "op")

    def __init__(self, op, args):
        self.op, self.args, self.error = op, args, False

    @property
    def value(self):
        """The number that a constant is, else None."""
        return self.args[0] if self.op == "constant" else None

    def __add__(self, other):
        return node("add", self, other)

    def __radd__(self, other):
        return node("add", other, self)

    def __sub__(self, other):
        return node("sub", self, other)

    def __rsub__(self, other):
        return node("sub", other, self)

    def __mul__(self, other):
        return node("mul", self, other)

    def __rmul__(self, other):
        return node("mul", other, self)

    def __truediv__(self, other):
        return node("div", self, other)

    def __rtruediv__(self, other):
        return node("div", other, self)

    def __neg__(self):
        return node("neg", self)

    def __lt__(self, other):
        return node("<", self, other)

    def __le__(self, other):
        return node("<=", self, other)

    def __gt__(self, other):
        return node(">", self, other)

    def __ge__(self, other):
        return node(">=", self, other)

    def differs(self, other):
        """Whether it differs from another, neither being NaN."""
        return node("!=", self, other)

    def fma(self, y, z):
        return node("fma", self, y, z)

    def select(self, x, y):
        return node("select", self, x, y)

    def magnitude(self):
        return node("abs", self)

    def with_sign_of(self, other):
        return node("copysign", self, other)

    def power(self):
        return node("power", self)


def leaf(op: str, *args: Any) -> Node:
    key = (op, *args) if op != "constant" else (op, args[0], math.copysign(1.0, args[0]))
    found = _known.get(key)
    if found is None:
        found = _known[key] = Node(op, args)
    return found


def constant(value: float) -> Node:
    return leaf("constant", single(value))


ZERO = constant(0.0)


def as_node(value: Any) -> Node:
    return value if isinstance(value, Node) else constant(value)


def node(op: str, *args: Any) -> Node:
    """The node of an operation, simplified."""
    args = tuple(map(as_node, args))
    simple = _simplified(op, *args)
    return leaf(op, *args) if simple is None else simple


def _is(node, number):
    return node.op == "constant" and node.value == number


def _simplified(op, *args):
    if op == "neg" and args[0] is ZERO:
        return ZERO
    values = [a.value for a in args]
    if all(v is not None for v in values) and op in ("add", "sub", "mul", "neg", "abs", "div"):
        with numpy.errstate(all="ignore"):
            return constant(float(OPERATIONS[op](*map(numpy.float32, values))))
    x, y, z = (*args, None, None)[:3]
    if op == "add" and (_is(x, 0.0) or _is(y, 0.0)):
        return y if _is(x, 0.0) else x
    if op == "add" and y.op == "neg":
        return node("sub", x, y.args[0])
    if op == "add" and x.op == "neg":
        return node("sub", y, x.args[0])
    if op == "sub" and _is(y, 0.0):
        return x
    if op == "sub" and _is(x, 0.0):
        return node("neg", y)
    if op == "sub" and y.op == "neg":
        return node("add", x, y.args[0])
    if op == "mul" and (_is(x, 0.0) or _is(y, 0.0)):
        return ZERO
    if op == "mul" and (_is(x, 1.0) or _is(y, 1.0)):
        return y if _is(x, 1.0) else x
    if op == "fma":
        if _is(x, 0.0) or _is(y, 0.0):
            return z
        if _is(x, 1.0) or _is(y, 1.0):
            return node("add", y if _is(x, 1.0) else x, z)
        if _is(z, 0.0):
            return node("mul", x, y)
    if op == "neg" and x.op == "neg":
        return x.args[0]
    if op == "neg" and x.op == "sub":
        return node("sub", x.args[1], x.args[0])
    if op == "select" and y is z:
        return y
    return None


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


def without(outputs: Sequence[Node], gone: set[Node]) -> list[Node]:
    """The outputs with some nodes replaced by 0."""
    new: dict[Node, Node] = {}
    for n in ordered(*outputs):
        if n in gone:
            new[n] = ZERO
        elif n.op in ("constant", "input"):
            new[n] = n
        else:
            new[n] = node(n.op, *(new[a] for a in n.args))
            new[n].error = new[n].error or n.error
    return [new[n] for n in outputs]


COST = {"constant": 0.0, "input": 0.0, "neg": 0.5, "div": 6.0}


def cost(*outputs: Node) -> float:
    return sum(COST.get(n.op, 1.0) for n in ordered(*outputs))
