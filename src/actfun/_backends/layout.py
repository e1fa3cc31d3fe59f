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


SHORTEST = 16  # elements of a run: a loop over shorter ones takes longer than to copy them


def runs(x: Tensor, y: Tensor) -> tuple[int, int, int] | None:
    """How both consist of runs of elements without gaps, in one order: a run's length, the gaps of x, and those of y.

    A half of a tensor along some dimension does. None where they do not, or where runs are short.
    """
    if x.is_contiguous() and y.is_contiguous():  # the usual case, 4 µs sooner
        return x.numel(), 0, 0
    found = [_runs(x), _runs(y)]
    if None in found or _order(x) != _order(y):
        return None
    (length, gap), (other, other_gap) = found  # type: ignore[misc]
    shortest = min(length, other)
    if shortest < min(SHORTEST, x.numel()) or {length, other} - {shortest, x.numel()}:
        return None
    return shortest, gap, other_gap


def _runs(x: Tensor) -> tuple[int, int] | None:
    length, distance, reach = 1, 0, 0
    for stride, n in sorted((stride, n) for stride, n in zip(x.stride(), x.shape, strict=True) if n != 1):
        if not distance and stride == length:
            length = length * n
        elif stride and (not distance or stride == reach):
            distance, reach = distance or stride, stride * n
        else:
            return None
    return length, distance - length if distance else 0


def _order(x: Tensor) -> list[int]:
    return sorted((dim for dim, n in enumerate(x.shape) if n != 1), key=lambda dim: x.stride(dim))


def planes_of(pieces: int) -> int:
    """How many bits the place of one of so many pieces takes."""
    return (pieces - 1).bit_length()
