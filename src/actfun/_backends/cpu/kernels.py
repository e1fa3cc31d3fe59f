"""Kernels: what is done to every element of an array, a vector at a time, as LLVM functions.

A kernel takes the addresses of x, g (0 where it has none), y and a block of parameters, and the first and last index.
The bits of an element depend neither on its position nor on the width of vectors.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from llvmlite import ir

from actfun._backends.cpu import llvm
from actfun._backends.cpu.llvm import DOUBLE, FLOAT, INT16, INT32, INT64
from actfun._backends.cpu.loops import emit_loop, function, vectors
from actfun._backends.cpu.polynomials import Polynomials
from actfun._backends.cpu.values import RoundingError, Single, Value, lower, where

SCRATCH = 256  # entries of a table that are fetched, one by one, before they are multiplied many at a time
UNROLL = 8  # entries fetched in one turn of the loop
NOTHING = 2.0**-150  # this and less rounds to 0 in float32
BLOCK = 512  # elements of which the rare ones are put together, so that they too are computed many at a time

Emitter = Callable[..., Value]  # of x, then g where there is one, then parameters, all float32


def kernel(
    name: str,
    formula: Callable[..., Any],
    dtypes: tuple[torch.dtype, torch.dtype],
    backward: bool,
    per_element: Sequence[bool],
    lanes: int,
    common: Polynomials | None = None,
    numbers: Sequence[float] = (),
    gated: bool = False,
    runs: bool = False,
) -> str:
    """y = formula(x, parameters), or g times that, from the first dtype to the second.

    The block holds 8 bytes a parameter: the address of a float32 for each element, where `per_element` says so, or a
    float32.
    common: polynomials that numbers within their radius take, for parameters that are built in: `numbers`.
    gated: the formula is a gate, which multiplies a further array of the first dtype; its address follows in the block.
    runs: x and that array, and y, consist of runs with gaps between them. How many elements a run has, and how many the
    gaps of the inputs and of y have, follow in the block; g has no gaps.
    """
    with function(name, 6) as (builder, made):
        x, g, y, block, start, stop = made.args

        def parameter(k: int) -> Any:
            if per_element[k]:
                return builder.load(llvm.place(builder, block, INT64(k), INT64))
            return llvm.broadcast(builder, builder.load(llvm.place(builder, block, INT64(2 * k), FLOAT)), lanes)

        words = iter(range(len(per_element), len(per_element) + 4))

        def word() -> Any:
            return builder.load(llvm.place(builder, block, INT64(next(words)), INT64))

        parameters = [parameter(k) for k in range(len(per_element))]
        up = word() if gated else None
        careful = _by_formula(formula, numbers, backward, gated, dtypes[1])
        rare = _Rare(builder, careful, common.is_outside, 1 + backward + gated, lanes, dtypes[1]) if common else None

        def run(x: Any, up: Any, y: Any, start: Any, stop: Any) -> None:
            arrays = [address for address, there in ((x, True), (g, backward), (up, gated)) if there]

            def inputs(i: Any, mask: Any) -> list[Value]:
                given = [llvm.load(builder, address, i, dtypes[0], lanes, mask) for address in arrays]
                for k, value in enumerate(parameters):
                    given.append(llvm.load(builder, value, i, torch.float32, lanes, mask) if per_element[k] else value)
                return [Value(builder, vector) for vector in given]

            def store(i: Any, value: Value, mask: Any) -> None:
                llvm.store(builder, y, i, value.vector, dtypes[1], mask)

            if common is None or rare is None:
                vectors(builder, start, stop, lanes, lambda i, mask: store(i, careful(*inputs(i, mask)), mask))
            else:
                rare.run(inputs, _by_polynomials(common, backward, gated), store, y, start, stop)

        if not runs:
            run(x, up, y, start, stop)
        else:
            length, *gaps = word(), word(), word()
            gap, gap_out = (builder.mul(n, INT64(dtype.itemsize)) for n, dtype in zip(gaps, dtypes, strict=True))

            def one(k: Any) -> None:
                first = builder.mul(k, length)
                last = builder.add(first, length)
                shift, shift_out = builder.mul(k, gap), builder.mul(k, gap_out)
                run(
                    builder.add(x, shift),
                    builder.add(up, shift) if gated else None,
                    builder.add(y, shift_out),
                    builder.select(builder.icmp_signed(">", first, start), first, start),
                    builder.select(builder.icmp_signed("<", last, stop), last, stop),
                )

            end = builder.sdiv(builder.add(stop, builder.sub(length, INT64(1))), length)
            emit_loop(builder, builder.sdiv(start, length), end, 1, one)
    return str(made.module)


def _by_formula(
    formula: Callable[..., Any], numbers: Sequence[float], backward: bool, gated: bool, dtype: torch.dtype
) -> Emitter:
    """In float64, or in float32 where that rounds no more than once; rounded to odd for what is rounded to 16 bits."""
    narrow = dtype is not torch.float32

    def compute(x: Value, *others: Value) -> Value:
        return x.of(lower(formula)(x, *(numbers or others[backward + gated :])))

    def emit(*given: Value) -> Value:
        try:
            single = [Single(v.builder, v.vector) for v in given]
            value = compute(*single)
            if gated and backward and narrow:  # the product of two numbers of 16 bits is exact
                both = _product(single[1], single[2])
                value = _passed(value, Single(both.builder, both.vector))
            else:
                value = _passed(value, single[1 + backward]) if gated else value
                value = _product(single[1], value, finite=not gated) if backward else value
        except RoundingError:
            wide = [v.widen() for v in given]
            value = compute(*wide)
            value = _passed(value, wide[1 + backward]) if gated else value
            if backward:
                value = _product(wide[1], value) if narrow else _product(given[1], value.round())
        return value.round_to_odd() if narrow else value.round()

    return emit


def rounds_once(formula: Callable[..., Any], parameters: int, backward: bool) -> bool:
    """Whether float32 arithmetic rounds a formula, or g times it, once at most, so that it is as good as float64."""
    with function("unused", 6) as (builder, _):
        one = Single(builder, llvm.broadcast(builder, FLOAT(1.0), 1))
        try:
            value = one.of(lower(formula)(*[one] * (1 + parameters)))
            return not backward or (value * one).rest is not None
        except RoundingError:
            return False


def _by_polynomials(common: Polynomials, backward: bool, gated: bool) -> Emitter:
    def emit(x: Value, *others: Value) -> Value:
        value = common.emit(x)
        value = _passed(value, others[backward]) if gated else value
        return _product(others[0], value, finite=not gated) if backward else value

    return emit


def _product(g: Value, slope: Value, finite: bool = False) -> Value:
    """g·slope, but where one of both is 0 in float32 that one, whatever the other is: 0·inf would be NaN.

    finite: whether slopes are, so that a g of 0 needs no look.
    """
    smaller = slope if finite else where(g.call("fabs") < slope.call("fabs"), g, slope)
    return where(smaller.call("fabs") <= _nothing(slope), smaller, g * slope)


def _nothing(value: Value) -> float:
    """The largest magnitude that is 0 in float32."""
    return NOTHING if value.vector.type.element is DOUBLE else 0.0


def _passed(gate: Value, up: Value) -> Value:
    """gate·up, but 0 where the gate is 0 in float32 and `up` is not finite."""
    product = gate * up
    return where(gate.call("fabs") <= _nothing(gate), where(up.call("fabs") < math.inf, product, gate), product)


class _Rare:
    """The loop of a function that some elements take by another way, which is rare and takes long.

    All elements of a block are done as most are; the rare ones are noted on the way and done again. arguments: how many
    of the inputs the other way needs.
    """

    def __init__(
        self,
        builder: Any,
        careful: Emitter,
        condition: Callable[[Value], Value],
        arguments: int,
        lanes: int,
        dtype: torch.dtype,
    ) -> None:
        self.builder, self.careful, self.condition, self.lanes, self.dtype = builder, careful, condition, lanes, dtype

        def buffer(element: ir.Type) -> Any:
            return builder.ptrtoint(builder.alloca(ir.ArrayType(element, BLOCK + lanes)), INT64)

        self.inputs, self.places = [buffer(FLOAT) for _ in range(arguments)], buffer(INT32)
        self.count = builder.alloca(INT64)

    def run(
        self,
        inputs: Callable[[Any, Any], list[Value]],
        common: Emitter,
        store: Callable[[Any, Value, Any], None],
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
                store(i, common(*given), mask)
                self._note(builder.sub(i, first), given, mask)

            vectors(builder, first, last, self.lanes, vector)
            self._again(y, first)

        emit_loop(builder, start, stop, BLOCK, block)

    def _note(self, offset: Any, given: list[Value], mask: Any) -> None:
        """Put the inputs of a vector's rare elements, and their places in the block, behind those noted before."""
        builder = self.builder
        rare = self.condition(given[0]).vector
        rare = rare if mask is None else builder.and_(rare, mask)
        with builder.if_then(llvm.any_of(builder, rare), likely=False):
            count = builder.load(self.count)
            for value, buffer in zip(given, self.inputs, strict=True):
                llvm.write(builder, buffer, count, llvm.compress(builder, value.vector, rare))
            lanes = ir.Constant(ir.VectorType(INT32, self.lanes), list(range(self.lanes)))
            places = builder.add(llvm.broadcast(builder, builder.trunc(offset, INT32), self.lanes), lanes)
            llvm.write(builder, self.places, count, llvm.compress(builder, places, rare))
            builder.store(builder.add(count, llvm.count_of(builder, rare)), self.count)

    def _again(self, y: Any, first: Any) -> None:
        """Do what was noted."""
        builder, results = self.builder, self.inputs[0]
        count, element = builder.load(self.count), FLOAT if self.dtype is torch.float32 else INT16

        def vector(k: Any) -> None:  # a result takes no more room than what was read before
            given = [Value(builder, llvm.load(builder, b, k, torch.float32, self.lanes)) for b in self.inputs]
            llvm.store(builder, results, k, self.careful(*given).vector, self.dtype)

        def place(k: Any) -> None:
            to = builder.add(first, builder.zext(builder.load(llvm.place(builder, self.places, k, INT32)), INT64))
            value = builder.load(llvm.place(builder, results, k, element))
            builder.store(value, llvm.place(builder, y, to, element), align=1)

        emit_loop(builder, INT64(0), count, self.lanes, vector)
        emit_loop(builder, INT64(0), count, 1, place)


