"""Element-wise activations: functions and modules made from the registry."""

import inspect
import math
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from actfun._backends import torch as torch_ops
from actfun._catalogue.kinds import ELEMENTWISE
from actfun._catalogue.registry import Activation, Choice, Ignored, Parameter
from actfun._operators.arguments import bind, collect, number, whole
from actfun._operators.behaviours.base import POSITIONS, Behaviour, Slider, function_of, implement, slope_of_call
from actfun._operators.dispatch import check_input
from actfun._operators.op import call, overload_of, register
from actfun._operators.quadrature import normal_mean

TOLD = {  # of the arguments of functions
    "dim": "dim: the dimension that holds the channels, where a parameter has one value for each.\n",
    "training": "training: whether slopes are drawn, else the mean over them is taken.\n",
    "generator": "generator: where randomness comes from; the device's default when None.\n",
}


class Elementwise(nn.Module):
    """An element-wise activation; the classes of the registry derive from it.

    Takes the activation's parameters, then `inplace` where torch's class has it, then, where parameters are learnable,
    `learnable`, `num_parameters` (1, or the number of channels), `dim` (of the input, that holds the channels),
    `device` and `dtype`. With learnable=True each learnable parameter is an nn.Parameter of that length, which starts
    from the value given. A parameter with a lower bound never acts as less.

    The state of a module without parameters, torch's too, loads strictly into one that learns them, whose values stay.
    """

    activation: ClassVar[Activation]
    __signature__: ClassVar[inspect.Signature]

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__()
        name, given = type(self).__name__, self._settle(values, named)
        parameters, always = self.activation.parameters, self.activation.learned
        if always:
            given[always] = given.pop("init")
        self.inplace: bool = given.pop("inplace", False)
        learnable = given.pop("learnable", always is not None)
        for argument, value in (("inplace", self.inplace), ("learnable", learnable)):
            if not isinstance(value, bool):
                raise TypeError(f"{name}: {argument} must be True or False, got {value!r}")
        self.num_parameters = whole(name, "num_parameters", given.pop("num_parameters", 1))
        if self.num_parameters < 1 or (self.num_parameters > 1 and not learnable):
            allowed = "at least 1" if learnable else "1 unless learnable=True"
            raise ValueError(f"{name}: num_parameters must be {allowed}, got {self.num_parameters}")
        self.dim = whole(name, "dim", given.pop("dim", 1))
        factory = {"device": given.pop("device", None), "dtype": given.pop("dtype", None)}
        for argument, value in given.items():
            if isinstance(value, Tensor):
                raise TypeError(f"{name}: {argument} must be a number, got a tensor; see learnable=True")
        self.variant, _ = bind(self.activation, given)
        self.arguments = tuple(argument for argument, p in parameters.items() if isinstance(p, Parameter))
        self.start: dict[str, float] = {}  # the values that learned parameters start from
        self._function = function_of(self.variant)
        for argument, value in given.items():
            parameter, plain = parameters[argument], value if isinstance(value, str) else number(name, argument, value)
            if not (learnable and isinstance(parameter, Parameter) and parameter.learnable):
                setattr(self, argument, plain)
                continue
            self.start[argument] = start = float(plain)
            if not parameter.low <= start < math.inf:
                raise ValueError(f"{name}: a learnable {argument} must be at least {parameter.low}, got {start}")
            self.register_parameter(argument, nn.Parameter(torch.empty(self.num_parameters, **factory)))
        if self.start and not always:
            self.register_load_state_dict_pre_hook(_keep_own)  # type: ignore[no-untyped-call]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set what is learned to the values given to the constructor."""
        for argument, value in self.start.items():
            nn.init.constant_(getattr(self, argument), value)

    def _settle(self, values: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        signature = self.__signature__
        try:
            bound = signature.bind(*values, **named)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}; the arguments are {signature}") from None
        bound.apply_defaults()
        return bound.arguments

    if TYPE_CHECKING:  # nn.Module leaves open what a call gives

        def __call__(self, input: Tensor) -> Tensor: ...

    def forward(self, input: Tensor) -> Tensor:
        """The activation of a tensor; same shape and dtype."""
        if not self.arguments and not self.inplace:
            return self._function(input)
        return call(self.variant, input, self.values(), self.inplace, self.dim)

    def values(self) -> tuple[Any, ...]:
        """The parameters as they act, in order."""
        return tuple([self._acting(argument) for argument in self.arguments])

    def _acting(self, argument: str) -> Any:
        value = getattr(self, argument)
        if isinstance(value, int | float):
            return float(value)
        low = self.activation.parameters[argument].low  # type: ignore[union-attr]
        if low == -math.inf:
            return value
        # The bound, with the gradient of the value, so that one far below comes back: to learn an alpha of 1 for ELU
        # takes SGD 307 steps from -5 and Adam 740, and from 7, as far above, 181 and 1418. Under a loss that goes on to
        # want less than the bound the value sinks on, and takes as many steps up again.
        passing = low + (value - value.detach())
        return torch.where(value < low, passing, value)

    def extra_repr(self) -> str:
        """As torch's class of the name has it; what is learned as the constructor takes it."""
        always = self.activation.learned
        if self.activation.torch and (always or not self.start):
            extra = {n: getattr(self, n) for n in self.activation.parameters if _is_extra(self.activation, n)}
            changed = [f"{n}={v!r}" for n, v in extra.items() if v != self.activation.parameters[n].default]
            shown = [getattr(nn, self.activation.module).extra_repr(self), *changed]
        else:
            given = [argument for argument in self.__signature__.parameters if argument in self.activation.parameters]
            shown = [f"{argument}={self.start.get(argument, getattr(self, argument))!r}" for argument in given]
            shown += ["inplace=True"] * self.inplace
        if self.start and not always:
            shown += ["learnable=True", f"num_parameters={self.num_parameters}"]
        return ", ".join([*filter(None, shown), *[f"dim={self.dim}"] * (self.dim != 1)])


