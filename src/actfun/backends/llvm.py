"""Arithmetic, loads and stores as LLVM instructions."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from llvmlite import ir

from actfun.carried.graph import Node, ordered

FLOAT, HALF = ir.FloatType(), ir.HalfType()
INT16, INT32, INT64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
SCRATCH = 256


def _intrinsic(builder: Any, *values: Any, name: str) -> Any:
    kind = values[0].type
    signature = ir.FunctionType(kind, [kind] * len(values))
    return builder.call(builder.module.declare_intrinsic(f"llvm.{name}", [kind], signature), values)


def _power(builder: Any, m: Any) -> Any:
    bits = builder.shl(builder.bitcast(m, INT32), INT32(23))  # what is above m falls off
    return builder.bitcast(bits, FLOAT)


def _odd(builder: Any, x: Any, rest: Any) -> Any:
    bits = builder.bitcast(x, INT32)
    exact = builder.fcmp_unordered("==", rest, FLOAT(0.0))
    apart = builder.icmp_signed("<", builder.xor(bits, builder.bitcast(rest, INT32)), INT32(0))
    odd = builder.or_(builder.sub(bits, builder.zext(apart, INT32)), INT32(1))
    return builder.bitcast(builder.select(exact, bits, odd), FLOAT)


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


def emitted(builder: Any, output: Node, inputs: Mapping[str, Any]) -> Any:
    """The value of a node of a graph, whose inputs are given."""
    values: dict[Node, Any] = {}
    for node in ordered(output):
        if node.op == "constant":
            values[node] = FLOAT(node.args[0])
        elif node.op == "input":
            values[node] = inputs[node.args[0]]
        else:
            values[node] = OPERATIONS[node.op](builder, *(values[argument] for argument in node.args))
    return values[output]


def prefer_wide_vectors(builder: Any) -> None:
    """Let the loop in work use vectors of 512 bits, which LLVM avoids on Intel's processors on account of old ones."""
    set.add(builder.function.attributes, '"prefer-vector-width"="512"')  # llvmlite's own add knows no such attributes


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
        return builder.fpext(builder.bitcast(bits, HALF), FLOAT)
    return builder.bitcast(builder.shl(builder.zext(bits, INT32), INT32(16)), FLOAT)


def store(builder: Any, address: Any, index: Any, value: Any, dtype: torch.dtype) -> None:
    """Round a float32 to `dtype`, ties to even, and write it."""
    if dtype is torch.float32:
        builder.store(value, place(builder, address, index, FLOAT))
    elif dtype is torch.float16:
        half = builder.bitcast(builder.fptrunc(value, HALF), INT16)
        builder.store(half, place(builder, address, index, INT16))
    else:
        builder.store(_bfloat16(builder, value), place(builder, address, index, INT16))


def copy_entry(builder: Any, table: Any, x: Any, y: Any, index: Any) -> Any:
    """Write to y the entry, of 16 bits, that a table of 65,536 has for the 16 bits of an element of x."""
    entry = builder.load(place(builder, table, _bits(builder, x, index), INT16))
    return builder.store(entry, place(builder, y, index, INT16))


def fetch_entry(builder: Any, table: Any, x: Any, index: Any, target: Any) -> Any:
    """Write to an address the entry, a float32, that a table of 65,536 has for the 16 bits of an element of x."""
    entry = builder.load(place(builder, table, _bits(builder, x, index), FLOAT))
    return builder.store(entry, builder.inttoptr(target, FLOAT.as_pointer()))


def scratch(context: Any, builder: Any, signature: Any, values: Any) -> Any:
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