def _fetch(builder: Any, table: Any, x: Any, index: Any, element: ir.Type) -> Any:
    """The entry that a table of 65,536 has for the 16 bits of an element of x."""
    bits = builder.load(llvm.place(builder, x, index, INT16), align=1)
    return builder.load(llvm.place(builder, table, builder.zext(bits, INT64), element))


def _several(builder: Any, start: Any, stop: Any, body: Callable[[Any], None]) -> None:
    """body(i) for each i, UNROLL in a turn as long as there are as many."""
    whole = builder.add(start, builder.and_(builder.sub(stop, start), INT64(-UNROLL)))

    def turn(i: Any) -> None:
        for k in range(UNROLL):
            body(builder.add(i, INT64(k)))

    emit_loop(builder, start, whole, UNROLL, turn)
    emit_loop(builder, whole, stop, 1, body)


def lookup(name: str) -> str:
    """y = table[x]; the table's address, of 65,536 entries of 16 bits, stands for the block."""
    with function(name, 6) as (builder, made):
        x, _, y, table, start, stop = made.args

        def copy(i: Any) -> None:
            builder.store(_fetch(builder, table, x, i, INT16), llvm.place(builder, y, i, INT16), align=1)

        _several(builder, start, stop, copy)
    return str(made.module)


def multiplied_lookup(name: str, dtype: torch.dtype, lanes: int) -> str:
    """y = g * table[x], but where one of both is exactly 0 that one; entries are float32."""
    with function(name, 6) as (builder, made):
        x, g, y, table, start, stop = made.args
        entries = builder.ptrtoint(builder.alloca(ir.ArrayType(FLOAT, SCRATCH)), INT64)

        def some(first: Any) -> None:
            left = builder.sub(stop, first)
            count = builder.select(builder.icmp_signed("<", left, INT64(SCRATCH)), left, INT64(SCRATCH))

            def fetch(k: Any) -> None:
                entry = _fetch(builder, table, x, builder.add(first, k), FLOAT)
                builder.store(entry, llvm.place(builder, entries, k, FLOAT))

            def multiply(k: Any, mask: Any) -> None:
                i = builder.add(first, k)
                entry = llvm.load(builder, entries, k, torch.float32, lanes)
                given = llvm.load(builder, g, i, dtype, lanes, mask)
                product = _product(Value(builder, given), Value(builder, entry))
                llvm.store(builder, y, i, product.vector, dtype, mask)

            _several(builder, INT64(0), count, fetch)
            vectors(builder, INT64(0), count, lanes, multiply)

        emit_loop(builder, start, stop, SCRATCH, some)
    return str(made.module)
