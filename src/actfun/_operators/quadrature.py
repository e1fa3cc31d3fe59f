"""Means over the standard normal distribution."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

# Beyond 12 the normal density is below 1e-31. 32 Gauss-Legendre nodes on pieces of length 1 at most, none of which has
# a kink inside, leave 1e-15 for every activation of the registry; pieces that halve towards 0 and the kinks serve steep
# ones (softplus with a large beta).
END, NODES = 12.0, 32


def normal_mean(function: Callable[[Tensor], Tensor], kinks: tuple[float, ...] = ()) -> float:
    """E[function(z)] for z ~ N(0, 1), by Gauss-Legendre quadrature between kinks, in float64."""
    around = [k + side * 2.0**-step for k in (0.0, *kinks) for side in (-1, 0, 1) for step in range(1, 16)]
    z, weights = _rule(tuple(k for k in around if abs(k) < END), NODES)
    return float((function(z) * weights).sum())


def normal_mean_of_pairs(function: Callable[[Tensor, Tensor], Tensor]) -> float:
    """E[function(x, y)] for independent x, y ~ N(0, 1), whose kinks are whole numbers; half the nodes do."""
    z, weights = _rule((), NODES // 2)
    x, y = torch.cartesian_prod(z, z).unbind(1)
    return float((function(x, y) * (weights[:, None] * weights).flatten()).sum())


def _rule(further: tuple[float, ...], count: int) -> tuple[Tensor, Tensor]:
    """Points and the weights of what is found there; pieces end at whole numbers and at further ones."""
    import numpy  # which calls of activations do without

    ends = numpy.unique([*numpy.arange(-END, END + 1.0), *further])
    nodes, weights = numpy.polynomial.legendre.leggauss(count)
    half = numpy.diff(ends)[:, None] / 2
    z = torch.from_numpy(ends[:-1, None] + half * (nodes + 1.0)).flatten()
    return z, torch.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) * torch.from_numpy(half * weights).flatten()
