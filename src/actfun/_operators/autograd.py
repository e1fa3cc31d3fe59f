"""The derivatives of activations, by formula: from the input, or from the output where that tells as much.

A class for each way of differentiating that PyTorch needs: one for eager and compiled calls in reverse mode, one for
functorch and forward mode.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from actfun._backends.sums import sum_to
from actfun._catalogue.registry import Formula
from actfun._operators.dispatch import evaluate, kernels_for, overwrite, torch_operations
from actfun._operators.torch_private import in_dual_level, is_watched


class Elementwise(torch.autograd.Function):
    """An activation with derivatives by formula: `apply(operator, inplace, x, *parameters)`."""

    @staticmethod
    def forward(ctx: Any, operator: Any, inplace: bool, x: Tensor, *parameters: float | Tensor) -> Tensor:
        formula = operator.activation.formula
        from_output = operator.derives_from_output(parameters)
        if inplace:
            kept = x if from_output else x.clone()
            y = overwrite(formula, x, parameters)
            ctx.mark_dirty(x)
        else:
            y = evaluate(formula, x, parameters)
            kept = y if from_output else x
        _remember(ctx, operator, kept, parameters)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        operator, kept, parameters = _recall(ctx)
        derivatives = operator.activation.derivatives
        if parameters is ctx.numbers:  # no tensor among them: the usual case, 2 µs sooner
            return None, None, gradient(derivatives["x"], kept, parameters, g, kept), *[None] * len(parameters)
        needed = zip(operator.arguments, ctx.needs_input_grad[2:], (kept, *parameters), strict=True)
        return (
            None,
            None,
            *(
                gradient(derivatives[argument], kept, parameters, g, like) if need else None
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
        ctx.save_for_forward(*_remember(ctx, operator, x, tuple(parameters)))

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        operator, x, parameters = _recall(ctx)
        backend = torch_operations(x, again=True)
        parts = [
            backend.evaluate(operator.activation.derivatives[argument], x, *parameters, times=tangent)
            for argument, tangent in zip(operator.arguments, tangents[2:], strict=True)
            if tangent is not None
        ]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def _remember(ctx: Any, operator: Any, kept: Tensor, parameters: tuple[float | Tensor, ...]) -> tuple[Tensor, ...]:
    """Keep what the derivatives need. The tensors among it come back."""
    tensors = (kept, *[value for value in parameters if isinstance(value, Tensor)]) if parameters else (kept,)
    ctx.operator = operator
    ctx.numbers = parameters if len(tensors) == 1 else [None if isinstance(v, Tensor) else v for v in parameters]
    ctx.save_for_backward(*tensors)
    return tensors


def _recall(ctx: Any) -> tuple[Any, Tensor, Sequence[Any]]:
    """What was kept: the operator, its input or output, and its parameters, which are `ctx.numbers` if all are that."""
    kept, *others = ctx.saved_tensors
    if not others:
        return ctx.operator, kept, ctx.numbers
    tensors = iter(others)
    return ctx.operator, kept, [next(tensors) if number is None else number for number in ctx.numbers]


def gradient(formula: Formula, kept: Tensor, parameters: Sequence[Any], g: Tensor, like: Tensor) -> Tensor:
    """g times a derivative, summed to the shape of the argument that it belongs to."""
    # Grad mode is on here only under create_graph; in a dual level the gradient itself may need a tangent.
    again = torch.is_grad_enabled() or in_dual_level()
    backend = (None if again else kernels_for(kept, g, *parameters)) or torch_operations(kept, again)
    if like is kept or (like.shape == kept.shape and like.dtype is kept.dtype):
        y: Tensor = backend.evaluate(formula, kept, *parameters, times=g)
        if again and kept.requires_grad and not y.requires_grad:  # a constant slope: its own gradient is 0, not none
            return torch.where(torch.zeros((), dtype=torch.bool, device=y.device), kept, y)
        return y
    wide = torch.float64 if kept.dtype is torch.float64 else torch.float32
    y = backend.evaluate(formula, kept, *parameters, times=g, dtype=wide)
    if y.layout is torch.jagged:  # whose parts, one after the other, have the same last dimensions
        y = y.values()
    total = y.sum_to_size(like.shape) if is_watched() else sum_to(y, like.shape)
    return total.to(like.dtype)
