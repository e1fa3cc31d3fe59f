"""Formulas as float32 torch operations, for inputs of 32 and 16 bits: what compilers fuse into one vectorised loop.

Only operations that Inductor vectorises and ONNX knows: no bit casts, no fma. On a GPU formulas are lowered over the
primitives of `arithmetic`, as kernels are, and torch's own where those take a GPU's: memory is slower there than
arithmetic, and Inductor's kernels take the result of exp2 for 0 where it is subnormal, which the forms of CPUs do not
allow for.

On a CPU most formulas are lowered over primitives; those that compete with a handful of instructions of torch's have a
form of their own here. What operations cost decides these forms. A `where`, or a minimum or maximum that lets NaN pass,
takes four instructions, and more time still where all else waits for it: infinities are put right beside the main path.
A chain of dependent operations outlasts what a processor holds in flight: polynomials are summed in pairs. A power of 2
takes two thirds of the time of one of e, but its argument, a product, is rounded once more.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from actfun._backends import arithmetic
from actfun._backends import torch_tails as tails
from actfun._backends.lowering import Lowering
from actfun._backends.torch_tails import LOG2_E, polynomial, pow2
from actfun._catalogue import primitives
from actfun._catalogue.formulas import exponential, gated, gaussian, hard, rectified


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


def _copysign(x: Tensor, y: Tensor) -> Tensor:
    """torch.copysign, which an exporter of ONNX does not know; x is a zero where y is one."""
    size = torch.abs(x)
    return torch.where(y > 0.0, size, torch.where(y < 0.0, -size, y))


def _decay(x: Tensor, y: Any) -> Any:
    return y * torch.exp(-x)


def _decay_16(x: Tensor, y: Any) -> Any:
    return y * pow2(-LOG2_E * x)


EXPM1 = (
    0.04000917449593544,
    0.16658274829387665,
    0.49999937415122986,
)


def _expm1(x: Tensor) -> Tensor:
    """For x ≤ 0. Far from 0 as exp(x) - 1, which Inductor makes of torch's expm1 everywhere."""
    return torch.where(x > -0.135, x * (1.0 + x * polynomial(EXPM1, x)), pow2(LOG2_E * x) - 1.0)


def _expm1_16(x: Tensor) -> Tensor:
    return torch.where(x > -0.0125, x * (1.0 + 0.5 * x), pow2(LOG2_E * x) - 1.0)


