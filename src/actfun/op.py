"""The one place that chooses a backend, and the autograd of every element-wise activation.

Plain CPU and CUDA tensors of float32, bfloat16 or float16 go to a kernel. Everything else takes the torch-ops form,
which PyTorch can trace and transform: float64, other devices, subclasses, fake tensors, functorch, torch.compile,
torch.export, dispatch modes, and gradients of gradients. Derivatives always come from a formula and the input.
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from actfun.backends import torch as torch_ops
from actfun.registry import Activation, Formula

KERNEL_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def _kernels(x: Tensor) -> ModuleType | None:
    """The backend whose kernels may read the memory of x, or None where x takes the torch-ops form."""
    if torch.compiler.is_compiling() or type(x) not in (Tensor, torch.nn.Parameter):
        return None
    if x.dtype not in KERNEL_DTYPES or x.is_neg() or torch._C._get_tracing_state() is not None:
        return None
    if torch._C._functorch.maybe_current_level() is not None or torch._C._len_torch_dispatch_stack() > 0:
        return None
    if x.device.type == "cpu":
        from actfun.backends import numba

        return numba
    if x.device.type == "cuda":
        return _triton()
    return None


def _triton() -> ModuleType | None:
    try:
        from actfun.backends import triton
    except ImportError:  # builds of torch for Windows come without Triton
        return None
    return triton


def _evaluate(formula: Formula, x: Tensor, parameters: tuple[Any, ...]) -> Tensor:
    backend = _kernels(x) or torch_ops
    y: Tensor = backend.evaluate(formula, x, *parameters)
    return y


class Elementwise(torch.autograd.Function):
    """An activation with derivatives by formula: `apply(activation, x, *parameters)`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(activation: Activation, x: Tensor, *parameters: float | Tensor) -> Tensor:
        return _evaluate(activation.formula, x, parameters)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.activation, *values = inputs
        ctx.numbers = tuple(None if isinstance(value, Tensor) else value for value in values)
        tensors = tuple(value for value in values if isinstance(value, Tensor))
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, *parameters = _inputs(ctx)
        needed = zip(_arguments(ctx.activation), ctx.needs_input_grad[1:], (x, *parameters), strict=True)
        return None, *(
            _gradient(ctx.activation.derivatives[argument], x, parameters, g, like) if need else None
            for argument, need, like in needed
        )


class TransformableElementwise(Elementwise):
    """The same with forward-mode derivatives, which torch.compile does not accept in what it traces (2.13)."""

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Tensor:
        x, *parameters = _inputs(ctx)
        parts = [
            torch_ops.evaluate(ctx.activation.derivatives[argument], x, *parameters, times=tangent)
            for argument, tangent in zip(_arguments(ctx.activation), tangents, strict=True)
            if tangent is not None
        ]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def _arguments(activation: Activation) -> tuple[str, ...]:
    code = activation.formula.__code__
    return code.co_varnames[: code.co_argcount]


def _inputs(ctx: Any) -> list[Any]:
    """x and the parameters, as they were given."""
    tensors = iter(ctx.saved_tensors)
    return [next(tensors) if number is None else number for number in ctx.numbers]


def _gradient(formula: Formula, x: Tensor, parameters: list[Any], g: Tensor, like: Tensor) -> Tensor:
    """g times a derivative, summed to the shape of the argument that it belongs to."""
    backend = None if torch.is_grad_enabled() else _kernels(x)  # grad mode is on here only under create_graph
    if backend is not None and type(g) is Tensor and not g.is_neg():
        if like is x:
            y: Tensor = backend.evaluate(formula, x, *parameters, times=g)
            return y
        y = backend.evaluate(formula, x, *parameters, times=g, dtype=torch.float32)
    elif like is x:
        return torch_ops.evaluate(formula, x, *parameters, times=g)
    else:
        wide = torch.float64 if x.dtype is torch.float64 else torch.float32
        y = torch_ops.evaluate(formula, x.to(wide), *parameters, times=g)
    return y.sum_to_size(like.shape).to(like.dtype)


def prepare(activation: Activation) -> None:
    """Lower what the torch-ops form of an activation consists of: torch.compile cannot trace the lowering itself."""
    for form in activation.forms:
        for formula in (form.formula, *form.derivatives.values()):
            torch_ops.lower(formula)


def apply(activation: Activation, x: Tensor, *parameters: float | Tensor) -> Tensor:
    """The activation of x, differentiable in x and in every parameter that is a tensor.

    parameters: numbers, or tensors that broadcast against x.
    """
    if torch.compiler.is_compiling():
        y: Tensor = Elementwise.apply(activation, x, *parameters)  # type: ignore[no-untyped-call]
        return y
    recorded = torch.is_grad_enabled() and (
        x.requires_grad or any(isinstance(value, Tensor) and value.requires_grad for value in parameters)
    )
    dual = forward_ad._current_level >= 0 or torch._C._functorch.maybe_current_level() is not None
    if not recorded and not dual:
        return _evaluate(activation.formula, x, parameters)
    y = TransformableElementwise.apply(activation, x, *parameters)  # type: ignore[no-untyped-call]
    return y
