"""Kernels as LLVM functions: loops over raw addresses, a vector at a time, and what shares them out among threads.

A kernel takes the addresses of x, g (0 where it has none), y and a block of parameters, and the first and last index.
What is left over at the end goes through the same instructions under a mask. So the bits of an element depend neither
on its position nor on the width of vectors.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from llvmlite import ir

from actfun.backends import llvm
from actfun.backends.llvm import FLOAT, INT16, INT32, INT64
from actfun.carried.graph import Node

POINTER = ir.IntType(8).as_pointer()
SCRATCH = 256  # entries of a table that are fetched, one by one, before they are multiplied many at a time
AT_ONCE = 8  # entries fetched in one turn of the loop


@contextmanager
def _function(name: str, arguments: int) -> Iterator[tuple[Any, Any]]:
    """A function of integers in a module of its own, to be filled: the builder and the function."""
    module = ir.Module(name)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT64] * arguments), name)
    # LLVM avoids 512 bits on Intel's processors on account of old ones; llvmlite's own add knows no such word
    set.add(function.attributes, '"prefer-vector-width"="512"')
    builder = ir.IRBuilder(function.append_basic_block())
    yield builder, function
    builder.ret_void()


def _counted(builder: Any, start: Any, stop: Any, step: int, body: Callable[[Any], None]) -> None:
    """body(i) for i from start below stop by step."""
    before = builder.block
    head, turn, done = (builder.append_basic_block() for _ in range(3))
    builder.branch(head)
    builder.position_at_end(head)
    i = builder.phi(INT64)
    i.add_incoming(start, before)
    builder.cbranch(builder.icmp_signed("<", i, stop), turn, done)
    builder.position_at_end(turn)
    body(i)
    i.add_incoming(builder.add(i, INT64(step)), builder.block)
    builder.branch(head)
    builder.position_at_end(done)


def _vectors(builder: Any, start: Any, stop: Any, lanes: int, body: Callable[[Any, Any], None]) -> None:
    """body(i, mask) for vectors of elements from start on; there is a mask only for the last, if it is not whole."""
    whole = builder.add(start, builder.and_(builder.sub(stop, start), INT64(-lanes)))
    _counted(builder, start, whole, lanes, lambda i: body(i, None))
    with builder.if_then(builder.icmp_signed("<", whole, stop)):
        rest = llvm.repeated(builder, builder.trunc(builder.sub(stop, whole), INT32), lanes)
        places = ir.Constant(ir.VectorType(INT32, lanes), list(range(lanes)))
        body(whole, builder.icmp_signed("<", places, rest))


def kernel(
    name: str,
    output: Node,
    dtypes: tuple[torch.dtype, torch.dtype],
    backward: bool,
    streams: Sequence[bool],
    lanes: int,
) -> str:
    """y = output(x, g, parameters), from the first dtype to the second.

    The block holds 8 bytes a parameter: the address of a float32 for each element where `streams` says so, else one
    float32.
    """
    with _function(name, 6) as (builder, function):
        x, g, y, block, start, stop = function.args

        def parameter(k: int) -> Any:
            if streams[k]:
                return builder.load(llvm.place(builder, block, INT64(k), INT64))
            return llvm.repeated(builder, builder.load(llvm.place(builder, block, INT64(2 * k), FLOAT)), lanes)

        parameters = [parameter(k) for k in range(len(streams))]

        def vector(i: Any, mask: Any) -> None:
            def loaded(address: Any, dtype: torch.dtype) -> Any:
                return llvm.load(builder, address, i, dtype, lanes, mask)

            inputs = {"x": loaded(x, dtypes[0])}
            for k, value in enumerate(parameters):
                inputs[f"parameter {k}"] = loaded(value, torch.float32) if streams[k] else value
            if backward:
                inputs["g"] = loaded(g, dtypes[0])
            llvm.store(builder, y, i, llvm.emitted(builder, output, inputs), dtypes[1], mask)

        _vectors(builder, start, stop, lanes, vector)
    return str(function.module)


def _fetched(builder: Any, table: Any, x: Any, index: Any, element: ir.Type) -> Any:
    """The entry that a table of 65,536 has for the 16 bits of an element of x."""
    bits = builder.load(llvm.place(builder, x, index, INT16), align=1)
    return builder.load(llvm.place(builder, table, builder.zext(bits, INT64), element))


def _several(builder: Any, start: Any, stop: Any, body: Callable[[Any], None]) -> None:
    """body(i) for each i, AT_ONCE in a turn as long as there are as many."""
    whole = builder.add(start, builder.and_(builder.sub(stop, start), INT64(-AT_ONCE)))

    def turn(i: Any) -> None:
        for k in range(AT_ONCE):
            body(builder.add(i, INT64(k)))

    _counted(builder, start, whole, AT_ONCE, turn)
    _counted(builder, whole, stop, 1, body)


def lookup(name: str) -> str:
    """y = table[x]; the table's address, of 65,536 entries of 16 bits, stands for the block."""
    with _function(name, 6) as (builder, function):
        x, _, y, table, start, stop = function.args

        def copy(i: Any) -> None:
            builder.store(_fetched(builder, table, x, i, INT16), llvm.place(builder, y, i, INT16), align=1)

        _several(builder, start, stop, copy)
    return str(function.module)