def _elu(x: Tensor, alpha: Any, expm1: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.where(x >= 0.0, x, alpha * expm1(x))


def _elu_dx(x: Tensor, alpha: Any) -> Tensor:
    return torch.where(x > 0.0, 1.0, alpha * pow2(LOG2_E * x))


TANH = (
    0.01979927346110344,
    -0.053809940814971924,
    0.13332940638065338,
    -0.3333333134651184,
)


def _tanh(x: Tensor) -> Tensor:
    """Compiled, a third of the time of torch's tanh."""
    s = x * x
    e = pow2((-2.0 * LOG2_E) * torch.abs(x))
    y = (1.0 - e) / (1.0 + e)
    return torch.where(s < 0.125, x * (1.0 + s * polynomial(TANH, s)), torch.where(x >= 0.0, y, -y))


ERF = (
    7.875874871388078e-05,
    -0.000801686430349946,
    0.005189087241888046,
    -0.02685421146452427,
    0.11283594369888306,
    -0.3761262595653534,
    0.12837916612625122,
)
ERFC = (
    -2.9044544135103934e-05,
    0.0006067127687856555,
    -0.005898005794733763,
    0.035858381539583206,
    -0.15550993382930756,
    -0.9144843816757202,
    -1.6291065216064453,
    0.0001461167266825214,
)


def _erf(x: Tensor) -> Tensor:
    """Near 0, where Inductor's erf is known to 1e-7 only, x + x·p(x²); beyond 1 less a power of 2."""
    t = torch.clamp(torch.abs(x), max=4.0)  # where it is 1 - 2e-8
    far = 1.0 - pow2(polynomial(ERFC, t))
    return torch.where(t < 1.0, x + x * polynomial(ERF, t * t), torch.where(x >= 0.0, far, -far))


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
    return one, one + pow2(-LOG2_E * x - shift)


def _silu(x: Tensor) -> Tensor:
    one, whole = _logistic_parts(x, 5.0)
    return one * torch.where(x < -92.0, -0.0, x) / whole  # not -inf/inf; from -92.2 on the quotient is 0


def _silu_dx(x: Tensor) -> Tensor:
    one, whole = _logistic_parts(x, 5.0)
    s = one / whole
    return s * (1.0 + torch.where(torch.abs(x) < 128.0, x, -2.0) * (1.0 - s))  # at infinities 1 and -0, not inf·0


def _exp_and_sigmoid(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of the size of x: exp(-|x|) and sigmoid(|x|)."""
    e = torch.exp(-torch.abs(x))
    return e, 1.0 / (1.0 + e)


def _sigmoid_beside_slope(x: Tensor) -> Tensor:
    e, s = _exp_and_sigmoid(x)
    return torch.where(x < 0.0, e, 1.0) * s


def _slope_beside_sigmoid(x: Tensor) -> Tensor:
    e, s = _exp_and_sigmoid(x)
    return e * s * s


# Backward computes both: with one exponential and one division, though the slope is 4.4 ulp off, not 3.8.
TOGETHER = {gated.glu_dx: _slope_beside_sigmoid, gated.glu_dup: _sigmoid_beside_slope}


def _sigmoid_16(x: Tensor) -> Tensor:
    one, whole = _logistic_parts(x, 16.0)
    return one / whole


def _silu_16(x: Tensor) -> Tensor:
    return torch.where(x < -99.5, -0.0, x) * _sigmoid_16(x)


def _silu_dx_16(x: Tensor) -> Tensor:
    s = _sigmoid_16(x)
    return s * (1.0 + torch.where(torch.abs(x) < 128.0, x, -2.0) * (1.0 - s))


def _passed(gate: Tensor, up: Any) -> Any:
    """In a form that PyTorch may differentiate: with one comparison it would miss the slope at 0."""
    return gate * torch.where((gate == 0.0) & ~(torch.abs(up) < math.inf), 0.0, up)


NATIVE: dict[Callable[..., Any], Callable[..., Any]] = {
    gated.passed: _passed,
    primitives.where: _where,
    primitives.minimum: _minimum,
    primitives.maximum: _maximum,
    primitives.absolute: torch.abs,
    primitives.copysign: _copysign,
    primitives.exp: torch.exp,
    primitives.sqrt: torch.sqrt,
    primitives.log: torch.log,
    primitives.sin: torch.sin,
    primitives.cos: torch.cos,
    primitives.erf: _erf,
    primitives.log1p: _log1p,
    primitives.tanh: _tanh,
    exponential.elu_dx: _elu_dx,
}
lower = Lowering(
    NATIVE
    | {
        primitives.ndtr_scaled: lambda x: 1.0 / tails.ndtr_inverse(x, tails.NDTR),
        primitives.gaussian_decay: lambda x, y: (math.exp(-2.0) * y) * tails.gaussian(x),
        primitives.cubic_decay: tails.cubic_decay,
        primitives.expm1: _expm1,
        exponential.elu: functools.partial(_elu, expm1=_expm1),
        primitives.decay: _decay,
        exponential.sigmoid: torch.sigmoid,
        exponential.silu: _silu,
        exponential.silu_dx: _silu_dx,
        gaussian.gelu: functools.partial(tails.gelu, left=tails.gelu_left),
        gaussian.gelu_dx: functools.partial(tails.gelu_dx, left=tails.gelu_dx_left),
    }
)
lower_16 = Lowering(  # for bfloat16: relative errors of 4e-5 are a hundredth of its last place
    NATIVE
    | {
        primitives.ndtr_scaled: lambda x: 1.0 / tails.ndtr_inverse(x, tails.NDTR_16),
        primitives.gaussian_decay: lambda x, y: y * tails.gaussian_16(x),
        primitives.cubic_decay: tails.cubic_decay_16,
        primitives.expm1: _expm1_16,
        exponential.elu: functools.partial(_elu, expm1=_expm1_16),
        primitives.decay: _decay_16,
        exponential.sigmoid: _sigmoid_16,
        exponential.silu: _silu_16,
        exponential.silu_dx: _silu_dx_16,
        gaussian.gelu: functools.partial(tails.gelu, left=tails.gelu_left_16),
        gaussian.gelu_dx: functools.partial(tails.gelu_dx, left=tails.gelu_dx_left_16),
    }
)


def _on_gpu(derived: dict[Any, Any]) -> Lowering:
    chosen = primitives.where, primitives.minimum, primitives.maximum
    machine = primitives.sqrt, primitives.log, primitives.sin, primitives.cos
    natives = {key: NATIVE[key] for key in chosen + machine} | {
        primitives.erf: torch.erf,
        primitives.absolute: torch.abs,
        primitives.copysign: torch.copysign,
        arithmetic.fma: lambda x, y, z: x * y + z,  # which Inductor makes one operation
        arithmetic.reciprocal: lambda x: 1.0 / x,
        arithmetic.pow2: lambda k, more: pow2(k - (arithmetic.ROUNDER - more)),
        arithmetic.exp2: pow2,
    }
    return Lowering(natives, derived)


lower_gpu, lower_gpu_16 = _on_gpu(arithmetic.DERIVED), _on_gpu(arithmetic.DERIVED_16)

# Where a formula is 0, or subnormal, by a look at x: to compare its result with 0 would delay what it multiplies.
# Values end where their exponentials overflow, above subnormal ones.
ZERO: dict[Callable[..., Any], Callable[[Tensor], Tensor]] = {
    hard.identity: lambda x: x == 0.0,
    rectified.relu: lambda x: x <= 0.0,
    rectified.relu_dx: lambda x: x <= 0.0,
    rectified.relu_squared_dx: lambda x: x <= 0.0,
    exponential.sigmoid: lambda x: x < -88.5,
    exponential.sigmoid_dx: lambda x: torch.abs(x) > 100.0,
    exponential.tanh_dx: lambda x: torch.abs(x) > 50.0,
    exponential.silu: lambda x: torch.where(x < -92.0, -0.0, x) == 0.0,
    exponential.silu_dx: lambda x: x < -92.0,
    gaussian.gelu: lambda x: torch.where(x < -14.0, -0.0, x) == 0.0,
    gaussian.gelu_dx: lambda x: x < -14.0,
}
ZERO_16 = ZERO | {
    exponential.sigmoid: lambda x: x < -99.5,
    exponential.silu: lambda x: torch.where(x < -99.5, -0.0, x) == 0.0,
    exponential.silu_dx: lambda x: x < -98.0,  # where it rounds to 0 in bfloat16
}


def evaluate(
    formula: Callable[..., Any],
    x: Tensor,
    *parameters: float | Tensor,
    times: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """A formula over tensors of float32, bfloat16 or float16, times another tensor if one is given.

    parameters: numbers, or tensors that broadcast against x. dtype: of the result; x's when not given. Where the
    formula is 0, or subnormal, the product may be 0 whatever `times` is, and where it is exactly 0 it is.
    """
    if x.is_cuda:
        lowering, zero = (lower_gpu if x.dtype is torch.float32 else lower_gpu_16), {}
    else:
        lowering, zero = (lower_16, ZERO_16) if x.dtype is torch.bfloat16 else (lower, ZERO)
    values = [value.float() if isinstance(value, Tensor) else value for value in parameters]
    factors: list[Any] = [] if times is None else [times.float()]
    gate = formula
    if formula in gated.PARTS and torch.compiler.is_compiling():
        gate, times_up = gated.PARTS[formula]
        values, factors = [], [*values[:times_up], *factors]
    single = x.float()
    compute = TOGETHER[formula] if gate is not formula and formula in TOGETHER else lowering(gate)
    y = compute(single, *values)
    if not isinstance(y, Tensor):
        y = torch.full_like(single, y)
    elif any(y is value for value in (single, *values)):
        y = y.clone()  # a tensor of its own, where a formula gives an argument
    if factors:
        nothing = zero[gate](single) if gate in zero else y == 0.0
        for k, factor in enumerate(factors):
            factors[k] = torch.where(nothing, 0.0, factor)
            nothing = factors[k] == 0.0
        y = y * math.prod(factors[1:], start=factors[0])
    return y.to(dtype or x.dtype)
