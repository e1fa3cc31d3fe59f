"""Kernels: what is done to every element of an array, a vector at a time, as LLVM functions.

A kernel takes the addresses of x, g (0 where it has none), y and a block of parameters, and the first and last index.
The bits of an element depend neither on its position nor on the width of vectors.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from llvmlite import ir

from actfun.backends import llvm
from actfun.backends.arithmetic import OPERATIONS, emitted
from actfun.backends.llvm import FLOAT, INT16, INT32, INT64
from actfun.backends.loops import counted, function, vectors
from actfun.carried.graph import Node, ordered

SCRATCH = 256  # entries of a table that are fetched, one by one, before they are multiplied many at a time
AT_ONCE = 8  # entries fetched in one turn of the loop
BLOCK = 512  # elements of which the rare ones are put together, so that they too are computed many at a time


def kernel(
    name: str,
    output: Node,
    dtypes: tuple[torch.dtype, torch.dtype],
    backward: bool,
    streams: Sequence[bool],
    lanes: int,
) -> str:
    """y = output(x, g, parameters), from the first dtype to the second.

    The block holds 8 bytes a parameter: the address of a float32 for each element where `streams` says so, else one.
    """
    with function(name, 6) as (builder, made):
        x, g, y, block, start, stop = made.args

        def parameter(k: int) -> Any:
            if streams[k]:
                return builder.load(llvm.place(builder, block, INT64(k), INT64))
            return llvm.repeated(builder, builder.load(llvm.place(builder, block, INT64(2 * k), FLOAT)), lanes)

        parameters = [parameter(k) for k in range(len(streams))]

        def inputs(i: Any, mask: Any) -> dict[str, Any]:
            def loaded(address: Any, dtype: torch.dtype) -> Any:
                return llvm.load(builder, address, i, dtype, lanes, mask)

            values = {"x": loaded(x, dtypes[0])} | ({"g": loaded(g, dtypes[0])} if backward else {})
            for k, value in enumerate(parameters):
                values[f"parameter {k}"] = loaded(value, torch.float32) if streams[k] else value
            return values

        def store(i: Any, value: Any, mask: Any) -> None:
            llvm.store(builder, y, i, value, dtypes[1], mask)

        rare = next((n for n in ordered(output) if n.op == "rarely"), None)
        if rare is None:
            vectors(builder, start, stop, lanes, lambda i, m: store(i, emitted(builder, output, inputs(i, m)), m))
        else:
            names = ["x", "g"] if backward else ["x"]
            _Rare(builder, output, rare.args[0], names, lanes).run(inputs, store, y, start, stop)
    return str(made.module)


class _Rare:
    """The loop of a graph in which some elements, of which a condition holds, are rare and take long.

    All elements of a block are done as the others are; the rare ones are noted on the way and done again.
    """

    def __init__(self, builder: Any, output: Node, condition: Node, names: Sequence[str], lanes: int) -> None:
        self.builder, self.output, self.condition, self.lanes = builder, output, condition, lanes

        def buffer(element: ir.Type) -> Any:
            return builder.ptrtoint(builder.alloca(ir.ArrayType(element, BLOCK + lanes)), INT64)

        self.inputs, self.places = {name: buffer(FLOAT) for name in names}, buffer(INT32)
        self.count = builder.alloca(INT64)

    def run(
        self,
        inputs: Callable[[Any, Any], Mapping[str, Any]],
        store: Callable[[Any, Any, Any], None],
        y: Any,
        start: Any,
        stop: Any,
    ) -> None:
        """The values of elements, of which `inputs` gives those of a vector and `store` takes the values, into y."""
        builder = self.builder

        def block(first: Any) -> None:
            end = builder.add(first, INT64(BLOCK))
            last = builder.select(builder.icmp_signed("<", end, stop), end, stop)
            builder.store(INT64(0), self.count)

            def vector(i: Any, mask: Any) -> None:
                given = inputs(i, mask)
                store(i, emitted(builder, self.output, given), mask)
                self._note(builder.sub(i, first), given, mask)

            vectors(builder, first, last, self.lanes, vector)
            self._again(y, first)

        counted(builder, start, stop, BLOCK, block)

    def _note(self, offset: Any, given: Mapping[str, Any], mask: Any) -> None:
        """Put the inputs of a vector's rare elements, and their places in the block, behind those noted before."""
        builder = self.builder
        rare = emitted(builder, self.condition, given)
        rare = rare if mask is None else builder.and_(rare, mask)
        with builder.if_then(llvm.any_of(builder, rare), likely=False):
            count = builder.load(self.count)
            for name, buffer in self.inputs.items():
                llvm.write(builder, buffer, count, llvm.compressed(builder, given[name], rare))
            lanes = ir.Constant(ir.VectorType(INT32, self.lanes), list(range(self.lanes)))
            places = builder.add(llvm.repeated(builder, builder.trunc(offset, INT32), self.lanes), lanes)
            llvm.write(builder, self.places, count, llvm.compressed(builder, places, rare))
            builder.store(builder.add(count, llvm.count_of(builder, rare)), self.count)

    def _again(self, y: Any, first: Any) -> None:
        """Do what was noted."""
        builder, results = self.builder, self.inputs["x"]
        count = builder.load(self.count)

        def vector(k: Any) -> None:
            given = {n: llvm.load(builder, b, k, torch.float32, self.lanes) for n, b in self.inputs.items()}
            llvm.write(builder, results, k, emitted(builder, self.output, given, rare=True))

        def place(k: Any) -> None:
            to = builder.add(first, builder.zext(builder.load(llvm.place(builder, self.places, k, INT32)), INT64))
            value = builder.load(llvm.place(builder, results, k, FLOAT))
            builder.store(value, llvm.place(builder, y, to, FLOAT), align=1)

        counted(builder, INT64(0), count, self.lanes, vector)
        counted(builder, INT64(0), count, 1, place)


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

    counted(builder, start, whole, AT_ONCE, turn)
    counted(builder, whole, stop, 1, body)


def lookup(name: str) -> str:
    """y = table[x]; the table's address, of 65,536 entries of 16 bits, stands for the block."""
    with function(name, 6) as (builder, made):
        x, _, y, table, start, stop = made.args

        def copy(i: Any) -> None:
            builder.store(_fetched(builder, table, x, i, INT16), llvm.place(builder, y, i, INT16), align=1)

        _several(builder, start, stop, copy)
    return str(made.module)


def _product(builder: Any, g: Any, slope: Any) -> Any:
    """g·slope, or the one that is exactly 0; NaN is neither."""
    size = [OPERATIONS["abs"](builder, value) for value in (g, slope)]
    smaller = builder.select(builder.fcmp_ordered("<", *size), g, slope)
    nothing = builder.fcmp_ordered("==", smaller, llvm.filled(FLOAT, smaller, 0.0))
    return builder.select(nothing, smaller, builder.fmul(g, slope))


def multiplied_lookup(name: str, dtype: torch.dtype, lanes: int) -> str:
    """y = g * table[x], but where one of both is exactly 0 that one (see `graphs.graph`); entries are float32."""
    with function(name, 6) as (builder, made):
        x, g, y, table, start, stop = made.args
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
                given = llvm.load(builder, g, i, dtype, lanes, mask)
                llvm.store(builder, y, i, _product(builder, given, entry), dtype, mask)

            _several(builder, INT64(0), count, fetch)
            vectors(builder, INT64(0), count, lanes, multiply)

        counted(builder, start, stop, SCRATCH, some)
    return str(made.module)
