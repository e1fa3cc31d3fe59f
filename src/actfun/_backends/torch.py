"""Formulas as plain torch operations: what PyTorch can trace, transform, shard and differentiate again.

Everything is computed in float64 and rounded once, but for devices without float64 and for 16 bits on a GPU, where
float32 is enough and far faster. What torch's own operations would lose in far tails is written around them here.
"""

import ctypes
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from actfun._backends.lowering import Lowering
from actfun._catalogue import primitives


def arithmetic(x: Tensor) -> torch.dtype:
    """The dtype that a formula of x is computed in."""
    narrow = x.dtype in (torch.float16, torch.bfloat16) and x.device.type == "cuda"
    return torch.float32 if narrow or x.device.type == "mps" else torch.float64  # Apple's GPUs have no float64


def _where(condition: Tensor, x: Any, y: Any) -> Tensor:
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):  # two numbers would become float32
        dtype = torch.float32 if condition.device.type == "mps" else torch.float64
        x = torch.tensor(x, dtype=dtype, device=condition.device)
    return torch.where(condition, x, y)


def _absolute(x: Tensor) -> Tensor:
    return torch.where(x >= 0.0, x, -x)  # torch.abs has slope 0 at 0, but formulas go on as for x > 0 there


def _copysign(x: Tensor, y: Tensor) -> Tensor:
    return torch.where(y >= 0.0, _absolute(x), -_absolute(x))  # torch.copysign has slope 0 where x is 0


def _sqrt(x: Tensor) -> Tensor:
    """At 0 with the steepest slope that there is, not torch's infinite one, which makes NaN of a gradient of 0."""
    return torch.where(x == 0.0, torch.finfo(x.dtype).max * x, torch.sqrt(torch.where(x == 0.0, 1.0, x)))


def _decay(x: Tensor, y: Any) -> Tensor:
    """y·exp(-x), where exp(-x) alone would be subnormal as y·exp(s - x)·exp(-s): its only rounding is the last."""
    limit, shift = (64.0, 32.0) if x.dtype is torch.float32 else (600.0, 64.0)
    far = x > limit
    near = y * torch.exp(torch.where(far, shift - x, -x))
    return torch.where(far, near * math.exp(-shift), near)


def _rounding_error(x: Any, y: Any, product: Any) -> Any:
    """x·y - product, exactly: the rounding error of a float64 product (Dekker 1971; torch has no fma)."""
    (x_high, x_low), (y_high, y_low) = _halves(x), _halves(y)
    return ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low


def _halves(x: Any) -> tuple[Any, Any]:
    scaled = 134217729.0 * x  # 2²⁷ + 1
    high = scaled - (scaled - x)
    return high, x - high


def _gaussian_decay(x: Tensor, y: Any) -> Tensor:
    """The exponent reaches 745, where one rounding costs 370 units in the last place: its error is fed back."""
    s = x * x
    return _decay(0.5 * s, y - y * (0.5 * _rounding_error(x, x, s)))


def _ndtr_scaled(x: Tensor) -> Tensor:
    """From erfc up to x = 28, where the asymptotic series takes over (Abramowitz and Stegun 7.1.23).

    torch's erfcx would be the whole of it, but is off by 7.5 units in the last place near 0, its erfc only by 0.5.
    """
    v = math.sqrt(0.5) * x
    near = torch.where(v < 20.0, v, 20.0)
    s = near * near
    grown = torch.exp(s)
    t = torch.where(v < 20.0, 28.0, x)
    w = 1.0 / (t * t)
    series: Any = 1.0
    for odd in range(15, 0, -2):
        series = 1.0 - odd * w * series
    far = series / (math.sqrt(2.0 * math.pi) * t)
    return torch.where(v < 20.0, 0.5 * torch.erfc(near) * (grown + grown * _rounding_error(near, near, s)), far)


LINEAR, LINEAR_LOW = 1.5957691216057308, -9.96930880911092e-17  # √(8/π), as a sum of two float64
CUBIC, CUBIC_LOW = 0.07135481627260025, -6.175149918155315e-19  # 0.044715·√(8/π), likewise


def _cubic_decay(x: Tensor, y: Any) -> Tensor:
    """As for _gaussian_decay."""
    t = _absolute(x)
    s = t * t
    p = CUBIC * s
    p_low = _rounding_error(CUBIC, s, p) + CUBIC * _rounding_error(t, t, s) + CUBIC_LOW * s
    slope = LINEAR + p
    slope_low = (p - (slope - LINEAR)) + (LINEAR - (slope - (slope - LINEAR))) + LINEAR_LOW + p_low
    z = t * slope
    return _decay(z, y - y * (_rounding_error(t, slope, z) + t * slope_low))


lower = Lowering(
    native={
        primitives.where: _where,
        primitives.absolute: _absolute,
        primitives.copysign: _copysign,
        primitives.exp: torch.exp,
        primitives.decay: _decay,
        primitives.expm1: torch.expm1,
        primitives.sqrt: _sqrt,
        primitives.log: torch.log,
        primitives.log1p: torch.log1p,
        primitives.sin: torch.sin,
        primitives.cos: torch.cos,
        primitives.erf: torch.erf,
        primitives.tanh: torch.tanh,
        primitives.ndtr_scaled: _ndtr_scaled,
        primitives.gaussian_decay: _gaussian_decay,
        primitives.cubic_decay: _cubic_decay,
    }
)


def evaluate(
    formula: Callable[..., Any],
    x: Tensor,
    *parameters: float | Tensor,
    times: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """A formula over tensors, times another tensor if one is given, rounded once.

    parameters: numbers, or tensors that broadcast against x. dtype: of the result; x's when not given.
    """
    computed = arithmetic(x)
    values = [value.to(computed) if isinstance(value, Tensor) else _as_in(x, value) for value in parameters]
    wide = x.to(computed)
    y = lower(formula)(wide, *values)
    if not isinstance(y, Tensor) or any(y is value for value in (wide, *values)):
        y = _where(
            wide == wide, y, y
        )  # a tensor of its own, of x's shape, where a formula gives an argument or a number
    return (y if times is None else _product(y, times.to(computed))).to(dtype or x.dtype)


def _product(slope: Tensor, g: Tensor) -> Tensor:
    """slope·g, but 0 where one of both is exactly 0 and the other not finite, but for NaN of a slope.

    Factors are replaced, not the product, so that derivatives of this are right beside and at roots of the slope.
    Compiled, where relu's gradient would take half as long again, an exact slope of 0 passes 0 without a look at g.
    """
    if torch.compiler.is_compiling():
        return slope * torch.where(slope == 0.0, 0.0, g)
    nothing = ((slope == 0.0) & ~g.isfinite()) | ((g == 0.0) & slope.isinf())
    return torch.where(nothing, 0.0, slope) * torch.where(nothing, 0.0, g)


def _as_in(x: Tensor, number: float) -> float | Tensor:
    """A number as torch takes it beside x: rounded to float32, unless x has float64."""
    if x.dtype is torch.float64:
        return number
    if torch.compiler.is_compiling():  # which may have a symbol in place of the number
        return torch.full((), number, dtype=torch.float32, device=x.device).to(arithmetic(x))
    return ctypes.c_float(number).value
