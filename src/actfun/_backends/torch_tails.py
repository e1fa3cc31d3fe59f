"""Gaussian tails in float32 torch operations, which GELU consists of; those that end in 16 are enough for bfloat16.

exp(-x²/2) is taken of the product (x - 2)·(x + 2) rather than of x², as exp(2 - x²/2): its rounding is small up to
|x| = 3, where that of x² alone would cost four units in the last place, and half as large up to 6.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

LOG2_E = 1.4426950408889634
FAR = 40.0  # where every tail is 0


def pow2(x: Tensor) -> Tensor:
    """2 to the power x: torch.exp2 by the name that every exporter of ONNX knows; Inductor makes that of it."""
    return torch.pow(2.0, x)


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


def gaussian(x: Tensor) -> Tensor:
    """exp(2 - x²/2)."""
    return torch.exp(-0.5 * ((x - 2.0) * (x + 2.0)))


def gaussian_16(x: Tensor) -> Tensor:
    return pow2((-0.5 * LOG2_E) * (x * x))


def ndtr_inverse(x: Tensor, coefficients: Sequence[float], scale: float = 1.0) -> Any:
    """scale/(Φ(-x)·exp(x²/2)) for x ≥ 0: from 2 at 0 it goes over into √(2π)·x."""
    half = len(coefficients) // 2
    upper = polynomial([scale * c for c in coefficients[:half]], x)
    lower = polynomial((1.0, *coefficients[half:]), x)
    return (scale * ASYMPTOTE) * x + upper / lower


def gelu_left(t: Tensor) -> Tensor:
    """t·Φ(-t)."""
    return t * gaussian(t) / ndtr_inverse(t, NDTR, math.exp(2.0))


def gelu_left_16(t: Tensor) -> Tensor:
    return t * gaussian_16(t) / ndtr_inverse(t, NDTR_16)


def gelu_dx_left(t: Tensor) -> Tensor:
    """Φ(-t) - t·φ(t), which has the factor ROOT - t."""
    slope = polynomial([math.exp(-2.0) * c for c in GELU_SLOPE], t / (t + 3.0))
    return ((ROOT - t) + ROOT_LOW) * slope * gaussian(t)


def gelu_dx_left_16(t: Tensor) -> Tensor:
    return (ROOT - t) * polynomial(GELU_SLOPE_16, t / (t + 3.0)) * gaussian_16(t)


def gelu(x: Tensor, left: Callable[[Tensor], Tensor]) -> Tensor:
    t = torch.abs(x)
    tail = torch.where(t > FAR, 0.0, left(t))  # inf·0
    return torch.where(x >= 0.0, x - tail, -tail)


def gelu_dx(x: Tensor, left: Callable[[Tensor], Tensor]) -> Tensor:
    t = torch.abs(x)
    tail = torch.where(t > FAR, -0.0, left(t))
    return torch.where(x >= 0.0, 1.0 - tail, tail)


LINEAR, LINEAR_LOW = 1.59576416015625, 4.961449576512678e-06  # √(8/π), the first with 16 bits
CUBIC, CUBIC_LOW = 0.07135481387376785, 2.3988324659995897e-09  # 0.044715·√(8/π)
SIXTEENTHS, FINE = 786432.0, 49152.0  # 1.5·2²³ over 16 and over 256: a sum with them leaves multiples of 1/16, 1/256


def cubic_decay(x: Tensor, y: Any) -> Tensor:
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


def cubic_decay_16(x: Tensor, y: Any) -> Tensor:
    return y * pow2(x * (-LOG2_E * LINEAR - (LOG2_E * CUBIC) * (x * x)))
