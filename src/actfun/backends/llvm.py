"""Float32 operations as LLVM instructions: each function takes an IR builder and values, and returns a value."""

from typing import Any

import torch
from llvmlite import ir

from actfun import float32

FLOAT, INT16, INT32, INT64 = ir.FloatType(), ir.IntType(16), ir.IntType(32), ir.IntType(64)


def _intrinsic(builder: Any, name: str, *values: Any) -> Any:
    function = builder.module.declare_intrinsic(f"llvm.{name}", [FLOAT], ir.FunctionType(FLOAT, [FLOAT] * len(values)))
    return builder.call(function, values)


def where(builder: Any, condition: Any, x: Any, y: Any) -> Any:
    return builder.select(condition, x, y)


def absolute(builder: Any, x: Any) -> Any:
    return _intrinsic(builder, "fabs", x)


def copysign(builder: Any, x: Any, y: Any) -> Any:
    return _intrinsic(builder, "copysign", x, y)


def fma(builder: Any, x: Any, y: Any, z: Any) -> Any:
    return _intrinsic(builder, "fma", x, y, z)


def pow2(builder: Any, n: Any) -> Any:
    shifted = builder.bitcast(builder.fadd(n, FLOAT(float32.ROUNDER)), INT32)  # n in the lowest bits
    return builder.bitcast(builder.shl(builder.add(shifted, INT32(127)), INT32(23)), FLOAT)


def exponent(builder: Any, x: Any) -> Any:
    above = builder.sub(builder.bitcast(x, INT32), INT32(0x3F3504F3))  # the bits of √½
    return builder.sitofp(builder.ashr(above, INT32(23)), FLOAT)


def place(builder: Any, address: Any, index: Any, element: ir.Type) -> Any:
    """The pointer to an element of an array that starts at an address."""
    return builder.gep(builder.inttoptr(address, element.as_pointer()), [index])


def constant(builder: Any, pointer: Any) -> Any:
    """A value that never changes while the kernel runs: LLVM may read it once, before the loop."""
    value = builder.load(pointer)
    value.set_metadata("invariant.load", builder.module.add_metadata([]))
    return value


def load(builder: Any, address: Any, index: Any, dtype: torch.dtype) -> Any:
    """An element of an array of `dtype`, as float32."""
    if dtype is torch.float32:
        return builder.load(place(builder, address, index, FLOAT))
    bits = builder.load(place(builder, address, index, INT16))
    if dtype is torch.float16:
        return builder.fpext(builder.bitcast(bits, ir.HalfType()), FLOAT)
    return builder.bitcast(builder.shl(builder.zext(bits, INT32), INT32(16)), FLOAT)


def store(builder: Any, address: Any, index: Any, value: Any, dtype: torch.dtype) -> Any:
    """Round a float32 to `dtype`, ties to even, and write it; the value comes back."""
    if dtype is torch.float32:
        builder.store(value, place(builder, address, index, FLOAT))
    elif dtype is torch.float16:
        half = builder.bitcast(builder.fptrunc(value, ir.HalfType()), INT16)
        builder.store(half, place(builder, address, index, INT16))
    else:
        builder.store(_bfloat16(builder, value), place(builder, address, index, INT16))
    return value


def _bfloat16(builder: Any, x: Any) -> Any:
    # By hand: the CPU's own instruction for it drops subnormals.
    bits = builder.bitcast(x, INT32)
    odd = builder.and_(builder.lshr(bits, INT32(16)), INT32(1))
    rounded = builder.lshr(builder.add(builder.add(bits, INT32(0x7FFF)), odd), INT32(16))
    nan = builder.fcmp_unordered("uno", x, x)
    return builder.trunc(builder.select(nan, INT32(0x7FC0), rounded), INT16)
