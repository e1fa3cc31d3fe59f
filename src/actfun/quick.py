"""Short ways to a kernel and back, for the usual tensor and plain numbers: in Python, and in C++ where that is built.

For small tensors it is these ways that take time, not arithmetic. Bits and gradients are those of `actfun.op`.
"""

import functools
from typing import Any

import torch
from torch import Tensor

from actfun.backends import native
from actfun.op import at_once, cpu, gradient
from actfun.registry import Activation, Parameter


class QuickElementwise(torch.autograd.Function):
    """The same for what `at_once` lets pass, with numbers for parameters: a Function costs 6 µs, each argument adds."""

    @staticmethod
    def forward(ctx: Any, activation: Activation, numbers: tuple[float, ...], x: Tensor) -> Tensor:
        ctx.activation, ctx.numbers = activation, numbers
        ctx.save_for_backward(x)
        y: Tensor = cpu().quickly(activation.formula, x, numbers)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[None, None, Tensor]:
        (x,) = ctx.saved_tensors  # the x that went in, unless a hook put another in its place
        formula = ctx.activation.derivatives["x"]
        alike = type(x) is Tensor and x.dtype is g.dtype and x.is_cpu and x.is_contiguous()
        if alike and at_once(g) and not torch.is_grad_enabled():
            return None, None, cpu().quickly(formula, x, ctx.numbers, g)
        return None, None, gradient(formula, x, list(ctx.numbers), g, x)


# Function.apply in Python looks whether a functorch transform is at work, which takes 2 µs; `at_once` has looked.
apply_quickly = super(torch.autograd.Function, QuickElementwise).apply


class Native:
    """An activation at its usual parameters, in C++: kernels by dtype, made when they are first needed.

    call: a function of one argument; it gives None where the kernel is yet to be made, or another way to be taken.
    C++ keeps their addresses, so what they rest on is kept as long: forever, for no activation is ever forgotten.
    """

    def __init__(self, activation: Activation, made: Any, numbers: tuple[float, ...]) -> None:
        self.activation, self.made, self.numbers = activation, made, numbers
        self.call = made.function()
        self._kept: list[Any] = []

    def __call__(self, x: Tensor) -> Tensor | None:
        """The activation of x, or None where it has to go another way."""
        y: Tensor | None = self.call(x)
        if y is None and at_once(x) and x.nbytes < cpu().pages.LARGE:
            formulas = self.activation.formula, self.activation.derivatives["x"]
            for backward in (False, True)[: 1 + x.requires_grad]:
                ready = cpu().ready(formulas[backward], backward, x.dtype, self.numbers)
                self._kept.append(ready)
                self.made.set_kernel(x, backward, ready[0].address, ready[1])
            y = self.call(x)
        return y


@functools.cache
def native_of(activation: Activation) -> Native | None:
    """The activation in C++, if that has been built."""
    numbers = tuple(p.default for p in activation.parameters.values() if isinstance(p, Parameter))
    built = native.module()
    if built is None or activation.kind != "elementwise" or 0.0 in numbers:  # 0.0 and -0.0 are equal
        return None

    threads, large = cpu().threads, cpu().pages.LARGE
    built.set_team(threads.team_address(), threads.SERIAL_BELOW, threads.CACHE_LINES, large)

    def again(x: Tensor, g: Tensor) -> Tensor:
        return gradient(activation.derivatives["x"], x, list(numbers), g, x)

    return Native(activation, built.Activation(again), numbers)
