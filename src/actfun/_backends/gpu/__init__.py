"""Formulas as GPU kernels: one generic forward and one generic backward kernel, in Triton.

Formulas are computed in float32, by the primitives of `arithmetic`, and rounded once. Triton's own contraction is
switched off; `source` writes out which products are added without being rounded. Division is rounded to within 2 ulp.
The bits are not those of the CPU kernels, which compute in float64: `tools/gpu_check.py` measures on a GPU how far off
results are.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra import libdevice

from actfun._backends import arithmetic as derived
from actfun._backends.gpu.source import contract
from actfun._backends.layout import format_of, lay_out_like
from actfun._backends.lowering import Lowering
from actfun._catalogue import primitives

BLOCK_BYTES = 4096  # of x to a block of 4 warps: larger ones take 4% more of float32, smaller ones 3% of 16 bits
INTERPRETED = triton.knobs.runtime.interpret
CONSTANT = float if INTERPRETED else tl.constexpr  # interpreted, constexpr times tensor breaks


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
def _fma(x, y, z):
    return tl.fma(tl.cast(x, tl.float32), tl.cast(y, tl.float32), tl.cast(z, tl.float32))


@triton.jit
def _negative(x):
    return tl.cast(x, tl.float32) * -1.0  # before 3.9 Triton takes -x for 0 - x, and -0.0 for 0.0


if INTERPRETED:

    @triton.jit
    def _reciprocal(x):
        return 1.0 / x

else:

    @triton.jit
    def _reciprocal(x):
        return libdevice.fast_dividef(1.0, x)


@triton.jit
def _pow2(k, more: tl.constexpr):
    return ((tl.cast(k, tl.float32).to(tl.int32, bitcast=True) + (127 + more)) << 23).to(tl.float32, bitcast=True)


@triton.jit
def _exp2(x):
    return tl.exp2(tl.cast(x, tl.float32))


@triton.jit
def _sqrt(x):
    return tl.sqrt_rn(tl.cast(x, tl.float32))


@triton.jit
def _log(x):
    return tl.log(tl.cast(x, tl.float32))


# Those of NVIDIA's library take subnormal numbers for 0, hence what stands for small ones.


@triton.jit
def _sin(x):
    value = tl.cast(x, tl.float32)
    return tl.where(tl.abs(value) < 1e-4, value, tl.sin(value))


@triton.jit
def _cos(x):
    return tl.cos(tl.cast(x, tl.float32))


@triton.jit
def _erf(x):
    value = tl.cast(x, tl.float32)
    return tl.where(tl.abs(value) < 1e-4, value * 1.1283791670955126, tl.erf(value))


def _lowering(derived_primitives: dict[Any, Any]) -> Lowering:
    return Lowering(
        native={
            primitives.where: _where,
            primitives.absolute: _absolute,
            primitives.copysign: _copysign,
            primitives.sqrt: _sqrt,
            primitives.log: _log,
            primitives.sin: _sin,
            primitives.cos: _cos,
            primitives.erf: _erf,
            derived.fma: _fma,
            derived.reciprocal: _reciprocal,
            derived.pow2: _pow2,
            derived.exp2: _exp2,
        },
        derived=derived_primitives,
        compile=lambda formula: triton.jit(contract(formula)),
        constant=CONSTANT,
        extra={"tl": tl, "_fma": _fma, "_negative": _negative},
    )


_lower, _lower_16 = _lowering(derived.DERIVED), _lowering(derived.DERIVED_16)


def lower(formula: Callable[..., Any], *dtypes: torch.dtype) -> Any:
    """A formula for this backend, in arithmetic that is good enough for data of these dtypes."""
    return (_lower if torch.float32 in dtypes else _lower_16)(formula)


@triton.jit
def _load(pointer, left, whole, BLOCK: tl.constexpr):
    """BLOCK elements as float32; no mask where all are there, for under a mask the 128 bits of a load fall apart."""
    offsets = tl.arange(0, BLOCK)
    if whole:  # noqa: SIM108  (a branch: a conditional expression would evaluate both loads)
        value = tl.load(pointer + offsets)
    else:
        value = tl.load(pointer + offsets, mask=offsets < left, other=0.0)
    return value.to(tl.float32)


@triton.jit
def _store(pointer, value, left, whole, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    rounded = value.to(pointer.dtype.element_ty)
    if whole:
        tl.store(pointer + offsets, rounded)
    else:
        tl.store(pointer + offsets, rounded, mask=offsets < left)


@triton.jit
def _product(g, slope):
    """g * slope, but where one of both is exactly 0 that one: 0·inf would be NaN."""
    wide = tl.cast(slope, tl.float32)
    smaller = tl.where(tl.abs(g) < tl.abs(wide), g, wide)
    return tl.where(smaller == 0.0, smaller, g * wide)


@triton.jit(do_not_specialize=["n"])
def forward_kernel(x, y, n, numbers, per_element, formula: tl.constexpr, BLOCK: tl.constexpr):
    """y = formula(x, parameters): the parameters are all numbers, or all float32, one per element."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    left = n - start
    whole = left >= BLOCK
    parameters = [_load(values + start, left, whole, BLOCK) for values in per_element]
    value = formula(_load(x + start, left, whole, BLOCK), *numbers, *parameters)
    _store(y + start, value, left, whole, BLOCK)


