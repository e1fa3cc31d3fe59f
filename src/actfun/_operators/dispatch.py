"""The one place that chooses a backend for a tensor.

Plain CPU and CUDA tensors of float32, bfloat16 or float16 go to a kernel. All others take torch operations, in float32
for 32 and 16 bits: other devices, subclasses that dispatch, what a mode traces or fakes, and what functorch wraps.
float64 takes them in float64.
"""

import functools
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from actfun._backends import torch as torch64
from actfun._backends import torch32
from actfun._catalogue.registry import Formula
from actfun._operators.torch_private import is_watched, plain_device

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
KERNEL_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
LAYOUTS = (torch.strided, torch.jagged)


def check_input(name: str, x: Any) -> None:
    """Raise TypeError unless x is a dense floating-point tensor, nested ones included."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, got {type(x).__name__}")
    if x.layout not in LAYOUTS:
        raise TypeError(f"{name}: expected a dense tensor, got layout {x.layout}")
    if x.dtype not in DTYPES:
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
        raise TypeError(f"{name}: expected a floating-point tensor ({allowed}), got {x.dtype}")


@functools.cache
def _cpu() -> ModuleType:
    from actfun._backends import cpu

    return cpu


@functools.cache
def _gpu() -> ModuleType | None:
    try:
        from actfun._backends import gpu
    except ImportError:  # builds of torch for Windows come without Triton
        return None
    return gpu


def kernels_for(x: Tensor, *others: Any) -> ModuleType | None:
    """The backend whose kernels may read the memory of x and others, or None where x takes torch operations."""
    if x.dtype not in KERNEL_DTYPES or (device := plain_device(x)) is None:
        return None
    for other in others:
        if isinstance(other, Tensor) and plain_device(other) is None:
            return None
    return _cpu() if device == "cpu" else _gpu()


def torch_operations(x: Tensor, again: bool = False) -> ModuleType:
    """The torch operations that a formula of x takes.

    again: whether PyTorch is to differentiate them. Their own derivatives overflow in float32 where formulas do not, so
    they take float64 then, but not in a graph that is being recorded, which is in the dtype of its input.
    """
    return torch64 if x.dtype is torch.float64 or (again and not is_watched()) else torch32


def evaluate(formula: Formula, x: Tensor, parameters: tuple[Any, ...]) -> Tensor:
    """A formula of a tensor."""
    backend = kernels_for(x, *parameters) or torch_operations(x)
    y: Tensor = backend.evaluate(formula, x, *parameters)
    return y


def overwrite(formula: Formula, x: Tensor, parameters: tuple[Any, ...]) -> Tensor:
    """x, overwritten with its formula, outside of autograd."""
    backend = kernels_for(x, *parameters)
    if backend is not None and (x.is_contiguous() or x.stride() == torch.empty_like(x, device="meta").stride()):
        backend.evaluate(formula, x, *parameters, out=x)  # x has no gaps
        return x
    return x.copy_(evaluate(formula, x, parameters))
