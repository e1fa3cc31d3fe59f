"""Element-wise activations: functions and modules made from the registry."""

import inspect
import math
import types
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from actfun._backends import torch as torch_ops
from actfun._catalogue.kinds import ELEMENTWISE
from actfun._catalogue.registry import Activation, Choice, Parameter
from actfun._operators import torch_private
from actfun._operators.arguments import bind
from actfun._operators.behaviours.base import POSITIONS, Behaviour, Slider, function_of, implement
from actfun._operators.dispatch import check_input
from actfun._operators.op import call, overload_of, per_channel, register
from actfun._operators.quadrature import normal_mean


class Elementwise(nn.Module):
    """An element-wise activation; the classes of the registry derive from it.

    Takes the activation's parameters, then `inplace` where torch's class has it, then, where a parameter is learnable,
    `learnable` and `num_parameters` (1, or the number of channels: dim 1 of the input).
    A learnable parameter is an nn.Parameter of that length. It never acts as less than its lower bound, and is raised
    to it in training.
    """

    activation: ClassVar[Activation]
    __signature__: ClassVar[inspect.Signature]

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__()
        given = self._settle(values, named)
        self.inplace: bool = given.pop("inplace", False)
        learnable, length = given.pop("learnable", False), given.pop("num_parameters", 1)
        for argument, value in (("inplace", self.inplace), ("learnable", learnable)):
            if not isinstance(value, bool):
                raise TypeError(f"{type(self).__name__}: {argument} must be True or False, got {value!r}")
        if type(length) is not int or length < 1 or (length > 1 and not learnable):
            allowed = "at least 1" if learnable else "1 unless learnable=True"
            raise ValueError(f"{type(self).__name__}: num_parameters must be {allowed}, got {length!r}")
        for argument, value in given.items():
            if isinstance(value, Tensor):
                raise TypeError(f"{type(self).__name__}: {argument} must be a number, got a tensor; see learnable=True")
        self.variant, numbers = bind(self.activation, (), given)
        free = {argument: p for argument, p in self.activation.parameters.items() if isinstance(p, Parameter)}
        self.arguments = tuple(free)
        self._function = function_of(self.variant)
        for (argument, parameter), value in zip(free.items(), numbers, strict=True):
            if learnable and parameter.learnable:
                if not parameter.low <= value < math.inf:
                    raise ValueError(
                        f"{type(self).__name__}: a learnable {argument} must be at least {parameter.low}, got {value}"
                    )
                value = nn.Parameter(torch.full((length,), value))
            setattr(self, argument, value)

    def _settle(self, values: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        signature = self.__signature__
        try:
            bound = signature.bind(*values, **named)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}; the arguments are {signature}") from None
        bound.apply_defaults()
        return bound.arguments

    if TYPE_CHECKING:  # nn.Module leaves open what a call gives

        def __call__(self, x: Tensor) -> Tensor: ...

    def forward(self, x: Tensor) -> Tensor:
        """The activation of x; same shape and dtype."""
        if not self.arguments and not self.inplace:
            return self._function(x)
        return call(self.variant, x, tuple(self._value(argument) for argument in self.arguments), self.inplace)

    def _value(self, argument: str) -> Any:
        value = getattr(self, argument)
        if isinstance(value, float):
            return value
        low = self.activation.parameters[argument].low  # type: ignore[union-attr]
        if self.training and isinstance(value, nn.Parameter) and value.requires_grad:
            raise_to(value, low)
        passing = low + (value - value.detach())  # the bound, with the gradient of the value
        return torch.where(value < low, passing, value)

    def extra_repr(self) -> str:
        """The parameters, and the form where there are several."""
        values = {argument: getattr(self, argument) for argument in self.arguments}
        shown = [
            f"{argument}={value.numel()} learnable" if isinstance(value, Tensor) else f"{argument}={value}"
            for argument, value in values.items()
        ]
        shown += [self.variant.name] * (self.variant is not self.activation) + ["inplace=True"] * self.inplace
        return ", ".join(shown)


def raise_to(parameter: nn.Parameter, low: float) -> None:
    """Raise a parameter's values to a lower bound, outside of autograd."""
    if torch.compiler.is_compiling():
        with torch.no_grad():
            parameter.clamp_(min=low)
    elif not torch_private.is_transformed():  # under functorch it may be anybody's tensor
        parameter.data.clamp_(min=low)  # past the version counter: an earlier use in this step may have saved it


@lru_cache(maxsize=256)  # learned parameters have others after every step
def largest_slope(formula: Any, values: tuple[tuple[float, ...], ...]) -> float:
    """The largest |f'| on [-10, 10]; 1 where it keeps growing (relu_squared), for want of a largest.

    values: of each parameter one, or one for each channel.
    """
    z = torch.linspace(-10.0, 10.0, 20_001, dtype=torch.float64)[:, None]
    slope = torch_ops.evaluate(formula, z, *(torch.tensor(value, dtype=z.dtype) for value in values)).abs()
    largest, near = float(slope.max()), float(slope[z.flatten().abs() <= 5.0].max())
    return largest if largest < 1.1 * near else 1.0


