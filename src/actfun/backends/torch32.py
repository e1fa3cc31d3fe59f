"""Formulas as float32 torch operations, for inputs of 32 and 16 bits: what compilers fuse into one vectorised loop.

Only operations that Inductor vectorises and ONNX knows: no bit casts, no fma. What they cost decides the forms, most of
all on one core, where torch's own gelu is 20 instructions, a division and an exponential. A `where` and a minimum or
maximum that lets NaN pass are four instructions each, and early ones delay all that follows: infinities are put right
at the end. A chain of dependent operations outlasts what a processor holds in flight: polynomials are summed in pairs.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from actfun import primitives
from actfun.backends.lowering import Lowering
from actfun.formulas import exponential, gaussian

LOG2_E = 1.4426950408889634
FAR = 40.0  # where every tail of a Gaussian is 0


def polynomial(coefficients: Sequence[float], x: Tensor) -> Any:
    """A polynomial, highest power first, summed in pairs (Estrin's scheme)."""
    terms: list[Any] = list(reversed(coefficients))
    while len(terms) > 1:
        pairs = [
            low + (x if isinstance(high, float) and high == 1.0 else high * x)
            for low, high in zip(terms[::2], terms[1::2], strict=False)
        ]
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
        return torch.relu(x)  # lets NaN pass and keeps -0.0, in one instruction
    return torch.maximum(x, y) if isinstance(y, Tensor) else torch.clamp(x, min=y)


def _decay(x: Tensor, y: Any) -> Any:
    return y * torch.exp(-x)


def _decay_16(x: Tensor, y: Any) -> Any:
    return y * torch.exp2(-LOG2_E * x)


EXPM1 = (
    0.04000917449593544,
    0.16658274829387665,
    0.49999937415122986,
)


def _expm1(x: Tensor) -> Tensor:
    """For x ≤ 0. Far from 0 as exp(x) - 1, which Inductor makes of torch's expm1 everywhere."""
    return torch.where(x > -0.135, x * (1.0 + x * polynomial(EXPM1, x)), torch.exp2(LOG2_E * x) - 1.0)


def _expm1_16(x: Tensor) -> Tensor:
    return torch.where(x > -0.0125, x * (1.0 + 0.5 * x), torch.exp2(LOG2_E * x) - 1.0)


def _elu(x: Tensor, alpha: Any, expm1: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.where(x >= 0.0, x, alpha * expm1(x))


TANH = (
    0.01979927346110344,
    -0.053809940814971924,
    0.13332940638065338,
    -0.3333333134651184,
)


def _tanh(x: Tensor) -> Tensor:
    """Compiled, a third of the time of torch's tanh."""
    s = x * x
    e = torch.exp2((-2.0 * LOG2_E) * torch.abs(x))
    y = (1.0 - e) / (1.0 + e)
    return torch.where(s < 0.125, x * (1.0 + s * polynomial(TANH, s)), torch.where(x >= 0.0, y, -y))


LOG1P = (
    0.0005244446219876409,
    0.0022059851326048374,
    0.012502362951636314,
    0.08333329856395721,
)


def _log1p(x: Tensor) -> Tensor:
    """As u·(1 + v·p(v)) with u = 2·x/(2 + x) and v = u²: compiled, a fifth of the time of torch's log1p after exp."""
    u = x / (1.0 + 0.5 * x)
    v = u * u
    return u + (u * v) * polynomial(LOG1P, v)


# Sigmoids. 1 + exp(-x) would overflow where 1/(1 + exp(-x)) is a small number yet: with 2^-shift as common factor less
# early. Powers of 2 are cheaper than those of e.


def _logistic_parts(x: Tensor, shift: float) -> tuple[float, Tensor]:
    one = 2.0**-shift
    return one, one + torch.exp2(-LOG2_E * x - shift)


def _silu(x: Tensor) -> Tensor:
    one, whole = _logistic_parts(x, 5.0)
    return one * torch.where(x > -128.0, x, -0.0) / whole  # not -inf/inf


def _silu_dx(x: Tensor) -> Tensor:
    one, whole = _logistic_parts(x, 5.0)
    near = torch.where(torch.abs(x) < 128.0, x, 0.0)  # not inf·0
    return (one + near * (one - one * (one / whole))) / whole


def _sigmoid_16(x: Tensor) -> Tensor:
    one, whole = _logistic_parts(x, 16.0)
    return one / whole


def _silu_16(x: Tensor) -> Tensor:
    return torch.where(x > -128.0, x, -0.0) * _sigmoid_16(x)


def _silu_dx_16(x: Tensor) -> Tensor:
    s = _sigmoid_16(x)
    return s * (1.0 + torch.where(torch.abs(x) < 128.0, x, 0.0) * (1.0 - s))


# Gaussians. As a product, x² - 4 is rounded where it is small, up to |x| = 3, and below 32 up to |x| = 6; rounding x²
# costs four times as much there.

ASYMPTOTE = 2.5066282746310007  # √(2π)
NDTR = (
    2.504851818084717,
    22.11953353881836,
    85.39408111572266,
    169.40138244628906,
    8.797160148620605,
    36.50376892089844,
    81.27203369140625,
    84.70069122314453,
)
NDTR_16 = (
    2.52614164352417,
    14.93607234954834,
    42.155242919921875,
    6.144077301025391,
    17.06962013244629,
    21.07756805419922,
)
GELU_SLOPE = (
    -0.012867026031017303,
    0.03961038589477539,
    -0.01674208976328373,
    -0.04718663915991783,
    -0.04722265154123306,
    0.34823691844940186,
    -0.5299655795097351,
    0.6650780439376831,
)
GELU_SLOPE_16 = (
    0.032021939754486084,
    -0.07762490212917328,
    -0.0371943861246109,
    0.3466079533100128,
    -0.5298619866371155,
    0.6650769114494324,
)
ROOT, ROOT_LOW = 0.7517915368080139, -1.211444988769017e-08  # where -x is a root of GELU's derivative


def _gaussian(x: Tensor) -> Tensor:
    """exp(2 - x²/2)."""
    return torch.exp(-0.5 * ((x - 2.0) * (x + 2.0)))


def _gaussian_16(x: Tensor) -> Tensor:
    return torch.exp2((-0.5 * LOG2_E) * (x * x))


def _ndtr_inverse(x: Tensor, coefficients: Sequence[float], scale: float = 1.0) -> Any:
    """scale/(Φ(-x)·exp(x²/2)) for x ≥ 0: from 2 at 0 it goes over into √(2π)·x."""
    half = len(coefficients) // 2
    upper = polynomial([scale * c for c in coefficients[:half]], x)
    lower = polynomial((1.0, *coefficients[half:]), x)
    return (scale * ASYMPTOTE) * x + upper / lower


def _gelu_left(t: Tensor) -> Tensor:
    """t·Φ(-t)."""
    return t * _gaussian(t) / _ndtr_inverse(t, NDTR, math.exp(2.0))


def _gelu_left_16(t: Tensor) -> Tensor:
    return t * _gaussian_16(t) / _ndtr_inverse(t, NDTR_16)


def _gelu_dx_left(t: Tensor) -> Tensor:
    """Φ(-t) - t·φ(t), which has the factor ROOT - t."""
    slope = polynomial([math.exp(-2.0) * c for c in GELU_SLOPE], t / (t + 3.0))
    return ((ROOT - t) + ROOT_LOW) * slope * _gaussian(t)


def _gelu_dx_left_16(t: Tensor) -> Tensor:
    return (ROOT - t) * polynomial(GELU_SLOPE_16, t / (t + 3.0)) * _gaussian_16(t)


def _gelu(x: Tensor, left: Callable[[Tensor], Tensor]) -> Tensor:
    t = torch.abs(x)
    tail = torch.where(t > FAR, 0.0, left(t))  # inf·0
    return torch.where(x >= 0.0, x - tail, -tail)


def _gelu_dx(x: Tensor, left: Callable[[Tensor], Tensor]) -> Tensor:
    t = torch.abs(x)
    tail = torch.where(t > FAR, -0.0, left(t))
    return torch.where(x >= 0.0, 1.0 - tail, tail)


LINEAR, LINEAR_LOW = 1.59576416015625, 4.961449576512678e-06  # √(8/π), the first with 16 bits
CUBIC, CUBIC_LOW = 0.07135481387376785, 2.3988324659995897e-09  # 0.044715·√(8/π)
SIXTEENTHS, FINE = 786432.0, 49152.0  # 1.5·2²³ over 16 and over 256: a sum with them leaves multiples of 1/16, 1/256


def _cubic_decay(x: Tensor, y: Any) -> Tensor:
    """For x ≥ 0: the exponent at x rounded to sixteenths, whose cube is exact, as two numbers, and what it lacks.

    exp(-16) apart, so that the rest is no subnormal number while the product is none.
    """
    near = (x + SIXTEENTHS) - SIXTEENTHS
    square, near_square = x * x, near * near
    whole = (x * (LINEAR + CUBIC * square) + FINE) - FINE
    rest = (LINEAR * near - whole) + CUBIC * (near_square * near)
    slope = LINEAR + CUBIC * (square + x * near + near_square)
    rest = rest + ((x - near) * slope + x * (LINEAR_LOW + CUBIC_LOW * square))
    return y * (torch.exp(16.0 - whole) * (1.0 - rest * (1.0 - 0.5 * rest))) * math.exp(-16.0)


def _cubic_decay_16(x: Tensor, y: Any) -> Tensor:
    return y * torch.exp2(x * (-LOG2_E * LINEAR - (LOG2_E * CUBIC) * (x * x)))


NATIVE: dict[Callable[..., Any], Callable[..., Any]] = {
    primitives.where: _where,
    primitives.minimum: _minimum,
    primitives.maximum: _maximum,
    primitives.absolute: torch.abs,
    primitives.copysign: torch.copysign,
    primitives.add_smaller: lambda x, y: x + y,
    primitives.exp: torch.exp,
    primitives.log1p: _log1p,
    primitives.tanh: _tanh,
}
lower = Lowering(
    NATIVE
    | {
        primitives.ndtr_scaled: lambda x: 1.0 / _ndtr_inverse(x, NDTR),
        primitives.gaussian_decay: lambda x, y: (math.exp(-2.0) * y) * _gaussian(x),
        primitives.cubic_decay: _cubic_decay,
        primitives.expm1: _expm1,
        exponential.elu: functools.partial(_elu, expm1=_expm1),
        primitives.decay: _decay,
        exponential.sigmoid: torch.sigmoid,
        exponential.silu: _silu,
        exponential.silu_dx: _silu_dx,
        gaussian.gelu: functools.partial(_gelu, left=_gelu_left),
        gaussian.gelu_dx: functools.partial(_gelu_dx, left=_gelu_dx_left),
    }
)
lower_16 = Lowering(  # for bfloat16: relative errors of 4e-5 are a hundredth of its last place
    NATIVE
    | {
        primitives.ndtr_scaled: lambda x: 1.0 / _ndtr_inverse(x, NDTR_16),
        primitives.gaussian_decay: lambda x, y: y * _gaussian_16(x),
        primitives.cubic_decay: _cubic_decay_16,
        primitives.expm1: _expm1_16,
        exponential.elu: functools.partial(_elu, expm1=_expm1_16),
        primitives.decay: _decay_16,
        exponential.sigmoid: _sigmoid_16,
        exponential.silu: _silu_16,
        exponential.silu_dx: _silu_dx_16,
        gaussian.gelu: functools.partial(_gelu, left=_gelu_left_16),
        gaussian.gelu_dx: functools.partial(_gelu_dx, left=_gelu_dx_left_16),
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
    lowered = (lower_16 if x.dtype is torch.bfloat16 else lower)(formula)
    values = (value.float() if isinstance(value, Tensor) else value for value in parameters)
    y: Tensor = lowered(x.float(), *values)
    if times is not None:
        y = torch.where(y == 0.0, 0.0, y * times.float())
    return y.to(dtype or x.dtype)
