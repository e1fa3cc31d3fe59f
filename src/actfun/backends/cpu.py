"""Formulas as CPU kernels: one generic forward and one generic backward loop, compiled by LLVM.

Arithmetic is in float32 with as many of its rounding errors carried along as the target asks for (`actfun.carried`).
What has 16 bits is looked up in a table, unless the formula is so simple that arithmetic, which is faster, gets every
value right, if need be with its parameters nudged (`actfun.backends.nudges`).

A kernel is a C function over raw addresses, compiled once for a formula and its dtypes, and called through its address
(`actfun.backends.threads`). No fastmath flag is set: nothing is contracted or reordered, NaN and -0.0 stay. So the bits
of an element depend neither on the width of vectors nor on where it stands.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import torch
from torch import Tensor

from actfun.backends import graphs, kernels, machine, tables, threads
from actfun.backends.layout import format_of, laid_out_like
from actfun.backends.lowering import uses
from actfun.backends.nudges import STEPS, nudged
from actfun.carried.primitives import PRIMITIVES
from actfun.carried.writing import written
from actfun.once import Once


@Once
def _kernel(
    formula: Callable[..., Any],
    backward: bool,
    dtype: torch.dtype,
    out: torch.dtype,
    streams: tuple[bool, ...],
    numbers: tuple[float, ...] = (),
) -> machine.Function:
    """The kernel y = formula(x) or y = g * formula(x), from `dtype` to `out`; numbers: built-in parameters."""
    output = graphs.graph(formula, backward, numbers or len(streams), out is not torch.float32)

    def text(name: str) -> str:
        return kernels.kernel(name, output, (dtype, out), backward, streams, machine.lanes())

    return machine.function(f"{dtype} {out} {backward} {streams} {written(output)}", text, 6)


@Once
def _lookup(backward: bool, dtype: torch.dtype) -> machine.Function:
    """The kernel y = table[x] or y = g * table[x], for any formula; the table's address stands for the block."""

    def text(name: str) -> str:
        return kernels.multiplied_lookup(name, dtype, machine.lanes()) if backward else kernels.lookup(name)

    return machine.function(f"lookup {backward} {dtype}", text, 6)


@functools.lru_cache(maxsize=128)
def _ready(
    formula: Callable[..., Any],
    backward: bool,
    dtype: torch.dtype,
    numbers: tuple[float, ...],
    signs: tuple[float, ...],
) -> tuple[machine.Function, int, Any]:
    """The kernel of a formula with the given parameters, its block's address, and what must live as long.

    signs: those of the parameters, for 0.0 and -0.0 are not the same.
    """
    given = numpy.array(numbers, numpy.float32)
    if dtype is torch.float32 and numbers and graphs.comes_with(formula, numbers, backward):
        return _kernel(formula, backward, dtype, dtype, (), numbers), 0, None
    if dtype is not torch.float32:
        found = _for_16_bits(formula, dtype, backward, given)
        if isinstance(found, Tensor):
            return _lookup(backward, dtype), found.data_ptr(), found
        given = numpy.array(found, numpy.float32)
    block = numpy.zeros((len(given), 2), numpy.float32)
    block[:, 0] = given
    kernel = _kernel(formula, backward, dtype, dtype, (False,) * len(given))
    return kernel, block.ctypes.data, block


def _for_16_bits(
    formula: Callable[..., Any], dtype: torch.dtype, backward: bool, given: Any
) -> Tensor | tuple[float, ...]:
    """The values of a formula at all numbers of 16 bits, or the parameters with which arithmetic gets them all right.

    A derivative's parameters are the given ones: others may be right where it is multiplied by one, and wrong by two.
    """
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


def _compute(formula: Callable[..., Any], x: Tensor, g: Tensor | None, y: Tensor, parameters: Sequence[Any]) -> None:
    """y = formula(x) or y = g * formula(x), by arithmetic; some parameters may have a value for each element."""
    block = numpy.zeros(len(parameters), numpy.int64)
    tensors = []  # must stay alive while the kernel reads them
    for k, value in enumerate(parameters):
        if isinstance(value, Tensor):
            tensors.append(laid_out_like(y, value, torch.float32))
            block[k] = tensors[-1].data_ptr()
        else:
            block[k : k + 1].view(numpy.float32)[0] = value
    streams = tuple(isinstance(value, Tensor) for value in parameters)
    kernel = _kernel(formula, g is not None, x.dtype, y.dtype, streams)
    threads.run(kernel, x.data_ptr(), 0 if g is None else g.data_ptr(), y.data_ptr(), block.ctypes.data, x.numel())


def evaluate(
    formula: Callable[..., Any],
    x: Tensor,
    *parameters: float | Tensor,
    times: Tensor | None = None,
    dtype: torch.dtype | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """A formula over a CPU tensor, times another tensor if one is given.

    x: float32, bfloat16 or float16, any strides. parameters: numbers, or tensors that broadcast against x.
    dtype: of the result; x's when not given. The result is laid out in memory as torch would, or it is `out`, which has
    no gaps and may be x.
    """
    y = torch.empty_like(x, dtype=dtype, memory_format=format_of(x)) if out is None else out
    if not x.is_contiguous():
        x = laid_out_like(y, x, x.dtype)
    if times is not None:
        times = laid_out_like(y, times, x.dtype)
    # Lists, for a generator takes 0.3 µs to make.
    if (dtype is None or dtype is x.dtype) and not [value for value in parameters if isinstance(value, Tensor)]:
        signs = tuple([math.copysign(1.0, value) for value in parameters])
        kernel, block, _ = _ready(formula, times is not None, x.dtype, parameters, signs)
        threads.run(kernel, x.data_ptr(), 0 if times is None else times.data_ptr(), y.data_ptr(), block, x.numel())
    else:
        single = [v.item() if isinstance(v, Tensor) and v.numel() == 1 else v for v in parameters]
        _compute(formula, x, times, y, single)
    return y
