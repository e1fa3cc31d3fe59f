"""The derivatives of activations, by formula: from the input, or from the output where that tells as much.

A class for each way of differentiating that PyTorch needs: one for eager and compiled calls in reverse mode, one for
functorch and forward mode.
"""

from typing import Any

import torch
from torch import Tensor

from actfun.backends.sums import summed
from actfun.dispatch import evaluate, kernels_for, overwrite, torch_operations
from actfun.registry import Formula
from actfun.torch_private import in_dual_level, is_watched


class Elementwise(torch.autograd.Function):
    """An activation with derivatives by formula: `apply(operator, inplace, x, *parameters)`."""

    @staticmethod
    def forward(ctx: Any, operator: Any, inplace: bool, x: Tensor, *parameters: float | Tensor) -> Tensor:
        from_output = operator.derives_from_output(parameters)
        kept = x.clone() if inplace and not from_output else x
        if inplace:
            y = overwrite(operator.activation.formula, x, parameters)
            ctx.mark_dirty(x)
        else:
            y = evaluate(operator.activation.formula, x, parameters)
        _remember(ctx, operator, y if from_output else kept, *parameters)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        kept, *parameters = _remembered(ctx)
        operator = ctx.operator
        needed = zip(operator.arguments, ctx.needs_input_grad[2:], (kept, *parameters), strict=True)
        return (
            None,
            None,
            *(
                gradient(operator.activation.derivatives[argument], kept, parameters, g, like) if need else None
                for argument, need, like in needed
            ),
        )


class TransformableElementwise(torch.autograd.Function):
    """The same for functorch and forward mode; a plain call would take 9 µs longer."""

    generate_vmap_rule = True
    backward = Elementwise.backward

    @staticmethod
    def forward(operator: Any, inplace: bool, x: Tensor, *parameters: float | Tensor) -> Tensor:
        return evaluate(operator.activation.formula, x, parameters)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        operator, _, x, *parameters = inputs
        ctx.save_for_forward(*_remember(ctx, operator, x, *parameters))

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        x, *parameters = _remembered(ctx)
        backend = torch_operations(x, again=True)
        parts = [
            backend.evaluate(ctx.operator.activation.derivatives[argument], x, *parameters, times=tangent)
            for argument, tangent in zip(ctx.operator.arguments, tangents[2:], strict=True)
            if tangent is not None
        ]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def _remember(ctx: Any, operator: Any, *values: float | Tensor) -> tuple[Tensor, ...]:
    """Keep what the derivatives need. The tensors among it come back."""
    ctx.operator = operator
    ctx.numbers = tuple([None if isinstance(value, Tensor) else value for value in values])
    tensors = tuple([value for value in values if isinstance(value, Tensor)])
    ctx.save_for_backward(*tensors)
    return tensors


def _remembered(ctx: Any) -> list[Any]:
    """What was kept, in order: the input or the output, and the parameters."""
    tensors = iter(ctx.saved_tensors)
    return [next(tensors) if number is None else number for number in ctx.numbers]


def gradient(formula: Formula, kept: Tensor, parameters: list[Any], g: Tensor, like: Tensor) -> Tensor:
    """g times a derivative, summed to the shape of the argument that it belongs to."""
    # Grad mode is on here only under create_graph; in a dual level the gradient itself may need a tangent.
    again = torch.is_grad_enabled() or in_dual_level()
    backend = (None if again else kernels_for(kept, g, *parameters)) or torch_operations(kept, again)
    if like is kept:
        y: Tensor = backend.evaluate(formula, kept, *parameters, times=g)
        if again and kept.requires_grad and not y.requires_grad:  # a constant slope: its own gradient is 0, not none
            return torch.where(torch.zeros((), dtype=torch.bool, device=y.device), kept, y)
        return y
    wide = torch.float64 if kept.dtype is torch.float64 else torch.float32
    y = backend.evaluate(formula, kept, *parameters, times=g, dtype=wide)
    total = y.sum_to_size(like.shape) if is_watched() else summed(y, like.shape)
    return total.to(like.dtype)
