"""Formulas as CPU kernels: one generic forward and one generic backward loop, vectorised by LLVM.

Arithmetic is in float32 with as many of its rounding errors carried along as the target asks for (`actfun.carried`).
What has 16 bits is looked up in a table, unless the formula is so simple that arithmetic, which is faster, gets every
value right, if need be with its parameters nudged (`actfun.backends.nudges`).

A kernel is a C function over raw addresses, compiled once for a formula and its dtypes, and called through its address
(`actfun.backends.threads`). No fastmath flag is set: nothing is contracted or reordered, NaN and -0.0 stay. So the bits
of an element depend neither on the width of vectors nor on where it stands.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import torch
from numba import cfunc, int64, void
from numba.extending import intrinsic
from torch import Tensor

from actfun import primitives
from actfun.backends import llvm, tables, threads
from actfun.backends import torch as torch_ops
from actfun.backends.layout import laid_out_like
from actfun.backends.lowering import Lowering, uses
from actfun.backends.nudges import STEPS, nudged
from actfun.carried import economy, pairs
from actfun.carried.graph import Node, leaf
from actfun.carried.pairs import Pair
from actfun.carried.primitives import PRIMITIVES

lower = Lowering(
    native={
        primitives.where: pairs.where,
        primitives.absolute: pairs.absolute,
        primitives.copysign: pairs.copysign,
        primitives.add_smaller: pairs.add_smaller,
        **PRIMITIVES,
    }
)


def _operation(emit: Callable[..., None], arguments: int) -> Any:
    """Make a function (builder, *addresses and indices) into an operation that compiled code can call."""
    signature = void(*[int64] * arguments)

    def generate(context: Any, builder: Any, _: Any, values: Any) -> Any:
        emit(builder, *values)
        return context.get_dummy_value()

    typings: dict[int, Callable[..., Any]] = {  # Numba reads the number of arguments off the Python signature
        4: lambda typing, a, b, c, d: (signature, generate),
        5: lambda typing, a, b, c, d, e: (signature, generate),
    }
    return intrinsic(typings[arguments])


def _parameters(builder: Any, block: Any, index: Any, streams: tuple[bool, ...]) -> dict[str, Any]:
    """The parameters at an element, by the names that they have in the graph.

    The block holds 8 bytes a parameter: the address of a float32 for each element where `streams` says so, else one
    float32.
    """

    def parameter(k: int, stream: bool) -> Any:
        if stream:
            address = llvm.constant(builder, llvm.place(builder, block, llvm.INT64(k), llvm.INT64))
            return llvm.load(builder, address, index, torch.float32)
        return llvm.constant(builder, llvm.place(builder, block, llvm.INT64(2 * k), llvm.FLOAT))

    return {f"parameter {k}": parameter(k, stream) for k, stream in enumerate(streams)}


def _exact(formula: Callable[..., Any], inputs: dict[str, Any]) -> Any:
    return torch_ops.evaluate(formula, *(torch.from_numpy(values).double() for values in inputs.values())).numpy()


@functools.cache
def graph(formula: Callable[..., Any], backward: bool, parameters: int, sixteen: bool) -> Node:
    """What a kernel does to an element: formula(x, *parameters), times g if it goes backward."""
    names = [f"parameter {k}" for k in range(parameters)]
    value = Pair.of(lower(formula)(*(Pair(leaf("input", name)) for name in ["x", *names])))
    g = leaf("input", "g")
    if sixteen:
        return (Pair(g) * value if backward else value).odd()
    result = value.rounded()
    if uses(formula, PRIMITIVES):
        result = economy.thrifty(result, names, functools.partial(_exact, formula), derivative=backward)
    return g * result if backward else result


@functools.cache
def _kernel(formula: Callable[..., Any], backward: bool, dtype: torch.dtype, out: torch.dtype, streams: Any) -> Any:
    """The compiled loop y = formula(x) or y = g * formula(x), from `dtype` to `out`; keeps its machine code alive."""
    result = graph(formula, backward, len(streams), out is not torch.float32)

    def emit(builder: Any, x: Any, g: Any, y: Any, block: Any, index: Any) -> None:
        llvm.prefer_wide_vectors(builder)
        inputs = {"x": llvm.load(builder, x, index, dtype), **_parameters(builder, block, index, streams)}
        if backward:
            inputs["g"] = llvm.load(builder, g, index, dtype)
        llvm.store(builder, y, index, llvm.emitted(builder, result, inputs), out)

    element = _operation(emit, 5)

    def loop(x, g, y, block, start, stop):
        for i in range(start, stop):
            element(x, g, y, block, i)

    return _compiled(loop)


@functools.cache
def _lookup(backward: bool, dtype: torch.dtype) -> Any:
    """The compiled loop y = table[x] or y = g * table[x], for any formula; the table's address stands for the block."""

    def multiply(builder: Any, entries: Any, g: Any, y: Any, first: Any, k: Any) -> None:
        place = builder.add(first, k)
        values = llvm.load(builder, g, place, dtype), llvm.load(builder, entries, k, torch.float32)
        llvm.store(builder, y, place, builder.fmul(*values), dtype)

    copy, fetch = _operation(llvm.copy_entry, 4), _operation(llvm.fetch_entry, 4)
    multiplied = _operation(multiply, 5)
    scratch: Any = intrinsic(lambda typing: (int64(), llvm.scratch))

    def forward_loop(x, g, y, table, start, stop):
        for i in range(start, stop):
            copy(table, x, y, i)

    def backward_loop(x, g, y, table, start, stop):  # entries are fetched one by one, but multiplied many at a time
        entries = scratch()
        for first in range(start, stop, llvm.SCRATCH):
            count = min(llvm.SCRATCH, stop - first)
            for k in range(count):
                fetch(table, x, first + k, entries + 4 * k)
            for k in range(count):
                multiplied(entries, g, y, first, k)

    return _compiled(backward_loop if backward else forward_loop)


