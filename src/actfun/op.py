"""The one place that chooses a backend, and the autograd of every element-wise activation.

Plain CPU and CUDA tensors of float32, bfloat16 or float16 go to a kernel. Everything else takes the torch-ops form,
which PyTorch can trace and transform: float64, other devices, subclasses, fake tensors, functorch, torch.compile,
torch.export, dispatch modes, and gradients of gradients. Derivatives always come from a formula and the input.
"""

import functools
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from actfun.backends import torch as torch_ops
from actfun.backends.sums import summed
from actfun.registry import Activation, Formula

KERNEL_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def _plain(x: Any) -> bool:
    """Whether x is a number, or a tensor whose memory is what it seems."""
    if not isinstance(x, Tensor):
        return True
    if type(x) not in (Tensor, torch.nn.Parameter) or x.is_neg() or x._is_zerotensor():
        return False
    return _has_storage(x)


# Names of the module's own: to find them anew, three steps each, takes longer than the calls.
is_compiling = torch.compiler.is_compiling
_tracing_state = torch._C._get_tracing_state
_functorch_level = torch._C._functorch.maybe_current_level
_dispatch_modes = torch._C._len_torch_dispatch_stack
_has_storage = torch._C._has_storage  # what vmap and its like wrap has none


def _traced() -> bool:
    """Whether PyTorch watches what operations run, beyond autograd's own record."""
    return is_compiling() or _tracing_state() is not None or _functorch_level() is not None or _dispatch_modes() > 0


def at_once(x: Any) -> bool:
    """Whether CPU kernels may take x as it is: memory in order, and nothing that watches or transforms operations.

    It says so of the usual tensor in 0.9 µs; what it does not let pass takes the longer way of `apply`.
    """
    return (
        not is_compiling()
        and type(x) is Tensor
        and x.is_cpu
        and x.dtype in KERNEL_DTYPES
        and x.is_contiguous()
        and not x.is_neg()
        and not x._is_zerotensor()
        and _has_storage(x)
        and forward_ad._current_level < 0
        and _tracing_state() is None
        and _functorch_level() is None
        and _dispatch_modes() == 0
    )


@functools.cache
def cpu() -> ModuleType:
    from actfun.backends import cpu

    return cpu


def _kernels(x: Tensor, *others: Any) -> ModuleType | None:
    """The backend whose kernels may read the memory of x and others, or None where x takes the torch-ops form."""
    if _traced() or x.dtype not in KERNEL_DTYPES or not all(map(_plain, (x, *others))):
        return None
    if x.device.type == "cpu":
        return cpu()
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
    backend = _kernels(x, *parameters) or torch_ops
    y: Tensor = backend.evaluate(formula, x, *parameters)
    return y


class Elementwise(torch.autograd.Function):
    """An activation with derivatives by formula: `apply(activation, x, *parameters)`."""

    @staticmethod
    def forward(ctx: Any, activation: Activation, x: Tensor, *parameters: float | Tensor) -> Tensor:
        _remember(ctx, activation, x, *parameters)
        return _evaluate(activation.formula, x, parameters)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, *parameters = _inputs(ctx)
        needed = zip(_arguments(ctx.activation), ctx.needs_input_grad[1:], (x, *parameters), strict=True)
        return None, *(
            gradient(ctx.activation.derivatives[argument], x, parameters, g, like) if need else None
            for argument, need, like in needed
        )


class TransformableElementwise(torch.autograd.Function):
    """The same for functorch and forward mode; torch.compile takes no jvp (2.13), and a plain call is 9 µs dearer."""

    generate_vmap_rule = True
    backward = Elementwise.backward

    @staticmethod
    def forward(activation: Activation, x: Tensor, *parameters: float | Tensor) -> Tensor:
        return _evaluate(activation.formula, x, parameters)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_forward(*_remember(ctx, *inputs))

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Tensor:
        x, *parameters = _inputs(ctx)
        parts = [
            torch_ops.evaluate(ctx.activation.derivatives[argument], x, *parameters, times=tangent)
            for argument, tangent in zip(_arguments(ctx.activation), tangents, strict=True)
            if tangent is not None
        ]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def _remember(ctx: Any, activation: Activation, *values: float | Tensor) -> tuple[Tensor, ...]:
    """Keep what the derivatives need: the inputs. The tensors among them come back."""
    ctx.activation = activation
    ctx.numbers = tuple(None if isinstance(value, Tensor) else value for value in values)
    tensors = tuple(value for value in values if isinstance(value, Tensor))
    ctx.save_for_backward(*tensors)
    return tensors


