"""Formulas as GPU kernels: one generic forward and one generic backward kernel, in Triton.

The numbers are those of the CPU kernels: the same text in float32, rounded once, with contraction switched off. What
may differ is division, which Triton rounds to within 2 ulp.
"""

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from actfun import float32 as derived
from actfun import primitives
from actfun.backends.layout import format_of, laid_out_like
from actfun.backends.lowering import Lowering

BLOCK = 1024
CONSTANT = float if triton.knobs.runtime.interpret else tl.constexpr  # interpreted, constexpr times tensor breaks


# Literals reach these as plain numbers, hence the casts. Triton reads the source of each, so none can be generated.


@triton.jit
def _where(condition, x, y):
    return tl.where(condition, tl.cast(x, tl.float32), tl.cast(y, tl.float32))


@triton.jit
def _absolute(x):
    return tl.abs(tl.cast(x, tl.float32))


@triton.jit
def _copysign(x, y):
    magnitude = tl.cast(x, tl.float32).to(tl.int32, bitcast=True) & 0x7FFFFFFF
    sign = tl.cast(y, tl.float32).to(tl.int32, bitcast=True) & -0x80000000
    return (magnitude | sign).to(tl.float32, bitcast=True)


@triton.jit
def _add(x, y):
    return x + y


@triton.jit
def _fma(x, y, z):
    return tl.fma(tl.cast(x, tl.float32), tl.cast(y, tl.float32), tl.cast(z, tl.float32))


@triton.jit
def _pow2(n):
    shifted = (tl.cast(n, tl.float32) + 12582912.0).to(tl.int32, bitcast=True)  # n in the lowest bits
    return ((shifted + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def _exponent(x):
    return ((tl.cast(x, tl.float32).to(tl.int32, bitcast=True) - 0x3F3504F3) >> 23).to(tl.float32)  # the bits of √½


def _lowering(derived_primitives: dict[Any, Any]) -> Lowering:
    return Lowering(
        native={
            primitives.where: _where,
            primitives.absolute: _absolute,
            primitives.copysign: _copysign,
            primitives.add_smaller: _add,
            derived.fma: _fma,
            derived.pow2: _pow2,
            derived.exponent: _exponent,
        },
        derived=derived_primitives,
        compile=triton.jit,
        constant=CONSTANT,
        extra={"tl": tl},
    )


_lower, _lower_16 = _lowering(derived.DERIVED), _lowering(derived.DERIVED_16)


def lower(formula: Callable[..., Any], *dtypes: torch.dtype) -> Any:
    """A formula for this backend, in arithmetic that is good enough for data of these dtypes."""
    return (_lower if torch.float32 in dtypes else _lower_16)(formula)


@triton.jit
def _load(pointer, offsets, inside):
    return tl.load(pointer + offsets, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def forward_kernel(x, y, n, numbers, streams, formula: tl.constexpr, BLOCK: tl.constexpr):
    """y = formula(x, parameters): all numbers, or all streams of one float32 for each element."""
    offsets = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    parameters = [_load(stream, offsets, inside) for stream in streams]
    value = formula(_load(x, offsets, inside), *numbers, *parameters)
    tl.store(y + offsets, value.to(y.dtype.element_ty), mask=inside)


@triton.jit
def backward_kernel(x, g, y, n, numbers, streams, formula: tl.constexpr, BLOCK: tl.constexpr):
    """y = g * formula(x, parameters), but where one of both is exactly 0 that one: 0·inf would be NaN."""
    offsets = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    parameters = [_load(stream, offsets, inside) for stream in streams]
    slope = tl.cast(formula(_load(x, offsets, inside), *numbers, *parameters), tl.float32)
    given = _load(g, offsets, inside)
    smaller = tl.where(tl.abs(given) < tl.abs(slope), given, slope)
    value = tl.where(smaller == 0.0, smaller, given * slope)
    tl.store(y + offsets, value.to(y.dtype.element_ty), mask=inside)


def evaluate(
    formula: Callable[..., Any],
    x: Tensor,
    *parameters: float | Tensor,
    times: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """A formula over a CUDA tensor, times another tensor if one is given, computed in float32 and rounded once.

    Arguments and result are as in `actfun.backends.cpu.evaluate`.
    """
    y = torch.empty_like(x, dtype=dtype or x.dtype, memory_format=format_of(x))
    x = laid_out_like(y, x, x.dtype)
    n = x.numel()
    if n == 0:
        return y
    numbers: tuple[Any, ...] = parameters
    streams: tuple[Tensor, ...] = ()
    if any(isinstance(value, Tensor) for value in parameters):
        tensors = (value if isinstance(value, Tensor) else torch.tensor(value) for value in parameters)
        numbers, streams = (), tuple(laid_out_like(y, value, torch.float32) for value in tensors)
    grid = (triton.cdiv(n, BLOCK),)
    options = {"formula": lower(formula, x.dtype, y.dtype), "BLOCK": BLOCK, "enable_fp_fusion": False}
    if times is None:
        forward_kernel[grid](x, y, n, numbers, streams, **options)
    else:
        backward_kernel[grid](x, laid_out_like(y, times, x.dtype), y, n, numbers, streams, **options)
    return y
