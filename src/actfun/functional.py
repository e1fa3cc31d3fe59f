"""The activations as functions of tensors, under torch's names: made from the registry, plus the two special ones."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from actfun import formulas  # noqa: F401  (fills the registry)
from actfun.dispatch import DTYPES, check_input, torch_operations
from actfun.once import Once
from actfun.op import register
from actfun.registry import Activation, Choice, Parameter, names, nearest, spec


def bind(activation: Activation, values: tuple[Any, ...], named: dict[str, Any]) -> tuple[Activation, tuple[Any, ...]]:
    """Settle an activation's arguments, positional and named: the form they choose, and its numbers and tensors.

    Raises TypeError for an argument too many or unknown, ValueError for an option or value that is not allowed.
    """
    known = activation.parameters
    if len(values) > len(known):
        raise TypeError(f"{activation.name}: expected at most {len(known)} parameters, got {len(values)}")
    given = dict(zip(known, values, strict=False))
    for argument, value in named.items():
        if argument not in known:
            hint = nearest(argument, tuple(known)) if known else "it takes none"
            raise TypeError(f"{activation.name}: unknown parameter {argument!r}; {hint}")
        if argument in given:
            raise TypeError(f"{activation.name}: {argument} was given twice")
        given[argument] = value
    settled = {argument: given.get(argument, parameter.default) for argument, parameter in known.items()}
    choices = {argument: settled[argument] for argument, parameter in known.items() if isinstance(parameter, Choice)}
    numbers = (
        _checked(activation.name, argument, parameter, settled[argument])
        for argument, parameter in known.items()
        if isinstance(parameter, Parameter)
    )
    return activation.chosen(choices), tuple(numbers)


def _checked(name: str, argument: str, parameter: Parameter, value: Any) -> Any:
    if not isinstance(value, Tensor) and torch.overrides.has_torch_function_unary(value):
        return value  # fx, which traces
    if isinstance(value, Tensor):
        if not parameter.learnable:
            raise TypeError(f"{name}: {argument} must be a number, got a tensor")
        if value.dtype not in DTYPES or value.layout is not torch.strided:
            kind = f"{value.dtype}, {value.layout}"
            raise TypeError(f"{name}: {argument} must be a number or a dense floating-point tensor, got {kind}")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: {argument} must be a number, got {type(value).__name__}")
    if parameter.nonzero and value == 0.0:
        raise ValueError(f"{name}: {argument} must not be 0, got {value}")
    return float(value)


def overload_of(activation: Activation, inplace: bool, tensors: bool = False) -> Callable[..., Tensor]:
    """What PyTorch calls for an activation: its operator, in place or not, with tensors or numbers for parameters."""
    name = f"{activation.name}_" if inplace else activation.name
    if activation.torch_is_exact:
        return getattr(torch, name)  # type: ignore[no-any-return]
    packet = getattr(torch.ops.actfun, name)
    return packet.tensor if tensors else packet.default  # type: ignore[no-any-return]


def call(activation: Activation, x: Tensor, parameters: tuple[Any, ...], inplace: bool = False) -> Tensor:
    """An activation, its arguments settled by `bind`, of a tensor."""
    if not isinstance(inplace, bool):
        raise TypeError(f"{activation.name}: inplace must be True or False, got {inplace!r}")
    if not isinstance(x, Tensor) and not torch.overrides.has_torch_function_unary(x):
        check_input(activation.name, x)
    if activation.torch_is_exact and isinstance(x, Tensor):
        check_input(activation.name, x)
    if all(isinstance(value, float) for value in parameters):
        return overload_of(activation, inplace)(x, *parameters)
    kinds = [p.learnable for p in activation.parameters.values() if isinstance(p, Parameter)]
    tensors = (  # where one is a tensor, all that may be are
        torch.tensor(value, device=x.device) if learnable and isinstance(value, float) else value
        for learnable, value in zip(kinds, parameters, strict=True)
    )
    return overload_of(activation, inplace, tensors=True)(x, *tensors)


@Once
def function_of(activation: Activation) -> Callable[..., Tensor]:
    """The function of tensors that an activation stands for, made once."""
    if activation.kind != "elementwise":
        return _SPECIAL[activation.name]
    register(activation)
    chosen, numbers = default = bind(activation, (), {})
    overload, strided = overload_of(chosen, False), torch.strided

    def general(x: Any, values: tuple[Any, ...], named: dict[str, Any], inplace: bool) -> Tensor:
        form, parameters = bind(activation, values, named) if values or named else default
        return call(form, x, parameters, inplace)

    # The usual call touches few names: each is a guard that torch.compile checks in every call, and guards are what a
    # compiled call of a small tensor waits for (relu, 4,096 elements: 0.93 of torch with twelve, 1.0 with four).
    def usual(x: Tensor, *values: Any, inplace: bool = False, **named: Any) -> Tensor:
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

    function: Callable[..., Tensor] = exact if chosen.torch_is_exact else usual
    # A code object for each: torch.compile counts recompilations by it, and gives up at eight.
    function.__code__ = function.__code__.replace(co_name=activation.name, co_qualname=activation.name)
    function.__name__ = function.__qualname__ = activation.name
    function.__module__ = "actfun"
    signature = "".join(f", {argument}={p.default!r}" for argument, p in activation.parameters.items())
    function.__doc__ = (
        f"{activation.name}(x{signature})\n\n{activation.summary}\n\n"
        f"x: a float16, bfloat16, float32 or float64 tensor of any shape; the result has its shape, dtype and layout.\n"
        f"Raises TypeError for other dtypes and layouts, ValueError for parameters that are not allowed.\n"
        f"Source: {activation.reference}."
    )
    return function


def stochastic_gelu(x: Tensor, training: bool = True, generator: Generator | None = None) -> Tensor:
    """x times a Bernoulli(Φ(x)) mask in training, else gelu(x), its mean.

    x: a float16, bfloat16, float32 or float64 tensor of any shape; the gradient is that of the mask drawn.
    generator: where the mask's randomness comes from; the device's default when None.
    Source: Hendrycks and Gimpel, arXiv:1606.08415, section 2.
    """
    if type(x) is not Tensor and torch.overrides.has_torch_function_unary(x):
        masked: Tensor = torch.overrides.handle_torch_function(stochastic_gelu, (x,), x, training, generator)
        return masked
    check_input("stochastic_gelu", x)
    if not training:
        return call(spec("gelu"), x, ())
    wide = torch.float64 if x.dtype is torch.float64 else torch.float32
    with torch.no_grad():  # the gradient is that of the mask, which is all that backward needs
        noise = torch.empty_like(x, dtype=wide).uniform_(generator=generator)
        dropped = torch_operations(x).evaluate(spec("stochastic_gelu").derivatives["x"], x, noise) == 0.0
    return x.masked_fill(dropped, 0.0)


def check_pieces(name: str, pieces: Any) -> None:
    """Raise TypeError unless `pieces` is a whole number, ValueError unless it is at least 1."""
    if isinstance(pieces, bool) or not isinstance(pieces, int):
        raise TypeError(f"{name}: pieces must be a whole number, got {type(pieces).__name__}")
    if pieces < 1:
        raise ValueError(f"{name}: pieces must be at least 1, got {pieces}")


def maxout(x: Tensor, pieces: int, dim: int = -1) -> Tensor:
    """The maximum of each run of `pieces` consecutive entries along `dim`.

    x: a float16, bfloat16, float32 or float64 tensor; the result has x.shape[dim] / pieces entries along dim. NaN
    propagates. On a tie the first piece wins and takes the whole gradient.
    Raises ValueError where `pieces` is below 1 or does not divide x.shape[dim], and for a dim out of range.
    Source: Goodfellow et al., arXiv:1302.4389.
    """
    if type(x) is not Tensor and torch.overrides.has_torch_function_unary(x):
        largest: Tensor = torch.overrides.handle_torch_function(maxout, (x,), x, pieces, dim)
        return largest
    check_input("maxout", x)
    check_pieces("maxout", pieces)
    if not isinstance(dim, int) or not -x.dim() <= dim < x.dim():
        raise ValueError(f"maxout: dim must be from {-x.dim()} to {x.dim() - 1} for {x.dim()} dimensions, got {dim!r}")
    try:
        parts = x.unflatten(dim, (-1, pieces))  # type: ignore[no-untyped-call]
    except RuntimeError:  # rather than a question before, which torch.jit.trace would warn of
        raise ValueError(f"maxout: pieces must divide x.shape[{dim}] = {x.shape[dim]}, got {pieces}") from None
    values: Tensor = parts.max(dim % x.dim() + 1).values
    return values


_SPECIAL: dict[str, Callable[..., Tensor]] = {"stochastic_gelu": stochastic_gelu, "maxout": maxout}

for _dtype in DTYPES:  # torch.compile cannot trace the lowering itself
    stochastic_gelu(torch.zeros(1, dtype=_dtype))
for _name in names():  # before anything compiled can call them
    if spec(_name).kind == "elementwise":
        register(spec(_name))
