"""A graph of float32 operations as LLVM instructions, many elements at a time."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llvmlite import ir

from actfun.backends.llvm import FLOAT, INT32, INT64, cast, converted, declared, filled
from actfun.carried.graph import Node, ordered

QUAD = 4  # float32 in 128 bits: within these an instruction moves elements in one step


def _intrinsic(builder: Any, *values: Any, name: str) -> Any:
    kind = values[0].type
    signature = ir.FunctionType(kind, [kind] * len(values))
    return builder.call(declared(builder, f"llvm.{name}.v{kind.count}f32", signature), values)


def _power(builder: Any, m: Any) -> Any:
    bits = builder.shl(cast(builder, m, INT32), filled(INT32, m, 23))  # what is above m falls off
    return cast(builder, bits, FLOAT)


def _odd(builder: Any, x: Any, rest: Any) -> Any:
    bits = cast(builder, x, INT32)
    exact = builder.fcmp_unordered("==", rest, filled(FLOAT, x, 0.0))
    apart = builder.icmp_signed("<", builder.xor(bits, cast(builder, rest, INT32)), filled(INT32, x, 0))
    odd = builder.or_(builder.sub(bits, converted(builder.zext, apart, INT32)), filled(INT32, x, 1))
    return cast(builder, builder.select(exact, bits, odd), FLOAT)


def _compared(how: str) -> Callable[..., Any]:
    return lambda builder, x, y: builder.fcmp_ordered(how, x, y)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda builder, x, y: builder.fadd(x, y),
    "sub": lambda builder, x, y: builder.fsub(x, y),
    "mul": lambda builder, x, y: builder.fmul(x, y),
    "div": lambda builder, x, y: builder.fdiv(x, y),
    "neg": lambda builder, x: builder.fneg(x),
    "select": lambda builder, condition, x, y: builder.select(condition, x, y),
    "power": _power,
    "odd": _odd,
    **{name: functools.partial(_intrinsic, name=name) for name in ("fma", "copysign")},
    "abs": functools.partial(_intrinsic, name="fabs"),
    **{how: _compared(how) for how in ("<", "<=", ">", ">=", "!=")},
}


def _looked_up(builder: Any, index: Any, tables: Sequence[Sequence[float]]) -> list[Any]:
    """From each table the entry that the last bits of each float32 of `index` name."""
    if index.type.count == 16 and len(tables[0]) == 32:
        return [_permuted(builder, index, table) for table in tables]
    rows = _rows(builder, tables)
    places = builder.and_(cast(builder, index, INT32), filled(INT32, index, len(tables[0]) - 1))
    found = []
    for first in range(0, len(tables), QUAD):
        found += _transposed(builder, [_quads(builder, rows, places, first, k) for k in range(QUAD)])
    return found[: len(tables)]


def _permuted(builder: Any, index: Any, table: Sequence[float]) -> Any:
    """One operation where vectors have 512 bits."""
    bits, count = cast(builder, index, INT32), index.type.count
    halves = [ir.Constant(index.type, list(table[k : k + count])) for k in (0, count)]
    signature = ir.FunctionType(index.type, [index.type, bits.type, index.type])
    lookup = declared(builder, "llvm.x86.avx512.vpermi2var.ps.512", signature)
    return builder.call(lookup, [halves[0], bits, halves[1]])


def _rows(builder: Any, tables: Sequence[Sequence[float]]) -> Any:
    """A constant array of the module: for each place its entries in all tables, and zeros up to a whole quad."""
    rows = [[*entries, *[0.0] * (-len(tables) % QUAD)] for entries in zip(*tables, strict=True)]
    kind = ir.ArrayType(FLOAT, len(rows[0]))
    value = ir.Constant(ir.ArrayType(kind, len(rows)), [ir.Constant(kind, row) for row in rows])
    table = ir.GlobalVariable(builder.module, value.type, builder.module.get_unique_name("table"))
    table.global_constant, table.initializer, table.linkage, table.align = True, value, "internal", 16
    return table


def _quads(builder: Any, rows: Any, places: Any, first: int, k: int) -> Any:
    """A vector whose n-th quad is what four tables, the first of them given, have for the element 4·n + k."""
    quad, quads = ir.VectorType(FLOAT, QUAD), []
    for lane in range(k, places.type.count, QUAD):
        place = builder.zext(builder.extract_element(places, INT32(lane)), INT64)
        pointer = builder.gep(rows, [INT64(0), place, INT64(first)])
        quads.append(builder.load(builder.bitcast(pointer, quad.as_pointer()), align=16, typ=quad))
    while len(quads) > 1:
        count = 2 * quads[0].type.count
        whole = ir.Constant(ir.VectorType(INT32, count), list(range(count)))
        quads = [builder.shuffle_vector(*pair, whole) for pair in zip(quads[::2], quads[1::2], strict=True)]
    return quads[0]


def _transposed(builder: Any, quads: Sequence[Any]) -> list[Any]:
    """Four vectors, of which the m-th has in place 4·n + k what the k-th of the given ones has in place 4·n + m."""
    count = quads[0].type.count

    def picked(x: Any, y: Any, places: Sequence[int]) -> Any:
        """From each quad of x, and of y as places 4 to 7, some elements."""
        within = [place % QUAD + place // QUAD * count for place in places]
        mask = [first + place for first in range(0, count, QUAD) for place in within]
        return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT32, count), mask))

    low, high = (0, 4, 1, 5), (2, 6, 3, 7)
    halves = [picked(x, y, side) for side in (low, high) for x, y in (quads[:2], quads[2:])]
    sides = (0, 1, 4, 5), (2, 3, 6, 7)
    return [picked(x, y, side) for x, y in (halves[:2], halves[2:]) for side in sides]


def emitted(builder: Any, output: Node, inputs: Mapping[str, Any], rare: bool = False) -> Any:
    """The value of a node of a graph, whose inputs, x among them, are given.

    rare: whether all elements are such as a node "rarely" tells apart, or none.
    """
    values: dict[Node, Any] = {}
    lookups = [n for n in ordered(output) if n.op == "lookup"]

    def value(n: Node) -> Any:
        if n not in values:
            if n.op == "lookup":
                look_up(n.args[0])
            else:
                values[n] = made(n)
        return values[n]

    def look_up(index: Node) -> None:
        """All that is looked up by one index, for its entries lie side by side."""
        alike = [n for n in lookups if n.args[0] is index]
        tables = [[entry.args[0] for entry in n.args[1:]] for n in alike]
        values.update(zip(alike, _looked_up(builder, value(index), tables), strict=True))

    def made(n: Node) -> Any:
        if n.op == "constant":
            return filled(FLOAT, inputs["x"], n.args[0])
        if n.op == "input":
            return inputs[n.args[0]]
        if n.op == "rarely":
            return value(n.args[1 if rare else 2])
        return OPERATIONS[n.op](builder, *map(value, n.args))

    return value(output)
