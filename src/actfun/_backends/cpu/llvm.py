"""Vectors, loads and stores as LLVM instructions, many elements at a time."""

from collections.abc import Callable
from typing import Any

import torch
from llvmlite import ir

FLOAT, HALF, DOUBLE = ir.FloatType(), ir.HalfType(), ir.DoubleType()
INT1, INT16, INT32, INT64 = (ir.IntType(bits) for bits in (1, 16, 32, 64))


def splat(element: ir.Type, like: Any, value: float) -> Any:
    """A constant of as many equal elements as a vector has."""
    kind = ir.VectorType(element, like.type.count)
    return ir.Constant(kind, [value] * kind.count)


def cast(builder: Any, x: Any, element: ir.Type) -> Any:
    """The bits of a vector as other elements of the same size."""
    return builder.bitcast(x, ir.VectorType(element, x.type.count))


def convert(operation: Callable[..., Any], x: Any, element: ir.Type) -> Any:
    """A vector to other elements, by one of LLVM's conversions."""
    return operation(x, ir.VectorType(element, x.type.count))


def declare(builder: Any, name: str, kind: ir.FunctionType) -> Any:
    """A function from elsewhere, declared once in a module."""
    return builder.module.globals.get(name) or ir.Function(builder.module, kind, name)


def any_of(builder: Any, mask: Any) -> Any:
    """Whether one bit of a mask is set."""
    kind = ir.FunctionType(INT1, [mask.type])
    return builder.call(declare(builder, f"llvm.vector.reduce.or.v{mask.type.count}i1", kind), [mask])


def count_of(builder: Any, mask: Any) -> Any:
    """How many bits of a mask are set."""
    bits = builder.bitcast(mask, ir.IntType(mask.type.count))
    return builder.zext(builder.ctpop(bits), INT64)


def compress(builder: Any, value: Any, mask: Any) -> Any:
    """The elements of a vector that a mask names, in order, from its first place on."""
    kind = value.type
    name = f"llvm.experimental.vector.compress.v{kind.count}{'f' if kind.element is FLOAT else 'i'}32"
    signature = ir.FunctionType(kind, [kind, mask.type, kind])
    return builder.call(declare(builder, name, signature), [value, mask, ir.Constant(kind, ir.Undefined)])


def place(builder: Any, address: Any, index: Any, element: ir.Type) -> Any:
    """The pointer to an element of an array that starts at an address."""
    return builder.gep(builder.inttoptr(address, element.as_pointer()), [index])


def broadcast(builder: Any, value: Any, lanes: int) -> Any:
    """A vector of one value."""
    kind = ir.VectorType(value.type, lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, INT32(0))
    zeros = ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


def read(builder: Any, address: Any, index: Any, element: ir.Type, lanes: int, mask: Any) -> Any:
    """Elements from an index on; where there is a mask, those that it names, and zeros."""
    kind = ir.VectorType(element, lanes)
    pointer = builder.bitcast(place(builder, address, index, element), kind.as_pointer())
    if mask is None:
        return builder.load(pointer, align=1, typ=kind)
    name = f"llvm.masked.load.v{lanes}{'f' if element is FLOAT else 'i'}{32 if element is FLOAT else 16}.p0"
    signature = ir.FunctionType(kind, [pointer.type, INT32, mask.type, kind])
    return builder.call(declare(builder, name, signature), [pointer, INT32(1), mask, ir.Constant(kind, None)])


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
    builder.call(declare(builder, name, signature), [value, pointer, INT32(1), mask])


def load(builder: Any, address: Any, index: Any, dtype: torch.dtype, lanes: int, mask: Any = None) -> Any:
    """Elements of an array of `dtype` from an index on, as float32."""
    if dtype is torch.float32:
        return read(builder, address, index, FLOAT, lanes, mask)
    bits = read(builder, address, index, INT16, lanes, mask)
    if dtype is torch.float16:
        return convert(builder.fpext, cast(builder, bits, HALF), FLOAT)
    wide = convert(builder.zext, bits, INT32)
    return cast(builder, builder.shl(wide, splat(INT32, wide, 16)), FLOAT)


def store(builder: Any, address: Any, index: Any, value: Any, dtype: torch.dtype, mask: Any = None) -> None:
    """Round float32 to `dtype`, ties to even, and `write` them from an index on."""
    if dtype is torch.float16:
        value = cast(builder, convert(builder.fptrunc, value, HALF), INT16)
    elif dtype is torch.bfloat16:
        value = _bfloat16(builder, value)
    write(builder, address, index, value, mask)


def _bfloat16(builder: Any, x: Any) -> Any:
    # By hand: the CPU's own instruction for it drops subnormals.
    def number(value: int) -> Any:
        return splat(INT32, x, value)

    bits = cast(builder, x, INT32)
    odd = builder.and_(builder.lshr(bits, number(16)), number(1))
    rounded = builder.lshr(builder.add(builder.add(bits, number(0x7FFF)), odd), number(16))
    nan = builder.fcmp_unordered("uno", x, x)
    return convert(builder.trunc, builder.select(nan, number(0x7FC0), rounded), INT16)