@triton.jit(do_not_specialize=["n"])
def backward_kernel(x, g, y, n, numbers, per_element, formula: tl.constexpr, BLOCK: tl.constexpr):
    """y = g * formula(x, parameters); x is what the formula of the slope is of, be it an input or an output."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    left = n - start
    whole = left >= BLOCK
    incoming = _load(g + start, left, whole, BLOCK)
    parameters = [_load(values + start, left, whole, BLOCK) for values in per_element]
    slope = formula(_load(x + start, left, whole, BLOCK), *numbers, *parameters)
    _store(y + start, _product(incoming, slope), left, whole, BLOCK)


def evaluate(
    formula: Callable[..., Any],
    x: Tensor,
    *parameters: float | Tensor,
    times: Tensor | None = None,
    dtype: torch.dtype | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """A formula over a CUDA tensor, times another tensor if one is given, computed in float32 and rounded once.

    Arguments and result are as in `actfun._backends.cpu.evaluate`. out: where the result goes, of x's shape and device,
    its memory without gaps, as torch's new tensors have it; it may be x itself.
    """
    if x.is_cuda and x.get_device() != torch.cuda.current_device():  # where kernels run, wherever the tensors are
        with torch.cuda.device(x.device):
            return evaluate(formula, x, *parameters, times=times, dtype=dtype, out=out)
    y = torch.empty_like(x, dtype=dtype, memory_format=format_of(x)) if out is None else out
    numbers: tuple[Any, ...] = parameters
    per_element: tuple[Tensor, ...] = ()
    if any(isinstance(value, Tensor) for value in parameters):
        tensors = (value if isinstance(value, Tensor) else torch.tensor(value) for value in parameters)
        numbers, per_element = (), tuple(lay_out_like(y, value, torch.float32) for value in tensors)
    x = lay_out_like(y, x, x.dtype)
    arguments = (x, y) if times is None else (x, lay_out_like(y, times, x.dtype), y)
    if x.numel():
        _launch(formula, arguments, numbers, per_element)
    return y


_compiled: dict[Any, Any] = {}  # kernels, by all that Triton distinguishes where memory is aligned


def _launch(
    formula: Callable[..., Any],
    tensors: tuple[Tensor, ...],
    numbers: tuple[float, ...],
    per_element: tuple[Tensor, ...],
) -> None:
    """Run the forward kernel over x and y, or the backward kernel over x, g and y.

    Triton takes 15 µs to find out each time which kernel it compiled for such arguments, and to call hooks that are not
    there; a kernel that is known is launched by itself, which takes 5.
    """
    x, y, n = tensors[0], tensors[-1], tensors[0].numel()
    block = BLOCK_BYTES // x.element_size()
    grid, lowered = (-(-n // block), 1, 1), lower(formula, x.dtype, y.dtype)
    places = [tensor.data_ptr() for tensor in tensors]
    others = tuple([values.data_ptr() for values in per_element]) if per_element else ()
    device = x.get_device()
    key = formula, len(tensors), x.dtype, y.dtype, len(per_element), n < 2**31, device
    aligned = not functools.reduce(operator.or_, (*places, *others)) & 15
    if aligned and (known := _compiled.get(key)) is not None:
        if _has_hooks():
            known[grid](*tensors, n, numbers, per_element, lowered, block)
        else:
            stream = triton.runtime.driver.active.get_current_stream(device)
            arguments = *places, n, numbers, others, lowered, block
            known.run(*grid, stream, known.function, known.packed_metadata, None, None, None, *arguments)
        return
    kernel = forward_kernel if len(tensors) == 2 else backward_kernel
    compiled = kernel[grid](*tensors, n, numbers, per_element, lowered, block, enable_fp_fusion=False)
    if aligned and compiled is not None:  # the interpreter compiles nothing
        _compiled[key] = compiled


def _has_hooks() -> bool:
    """Whether a profiler wants to know of launches."""
    hooks = triton.knobs.runtime.launch_enter_hook
    return hooks is not None and bool(getattr(hooks, "calls", True))
