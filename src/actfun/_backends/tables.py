"""Formulas of a 16-bit argument as tables: there are only 65,536 of them, and reading a value beats computing it.

Each entry is the torch-ops form in float64, rounded once, so it is the right one unless the exact value lies within
some 2⁻⁴⁸ of the middle between two numbers; `actfun accuracy` shows that none does.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from actfun._backends import torch as torch_ops


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


def _beyond_float64(formula: Callable[..., Any], x: Tensor, values: Tensor, numbers: tuple[float, ...]) -> Tensor:
    """`values`, moved by a last bit to the side where the exact ones lie that float64 could not tell from them.

    gelu(1.2e-38) is x/2 + 0.4·x²: half of x, a tie in bfloat16, and a second term that only breaks the tie. The same
    term shows at an x that is 2⁹⁰ times as large.
    """
    scale = 2.0**90
    beside = torch_ops.evaluate(formula, x.double() * scale, *numbers) / scale - values
    hidden = (x.abs().double() < 1.0 / scale) & (beside != 0.0) & (beside.abs() < values.abs() * 2.0**-20)
    side = torch.where(beside > 0.0, torch.inf, -torch.inf).double()
    return torch.where(hidden, torch.nextafter(values, side), values)


def table(formula: Callable[..., Any], dtype: torch.dtype, out: torch.dtype, *numbers: float) -> Tensor:
    """The formula of every number of `dtype`: rounded to `out`, or for float32 to odd, for what is to be multiplied.

    numbers: the parameters, as float32 holds them.
    """
    x = arguments(dtype)
    with torch.no_grad():
        values = torch_ops.evaluate(formula, x.double(), *numbers)
        odd = to_odd(_beyond_float64(formula, x, values, numbers))
        return odd if out is torch.float32 else odd.to(out)
