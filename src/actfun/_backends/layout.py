"""Memory layouts, as element-wise kernels need them."""

import torch
from torch import Tensor


def format_of(x: Tensor) -> torch.memory_format:
    """What torch's own operations lay the result for x out in.

    Strides of dimensions of size 1 are x's only where no format holds: a contiguous x gives what a new tensor has.
    """
    if x.is_contiguous():
        return torch.contiguous_format
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.preserve_format


def alike(x: Tensor, y: Tensor) -> bool:
    """Whether the elements of two tensors of one shape stand in memory in the same order and at the same distances."""
    if x.stride() == y.stride():
        return True
    return all(a == b or n == 1 for a, b, n in zip(x.stride(), y.stride(), x.shape, strict=True))


def lay_out_like(y: Tensor, value: Tensor, dtype: torch.dtype) -> Tensor:
    """`value`, broadcast to y's shape, with y's layout, dtype and device as asked: itself where it is so already."""
    if value.dtype is dtype and value.shape == y.shape and value.device == y.device and alike(value, y):
        return value
    return torch.empty_like(y, dtype=dtype).copy_(value)
