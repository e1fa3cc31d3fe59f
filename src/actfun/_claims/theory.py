"""What theory says of activations on normal inputs, by quadrature: moments, criticality, SELU's constants."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from actfun._catalogue.registry import spec
from actfun._operators.functional import function_of
from actfun._operators.quadrature import normal_mean


def _mean_square(name: str, variance: float, derivative: bool = False) -> float:
    """E[f(z)²] or E[f'(z)²] for z ~ N(0, variance)."""
    activation, scale = spec(name), math.sqrt(variance)

    def square(z: Tensor) -> Tensor:
        x = (scale * z).requires_grad_(derivative)
        y = function_of(activation)(x)
        if derivative:
            (y,) = torch.autograd.grad(y.sum(), x)
        return y * y

    return normal_mean(square, activation.kinks)


def condition_number(name: str, n: int) -> float:
    """Of the matrix of second moments of n independent outputs f(z), z ~ N(0, 1): 1 + n·mean²/variance."""
    square = normal_mean(lambda z: function_of(spec(name))(z), spec(name).kinks) ** 2
    return 1.0 + n * square / (_mean_square(name, 1.0) - square)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that changes sign once does, by halving."""
    sign = function(low) > 0.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if (function(middle) > 0.0) == sign else (low, middle)
    return 0.5 * (low + high)


def edge_of_chaos(name: str, bias: float) -> tuple[float, float]:
    """The weights' scale and the variance q at which correlations neither grow nor fade, for a scale of biases.

    q = w²·E[f²] + b² and w²·E[f'²] = 1 (Poole et al., arXiv:1606.05340; Hayou et al., arXiv:1902.06853).
    """

    def excess(q: float) -> float:
        return _mean_square(name, q) / _mean_square(name, q, derivative=True) + bias * bias - q

    q = _root(excess, 1e-6, 50.0)
    return 1.0 / math.sqrt(_mean_square(name, q, derivative=True)), q


def critical_point(name: str) -> tuple[float, float, float]:
    """K*, C_W and C_b at which both of a smooth activation's susceptibilities are 1 (Roberts et al., 5.3.3)."""

    def parallel(k: float) -> float:
        activation = spec(name)
        mean = normal_mean(lambda z: function_of(activation)(math.sqrt(k) * z) ** 2 * (z * z - 1.0))
        return mean / (2.0 * k)

    k = _root(lambda k: parallel(k) - _mean_square(name, k, derivative=True), 0.5, 40.0)
    weight = 1.0 / _mean_square(name, k, derivative=True)
    return k, weight, k - weight * _mean_square(name, k)


def selu() -> tuple[float, float]:
    """alpha and lambda that give mean 0 and variance 1 (Klambauer et al., arXiv:1706.02515)."""
    below = normal_mean(lambda z: torch.expm1(z.clamp_max(0.0)), (0.0,))
    alpha = -normal_mean(lambda z: z.clamp_min(0.0), (0.0,)) / below
    square = normal_mean(lambda z: torch.where(z > 0.0, z, alpha * torch.expm1(z.clamp_max(0.0))) ** 2, (0.0,))
    return alpha, 1.0 / math.sqrt(square)