@implement(ELEMENTWISE)
class ElementwiseBehaviour(Behaviour):
    """One registered operator, whose derivatives are formulas."""

    def function(self) -> Callable[..., Tensor]:
        """A function that calls the operator."""
        activation = self.activation
        register(activation)
        variant, numbers = default = bind(activation, (), {})
        overload, strided = overload_of(variant, False), torch.strided

        def general(x: Any, values: tuple[Any, ...], named: dict[str, Any], inplace: bool) -> Tensor:
            form, parameters = bind(activation, values, named) if values or named else default
            return call(form, x, parameters, inplace)

        # The usual call touches few names: each is a guard that torch.compile checks in every call, and guards are what
        # a compiled call of a small tensor waits for (relu, 4,096 elements: 0.93 of torch with twelve, 1.0 with four).
        def apply(x: Tensor, *values: Any, inplace: bool = False, **named: Any) -> Tensor:
            try:
                if inplace is False and not values and not named:
                    return overload(x, *numbers)
            except RuntimeError:
                check_input(activation.name, x)
                raise
            return general(x, values, named, inplace)

        def exact(x: Tensor, *values: Any, inplace: bool = False, **named: Any) -> Tensor:
            try:  # torch takes integers and sparse tensors too
                if inplace is False and not values and not named and x.layout is strided and x.is_floating_point():
                    return overload(x)
            except (AttributeError, RuntimeError, TypeError):
                check_input(activation.name, x)
                raise
            return general(x, values, named, inplace)

        return self._name(exact if variant.torch_is_exact else apply)

    def _name(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """The function with the activation's name, signature and documentation."""
        activation, made = self.activation, cast(Any, function)
        # A code object for each: torch.compile counts recompilations by it, and gives up at eight.
        made.__code__ = made.__code__.replace(co_name=activation.name, co_qualname=activation.name)
        made.__name__ = made.__qualname__ = activation.name
        made.__module__ = "actfun"
        made.__signature__ = self._signature()
        made.__doc__ = (
            f"{activation.summary}\n\n"
            f"x: a float16, bfloat16, float32 or float64 tensor of any shape; the result has its shape, dtype and "
            f"layout.\nRaises TypeError for other dtypes and layouts, ValueError for parameters that are not allowed.\n"
            f"Source: {activation.reference}."
        )
        return function

    def _signature(self) -> inspect.Signature:
        positional, named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
        arguments = [inspect.Parameter("x", positional, annotation=Tensor)]
        for argument, parameter in self.activation.parameters.items():
            allowed: Any = float | Tensor if isinstance(parameter, Parameter) and parameter.learnable else float
            if isinstance(parameter, Choice):
                allowed = Literal[*parameter.options]
            arguments.append(inspect.Parameter(argument, positional, default=parameter.default, annotation=allowed))
        arguments.append(inspect.Parameter("inplace", named, default=False, annotation=bool))
        return inspect.Signature(arguments, return_annotation=Tensor)

    def module(self) -> type[nn.Module]:
        """A class that derives from `Elementwise`."""
        activation = self.activation
        register(activation)
        arguments = {argument: parameter.default for argument, parameter in activation.parameters.items()}
        arguments |= {"inplace": False} if activation.inplace else {}
        arguments |= {"learnable": False, "num_parameters": 1} if activation.learnable else {}
        positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
        signature = inspect.Signature(
            [inspect.Parameter(a, positional, default=value) for a, value in arguments.items()]
        )
        # A code object for each: torch.compile counts recompilations by it, and gives up at eight.
        code = Elementwise.forward.__code__.replace(co_qualname=f"{activation.module}.forward")
        forward = types.FunctionType(code, globals(), "forward")
        forward.__doc__ = Elementwise.forward.__doc__
        facts = {"__doc__": activation.summary, "__signature__": signature, "activation": activation}
        return type(activation.module, (Elementwise,), {**facts, "forward": forward})

    def slope(self, module: nn.Module, z: Tensor) -> Tensor:
        """By the formula of the derivative."""
        given = {argument: getattr(module, argument) for argument in module.arguments}  # type: ignore[union-attr]
        values = (per_channel(self.activation.name, argument, value, z) for argument, value in given.items())
        return torch_ops.evaluate(self.activation.derivatives["x"], z, *values)

    def largest_slope(self, module: nn.Module) -> float:
        """That of the module's parameters."""
        given = (getattr(module, argument) for argument in module.arguments)  # type: ignore[union-attr]
        values = tuple((v,) if isinstance(v, float) else tuple(v.tolist()) for v in given)
        return largest_slope(self.activation.derivatives["x"], values)

    def gain(self, preserve: str, parameters: dict[str, Any]) -> float:
        """By quadrature."""
        variant, numbers = bind(self.activation, (), parameters)
        if any(isinstance(value, Tensor) for value in numbers):
            raise TypeError(f"gain: parameters of {self.activation.name} must be numbers")
        formula = variant.formula if preserve == "forward" else variant.derivatives["x"]
        return 1.0 / math.sqrt(normal_mean(lambda z: torch_ops.evaluate(formula, z, *numbers) ** 2, variant.kinks))

    def slider(self) -> Slider:
        """Of the first parameter that is a number."""
        import numpy  # which calls of activations do without

        function = function_of(self.activation)
        free = [(argument, p) for argument, p in self.activation.parameters.items() if isinstance(p, Parameter)]
        if not free:
            return Slider.fixed(function)
        argument, parameter = free[0]
        low, top = parameter.low, max(3.0 * parameter.default, 0.5)
        values = numpy.unique([*numpy.linspace(max(low, top / 20, 0.0), top, POSITIONS - 1), parameter.default])
        return Slider(argument, tuple(values.round(3).tolist()), parameter.default, function)
