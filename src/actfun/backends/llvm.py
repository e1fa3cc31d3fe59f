"""Arithmetic, loads and stores as LLVM instructions, many elements at a time."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from llvmlite import ir

from actfun.carried.graph import Node

FLOAT, HALF = ir.FloatType(), ir.HalfType()
INT1, INT16, INT32, INT64 = (ir.IntType(bits) for bits in (1, 16, 32, 64))


def filled(element: ir.Type, like: Any, value: float) -> Any:
    """A constant of as many equal elements as a vector has."""
    kind = ir.VectorType(element, like.type.count)
    return ir.Constant(kind, [value] * kind.count)


def _as(builder: Any, x: Any, element: ir.Type) -> Any:
    return builder.bitcast(x, ir.VectorType(element, x.type.count))


def _converted(operation: Callable[..., Any], x: Any, element: ir.Type) -> Any:
    return operation(x, ir.VectorType(element, x.type.count))


def _declared(builder: Any, name: str, kind: ir.FunctionType) -> Any:
    return builder.module.globals.get(name) or ir.Function(builder.module, kind, name)


def _intrinsic(builder: Any, *values: Any, name: str) -> Any:
    kind = values[0].type
    signature = ir.FunctionType(kind, [kind] * len(values))
    return builder.call(_declared(builder, f"llvm.{name}.v{kind.count}f32", signature), values)


def _power(builder: Any, m: Any) -> Any:
    bits = builder.shl(_as(builder, m, INT32), filled(INT32, m, 23))  # what is above m falls off
    return _as(builder, bits, FLOAT)


def _odd(builder: Any, x: Any, rest: Any) -> Any:
    bits = _as(builder, x, INT32)
    exact = builder.fcmp_unordered("==", rest, filled(FLOAT, x, 0.0))
    apart = builder.icmp_signed("<", builder.xor(bits, _as(builder, rest, INT32)), filled(INT32, x, 0))
    odd = builder.or_(builder.sub(bits, _converted(builder.zext, apart, INT32)), filled(INT32, x, 1))
    return _as(builder, builder.select(exact, bits, odd), FLOAT)


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


def _looked_up(builder: Any, index: Any, entries: Sequence[float]) -> Any:
    """The entry that the last bits of each float32 of `index` name."""
    bits, count = _as(builder, index, INT32), index.type.count
    if len(entries) == 2 * count == 32:  # one operation where vectors have 512 bits
        halves = [ir.Constant(index.type, list(entries[k : k + count])) for k in (0, count)]
        signature = ir.FunctionType(index.type, [index.type, bits.type, index.type])
        lookup = _declared(builder, "llvm.x86.avx512.vpermi2var.ps.512", signature)
        return builder.call(lookup, [halves[0], bits, halves[1]])
    places, table = builder.and_(bits, filled(INT32, index, len(entries) - 1)), _table(builder, entries)
    looked_up = ir.Constant(index.type, ir.Undefined)
    for lane in range(count):
        place = builder.zext(builder.extract_element(places, INT32(lane)), INT64)
        entry = builder.load(builder.gep(table, [INT64(0), place]))
        looked_up = builder.insert_element(looked_up, entry, INT32(lane))
    return looked_up


def _table(builder: Any, entries: Sequence[float]) -> Any:
    """A constant array of the module."""
    value = ir.Constant(ir.ArrayType(FLOAT, len(entries)), list(entries))
    table = ir.GlobalVariable(builder.module, value.type, builder.module.get_unique_name("table"))
    table.global_constant, table.initializer, table.linkage = True, value, "internal"
    return table


def emitted(builder: Any, output: Node, inputs: Mapping[str, Any], rare: bool = False) -> Any:
    """The value of a node of a graph, whose inputs, x among them, are given.

    rare: whether all elements are such as a node "rarely" tells apart, or none.
    """
    values: dict[Node, Any] = {}

    def value(n: Node) -> Any:
        if n not in values:
            values[n] = made(n)
        return values[n]

    def made(n: Node) -> Any:
        if n.op == "constant":
            return filled(FLOAT, inputs["x"], n.args[0])
        if n.op == "input":
            return inputs[n.args[0]]
        if n.op == "lookup":
            return _looked_up(builder, value(n.args[0]), [entry.args[0] for entry in n.args[1:]])
        if n.op == "rarely":
            return value(n.args[1 if rare else 2])
        return OPERATIONS[n.op](builder, *map(value, n.args))

    return value(output)


def any_of(builder: Any, mask: Any) -> Any:
    """Whether one bit of a mask is set."""
    kind = ir.FunctionType(INT1, [mask.type])
    return builder.call(_declared(builder, f"llvm.vector.reduce.or.v{mask.type.count}i1", kind), [mask])


def count_of(builder: Any, mask: Any) -> Any:
    """How many bits of a mask are set."""
    bits = builder.bitcast(mask, ir.IntType(mask.type.count))
    return builder.zext(builder.ctpop(bits), INT64)


def compressed(builder: Any, value: Any, mask: Any) -> Any:
    """The elements of a vector that a mask names, in order, from its first place on."""
    kind = value.type
    name = f"llvm.experimental.vector.compress.v{kind.count}{'f' if kind.element is FLOAT else 'i'}32"
    signature = ir.FunctionType(kind, [kind, mask.type, kind])
    return builder.call(_declared(builder, name, signature), [value, mask, ir.Constant(kind, ir.Undefined)])


def place(builder: Any, address: Any, index: Any, element: ir.Type) -> Any:
    """The pointer to an element of an array that starts at an address."""
    return builder.gep(builder.inttoptr(address, element.as_pointer()), [index])


def repeated(builder: Any, value: Any, lanes: int) -> Any:
    """A vector of one value."""
    kind = ir.VectorType(value.type, lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, INT32(0))
    zeros = ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


def _read(builder: Any, address: Any, index: Any, element: ir.Type, lanes: int, mask: Any) -> Any:
    """Elements from an index on; where there is a mask, those that it names, and zeros."""
    kind = ir.VectorType(element, lanes)
    pointer = builder.bitcast(place(builder, address, index, element), kind.as_pointer())
    if mask is None:
        return builder.load(pointer, align=1, typ=kind)
    name = f"llvm.masked.load.v{lanes}{'f' if element is FLOAT else 'i'}{32 if element is FLOAT else 16}.p0"
    signature = ir.FunctionType(kind, [pointer.type, INT32, mask.type, kind])
    return builder.call(_declared(builder, name, signature), [pointer, INT32(1), mask, ir.Constant(kind, None)])


def write(builder: Any, address: Any, index: Any, value: Any, mask: Any = None) -> None:
    """Elements into an array, from an index on; where there is a mask, those that it names."""
    kind = value.type
    pointer = builder.bitcast(place(builder, address, index, kind.element), kind.as_pointer())
    if mask is None:
        builder.store(value, pointer, align=1)
        return
    single = kind.element is FLOAT
    name = f"llvm.masked.store.v{kind.count}{'f' if single else 'i'}{32 if single else 16}.p0"
    signature = ir.FunctionType(ir.VoidType(), [kind, pointer.type, INT32, mask.type])
    builder.call(_declared(builder, name, signature), [value, pointer, INT32(1), mask])


def load(builder: Any, address: Any, index: Any, dtype: torch.dtype, lanes: int, mask: Any = None) -> Any:
    """Elements of an array of `dtype` from an index on, as float32."""
    if dtype is torch.float32:
        return _read(builder, address, index, FLOAT, lanes, mask)
    bits = _read(builder, address, index, INT16, lanes, mask)
    if dtype is torch.float16:
        return _converted(builder.fpext, _as(builder, bits, HALF), FLOAT)
    wide = _converted(builder.zext, bits, INT32)
    return _as(builder, builder.shl(wide, filled(INT32, wide, 16)), FLOAT)


def store(builder: Any, address: Any, index: Any, value: Any, dtype: torch.dtype, mask: Any = None) -> None:
    """Round float32 to `dtype`, ties to even, and write them from an index on."""
    if dtype is torch.float16:
        value = _as(builder, _converted(builder.fptrunc, value, HALF), INT16)
    elif dtype is torch.bfloat16:
        value = _bfloat16(builder, value)
    write(builder, address, index, value, mask)


def _bfloat16(builder: Any, x: Any) -> Any:
    # By hand: the CPU's own instruction for it drops subnormals.
    def number(value: int) -> Any:
        return filled(INT32, x, value)

    bits = _as(builder, x, INT32)
    odd = builder.and_(builder.lshr(bits, number(16)), number(1))
    rounded = builder.lshr(builder.add(builder.add(bits, number(0x7FFF)), odd), number(16))
    nan = builder.fcmp_unordered("uno", x, x)
    return _converted(builder.trunc, builder.select(nan, number(0x7FC0), rounded), INT16)
