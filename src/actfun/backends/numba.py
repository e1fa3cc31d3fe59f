"""Formulas as CPU kernels: one generic forward and one generic backward loop, vectorised by LLVM.

Arithmetic is in float64, the result rounded once: float32 comes out within 0.75 ulp of the exact value. What has 16
bits is looked up in a table, unless the formula is so simple that arithmetic in float32, which is faster, gets every
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
from numba import boolean, cfunc, float32, float64, int64, njit, types, void
from numba.extending import intrinsic
from torch import Tensor

from actfun import float64 as derived
from actfun import primitives
from actfun.backends import llvm, tables, threads
from actfun.backends.layout import laid_out_like
from actfun.backends.lowering import Lowering
from actfun.backends.nudges import STEPS, nudged


def _operation(returns: Any, *arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a function (builder, *values) -> value into an operation that compiled code can call."""

    def declare(emit: Callable[..., Any]) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return emit(builder, *values)

        signature = returns(*arguments)
        typings: dict[int, Callable[..., Any]] = {  # Numba reads the number of arguments off the Python signature
            0: lambda typing: (signature, generate),
            1: lambda typing, a: (signature, generate),
            2: lambda typing, a, b: (signature, generate),
            3: lambda typing, a, b, c: (signature, generate),
            4: lambda typing, a, b, c, d: (signature, generate),
        }
        return intrinsic(typings[len(arguments)])

    return declare


def _native(number: Any) -> dict[Any, Any]:
    return {
        primitives.where: _operation(number, boolean, number, number)(llvm.where),
        primitives.absolute: _operation(number, number)(llvm.absolute),
        primitives.copysign: _operation(number, number, number)(llvm.copysign),
    }


_compile = njit(forceinline=True, error_model="numpy")  # LLVM vectorises only a loop without calls
lower = Lowering(
    native=_native(float64)
    | {
        derived.fma: _operation(float64, float64, float64, float64)(llvm.fma),
        derived.scaled: _operation(float64, float64, float64)(llvm.scaled),
    },
    derived=derived.DERIVED,
    compile=_compile,
)
_lower_single = Lowering(_native(float32), compile=_compile, constant=numpy.float32, literal=numpy.float32)


@functools.cache
def _load(dtype: torch.dtype, number: Any) -> Any:
    emit = functools.partial(llvm.load, dtype=dtype, wide=number is float64)
    return _operation(number, int64, int64)(emit)


@functools.cache
def _store(dtype: torch.dtype, number: Any) -> Any:
    return _operation(number, int64, int64, number)(functools.partial(llvm.store, dtype=dtype))


@functools.cache
def _parameters(streams: tuple[bool, ...], number: Any) -> Any:
    """An operation (block, index) -> the parameters at that element.

    The block holds 8 bytes a parameter: the address of a float32 for each element where `streams` says so, else one
    float32.
    """
    result, wide = types.UniTuple(number, len(streams)), number is float64

    def parameter(builder: Any, block: Any, index: Any, k: int, stream: bool) -> Any:
        if stream:
            address = llvm.constant(builder, llvm.place(builder, block, llvm.INT64(k), llvm.INT64))
            return llvm.load(builder, address, index, torch.float32, wide)
        value = llvm.constant(builder, llvm.place(builder, block, llvm.INT64(2 * k), llvm.FLOAT))
        return llvm.widened(builder, value, wide)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        loaded = [parameter(builder, values[0], values[1], k, stream) for k, stream in enumerate(streams)]
        return context.make_tuple(builder, result, loaded)

    return intrinsic(lambda typing, block, index: (result(int64, int64), generate))


@functools.cache
def _kernel(formula: Callable[..., Any], backward: bool, dtype: torch.dtype, out: torch.dtype, streams: Any) -> Any:
    """The compiled loop y = formula(x) or y = g * formula(x), from `dtype` to `out`; keeps its machine code alive."""
    simple = dtype is not torch.float32 and not lower.derives(formula)
    number = float32 if simple else float64
    value = (_lower_single if simple else lower)(formula)
    load, store, parameters = _load(dtype, number), _store(out, number), _parameters(streams, number)

    def forward_loop(x, g, y, block, start, stop):
        for i in range(start, stop):
            store(y, i, value(load(x, i), *parameters(block, i)))

    def backward_loop(x, g, y, block, start, stop):
        for i in range(start, stop):
            store(y, i, load(g, i) * value(load(x, i), *parameters(block, i)))

    return _compiled(backward_loop if backward else forward_loop)


@functools.cache
def _lookup(backward: bool, dtype: torch.dtype) -> Any:
    """The compiled loop y = table[x] or y = g * table[x], for any formula; the table's address stands for the block."""
    copy, scratch = _operation(void, int64, int64, int64, int64)(llvm.copy_entry), _operation(int64)(llvm.scratch)
    fetch = _operation(void, int64, int64, int64, int64)(llvm.fetch_entry)
    load, load_single, store = _load(dtype, float32), _load(torch.float32, float32), _store(dtype, float32)

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
                store(y, first + k, load(g, first + k) * load_single(entries, k))

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
    if not lower.derives(formula):  # else arithmetic would take longer
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
    """A formula over a CPU tensor, times another tensor if one is given, computed in float64 and rounded once.

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
