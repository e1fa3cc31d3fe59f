"""Operations as LLVM instructions: each function takes an IR builder and values, and returns a value."""

from typing import Any

import torch
from llvmlite import ir

DOUBLE, FLOAT, HALF = ir.DoubleType(), ir.FloatType(), ir.HalfType()
INT16, INT32, INT64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
SCRATCH = 256


def _intrinsic(builder: Any, name: str, *values: Any) -> Any:
    kind = values[0].type
    signature = ir.FunctionType(kind, [kind] * len(values))
    return builder.call(builder.module.declare_intrinsic(f"llvm.{name}", [kind], signature), values)


def where(builder: Any, condition: Any, x: Any, y: Any) -> Any:
    return builder.select(condition, x, y)


def absolute(builder: Any, x: Any) -> Any:
    return _intrinsic(builder, "fabs", x)


def copysign(builder: Any, x: Any, y: Any) -> Any:
    return _intrinsic(builder, "copysign", x, y)


def fma(builder: Any, x: Any, y: Any, z: Any) -> Any:
    return _intrinsic(builder, "fma", x, y, z)


def scaled(builder: Any, x: Any, t: Any) -> Any:
    n = builder.shl(builder.bitcast(t, INT64), INT64(52))  # n stands in the lowest bits; what is above falls off
    return builder.bitcast(builder.add(builder.bitcast(x, INT64), n), DOUBLE)


def place(builder: Any, address: Any, index: Any, element: ir.Type) -> Any:
    """The pointer to an element of an array that starts at an address."""
    return builder.gep(builder.inttoptr(address, element.as_pointer()), [index])


def constant(builder: Any, pointer: Any) -> Any:
    """A value that never changes while the kernel runs: LLVM may read it once, before the loop."""
    value = builder.load(pointer)
    value.set_metadata("invariant.load", builder.module.add_metadata([]))
    return value


def load(builder: Any, address: Any, index: Any, dtype: torch.dtype, wide: bool) -> Any:
    """An element of an array of `dtype`, as float64 if it is to be wide, else as float32."""
    if dtype is torch.float32:
        value = builder.load(place(builder, address, index, FLOAT))
    elif dtype is torch.float16:
        bits = builder.load(place(builder, address, index, INT16))
        value = builder.fpext(builder.bitcast(bits, HALF), FLOAT)
    else:
        bits = builder.load(place(builder, address, index, INT16))
        value = builder.bitcast(builder.shl(builder.zext(bits, INT32), INT32(16)), FLOAT)
    return widened(builder, value, wide)


def widened(builder: Any, value: Any, wide: bool) -> Any:
    """A float32, as float64 if it is to be wide."""
    return builder.fpext(value, DOUBLE) if wide else value


def store(builder: Any, address: Any, index: Any, value: Any, dtype: torch.dtype) -> Any:
    """Round a number to float32, that to `dtype`, ties to even, and write it; the value comes back."""
    narrow = builder.fptrunc(value, FLOAT) if value.type == DOUBLE else value
    if dtype is torch.float32:
        builder.store(narrow, place(builder, address, index, FLOAT))
    elif dtype is torch.float16:
        half = builder.bitcast(builder.fptrunc(narrow, HALF), INT16)
        builder.store(half, place(builder, address, index, INT16))
    else:
        builder.store(_bfloat16(builder, narrow), place(builder, address, index, INT16))
    return value


def copy_entry(builder: Any, table: Any, x: Any, y: Any, index: Any) -> Any:
    """Write to y the entry, of 16 bits, that a table of 65,536 has for the 16 bits of an element of x."""
    entry = builder.load(place(builder, table, _bits(builder, x, index), INT16))
    return builder.store(entry, place(builder, y, index, INT16))


def fetch_entry(builder: Any, table: Any, x: Any, index: Any, target: Any) -> Any:
    """Write to an address the entry, a float32, that a table of 65,536 has for the 16 bits of an element of x."""
    entry = builder.load(place(builder, table, _bits(builder, x, index), FLOAT))
    return builder.store(entry, builder.inttoptr(target, FLOAT.as_pointer()))


def scratch(builder: Any) -> Any:
    """The address of SCRATCH float32 on the stack."""
    with builder.goto_entry_block():
        return builder.ptrtoint(builder.alloca(ir.ArrayType(FLOAT, SCRATCH)), INT64)


def _bits(builder: Any, x: Any, index: Any) -> Any:
    return builder.zext(builder.load(place(builder, x, index, INT16)), INT64)


def _bfloat16(builder: Any, x: Any) -> Any:
    # By hand: the CPU's own instruction for it drops subnormals.
    bits = builder.bitcast(x, INT32)
    odd = builder.and_(builder.lshr(bits, INT32(16)), INT32(1))
    rounded = builder.lshr(builder.add(builder.add(bits, INT32(0x7FFF)), odd), INT32(16))
    nan = builder.fcmp_unordered("uno", x, x)
    return builder.trunc(builder.select(nan, INT32(0x7FC0), rounded), INT16)
