"""Formulas of a 16-bit argument by float32 arithmetic: parameters, nudged a little, that make up for rounding twice.

Where x·a lies so near to the middle between two numbers of 16 bits that float32 holds the middle for it, rounding that
goes to the even one, which may be the wrong one: 0.01·x is wrong for 2 numbers of bfloat16 and 20 of float16. Subnormal
results are the usual victims: in bfloat16, 150 times the smallest number, times a little less than 0.01, is a little
less than 1.5 of them, but has too few bits to show it. Each x is right for an interval of parameters; where all
intervals have a number in common, arithmetic with it is right everywhere.
"""

from collections.abc import Callable
from typing import Any

import numpy
import torch
from torch import Tensor

from actfun.backends import torch as torch_ops

Numbers = numpy.ndarray[Any, Any]

REACH = 2**12  # further off, the intervals hardly ever meet
STEPS: Numbers = numpy.array(sorted(range(-REACH, REACH + 1), key=abs), numpy.int32)
WITNESSES = 32  # values of x that try out candidates: each leaves an interval, so a few soon leave what is right
ROUNDS = 12


def nudged(
    formula: Callable[..., Any],
    x: Tensor,
    right: Tensor,
    numbers: Numbers,
    compute: Callable[[tuple[float, ...]], Tensor],
    steps: Numbers = STEPS,
) -> tuple[float, ...] | None:
    """The nearest parameters, by units in float32's last place, with which `compute` gets every value right, if any.

    right: the values at x. numbers: the given parameters, float32; steps: by how many units to change all of them, in
    the order to try. compute: what the arithmetic in question gives at x for parameters; it alone decides.
    """
    candidates = (numbers.view(numpy.int32)[:, None] + steps).view(numpy.float32)
    for _ in range(ROUNDS):
        if not candidates.shape[1]:
            return None
        nearest = tuple(candidates[:, 0].tolist())
        wrong = (~same(compute(nearest), right)).nonzero().flatten()
        if not len(wrong):
            return nearest
        witnesses = wrong[:: len(wrong) // WITNESSES + 1]
        candidates = candidates[:, 1:]
        candidates = candidates[:, _fit(formula, x[witnesses], right[witnesses], candidates)]
    return None


def same(y: Tensor, right: Tensor) -> Tensor:
    """Where two tensors of 16 bits hold the same bits, or NaN both."""
    return (y.view(torch.int16) == right.view(torch.int16)) | (y.isnan() & right.isnan())


def _fit(formula: Callable[..., Any], x: Tensor, right: Tensor, candidates: Any) -> Any:
    """Which candidates give the right values at some x, as float32 arithmetic in torch has it."""
    columns = [torch.from_numpy(row.copy()) for row in candidates]
    with torch.no_grad():
        y = torch.as_tensor(torch_ops.lower(formula)(x.float()[:, None], *columns)).to(x.dtype)
    fit = same(y, right[:, None]).all(0)  # one for all candidates where the formula takes no parameter, or ignores it
    return fit.expand(candidates.shape[1]).numpy()
