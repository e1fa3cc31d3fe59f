"""Gated activations: of two tensors, or of the two halves of one, the first lets the second pass."""

import functools
import inspect
import math
import types
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from actfun._catalogue.formulas.gated import GATES, PARTS
from actfun._catalogue.kinds import ELEMENTWISE, GATED
from actfun._catalogue.registry import Activation, names, nearest, spec
from actfun._operators.arguments import bind, check_dim, check_whole
from actfun._operators.autograd import gradient
from actfun._operators.behaviours.base import POSITIONS, Behaviour, Slider, function_of, implement
from actfun._operators.dispatch import DTYPES, LAYOUTS, check_input, evaluate, kernels_for
from actfun._operators.op import Operator, overload_of, register
from actfun._operators.quadrature import normal_mean_of_pairs
from actfun._operators.torch_private import in_dual_level

Gate = Literal["first", "second", "interleaved", None]
MEANINGS = {
    "first": "Transformer Engine, Megatron-LM, vLLM",
    "second": "torch.nn.functional.glu, jax.nn.glu, Keras",
    "interleaved": "gpt-oss",
}


class GatedOperator(Operator):
    """An operator of two tensors of one shape and dtype, gate and value, and of numbers."""

    inputs = ("x", "up")

    def _settle(self, x: Tensor, parameters: tuple[Any, ...], dim: int) -> tuple[Any, ...]:
        up = parameters[0]
        for tensor in (x, up):
            if tensor.layout not in LAYOUTS or tensor.dtype not in DTYPES:
                check_input(self.activation.name, tensor)
        if x.dtype is not up.dtype:
            raise TypeError(f"{self.activation.name}: a and b must have one dtype, got {x.dtype} and {up.dtype}")
        if x.layout is torch.strided and x.shape != up.shape:
            shapes = f"{tuple(x.shape)} and {tuple(up.shape)}"
            raise ValueError(f"{self.activation.name}: a and b must have one shape, got {shapes}")
        return parameters

    def call_nested(self, x: Tensor, *parameters: Any, dim: int = 1) -> Tensor:
        """A call with nested tensors, one part after another."""
        if x.layout is torch.jagged:
            return self.call(x, *parameters)
        up, *numbers = parameters
        parts = zip(x.unbind(), up.unbind(), strict=True)
        return torch.nested.as_nested_tensor([self.call(*pair, *numbers) for pair in parts])


def halves(x: Tensor, gate: str, dim: int) -> tuple[Tensor, Tensor]:
    """The gate and the value of a packed tensor, without copying. Raises RuntimeError where it has no halves."""
    apart = gate == "interleaved"
    parts = x.unflatten(dim, (-1, 2) if apart else (2, -1))  # type: ignore[no-untyped-call]
    first, second = parts.unbind(dim % x.dim() + apart)
    return (second, first) if gate == "second" else (first, second)


class Packed(torch.autograd.Function):
    """An activation of a packed tensor in eager reverse mode: it keeps that one, and has its gradient written in place.

    `apply(activation, gate, dim, a, *numbers)`.
    """

    @staticmethod
    def forward(ctx: Any, activation: Activation, gate: str, dim: int, a: Tensor, *numbers: float) -> Tensor:
        ctx.call = activation, gate, dim, numbers
        ctx.save_for_backward(a)
        x, up = halves(a, gate, dim)
        return evaluate(activation.formula, x, (up, *numbers))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        activation, gate, dim, numbers = ctx.call
        (a,) = ctx.saved_tensors
        x, up = halves(a, gate, dim)
        slopes = activation.derivatives["x"], activation.derivatives["up"]
        again = torch.is_grad_enabled() or in_dual_level()
        if not again and (backend := kernels_for(a, g)) is not None:
            whole = torch.empty_like(a)
            for slope, part in zip(slopes, halves(whole, gate, dim), strict=True):
                if a.is_cpu and slope in PARTS:
                    backend.evaluate(slope, x, up, *numbers, times=g, out=part)
                else:
                    part.copy_(backend.evaluate(slope, x, up, *numbers, times=g))
        else:
            whole = packed([gradient(slope, x, (up, *numbers), g, x) for slope in slopes], gate, dim % a.dim())
        return None, None, None, whole, *[None] * len(numbers)