def _arguments(activation: Activation) -> tuple[str, ...]:
    code = activation.formula.__code__
    return code.co_varnames[: code.co_argcount]


def _inputs(ctx: Any) -> list[Any]:
    """x and the parameters, as they were given."""
    tensors = iter(ctx.saved_tensors)
    return [next(tensors) if number is None else number for number in ctx.numbers]


def gradient(formula: Formula, x: Tensor, parameters: list[Any], g: Tensor, like: Tensor) -> Tensor:
    """g times a derivative, summed to the shape of the argument that it belongs to."""
    # Grad mode is on here only under create_graph; in a dual level the gradient itself may need a tangent.
    again = torch.is_grad_enabled() or forward_ad._current_level >= 0
    backend = None if again else _kernels(x, g, *parameters)
    if backend is not None:
        if like is x:
            y: Tensor = backend.evaluate(formula, x, *parameters, times=g)
            return y
        y = backend.evaluate(formula, x, *parameters, times=g, dtype=torch.float32)
    elif like is x:
        return torch_ops.evaluate(formula, x, *parameters, times=g)
    else:
        wide = torch.float64 if x.dtype is torch.float64 else torch.float32
        y = torch_ops.evaluate(formula, x.to(wide), *parameters, times=g)
    total = y.sum_to_size(like.shape) if _traced() else summed(y, like.shape)
    return total.to(like.dtype)


def prepare(activation: Activation) -> None:
    """Lower what the torch-ops form of an activation consists of: torch.compile cannot trace the lowering itself."""
    for form in activation.forms:
        for formula in (form.formula, *form.derivatives.values()):
            torch_ops.lower(formula)


def _beyond_functions() -> bool:
    """Whether functorch does what a Function cannot follow: functionalize, or forward mode inside forward mode.

    In the latter PyTorch would take a Function's tangent for a constant, and second derivatives for 0.
    """
    kinds = [level.key() for level in torch._C._functorch.get_interpreter_stack() or []]
    transform = torch._C._functorch.TransformType
    return kinds.count(transform.Jvp) > 1 or transform.Functionalize in kinds


def apply(activation: Activation, x: Tensor, *parameters: float | Tensor) -> Tensor:
    """The activation of x, differentiable in x and in every parameter that is a tensor.

    parameters: numbers, or tensors that broadcast against x.
    """
    recorded = torch.is_grad_enabled() and any(isinstance(v, Tensor) and v.requires_grad for v in (x, *parameters))
    if torch.compiler.is_compiling():
        if not recorded:  # Dynamo cannot trace a Function that records nothing
            return torch_ops.evaluate(activation.formula, x, *parameters)
        y: Tensor = Elementwise.apply(activation, x, *parameters)  # type: ignore[no-untyped-call]
        return y
    if forward_ad._current_level >= 0 or torch._C._functorch.maybe_current_level() is not None:
        if _beyond_functions():
            return torch_ops.evaluate(activation.formula, x, *parameters)  # no Function: PyTorch differentiates
        y = TransformableElementwise.apply(activation, x, *parameters)  # type: ignore[no-untyped-call]
        return y
    if not recorded:
        return _evaluate(activation.formula, x, parameters)
    if torch._C._get_tracing_state() is not None:  # torch.jit.trace cannot keep a Function
        return torch_ops.evaluate(activation.formula, x, *parameters)
    y = Elementwise.apply(activation, x, *parameters)  # type: ignore[no-untyped-call]
    return y
