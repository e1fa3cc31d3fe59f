"""Tables of float32 constants, looked up for a vector of places at a time, as LLVM instructions."""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from actfun._backends.cpu.llvm import FLOAT, INT32, INT64, cast, declare, splat

QUAD = 4  # float32 in 128 bits: within these an instruction moves elements in one step


def look_up(builder: Any, index: Any, tables: Sequence[Sequence[float]]) -> list[Any]:
    """From each table of 32 or 16 the entry that the last bits of each float32 of a vector name."""
    if index.type.count == 16 and len(tables[0]) == 32:
        return [_permute(builder, index, table) for table in tables]
    rows = _rows(builder, tables)
    places = builder.and_(cast(builder, index, INT32), splat(INT32, index, len(tables[0]) - 1))
    found = []
    for first in range(0, len(tables), QUAD):
        found += _transpose(builder, [_quads(builder, rows, places, first, k) for k in range(QUAD)])
    return found[: len(tables)]


def _permute(builder: Any, index: Any, table: Sequence[float]) -> Any:
    """One operation where vectors have 512 bits."""
    bits, count = cast(builder, index, INT32), index.type.count
    halves = [ir.Constant(index.type, list(table[k : k + count])) for k in (0, count)]
    signature = ir.FunctionType(index.type, [index.type, bits.type, index.type])
    lookup = declare(builder, "llvm.x86.avx512.vpermi2var.ps.512", signature)
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


def _transpose(builder: Any, quads: Sequence[Any]) -> list[Any]:
    """Four vectors, of which the m-th has in place 4·n + k what the k-th of the given ones has in place 4·n + m."""
    count = quads[0].type.count

    def pick(x: Any, y: Any, places: Sequence[int]) -> Any:
        """From each quad of x, and of y as places 4 to 7, some elements."""
        within = [place % QUAD + place // QUAD * count for place in places]
        mask = [first + place for first in range(0, count, QUAD) for place in within]
        return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT32, count), mask))

    low, high = (0, 4, 1, 5), (2, 6, 3, 7)
    halves = [pick(x, y, side) for side in (low, high) for x, y in (quads[:2], quads[2:])]
    sides = (0, 1, 4, 5), (2, 3, 6, 7)
    return [pick(x, y, side) for x, y in (halves[:2], halves[2:]) for side in sides]
