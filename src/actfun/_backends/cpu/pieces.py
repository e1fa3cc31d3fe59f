"""Kernels of maxout: the largest of each run of pieces with its place in bits, and gradients back to where they belong.

Outputs lie in rows without gaps. The pieces of an output lie side by side ("packed": the last dimension holds them), or
each piece has a row of its own ("planes": a dimension before the last). Places are kept in bit planes: the first holds
the lowest bit of each output's place, an output after another, each row from a whole 16 bits on.
"""

import ctypes
from typing import Any

import torch
from llvmlite import ir
from torch import Tensor

from actfun._backends.cpu import jit, llvm, threads
from actfun._backends.cpu.llvm import FLOAT, INT1, INT16, INT32, INT64
from actfun._backends.cpu.loops import emit_loop, function, vectors
from actfun._backends.layout import planes_of
from actfun._once import Once

LANES = 16  # of any processor: so many bits are written at a time
MOST = 16  # pieces, each built into the code

WORDS = ctypes.c_int64 * 3  # outputs of a row, with its padding, and bytes of a bit plane


def padded(inner: int) -> int:
    """The outputs of a row, and what fills it up."""
    return -(-inner // LANES) * LANES


def _not(builder: Any, mask: Any) -> Any:
    return builder.xor(mask, ir.Constant(mask.type, [1] * LANES))


class _Rows:
    """Where things are: loops over rows, and addresses within one."""

    def __init__(self, builder: Any, block: Any, pieces: int, packed: bool) -> None:
        self.builder, self.pieces, self.packed = builder, pieces, packed
        words = (builder.load(llvm.place(builder, block, INT64(k), INT64)) for k in range(3))
        self.inner, self.padded, self.plane = words

    def each(self, start: Any, stop: Any, body: Any) -> None:
        """body(row, i, mask) for vectors of outputs, of rows with their padding from start to stop."""
        builder = self.builder

        def row(r: Any) -> None:
            first = builder.mul(r, self.padded)
            begin, end = builder.sub(start, first), builder.sub(stop, first)
            begin = builder.select(builder.icmp_signed(">", begin, INT64(0)), begin, INT64(0))
            end = builder.select(builder.icmp_signed("<", end, self.inner), end, self.inner)
            with builder.if_then(builder.icmp_signed("<", begin, end)):
                vectors(builder, begin, end, LANES, lambda i, mask: body(r, i, mask))

        last = builder.sdiv(builder.add(stop, builder.sub(self.padded, INT64(1))), self.padded)
        emit_loop(builder, builder.sdiv(start, self.padded), last, 1, row)

    def output(self, r: Any, i: Any) -> Any:
        """The index of an output."""
        return self.builder.add(self.builder.mul(r, self.inner), i)

    def inputs(self, r: Any, i: Any, mask: Any) -> list[tuple[Any, Any]]:
        """The index and the mask of each vector of inputs that hold the pieces."""
        builder = self.builder
        base = builder.mul(builder.mul(r, self.inner), INT64(self.pieces))
        if not self.packed:
            at = [builder.add(base, builder.mul(self.inner, INT64(p))) for p in range(self.pieces)]
            return [(builder.add(one, i), mask) for one in at]
        first = builder.add(base, builder.mul(i, INT64(self.pieces)))
        found = []
        for p in range(self.pieces):
            part = None if mask is None else self._spread(mask, p)
            found.append((builder.add(first, INT64(p * LANES)), part))
        return found

    def _spread(self, mask: Any, p: int) -> Any:
        """Of inputs the mask: each output's bit for each of its pieces."""
        lanes = [(p * LANES + lane) // self.pieces for lane in range(LANES)]
        return self.builder.shuffle_vector(mask, mask, ir.Constant(ir.VectorType(INT32, LANES), lanes))

    def turned(self, vectors: list[Any], back: bool) -> list[Any]:
        """Vectors of inputs as they lie to vectors of one piece each, or `back`."""
        if not self.packed:
            return vectors
        found = []
        for p in range(self.pieces):
            if back:
                places = [divmod(p * LANES + lane, self.pieces)[::-1] for lane in range(LANES)]
            else:
                places = [divmod(lane * self.pieces + p, LANES) for lane in range(LANES)]
            found.append(self._gather(vectors, places))
        return found

    def _gather(self, vectors: list[Any], places: list[tuple[int, int]]) -> Any:
        """The vector whose lanes are those (vector, lane) of others."""
        made, done = None, set()
        for k, vector in enumerate(vectors):
            if not any(which == k for which, _ in places):
                continue
            before = vector if made is None else made
            lanes = []
            for lane, (which, at) in enumerate(places):
                lanes.append(LANES + at if which == k else lane if lane in done else 0)
            made = self.builder.shuffle_vector(before, vector, ir.Constant(ir.VectorType(INT32, LANES), lanes))
            done |= {lane for lane, (which, _) in enumerate(places) if which == k}
        return made

    def bits(self, address: Any, r: Any, i: Any, plane: int) -> Any:
        """The pointer to the 16 bits of a vector of outputs in a plane."""
        builder = self.builder
        at = builder.lshr(builder.add(builder.mul(r, self.padded), i), INT64(3))
        at = builder.add(builder.add(address, builder.mul(self.plane, INT64(plane))), at)
        return builder.inttoptr(at, INT16.as_pointer())


def largest(name: str, pieces: int, packed: bool, dtype: torch.dtype) -> str:
    """y = the largest piece of x, the first of equals and of NaN; g: where its place goes."""
    with function(name, 6) as (builder, made):
        x, g, y, block, start, stop = made.args
        rows = _Rows(builder, block, pieces, packed)

        def body(r: Any, i: Any, mask: Any) -> None:
            given = [llvm.load(builder, x, at, dtype, LANES, part) for at, part in rows.inputs(r, i, mask)]
            best, *others = rows.turned(given, back=False)
            places = [ir.Constant(ir.VectorType(INT1, LANES), [0] * LANES) for _ in range(planes_of(pieces))]
            for p, other in enumerate(others, 1):
                above = builder.fcmp_unordered("ugt", other, best)
                above = builder.and_(above, builder.fcmp_ordered("ord", best, best))
                best = builder.select(above, other, best)
                for k, bit in enumerate(places):
                    places[k] = builder.or_(bit, above) if p >> k & 1 else builder.and_(bit, _not(builder, above))
            llvm.store(builder, y, rows.output(r, i), best, dtype, mask)
            for k, bit in enumerate(places):
                builder.store(builder.bitcast(bit, INT16), rows.bits(g, r, i, k), align=1)

        rows.each(start, stop, body)
    return str(made.module)


def given_back(name: str, pieces: int, packed: bool, size: int) -> str:
    """x = g for the piece whose place is in the bits at y, and 0 for the others; elements of `size` bytes."""
    with function(name, 6) as (builder, made):
        x, g, y, block, start, stop = made.args
        rows, element = _Rows(builder, block, pieces, packed), FLOAT if size == 4 else INT16
        zero = ir.Constant(ir.VectorType(element, LANES), None)

        def body(r: Any, i: Any, mask: Any) -> None:
            given = llvm.read(builder, g, rows.output(r, i), element, LANES, mask)
            kind = ir.VectorType(INT1, LANES)
            bits = [
                builder.bitcast(builder.load(rows.bits(y, r, i, k), align=1), kind) for k in range(planes_of(pieces))
            ]
            parts = []
            for p in range(pieces):
                won = ir.Constant(kind, [1] * LANES)
                for k, bit in enumerate(bits):
                    won = builder.and_(won, bit if p >> k & 1 else _not(builder, bit))
                parts.append(builder.select(won, given, zero))
            turned = rows.turned(parts, back=True)
            for (at, part), value in zip(rows.inputs(r, i, mask), turned, strict=True):
                llvm.write(builder, x, at, value, part)

        rows.each(start, stop, body)
    return str(made.module)


@Once
def _largest(pieces: int, packed: bool, dtype: torch.dtype) -> jit.Function:
    return jit.function(f"maxout {pieces} {packed} {dtype}", lambda name: largest(name, pieces, packed, dtype), 6)


@Once
def _given_back(pieces: int, packed: bool, size: int) -> jit.Function:
    key = f"maxout back {pieces} {packed} {size}"
    return jit.function(key, lambda name: given_back(name, pieces, packed, size), 6)


def bytes_of(rows: int, inner: int, pieces: int) -> tuple[int, int]:
    """The shape of the bits of so many rows of outputs: bit planes, and the bytes of each."""
    return planes_of(pieces), rows * padded(inner) // 8


def forward(x: Tensor, y: Tensor, bits: Tensor, rows: int, inner: int, pieces: int, packed: bool) -> None:
    """Fill y, of rows of `inner` outputs, and its bits. x and y: float32, bfloat16 or float16, without gaps."""
    block = WORDS(inner, padded(inner), bits.stride(0))
    kernel = _largest(pieces, packed, x.dtype)
    n = rows * padded(inner)
    threads.run(kernel, x.data_ptr(), bits.data_ptr(), y.data_ptr(), ctypes.addressof(block), n)


def backward(g: Tensor, bits: Tensor, x: Tensor, rows: int, inner: int, pieces: int, packed: bool) -> None:
    """Fill x with g where a piece won, else 0."""
    assert bits.shape == bytes_of(rows, inner, pieces) or rows == 1, "the bits are of other rows"
    block = WORDS(inner, padded(inner), bits.stride(0))
    kernel = _given_back(pieces, packed, g.element_size())
    n = rows * padded(inner)
    threads.run(kernel, x.data_ptr(), g.data_ptr(), bits.data_ptr(), ctypes.addressof(block), n)