def _keep_own(module: Elementwise, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Before a state is loaded that has no learned parameters: those of the module stay."""
    if not any(prefix + argument in state for argument in module.start):
        state.update({prefix + argument: getattr(module, argument) for argument in module.start})


POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD


def _is_extra(activation: Activation, name: str) -> bool:
    parameter = activation.parameters[name]
    return isinstance(parameter, Parameter) and parameter.extra


def _argument(name: str, parameter: Parameter | Choice | Ignored, learnable: Any) -> inspect.Parameter:
    """A parameter as an argument; learnable: what it may be where it may be learned."""
    allowed: Any = learnable if isinstance(parameter, Parameter) and parameter.learnable else float
    if isinstance(parameter, Choice):
        allowed = Literal[*parameter.options]
    kind = inspect.Parameter.KEYWORD_ONLY if isinstance(parameter, Parameter) and parameter.extra else POSITIONAL
    return inspect.Parameter(name, kind, default=parameter.default, annotation=allowed)


def named(arguments: dict[str, tuple[Any, Any]]) -> list[inspect.Parameter]:
    """Arguments from name -> default and type."""
    return [
        inspect.Parameter(name, POSITIONAL, default=default, annotation=kind)
        for name, (default, kind) in arguments.items()
    ]


@implement(ELEMENTWISE)
class ElementwiseBehaviour(Behaviour):
    """One registered operator, whose derivatives are formulas."""

    made_from: ClassVar[type[Elementwise]] = Elementwise

    def function(self) -> Callable[..., Tensor]:
        """A function that calls the operator."""
        activation = self.activation
        register(activation)
        variant, numbers = default = bind(activation, {})
        places = tuple(name for name in activation.parameters if not _is_extra(activation, name))
        places += ("inplace",) * activation.inplace
        overload, strided = overload_of(variant, False), torch.strided

        def general(x: Any, values: tuple[Any, ...], named: dict[str, Any], inplace: bool) -> Tensor:
            x, given = collect(activation.name, places, x, values, named)
            if "inplace" in given:
                if inplace is not False:
                    raise TypeError(f"{activation.name}: inplace was given twice")
                inplace = given.pop("inplace")
            dim = whole(activation.name, "dim", given.pop("dim", 1)) if activation.learnable else 1
            form, parameters = bind(activation, given) if given else default
            return call(form, x, parameters, inplace, dim)

        # The usual call touches few names: each is a guard that torch.compile checks in every call, and guards are what
        # a compiled call of a small tensor waits for (relu, 4,096 elements: 0.93 of torch with twelve, 1.0 with four).
        def apply(x: Any = None, *values: Any, inplace: bool = False, **named: Any) -> Tensor:
            try:
                if inplace is False and not values and not named:
                    return overload(x, *numbers)
            except RuntimeError:
                check_input(activation.name, x)
                raise
            return general(x, values, named, inplace)

        def exact(x: Any = None, *values: Any, inplace: bool = False, **named: Any) -> Tensor:
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
        made.__signature__ = inspect.Signature(self._arguments(), return_annotation=Tensor)
        made.__doc__ = (
            f"{inspect.cleandoc(activation.formula.__doc__ or '')}\n\n"
            f"input: a float16, bfloat16, float32 or float64 tensor of any shape, also called x; the result has its "
            f"shape, dtype and layout.\n{''.join(TOLD[a] for a in made.__signature__.parameters if a in TOLD)}"
            f"Raises TypeError for other dtypes and layouts, ValueError for parameters that are not allowed.\n"
            f"Source: {activation.reference}."
        )
        return function

    def _arguments(self) -> list[inspect.Parameter]:
        """Those of the function: torch's, with `inplace` in torch's place, or else by keyword."""
        place = POSITIONAL if self.activation.inplace else inspect.Parameter.KEYWORD_ONLY
        arguments = [inspect.Parameter("input", POSITIONAL, annotation=Tensor)]
        free = [_argument(name, p, float | Tensor) for name, p in self.activation.parameters.items()]
        arguments += [argument for argument in free if argument.kind is POSITIONAL]
        arguments.append(inspect.Parameter("inplace", place, default=False, annotation=bool))
        arguments += [argument for argument in free if argument.kind is not POSITIONAL]
        if self.activation.learnable:
            arguments.append(inspect.Parameter("dim", inspect.Parameter.KEYWORD_ONLY, default=1, annotation=int))
        return arguments

    def _constructor(self) -> list[inspect.Parameter]:
        """Those of the class: torch's, then those of what is learned."""
        activation, of_device = self.activation, torch.device | str | int | None
        learned: dict[str, tuple[Any, Any]] = {"num_parameters": (1, int), "dim": (1, int), "device": (None, of_device)}
        learned |= {"dtype": (None, torch.dtype | None)}
        if activation.learned:
            learned["init"] = (activation.parameters[activation.learned].default, float)
            return named({name: learned[name] for name in ("num_parameters", "init", "device", "dtype", "dim")})
        arguments = [_argument(name, p, float) for name, p in activation.parameters.items()]
        arguments += named({"inplace": (False, bool)} if activation.inplace else {})
        arguments.sort(key=lambda argument: argument.kind)  # extra ones last
        return arguments + named({"learnable": (False, bool), **learned} if activation.learnable else {})

    def module(self) -> type[nn.Module]:
        """A class that derives from `made_from`."""
        activation, base, signature = self.activation, self.made_from, inspect.Signature(self._constructor())
        # A code object for each: torch.compile counts recompilations by it, and gives up at eight.
        code = base.forward.__code__.replace(co_qualname=f"{activation.module}.forward")
        forward = types.FunctionType(code, base.forward.__globals__, "forward")
        forward.__doc__ = base.forward.__doc__
        documentation = inspect.cleandoc(activation.formula.__doc__ or "")
        facts = {"__doc__": documentation, "__signature__": signature, "activation": activation}
        return type(activation.module, (base,), {**facts, "forward": forward})

    def slope(self, module: Any, z: Tensor) -> Tensor:
        """As backward computes it."""
        return slope_of_call(module.forward, z)

    def gain(self, preserve: str, parameters: dict[str, Any]) -> float:
        """By quadrature."""
        variant, numbers = bind(self.activation, parameters)
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
        values = numpy.linspace(max(low, top / 20, 0.0), top, POSITIONS - 1).round(3)
        positions = tuple(numpy.unique([*values, parameter.default]).tolist())
        return Slider(argument, positions, parameter.default, lambda x, value: function(x, **{argument: value}))
