"""Sums for parameters' gradients: in float64, over rows of a fixed length, then over the sums of the rows, and so on.

A row is summed by one thread, so the order, and with it every bit, is the same for any number of threads; torch's own
sum of a million float32 numbers gave four different results with one to eight threads.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from actfun._backends.torch import arithmetic

ROW = 4096  # long enough for torch to sum at full speed (2.13: 0.13 ms a million on two cores; 512: 0.18 ms)


def sum_to(y: Tensor, shape: Sequence[int]) -> Tensor:
    """y summed to a shape that broadcasts to its own, in float64 where the device has it."""
    sizes = (1,) * (y.dim() - len(shape)) + tuple(shape)
    groups = itertools.groupby(zip(y.shape, sizes, strict=True), key=lambda pair: pair[1] == 1)
    folded, together = [], []
    for fold, pairs in groups:
        folded.append(fold)
        together.append(math.prod(size for size, _ in pairs))
    y = y.reshape(together)
    for dim in reversed(range(len(folded))):
        if folded[dim]:
            y = _fold(y, dim)
    return y.reshape(shape)


def _fold(y: Tensor, dim: int) -> Tensor:
    """y summed over a dimension, which stays with size 1."""
    wide = arithmetic(y)
    while True:
        size = y.shape[dim]
        rows = size - size % ROW
        parts = [y.narrow(dim, 0, rows).unflatten(dim, (-1, ROW)).sum(dim + 1, dtype=wide)] if rows else []
        if rows < size or not size:
            parts.append(y.narrow(dim, rows, size - rows).sum(dim, keepdim=True, dtype=wide))
        y = torch.cat(parts, dim)
        if y.shape[dim] == 1:
            return y