def _compiled(loop: Callable[..., None]) -> Any:
    return cfunc(void(*[int64] * 6), error_model="numpy")(loop)


def _compute(formula: Callable[..., Any], x: Tensor, g: Tensor | None, y: Tensor, parameters: Sequence[Any]) -> None:
    """y = formula(x) or y = g * formula(x), by arithmetic."""
    block = numpy.zeros(len(parameters), numpy.int64)
    tensors = []  # must stay alive while the kernel reads them
    for k, value in enumerate(parameters):
        if isinstance(value, Tensor):
            tensors.append(laid_out_like(y, value, torch.float32))
            block[k] = tensors[-1].data_ptr()
        else:
            block[k : k + 1].view(numpy.float32)[0] = value
    streams = tuple(isinstance(value, Tensor) for value in parameters)
    threads.run(
        _kernel(formula, g is not None, x.dtype, y.dtype, streams), x, g, y, block.ctypes.data if parameters else 0
    )


@functools.lru_cache(maxsize=64)
def _for_16_bits(
    formula: Callable[..., Any], dtype: torch.dtype, backward: bool, numbers: bytes
) -> Tensor | tuple[float, ...]:
    """The values of a formula at all numbers of 16 bits, or the parameters with which arithmetic gets them all right.

    A derivative's parameters are the given ones: others may be right where it is multiplied by one, and wrong by two.
    numbers: the parameters as the bytes of float32, for which 0.0 and -0.0 are not the same.
    """
    given = numpy.frombuffer(numbers, numpy.float32)
    if not uses(formula, PRIMITIVES):  # else arithmetic would take longer
        x, exact = tables.arguments(dtype), tables.table(formula, dtype, dtype, *given.tolist())
        one = torch.ones_like(x) if backward else None

        def compute(parameters: tuple[float, ...]) -> Tensor:
            y = torch.empty_like(x)
            _compute(formula, x, one, y, parameters)
            return y

        near = nudged(formula, x, exact, given, compute, STEPS[:1] if backward else STEPS)
        if near is not None:
            return near
    return tables.table(formula, dtype, torch.float32 if backward else dtype, *given.tolist())


def evaluate(
    formula: Callable[..., Any],
    x: Tensor,
    *parameters: float | Tensor,
    times: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """A formula over a CPU tensor, times another tensor if one is given.

    x: float32, bfloat16 or float16, any strides. parameters: numbers, or tensors that broadcast against x.
    dtype: of the result; x's when not given. The result is laid out in memory as torch would.
    """
    y = torch.empty_like(x, dtype=dtype or x.dtype)
    x = laid_out_like(y, x, x.dtype)
    g = None if times is None else laid_out_like(y, times, x.dtype)
    if y.dtype is x.dtype is not torch.float32 and not any(isinstance(value, Tensor) for value in parameters):
        found = _for_16_bits(formula, x.dtype, g is not None, numpy.array(parameters, numpy.float32).tobytes())
        if isinstance(found, Tensor):
            threads.run(_lookup(g is not None, x.dtype), x, g, y, found.data_ptr())
            return y
        parameters = found
    parameters = tuple(v.item() if isinstance(v, Tensor) and v.numel() == 1 else v for v in parameters)
    _compute(formula, x, g, y, parameters)
    return y
