"""The factor by which to scale weights so that an activation keeps the size of what passes through it."""

import math
from collections.abc import Callable
from typing import Any

import numpy
import torch
from torch import Tensor

from actfun.backends import torch as torch_ops
from actfun.functional import bind, check_pieces
from actfun.registry import spec

# Beyond 12 the normal density is below 1e-31. 32 Gauss-Legendre nodes on pieces of length 1 at most, none of which has
# a kink inside, leave 1e-15 for every activation of the registry; pieces that halve towards 0 and the kinks serve steep
# ones (softplus with a large beta).
END, NODES = 12.0, 32


def normal_mean(function: Callable[[Tensor], Tensor], kinks: tuple[float, ...] = ()) -> float:
    """E[function(z)] for z ~ N(0, 1), by Gauss-Legendre quadrature between kinks, in float64."""
    around = [k + side * 2.0**-step for k in (0.0, *kinks) for side in (-1, 0, 1) for step in range(1, 16)]
    ends = numpy.unique([*numpy.arange(-END, END + 1.0), *(k for k in around if abs(k) < END)])
    nodes, weights = numpy.polynomial.legendre.leggauss(NODES)
    half = numpy.diff(ends)[:, None] / 2
    z = torch.from_numpy(ends[:-1, None] + half * (nodes + 1.0))
    density = torch.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) * torch.from_numpy(half * weights)
    return float((function(z) * density).sum())


def gain(name: str, preserve: str = "forward", **params: Any) -> float:
    """1/√E[f(z)²] (preserve="forward") or 1/√E[f'(z)²] ("backward"), z ~ N(0, 1), to 1e-9.

    Weights of standard deviation gain/√fan_in (fan_out for "backward") keep the mean square of the pre-activations
    (of their gradients) from layer to layer; for relu this is He's rule (arXiv:1502.01852). For stochastic_gelu the
    mean is over the mask too. For maxout z are `pieces` independent normals, and the backward gain is for each piece,
    with all pieces counted in fan_out.

    Raises ValueError for an unknown name or `preserve`; TypeError or ValueError for parameters that are not allowed.
    """
    if preserve not in ("forward", "backward"):
        raise ValueError(f"gain: preserve must be 'forward' or 'backward', got {preserve!r}")
    activation = spec(name)
    if activation.kind == "reduction":
        bind(activation, (), params)
        return _maxout_gain(preserve, params.get("pieces", activation.parameters["pieces"].default))
    if activation.kind == "random":
        bind(activation, (), params)
        return math.sqrt(2.0)  # E[m·z²] = E[Φ(z)·z²] = 1/2 and E[m²] = E[Φ(z)] = 1/2, both by symmetry
    chosen, numbers = bind(activation, (), params)
    if any(isinstance(value, Tensor) for value in numbers):
        raise TypeError(f"gain: parameters of {name} must be numbers")
    formula = chosen.formula if preserve == "forward" else chosen.derivatives["x"]
    return 1.0 / math.sqrt(normal_mean(lambda z: torch_ops.evaluate(formula, z, *numbers) ** 2, chosen.kinks))


def _maxout_gain(preserve: str, pieces: int) -> float:
    check_pieces("gain", pieces)
    if preserve == "backward":
        return math.sqrt(pieces)  # each piece wins once in `pieces` times
    return 1.0 / math.sqrt(normal_mean(lambda z: z * z * pieces * torch.special.ndtr(z) ** (pieces - 1)))
