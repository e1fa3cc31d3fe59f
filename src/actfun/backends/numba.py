"""Formulas as CPU kernels: one generic forward and one generic backward loop, vectorised by LLVM.

A kernel is a C function over raw addresses, compiled once for a formula and its dtypes, and called through its address
by one of two drivers, serial or parallel, that know nothing of formulas. So the results cannot depend on the number of
threads, and only two small functions are ever compiled with Numba's parallel machinery. No fastmath flag is set:
nothing is contracted or reordered, NaN and -0.0 stay.
"""

import functools
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import torch
from llvmlite import ir
from numba import boolean, cfunc, float32, int64, njit, prange, types, void
from numba.extending import intrinsic
from torch import Tensor

from actfun import float32 as derived
from actfun import primitives
from actfun.backends import llvm
from actfun.backends.layout import laid_out_like
from actfun.backends.lowering import Lowering

# Below this many elements a second thread costs more than it brings (about 3 µs to wake it, measured on two cores).
SERIAL_BELOW = 32_768


def _operation(returns: Any, *arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a function (builder, *values) -> value into an operation that compiled code can call."""

    def declare(emit: Callable[..., Any]) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return emit(builder, *values)

        signature = returns(*arguments)
        typings: dict[int, Callable[..., Any]] = {  # Numba reads the number of arguments off the Python signature
            1: lambda typing, a: (signature, generate),
            2: lambda typing, a, b: (signature, generate),
            3: lambda typing, a, b, c: (signature, generate),
        }
        return intrinsic(typings[len(arguments)])

    return declare


def _lowering(derived_primitives: dict[Any, Any]) -> Lowering:
    return Lowering(
        native={
            primitives.where: _operation(float32, boolean, float32, float32)(llvm.where),
            primitives.absolute: _operation(float32, float32)(llvm.absolute),
            primitives.copysign: _operation(float32, float32, float32)(llvm.copysign),
            derived.fma: _operation(float32, float32, float32, float32)(llvm.fma),
            derived.pow2: _operation(float32, float32)(llvm.pow2),
            derived.exponent: _operation(float32, float32)(llvm.exponent),
        },
        derived=derived_primitives,
        compile=njit(forceinline=True, error_model="numpy"),  # LLVM vectorises only a loop without calls
        constant=numpy.float32,
        literal=numpy.float32,
    )


_lower, _lower_16 = _lowering(derived.DERIVED), _lowering(derived.DERIVED_16)


def lower(formula: Callable[..., Any], *dtypes: torch.dtype) -> Any:
    """A formula for this backend, in arithmetic that is good enough for data of these dtypes."""
    return (_lower if torch.float32 in dtypes else _lower_16)(formula)


@functools.cache
def _load(dtype: torch.dtype) -> Any:
    return _operation(float32, int64, int64)(functools.partial(llvm.load, dtype=dtype))


@functools.cache
def _store(dtype: torch.dtype) -> Any:
    return _operation(float32, int64, int64, float32)(functools.partial(llvm.store, dtype=dtype))


@functools.cache
def _parameters(streams: tuple[bool, ...]) -> Any:
    """An operation (block, index) -> the parameters at that element.

    The block holds 8 bytes a parameter: the address of a float32 for each element where `streams` says so, else one
    float32.
    """
    result = types.UniTuple(float32, len(streams))

    def parameter(builder: Any, block: Any, index: Any, k: int, stream: bool) -> Any:
        if stream:
            address = llvm.constant(builder, llvm.place(builder, block, llvm.INT64(k), llvm.INT64))
            return llvm.load(builder, address, index, torch.float32)
        return llvm.constant(builder, llvm.place(builder, block, llvm.INT64(2 * k), llvm.FLOAT))

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        loaded = [parameter(builder, values[0], values[1], k, stream) for k, stream in enumerate(streams)]
        return context.make_tuple(builder, result, loaded)

    return intrinsic(lambda typing, block, index: (result(int64, int64), generate))


@functools.cache
def _kernel(formula: Callable[..., Any], backward: bool, dtype: torch.dtype, out: torch.dtype, streams: Any) -> Any:
    """The compiled loop y = formula(x) or y = g * formula(x), from `dtype` to `out`; keeps its machine code alive."""
    value, load, store, parameters = lower(formula, dtype, out), _load(dtype), _store(out), _parameters(streams)

    def forward_loop(x, g, y, block, start, stop):
        for i in range(start, stop):
            store(y, i, value(load(x, i), *parameters(block, i)))

    def backward_loop(x, g, y, block, start, stop):
        for i in range(start, stop):
            store(y, i, load(g, i) * value(load(x, i), *parameters(block, i)))

    return cfunc(void(*[int64] * 6), error_model="numpy")(backward_loop if backward else forward_loop)


def _typed_call(typing, kernel, x, g, y, block, start, stop):
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = ir.FunctionType(ir.VoidType(), [llvm.INT64] * 6).as_pointer()
        builder.call(builder.inttoptr(values[0], pointer), values[1:])
        return context.get_dummy_value()

    return void(*[int64] * 7), generate


_call: Any = intrinsic(_typed_call)


@njit(nogil=True)
def _serial(kernel, x, g, y, block, n):
    _call(kernel, x, g, y, block, 0, n)


@njit(nogil=True, parallel=True)
def _parallel(kernel, x, g, y, block, n, chunk):
    for c in prange((n + chunk - 1) // chunk):
        _call(kernel, x, g, y, block, c * chunk, min(n, (c + 1) * chunk))


# One parallel kernel at a time: Numba's fallback threading layer allows no more, and a second would fight for cores.
_parallel_free = threading.Lock()
_forked = False  # in a forked child the parent's OpenMP threads are gone, and a parallel kernel would end the process


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_after_fork)


def _run(kernel: Any, x: Tensor, g: Tensor | None, y: Tensor, block: numpy.ndarray | None) -> None:
    n, threads = x.numel(), torch.get_num_threads()
    addresses = (
        kernel.address,
        x.data_ptr(),
        0 if g is None else g.data_ptr(),
        y.data_ptr(),
        0 if block is None else block.ctypes.data,
    )
    if n >= SERIAL_BELOW and threads > 1 and not _forked and _parallel_free.acquire(blocking=False):
        try:
            _parallel(*addresses, n, -(-n // threads))
        finally:
            _parallel_free.release()
    else:
        _serial(*addresses, n)


def _block(x: Tensor, parameters: Sequence[float | Tensor]) -> tuple[numpy.ndarray | None, list[Tensor]]:
    """The parameters as a kernel reads them, and the tensors that must stay alive meanwhile."""
    if not parameters:
        return None, []
    block = numpy.zeros(len(parameters), numpy.int64)
    tensors = []
    for k, value in enumerate(parameters):
        if isinstance(value, Tensor):
            tensors.append(laid_out_like(x, value, torch.float32))
            block[k] = tensors[-1].data_ptr()
        else:
            block[k : k + 1].view(numpy.float32)[0] = value
    return block, tensors


def evaluate(
    formula: Callable[..., Any],
    x: Tensor,
    *parameters: float | Tensor,
    times: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """A formula over a CPU tensor, times another tensor if one is given, computed in float32 and rounded once.

    x: float32, bfloat16 or float16, any strides. parameters: numbers, or tensors that broadcast against x.
    dtype: of the result; x's when not given. The result is laid out in memory as torch would.
    """
    out = dtype or x.dtype
    y = torch.empty_like(x, dtype=out)
    x = laid_out_like(y, x, x.dtype)
    g = None if times is None else laid_out_like(y, times, x.dtype)
    parameters = tuple(v.item() if isinstance(v, Tensor) and v.numel() == 1 else v for v in parameters)
    block, tensors = _block(x, parameters)
    streams = tuple(isinstance(value, Tensor) for value in parameters)
    _run(_kernel(formula, g is not None, x.dtype, out, streams), x, g, y, block)
    del tensors
    return y