def packed(parts: list[Tensor], gate: str, dim: int) -> Tensor:
    """The tensor of which these are the gate and the value."""
    if gate == "interleaved":
        return torch.stack(parts, dim + 1).flatten(dim, dim + 1)
    return torch.cat(parts[::-1] if gate == "second" else parts, dim)


def check_gate(name: str, gate: Any) -> None:
    """Raise ValueError unless `gate` says which half of a packed tensor is the gate."""
    if not isinstance(gate, str) or gate not in MEANINGS:
        meanings = "; ".join(f"{half!r} as in {who}" for half, who in MEANINGS.items())
        raise ValueError(f"{name}: gate must say which half of a packed tensor is the gate ({meanings}), got {gate!r}")


def open_halves(name: str, a: Tensor, gate: Any, dim: Any) -> tuple[Tensor, Tensor]:
    """The gate and the value of a packed tensor. Raises ValueError unless it falls into halves along `dim`."""
    check_gate(name, gate)
    check_dim(name, a, dim)
    try:
        return halves(a, gate, dim)
    except RuntimeError:  # rather than a question before, which torch.jit.trace would warn of
        size = a.shape[dim] if a.dim() else "no dimensions"
        raise ValueError(f"{name}: two halves need an even a.shape[{dim}], got {size}") from None


def gated(activation: Activation, a: Tensor, b: Tensor | None, numbers: tuple[Any, ...], gate: Any, dim: int) -> Tensor:
    """A gated activation of a gate and a value, or of a tensor that holds both."""
    name, overload = activation.name, overload_of(activation, False)
    if b is None:
        check_input(name, a)
        parts = open_halves(name, a, gate, dim)
        if a.requires_grad and torch.is_grad_enabled() and _is_plain(a):
            return Packed.apply(activation, gate, dim, a, *numbers)  # type: ignore[no-any-return,no-untyped-call]
        return overload(*parts, *numbers)
    if gate is not None:
        raise ValueError(
            f"{name}: gate is for a packed tensor; of two, a is the gate, so gate must be None, got {gate!r}"
        )
    for tensor in (a, b):
        if not isinstance(tensor, Tensor):
            check_input(name, tensor)
    return overload(a, b, *numbers)


