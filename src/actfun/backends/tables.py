"""Formulas of a 16-bit argument as tables: there are only 65,536 of them, and reading a value beats computing it.

Each entry is the torch-ops form in float64, rounded once, so it is the right one unless the exact value lies within
some 2⁻⁴⁸ of the middle between two numbers; `actfun accuracy` shows that none does.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from actfun.backends import torch as torch_ops


def arguments(dtype: torch.dtype) -> Tensor:
    """Every number of a 16-bit dtype, in the order of its bits read as an unsigned number."""
    return torch.arange(2**16, dtype=torch.int32, device="cpu").to(torch.int16).view(dtype)


def to_odd(values: Tensor) -> Tensor:
    """Float64 to float32 so that rounding once more, to 16 bits, still gives what rounding once would.

    What is not exact becomes the neighbour whose last bit is 1 (Boldo and Melquiond, Emulation of FMA and correctly
    rounded sums: proved algorithms using rounding to odd, IEEE Transactions on Computers 57, 2008).
    """
    nearest = values.float()
    back = nearest.double()
    bits = nearest.view(torch.int32) - (back.abs() > values.abs()).int()  # towards zero
    return (bits | (back != values).int()).view(torch.float32)


def table(formula: Callable[..., Any], dtype: torch.dtype, out: torch.dtype, *numbers: float) -> Tensor:
    """The formula of every number of `dtype`: rounded to `out`, or for float32 to odd, for what is to be multiplied.

    numbers: the parameters, as float32 holds them.
    """
    with torch.no_grad():
        values = torch_ops.evaluate(formula, arguments(dtype).double(), *numbers)
        odd = to_odd(values)
        return odd if out is torch.float32 else odd.to(out)