def multiplied_lookup(name: str, dtype: torch.dtype, lanes: int) -> str:
    """y = g * table[x]; entries are float32."""
    with _function(name, 6) as (builder, function):
        x, g, y, table, start, stop = function.args
        entries = builder.ptrtoint(builder.alloca(ir.ArrayType(FLOAT, SCRATCH)), INT64)

        def some(first: Any) -> None:
            left = builder.sub(stop, first)
            count = builder.select(builder.icmp_signed("<", left, INT64(SCRATCH)), left, INT64(SCRATCH))

            def fetch(k: Any) -> None:
                entry = _fetched(builder, table, x, builder.add(first, k), FLOAT)
                builder.store(entry, llvm.place(builder, entries, k, FLOAT))

            def multiply(k: Any, mask: Any) -> None:
                i = builder.add(first, k)
                entry = llvm.load(builder, entries, k, torch.float32, lanes)
                product = builder.fmul(llvm.load(builder, g, i, dtype, lanes, mask), entry)
                llvm.store(builder, y, i, product, dtype, mask)

            _several(builder, INT64(0), count, fetch)
            _vectors(builder, INT64(0), count, lanes, multiply)

        _counted(builder, start, stop, SCRATCH, some)
    return str(function.module)


def shared_out(name: str) -> str:
    """Call a kernel for n elements, a portion for each thread of an OpenMP team: that of torch's own operations.

    Arguments: the kernel's address, x, g, y, block, n, the size of a portion, the number of threads.
    """
    with _function(name, 8) as (builder, function):
        module, whole = function.module, ir.LiteralStructType([INT64] * 7)
        share = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), f"{name}_share")
        share.linkage = "internal"
        _share(share, whole)
        data = builder.alloca(whole)
        for k, value in enumerate(function.args[:7]):
            builder.store(value, builder.gep(data, [INT32(0), INT32(k)]))
        team = ir.FunctionType(ir.VoidType(), [share.type, POINTER, INT32, INT32])
        threads = builder.trunc(function.args[7], INT32)
        arguments = [share, builder.bitcast(data, POINTER), threads, INT32(0)]
        builder.call(ir.Function(module, team, "GOMP_parallel"), arguments)
    return str(module)


def _share(share: Any, whole: Any) -> None:
    builder = ir.IRBuilder(share.append_basic_block())
    data = builder.bitcast(share.args[0], whole.as_pointer())
    kernel, x, g, y, block, n, chunk = (
        builder.load(builder.gep(data, [INT32(0), INT32(k)])) for k in range(len(whole.elements))
    )
    number, threads = (
        builder.sext(builder.call(ir.Function(share.module, ir.FunctionType(INT32, []), which), []), INT64)
        for which in ("omp_get_thread_num", "omp_get_num_threads")
    )
    signature = ir.FunctionType(ir.VoidType(), [INT64] * 6).as_pointer()

    def portion(i: Any) -> None:  # in turns, should the team be smaller than was asked for
        start = builder.mul(builder.add(builder.mul(i, threads), number), chunk)
        end = builder.add(start, chunk)
        stop = builder.select(builder.icmp_signed("<", end, n), end, n)
        with builder.if_then(builder.icmp_signed("<", start, n)):
            builder.call(builder.inttoptr(kernel, signature), [x, g, y, block, start, stop])

    turn = builder.mul(chunk, threads)
    turns = builder.sdiv(builder.add(n, builder.sub(turn, INT64(1))), turn)
    _counted(builder, INT64(0), turns, 1, portion)
    builder.ret_void()
