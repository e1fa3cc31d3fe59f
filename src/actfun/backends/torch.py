"""Formulas as plain torch operations: what PyTorch can trace, transform, shard and differentiate again.

float16 and bfloat16 are computed in float32 and rounded once. float32 and float64 use torch's own operations; where
torch's float32 version would be off by more than a primitive's contract allows, it is computed in float64.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from actfun import primitives
from actfun.backends.lowering import Lowering


def _widest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs have no float64


def _wide(x: Any) -> Any:
    return x.to(_widest(x.device)) if isinstance(x, Tensor) else x


def _narrow(value: Tensor, x: Tensor) -> Tensor:
    return value.to(x.dtype)


def _where(condition: Tensor, x: Any, y: Any) -> Tensor:
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):  # two numbers would become float32, even for float64
        x = torch.tensor(x, dtype=_widest(condition.device), device=condition.device)
    return torch.where(condition, x, y)


def _absolute(x: Tensor) -> Tensor:
    return torch.where(x >= 0.0, x, -x)  # torch.abs has slope 0 at 0, but formulas go on as for x > 0 there


def _copysign(x: Tensor, y: Tensor) -> Tensor:
    return torch.where(y >= 0.0, _absolute(x), -_absolute(x))  # torch.copysign has slope 0 where x is 0


def _decay(x: Tensor, y: Any) -> Tensor:
    return _narrow(_wide(y) * torch.exp(-_wide(x)), x)


def _ndtr_scaled(x: Tensor) -> Tensor:
    return _narrow(0.5 * torch.special.erfcx(_wide(x) * math.sqrt(0.5)), x)  # torch's float32 erfcx is off by 6 ulp


def _gaussian_decay(x: Tensor, y: Any) -> Tensor:
    wide = _wide(x)
    return _narrow(_wide(y) * torch.exp(-0.5 * wide * wide), x)


def _cubic_decay(x: Tensor, y: Any) -> Tensor:
    t = _absolute(_wide(x))
    return _narrow(_wide(y) * torch.exp(-math.sqrt(8.0 / math.pi) * (t + 0.044715 * t * t * t)), x)


lower = Lowering(
    native={
        primitives.where: _where,
        primitives.absolute: _absolute,
        primitives.copysign: _copysign,
        primitives.exp: torch.exp,
        primitives.decay: _decay,
        primitives.expm1: torch.expm1,
        primitives.log1p: torch.log1p,
        primitives.ndtr_scaled: _ndtr_scaled,
        primitives.gaussian_decay: _gaussian_decay,
        primitives.cubic_decay: _cubic_decay,
    }
)


def evaluate(
    formula: Callable[..., Any], x: Tensor, *parameters: float | Tensor, times: Tensor | None = None
) -> Tensor:
    """A formula over tensors, times another tensor if one is given, rounded once to the dtype of x.

    parameters: numbers, or tensors that broadcast against x.
    """
    dtype = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
    values = (value.to(dtype) if isinstance(value, Tensor) else value for value in parameters)
    y = lower(formula)(x.to(dtype), *values)
    if times is not None:
        y = y * times.to(dtype)
    return y.to(x.dtype)
