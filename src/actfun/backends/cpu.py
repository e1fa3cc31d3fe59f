"""Formulas as CPU kernels: one generic forward and one generic backward loop, compiled by LLVM.

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
from torch import Tensor

from actfun.backends import graphs, kernels, machine, pages, tables, threads
from actfun.backends.layout import laid_out_like
from actfun.backends.lowering import uses
from actfun.backends.nudges import STEPS, nudged
from actfun.carried.primitives import PRIMITIVES
from actfun.carried.writing import written


@functools.cache
def _kernel(formula: Callable[..., Any], backward: bool, dtype: torch.dtype, out: torch.dtype, streams: Any) -> Any:
    """The kernel y = formula(x) or y = g * formula(x), from `dtype` to `out`."""
    output = graphs.graph(formula, backward, len(streams), out is not torch.float32)

    def text(name: str) -> str:
        return kernels.kernel(name, output, (dtype, out), backward, streams, machine.lanes())

    return machine.function(f"{dtype} {out} {backward} {streams} {written(output)}", text, 6)


@functools.cache
def _lookup(backward: bool, dtype: torch.dtype) -> Any:
    """The kernel y = table[x] or y = g * table[x], for any formula; the table's address stands for the block."""

    def text(name: str) -> str:
        return kernels.multiplied_lookup(name, dtype, machine.lanes()) if backward else kernels.lookup(name)

    return machine.function(f"lookup {backward} {dtype}", text, 6)


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
    pages.advise(y)
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