def _is_plain(a: Tensor) -> bool:
    """Whether nothing but eager reverse mode is at work."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return False
    return kernels_for(a) is not None and not in_dual_level()


def activated(name: str) -> Activation:
    """The element-wise activation of a gate. Raises ValueError where there is none of that name."""
    known = names(ELEMENTWISE)
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"glu: activation must be an element-wise one, got {name!r}; {nearest(name, known)}")
    return spec(name)


def gated_by(activation: str, a: Tensor, b: Tensor | None, gate: Any, dim: int) -> Tensor:
    """A gated linear unit whose gate has any element-wise activation, or "identity"."""
    if activation in GATES:
        return gated(spec(GATES[activation]), a, b, (), gate, dim)
    function = function_of(activated(activation))
    if b is None:
        check_input("glu", a)
        a, b, gate = *open_halves("glu", a, gate, dim), None
    return gated(spec("bilinear"), function(a), b, (), gate, dim)


class Gated(nn.Module):
    """A gated activation; the classes of the registry derive from it.

    dim: along which a packed input falls into halves. gate: which of them is the gate, "first", "second" or
    "interleaved" (entries take turns, the gate's first); None where the input comes as two tensors. Then the
    activation's parameters; of GLU `activation`, the gate's.
    """

    activation: ClassVar[Activation]
    __signature__: ClassVar[inspect.Signature]

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__()
        name = type(self).__name__
        try:
            bound = self.__signature__.bind(*values, **named)
        except TypeError as error:
            raise TypeError(f"{name}: {error}; the arguments are {self.__signature__}") from None
        bound.apply_defaults()
        self.given = dict(bound.arguments)
        self.dim, self.gate = self.given.pop("dim"), self.given.pop("gate")
        if self.gate is not None:
            check_gate(name, self.gate)
        check_whole(name, "dim", self.dim)
        self.given |= zip(self.activation.parameters, _settle(self.activation, self.given), strict=True)
        self._function = function_of(self.activation)

    def forward(self, a: Tensor, b: Tensor | None = None) -> Tensor:
        """(…, 2n, …) -> (…, n, …) along `dim`; or of two tensors of one shape, of which a is the gate."""
        gate = self.gate if b is None else None
        y: Tensor = self._function(a, b, gate=gate, dim=self.dim, **self.given)
        return y

    def extra_repr(self) -> str:
        """The dimension, the gate and the parameters; as torch's class of the name, what is not its own."""
        shown = {"dim": self.dim, "gate": self.gate, **self.given}
        if hasattr(nn, self.activation.module):
            usual = {name: p.default for name, p in self.__signature__.parameters.items() if name != "dim"}
            shown = {name: value for name, value in shown.items() if name not in usual or value != usual[name]}
        return ", ".join(f"{argument}={value!r}" for argument, value in shown.items())


def _settle(activation: Activation, given: dict[str, Any]) -> tuple[Any, ...]:
    """The numbers of a call, checked."""
    if activation.name == "glu":
        if (name := given.get("activation", "sigmoid")) not in GATES:
            activated(name)
        given = {argument: value for argument, value in given.items() if argument != "activation"}
    return bind(activation, given)[1]


@implement(GATED)
class GatedBehaviour(Behaviour):
    """A registered operator of two tensors; its gradients are by formula."""

    def function(self) -> Callable[..., Tensor]:
        """A function that calls the operator."""
        activation = self.activation
        register(activation, GatedOperator)
        defaults = bind(activation, {})[1]

        def apply(a: Tensor, b: Tensor | None = None, *, gate: Any = None, dim: int = -1, **named: Any) -> Tensor:
            if not (type(a) is Tensor and (b is None or type(b) is Tensor)):
                if torch.overrides.has_torch_function((a, b)):
                    y = torch.overrides.handle_torch_function(apply, (a, b), a, b, gate=gate, dim=dim, **named)
                    return y
            if "activation" in named and activation.name == "glu":
                return gated_by(_single(named), a, b, gate, dim)
            numbers = bind(activation, named)[1] if named else defaults
            return gated(activation, a, b, numbers, gate, dim)

        # A code object for each: torch.compile counts recompilations by it, and gives up at eight.
        made: Any = apply
        made.__code__ = made.__code__.replace(co_name=activation.name, co_qualname=activation.name)
        made.__name__ = made.__qualname__ = activation.name
        made.__module__ = "actfun"
        made.__signature__ = self._signature()
        made.__doc__ = (
            f"{activation.summary}\n\n"
            f"a, b: gate and value, float16, bfloat16, float32 or float64 tensors of one shape and dtype, which are the"
            f' result\'s too; or a holds both, in halves along `dim`, and `gate` says which is the gate: "first", '
            f'"second" (torch\'s) or "interleaved".\n'
            f"Raises TypeError for other dtypes and layouts, ValueError for shapes and parameters that are not allowed,"
            f" and where `gate` is missing, or given with two tensors.\nSource: {activation.reference}."
        )
        return apply

    def _parameters(self) -> list[inspect.Parameter]:
        named = inspect.Parameter.KEYWORD_ONLY
        extra = [inspect.Parameter("activation", named, default="sigmoid", annotation=str)]
        numbers = self.activation.parameters.items()
        return (extra if self.activation.name == "glu" else []) + [
            inspect.Parameter(argument, named, default=number.default, annotation=float) for argument, number in numbers
        ]

    def _signature(self) -> inspect.Signature:
        positional, named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
        arguments = [
            inspect.Parameter("a", positional, annotation=Tensor),
            inspect.Parameter("b", positional, default=None, annotation=Tensor | None),
            *self._parameters(),
            inspect.Parameter("gate", named, default=None, annotation=Gate),
            inspect.Parameter("dim", named, default=-1, annotation=int),
        ]
        return inspect.Signature(arguments, return_annotation=Tensor)

    def module(self) -> type[nn.Module]:
        """A class that derives from `Gated`; GLU's gate is torch's unless it is given."""
        activation, positional = self.activation, inspect.Parameter.POSITIONAL_OR_KEYWORD
        function_of(activation)
        gate = "second" if hasattr(nn, activation.module) else None
        arguments = [
            inspect.Parameter("dim", positional, default=-1, annotation=int),
            inspect.Parameter("gate", positional, default=gate, annotation=Gate),
            *[argument.replace(kind=positional) for argument in self._parameters()],
        ]
        # A code object for each: torch.compile counts recompilations by it, and gives up at eight.
        code = Gated.forward.__code__.replace(co_qualname=f"{activation.module}.forward")
        forward = types.FunctionType(code, globals(), "forward", Gated.forward.__defaults__)
        forward.__doc__ = Gated.forward.__doc__
        facts = {"__doc__": activation.summary, "__signature__": inspect.Signature(arguments), "activation": activation}
        return type(activation.module, (Gated,), {**facts, "forward": forward})

    def along_last(self) -> dict[str, Any]:
        """Both halves in one tensor, the gate first."""
        return {"gate": "first"}

    def inputs(self, module: nn.Module) -> float:
        """Gate and value."""
        return 2.0

    def slope(self, module: nn.Module, z: Tensor) -> Tensor:
        """The length of the gradient in gate and value; where z is a gate alone, for a value of 1."""
        x, up = (z, torch.ones_like(z)) if module.gate is None else halves(z, module.gate, module.dim)  # type: ignore[arg-type]
        return _slopes(module.forward, x, up).sqrt()  # no hooks: it may be one that asks

    def gain(self, preserve: str, parameters: dict[str, Any]) -> float:
        """Of a gate and a value that are independent; backward it is each half's, with both counted in fan_out."""
        _settle(self.activation, parameters)
        function = functools.partial(function_of(self.activation), **parameters)
        if preserve == "forward":
            return 1.0 / math.sqrt(normal_mean_of_pairs(lambda x, up: function(x, up).square()))
        return 1.0 / math.sqrt(normal_mean_of_pairs(lambda x, up: _slopes(function, x, up) / 2.0))

    def slider(self) -> Slider:
        """As a function of the gate, the value moved."""
        function = function_of(self.activation)
        values = tuple(round(-2.0 + 0.2 * k, 1) for k in range(POSITIONS))
        return Slider("u", values, 1.0, lambda x, up: function(x, torch.full_like(x, up)))


def _slopes(function: Callable[..., Tensor], x: Tensor, up: Tensor) -> Tensor:
    """The square of the gradient's length, for each pair of a gate and a value."""
    with torch.enable_grad():
        pair = x.detach().requires_grad_(), up.detach().requires_grad_()
        dx, dup = torch.autograd.grad(function(*pair).sum(), pair)
    return dx * dx + dup * dup


def _single(named: dict[str, Any]) -> Any:
    """The activation of a gate, which is all that glu takes."""
    if len(named) > 1:
        unknown = next(name for name in named if name != "activation")
        raise TypeError(f"glu: unknown parameter {unknown!r}; it takes activation")
    return named["activation"]
