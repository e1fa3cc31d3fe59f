"""Formulas of a 16-bit argument as tables: there are only 65,536 of them, and reading a value beats computing it.

Each entry is the torch-ops form in float64, rounded once. Where that lies so near to the middle between two numbers
that float64 does not decide, 50 digits do: gelu(1.2e-38) is x/2 + 0.4·x², half of x, a tie in bfloat16, and a second
term that only breaks the tie.
"""

import math
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


UNSURE = 2.0**-44  # relative distance from a tie


def to_odd_float64(exact: Any) -> float:
    """An mpmath number likewise to float64."""
    value = float(exact)
    if exact == value or math.frexp(value)[0] * 2**53 % 2 == 1:
        return value
    return math.nextafter(value, math.inf if exact > value else -math.inf)


def decide(
    formula: Callable[..., Any], x: Tensor, values: Tensor, numbers: tuple[float, ...], dtype: torch.dtype
) -> Tensor:
    """`values`, float64, of a formula, with digits enough to round those right that lie beside a tie of `dtype`."""
    low, high = (to_odd(values * (1.0 + side * UNSURE)).to(dtype) for side in (-1.0, 1.0))
    unsure = ((low != high) & ~values.isnan() & x.isfinite()).nonzero().flatten().tolist()
    if unsure:
        from actfun._backends import mpmath  # 0.1 s, which most formulas do without

        for place in unsure:
            values[place] = to_odd_float64(mpmath.evaluate(formula, float(x[place]), *numbers))
    return values


def table(formula: Callable[..., Any], dtype: torch.dtype, out: torch.dtype, *numbers: float) -> Tensor:
    """The formula of every number of `dtype`: rounded to `out`, or for float32 to odd, for what is to be multiplied.

    numbers: the parameters, as float32 holds them.
    """
    x = arguments(dtype)
    with torch.no_grad():
        odd = to_odd(decide(formula, x, torch_ops.evaluate(formula, x.double(), *numbers), numbers, dtype))
        return odd if out is torch.float32 else odd.to(out)
