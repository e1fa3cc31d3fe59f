"""Formulas as float32 torch operations, for inputs of 32 and 16 bits: what compilers fuse into one vectorised loop.

Only operations that Inductor vectorises and that ONNX has: no bit casts, no fma. The price of an operation decides
forms: a NaN-safe minimum, maximum or `where` costs four instructions on a CPU, `relu`, like a sum, one; and a chain of
dependent operations outlasts what a processor holds in flight, so polynomials are summed in pairs. Errors are those of
a few roundings; `actfun accuracy --compiled` measures them.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from actfun import primitives
from actfun.backends.lowering import Lowering
from actfun.formulas import gaussian

LOG2_E = math.log2(math.e)


def polynomial(coefficients: Sequence[float], x: Tensor) -> Any:
    """A polynomial, highest power first, summed in pairs (Estrin's scheme)."""
    terms: list[Any] = list(reversed(coefficients))
    while len(terms) > 1:
        pairs = [low + high * x for low, high in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[2 * len(pairs) :]
        x = x * x
    return terms[0]


def _where(condition: Tensor, x: Any, y: Any) -> Tensor:
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):  # two numbers would become torch's default dtype
        x = torch.full((), x, dtype=torch.float32, device=condition.device)
    return torch.where(condition, x, y)


def _minimum(x: Tensor, y: Any) -> Tensor:
    return torch.minimum(x, y) if isinstance(y, Tensor) else torch.clamp(x, max=y)


def _maximum(x: Tensor, y: Any) -> Tensor:
    if isinstance(y, float) and y == 0.0:
        return torch.relu(x)  # keeps -0.0
    return torch.maximum(x, y) if isinstance(y, Tensor) else torch.clamp(x, min=y)


def _decay(x: Tensor, y: Any) -> Any:
    return y * torch.exp(-x)


LOG1P = (0.0005244446219876409, 0.0022059851326048374, 0.012502362951636314, 0.08333329856395721)


def _log1p(x: Tensor) -> Tensor:
    """As u·(1 + v·p(v)) with u = 2·x/(2 + x) and v = u²: compiled, a fifth of the time of torch's log1p after exp."""
    u = x / (1.0 + 0.5 * x)
    v = u * u
    return u + (u * v) * polynomial(LOG1P, v)


def _tanh(x: Tensor) -> Tensor:
    """Compiled, a third of the time of torch's tanh."""
    e = torch.expm1(2.0 * torch.clamp(x, max=20.0))
    return e / (e + 2.0)


NDTR_SLOPE = (
    0.6161407828330994,
    -2.0185604095458984,
    2.197328567504883,
    -0.48596012592315674,
    -0.3248243033885956,
    -0.4921441078186035,
    0.3272567689418793,
    1.0929176807403564,
    1.5957692861557007,
)
NDTR_SLOPE_16 = (
    -0.5247042179107666,
    1.4566044807434082,
    -1.1082963943481445,
    -0.31628917655333875,
    0.307283878326416,
    1.0938135385513306,
    1.5957624912261963,
)


def _ndtr_inverse(x: Tensor, slope: Sequence[float], scale: float = 1.0) -> Any:
    """scale/(Φ(-x)·exp(x²/2)): it rises from 2 with slopes from √(8/π) to √(2π), which are smooth in x/(x + 4)."""
    return 2.0 * scale + x * polynomial([scale * c for c in slope], x / (x + 4.0))


def _ndtr_scaled(x: Tensor) -> Tensor:
    return 1.0 / _ndtr_inverse(x, NDTR_SLOPE)


def _shifted_gaussian(x: Tensor) -> Tensor:
    """exp(2 - x²/2): as a product, x² - 4 is rounded where it is small, up to |x| = 3, and below 32 up to |x| = 6."""
    return torch.exp(-0.5 * ((x - 2.0) * (x + 2.0)))


def _gaussian_decay(x: Tensor, y: Any) -> Tensor:
    return (y * math.exp(-2.0)) * _shifted_gaussian(x)


def _weighted_tail(t: Tensor) -> Tensor:
    return t * _shifted_gaussian(t) / _ndtr_inverse(t, NDTR_SLOPE, math.exp(2.0))


LINEAR_HIGH, LINEAR_LOW = 1.59576416015625, 4.961449576512678e-06  # √(8/π), the first with 16 bits
CUBIC, CUBIC_LOW = 0.07135481387376785, 2.3988324659995897e-09  # 0.044715·√(8/π)
SIXTEENTHS, FINE = 786432.0, 49152.0  # 1.5·2²³ over 16 and over 256: a sum with them leaves multiples of 1/16, 1/256


def _cubic_decay(x: Tensor, y: Any) -> Tensor:
    """The exponent at x rounded to sixteenths, whose cube is exact, and what it lacks; both parts but for one rounding.

    x ≥ 0.
    """
    near = (x + SIXTEENTHS) - SIXTEENTHS
    square, near_square = x * x, near * near
    whole = (x * (LINEAR_HIGH + CUBIC * square) + FINE) - FINE
    rest = (LINEAR_HIGH * near - whole) + CUBIC * (near_square * near)
    slope = LINEAR_HIGH + CUBIC * (square + x * near + near_square)
    rest = rest + ((x - near) * slope + x * (LINEAR_LOW + CUBIC_LOW * square))
    return torch.exp(-whole) * y * (1.0 - rest * (1.0 - 0.5 * rest))


NATIVE: dict[Callable[..., Any], Callable[..., Any]] = {
    primitives.where: _where,
    primitives.minimum: _minimum,
    primitives.maximum: _maximum,
    primitives.absolute: torch.abs,
    primitives.copysign: torch.copysign,
    primitives.add_smaller: lambda x, y: x + y,
    primitives.exp: torch.exp,
    primitives.decay: _decay,
    primitives.expm1: torch.expm1,
    primitives.log1p: _log1p,
    primitives.tanh: _tanh,
    primitives.ndtr_scaled: _ndtr_scaled,
    primitives.gaussian_decay: _gaussian_decay,
    primitives.cubic_decay: _cubic_decay,
    gaussian.weighted_tail: _weighted_tail,
}


def _ndtr_scaled_16(x: Tensor) -> Tensor:
    return 1.0 / _ndtr_inverse(x, NDTR_SLOPE_16)


def _gaussian_decay_16(x: Tensor, y: Any) -> Tensor:
    return y * torch.exp2((-0.5 * LOG2_E) * (x * x))


def _cubic_decay_16(x: Tensor, y: Any) -> Tensor:
    return y * torch.exp2(x * (-gaussian.LINEAR * LOG2_E - (gaussian.CUBIC * LOG2_E) * (x * x)))


lower = Lowering(NATIVE)
lower_16 = Lowering(
    NATIVE
    | {
        primitives.ndtr_scaled: _ndtr_scaled_16,
        primitives.gaussian_decay: _gaussian_decay_16,
        primitives.cubic_decay: _cubic_decay_16,
        gaussian.weighted_tail: lambda t: _gaussian_decay_16(t, t) / _ndtr_inverse(t, NDTR_SLOPE_16),
    }
)


def evaluate(
    formula: Callable[..., Any],
    x: Tensor,
    *parameters: float | Tensor,
    times: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """A formula over tensors of float32, bfloat16 or float16, times another tensor if one is given, in x's dtype.

    parameters: numbers, or tensors that broadcast against x. Where the formula is 0, so is the product.
    """
    lowered = lower if x.dtype is torch.float32 else lower_16
    values = (value.float() if isinstance(value, Tensor) else value for value in parameters)
    y: Tensor = lowered(formula)(x.float(), *values)
    if times is not None:
        y = torch.where(y == 0.0, 0.0, y * times.float())
    return y.to(dtype or x.dtype)
