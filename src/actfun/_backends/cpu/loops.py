"""LLVM functions over raw addresses: their loops, and what shares a kernel out among threads."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from actfun._backends.cpu import llvm
from actfun._backends.cpu.llvm import INT32, INT64

BUILTIN = "_builtin"  # what the name of a function ends with that Python calls without ctypes
POINTER = ir.IntType(8).as_pointer()


@contextmanager
def function(name: str, arguments: int) -> Iterator[tuple[Any, Any]]:
    """A function of integers in a module of its own, to be filled: the builder and the function."""
    module = ir.Module(name)
    made = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT64] * arguments), name)
    # LLVM avoids 512 bits on Intel's processors on account of old ones; llvmlite's own add knows no such word
    set.add(made.attributes, '"prefer-vector-width"="512"')
    # Constants that no register is free for lie on the stack; across two cache lines they made silu, of data from
    # memory, 1.4 times as slow in three processes of five (Zen 5).
    made.attributes.alignstack = 64
    builder = ir.IRBuilder(made.append_basic_block())
    yield builder, made
    builder.ret_void()
    _quick(made)


def _quick(made: Any) -> None:
    """The same function as Python's interpreter calls its own: with an array of Python's integers, for 0.

    A call through ctypes takes 1.1 µs with six arguments, this one 0.1. It holds Python's lock, so it is for little.
    """
    array = POINTER.as_pointer()
    kind = ir.FunctionType(POINTER, [POINTER, array, INT64])
    builtin = ir.Function(made.module, kind, made.name + BUILTIN)
    builder = ir.IRBuilder(builtin.append_basic_block())
    read = ir.Function(made.module, ir.FunctionType(INT64, [POINTER]), "PyLong_AsLongLong")
    new = ir.Function(made.module, ir.FunctionType(POINTER, [INT64]), "PyLong_FromLongLong")
    given = [builder.load(builder.gep(builtin.args[1], [INT64(k)])) for k in range(len(made.args))]
    builder.call(made, [builder.call(read, [value]) for value in given])
    builder.ret(builder.call(new, [INT64(0)]))


def emit_loop(builder: Any, start: Any, stop: Any, step: int, body: Callable[[Any], None]) -> None:
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


def vectors(builder: Any, start: Any, stop: Any, lanes: int, body: Callable[[Any, Any], None]) -> None:
    """body(i, mask) for vectors of elements from start on; there is a mask only for the last, if it is not whole.

    What is left over goes through the same instructions as the rest, so bits do not depend on an element's position.
    """
    whole = builder.add(start, builder.and_(builder.sub(stop, start), INT64(-lanes)))
    emit_loop(builder, start, whole, lanes, lambda i: body(i, None))
    with builder.if_then(builder.icmp_signed("<", whole, stop)):
        rest = llvm.broadcast(builder, builder.trunc(builder.sub(stop, whole), INT32), lanes)
        places = ir.Constant(ir.VectorType(INT32, lanes), list(range(lanes)))
        body(whole, builder.icmp_signed("<", places, rest))


def parallel_loop(name: str) -> str:
    """Call a kernel for n elements, a portion for each thread of an OpenMP team: that of torch's own operations.

    Arguments: the kernel's address, x, g, y, block, n, the size of a portion, the number of threads.
    """
    with function(name, 8) as (builder, made):
        module, whole = made.module, ir.LiteralStructType([INT64] * 7)
        share = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), f"{name}_share")
        share.linkage = "internal"
        _share(share, whole)
        data = builder.alloca(whole)
        for k, value in enumerate(made.args[:7]):
            builder.store(value, builder.gep(data, [INT32(0), INT32(k)]))
        team = ir.FunctionType(ir.VoidType(), [share.type, POINTER, INT32, INT32])
        threads = builder.trunc(made.args[7], INT32)
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
    emit_loop(builder, INT64(0), turns, 1, portion)
    builder.ret_void()
