"""Formulas as CPU kernels: one generic forward and one generic backward loop, compiled by LLVM.

Arithmetic is in float64, rounded once (`double`). Common numbers of float32 take polynomials where the package has them
(`polynomials`). What has 16 bits is looked up in a table, unless float32 arithmetic rounds the formula only once: then
arithmetic is as right, and faster.

A kernel is a C function over raw addresses, compiled once for a formula and its dtypes, and called through its address
(`threads`). No fastmath flag is set: nothing is contracted or reordered, NaN and -0.0 stay. So the bits of an element
depend neither on the width of vectors nor on where it stands.
"""

import ctypes
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import torch
from torch import Tensor

from actfun._backends import tables
from actfun._backends.cpu import jit, kernels, polynomials, threads
from actfun._backends.layout import format_of, lay_out_like, runs
from actfun._backends.lowering import fingerprint
from actfun._catalogue.formulas.gated import PARTS
from actfun._once import Once


@Once
def _kernel(
    formula: Callable[..., Any],
    backward: bool,
    dtype: torch.dtype,
    out: torch.dtype,
    per_element: tuple[bool, ...],
    numbers: tuple[float, ...] = (),
    *gate: bool,
) -> jit.Function:
    """The kernel y = formula(x) or y = g * formula(x), from `dtype` to `out`; numbers: built-in parameters.

    gate: for a formula that is a gate, whether there is what it multiplies, and whether arrays have gaps.
    """
    plain = (dtype is out is torch.float32 and not per_element) or gate
    common = polynomials.of(formula, numbers) if plain else None

    def text(name: str) -> str:
        return kernels.kernel(name, formula, (dtype, out), backward, per_element, jit.lanes(), common, numbers, *gate)

    key = (
        f"{dtype} {out} {backward} {per_element} {numbers} {common} {gate} {formula.__module__} {fingerprint(formula)}"
    )
    return jit.function(key, text, 6)


@Once
def _lookup(backward: bool, dtype: torch.dtype) -> jit.Function:
    """The kernel y = table[x] or y = g * table[x], for any formula; the table's address stands for the block."""

    def text(name: str) -> str:
        return kernels.multiplied_lookup(name, dtype, jit.lanes()) if backward else kernels.lookup(name)

    return jit.function(f"lookup {backward} {dtype}", text, 6)


@functools.lru_cache(maxsize=128)
def _ready(
    formula: Callable[..., Any],
    backward: bool,
    dtype: torch.dtype,
    numbers: tuple[float, ...],
    signs: tuple[float, ...],
) -> tuple[jit.Function, int, Any]:
    """The kernel of a formula with the given parameters, its block's address, and what must live as long.

    signs: those of the parameters, for 0.0 and -0.0 are not the same.
    """
    if dtype is torch.float32 and polynomials.of(formula, numbers) is not None:
        return _kernel(formula, backward, dtype, dtype, (), numbers), 0, None
    given = numpy.array(numbers, numpy.float32)
    if dtype is not torch.float32 and not kernels.rounds_once(formula, len(given), backward):
        table = tables.table(formula, dtype, torch.float32 if backward else dtype, *given.tolist())
        return _lookup(backward, dtype), table.data_ptr(), table
    block = numpy.zeros((len(given), 2), numpy.float32)
    block[:, 0] = given
    kernel = _kernel(formula, backward, dtype, dtype, (False,) * len(given))
    return kernel, block.ctypes.data, block


def _compute(formula: Callable[..., Any], x: Tensor, g: Tensor | None, y: Tensor, parameters: Sequence[Any]) -> None:
    """y = formula(x) or y = g * formula(x), by arithmetic; some parameters may have a value for each element."""
    block = numpy.zeros(len(parameters), numpy.int64)
    tensors = []  # must stay alive while the kernel reads them
    for k, value in enumerate(parameters):
        if isinstance(value, Tensor):
            tensors.append(lay_out_like(y, value, torch.float32))
            block[k] = tensors[-1].data_ptr()
        else:
            block[k : k + 1].view(numpy.float32)[0] = value
    per_element = tuple(isinstance(value, Tensor) for value in parameters)
    kernel = _kernel(formula, g is not None, x.dtype, y.dtype, per_element)
    threads.run(kernel, x.data_ptr(), 0 if g is None else g.data_ptr(), y.data_ptr(), block.ctypes.data, x.numel())


WORDS = ctypes.c_int64 * 4  # of a gate's block: the address of what it multiplies, if any, and its form


def _pass(gate: Callable[..., Any], x: Tensor, up: Tensor | None, g: Tensor | None, y: Tensor) -> None:
    """y = gate(x) * up * g, as far as these are given. All have one shape and dtype; y may be a part of a tensor."""
    form = runs(x, y) if up is None or up.stride() == x.stride() else None
    if form is None or not (g is None or (g.is_contiguous() and y.is_contiguous())):
        whole = torch.empty_like(y)  # y's layout, without gaps
        if form is None:
            x, up = lay_out_like(whole, x, y.dtype), None if up is None else lay_out_like(whole, up, y.dtype)
            if (form := runs(x, y)) is None:
                _pass(gate, x, up, g, whole)
                y.copy_(whole)
                return
        g = None if g is None else lay_out_like(whole, g, y.dtype)
    block = WORDS(*form) if up is None else WORDS(up.data_ptr(), *form)
    kernel = _kernel(gate, g is not None, x.dtype, y.dtype, (), (), up is not None, form[1:] != (0, 0))
    at = ctypes.addressof(block)
    threads.run(kernel, x.data_ptr(), 0 if g is None else g.data_ptr(), y.data_ptr(), at, x.numel())


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
    no gaps and may be x; of a formula in PARTS, which takes a value of x's shape and dtype, it may be part of a tensor.
    """
    y = torch.empty_like(x, dtype=dtype, memory_format=format_of(x)) if out is None else out
    if parameters and formula in PARTS and isinstance(parameters[0], Tensor):
        if not y.numel():
            return y
        gate, is_open = PARTS[formula]
        _pass(gate, x, parameters[0] if is_open else None, times, y)
        return y
    if not x.is_contiguous():
        x = lay_out_like(y, x, x.dtype)
    if times is not None:
        times = lay_out_like(y, times, x.dtype)
    # Lists, for a generator takes 0.3 µs to make.
    if (dtype is None or dtype is x.dtype) and not [value for value in parameters if isinstance(value, Tensor)]:
        signs = tuple([math.copysign(1.0, value) for value in parameters])
        kernel, block, _ = _ready(formula, times is not None, x.dtype, parameters, signs)
        threads.run(kernel, x.data_ptr(), 0 if times is None else times.data_ptr(), y.data_ptr(), block, x.numel())
    else:
        single = [v.item() if isinstance(v, Tensor) and v.numel() == 1 else v for v in parameters]
        _compute(formula, x, times, y, single)
    return y
