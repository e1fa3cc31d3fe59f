"""The activations as modules, made from the registry; Maxout; the Transformer block: what `actfun.nn` shows."""

import inspect
import math
import types
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from actfun import torch_private
from actfun.functional import bind, call, check_pieces, function_of, maxout, stochastic_gelu
from actfun.once import Once
from actfun.op import register
from actfun.registry import Activation, Parameter, spec

PUBLIC = "actfun.nn"  # where users find the classes


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
        given = self._given(values, named)
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
        self.chosen, numbers = bind(self.activation, (), given)
        free = {argument: p for argument, p in self.activation.parameters.items() if isinstance(p, Parameter)}
        self.arguments = tuple(free)
        self._function = function_of(self.chosen)
        for (argument, parameter), value in zip(free.items(), numbers, strict=True):
            if learnable and parameter.learnable:
                if not parameter.low <= value < math.inf:
                    raise ValueError(
                        f"{type(self).__name__}: a learnable {argument} must be at least {parameter.low}, got {value}"
                    )
                value = nn.Parameter(torch.full((length,), value))
            setattr(self, argument, value)

    def _given(self, values: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
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
        return call(self.chosen, x, tuple(self._value(argument) for argument in self.arguments), self.inplace)

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
        shown += [self.chosen.name] * (self.chosen is not self.activation) + ["inplace=True"] * self.inplace
        return ", ".join(shown)


def raise_to(parameter: nn.Parameter, low: float) -> None:
    """Raise a parameter's values to a lower bound, outside of autograd."""
    if torch.compiler.is_compiling():
        with torch.no_grad():
            parameter.clamp_(min=low)
    elif not torch_private.is_transformed():  # under functorch it may be anybody's tensor
        parameter.data.clamp_(min=low)  # past the version counter: an earlier use in this step may have saved it


class StochasticGELU(nn.Module):
    """x times a Bernoulli(Φ(x)) mask in training, gelu(x) in evaluation (arXiv:1606.08415, section 2)."""

    activation = spec("stochastic_gelu")

    def forward(self, x: Tensor) -> Tensor:
        """Same shape and dtype as x."""
        return stochastic_gelu(x, self.training)


class MaxoutPieces(nn.Module):
    """`actfun.maxout` as a module, without weights of its own: (…, n·pieces) -> (…, n) along `dim`."""

    activation = spec("maxout")

    def __init__(self, pieces: int = 2, dim: int = -1) -> None:
        check_pieces("MaxoutPieces", pieces)
        super().__init__()
        self.pieces, self.dim = pieces, dim

    def forward(self, x: Tensor) -> Tensor:
        """The maximum of each run of pieces."""
        return maxout(x, self.pieces, self.dim)

    def extra_repr(self) -> str:
        """The number of pieces and their dimension."""
        return f"pieces={self.pieces}, dim={self.dim}"


class Maxout(nn.Linear):
    """A linear layer to `pieces` values for each output, of which the largest counts (arXiv:1302.4389).

    Input (…, in_features), output (…, out_features); weight (out_features·pieces, in_features). Initialised as
    torch.nn.Linear is.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        pieces: int = 2,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_pieces("Maxout", pieces)
        super().__init__(in_features, out_features * pieces, bias, device, dtype)
        self.activation = MaxoutPieces(pieces)

    def forward(self, input: Tensor) -> Tensor:
        """(…, in_features) -> (…, out_features)."""
        y: Tensor = self.activation(super().forward(input))
        return y


class MaxoutConv2d(nn.Conv2d):
    """A 2-D convolution to `pieces` channels for each output channel, of which the largest counts (arXiv:1302.4389).

    Input (N, in_channels, H, W), output (N, out_channels, H', W'); further arguments are torch.nn.Conv2d's.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int], pieces: int = 2, **conv_args: Any
    ) -> None:
        check_pieces("MaxoutConv2d", pieces)
        super().__init__(in_channels, out_channels * pieces, kernel_size, **conv_args)
        self.activation = MaxoutPieces(pieces, dim=-3)

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H', W'), or the same without N."""
        y: Tensor = self.activation(super().forward(input))
        return y


def get(name: str, **params: Any) -> nn.Module:
    """A module for the activation of that name, ready to use; `params` go to its class.

    "maxout" gives `MaxoutPieces`, the activation without weights. Raises ValueError, with the closest names, for an
    unknown name.
    """
    return module_of(spec(name))(**params)


@Once
def module_of(activation: Activation) -> type[nn.Module]:
    """The class of an activation, made once."""
    if activation.kind != "elementwise":
        return {"stochastic_gelu": StochasticGELU, "maxout": MaxoutPieces}[activation.name]
    register(activation)
    arguments = {argument: parameter.default for argument, parameter in activation.parameters.items()}
    arguments |= {"inplace": False} if activation.inplace else {}
    arguments |= {"learnable": False, "num_parameters": 1} if activation.learnable else {}
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind, default=value) for name, value in arguments.items()])
    facts = {"__module__": PUBLIC, "__doc__": activation.summary, "__signature__": signature}
    # A code object for each: torch.compile counts recompilations by it, and gives up at eight.
    code = Elementwise.forward.__code__.replace(co_qualname=f"{activation.module}.forward")
    forward = types.FunctionType(code, globals(), "forward")
    forward.__doc__ = Elementwise.forward.__doc__
    return type(activation.module, (Elementwise,), {"activation": activation, "forward": forward, **facts})


class FeedForward(nn.Module):
    """The Transformer's position-wise block: up to d_hidden, an activation, dropout, down to d_model.

    gated: act(gate(x)) * up(x) in place of act(up(x)) (arXiv:2002.05202). activation: a name, or a module; "maxout"
    takes two pieces for each hidden unit and is not allowed with a gate.
    Input and output (…, d_model).
    """

    def __init__(
        self,
        d_model: int,
        d_hidden: int,
        activation: str | nn.Module = "gelu",
        gated: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        module = get(activation) if isinstance(activation, str) else activation
        pieces = module.pieces if isinstance(module, MaxoutPieces) else 1
        if gated and pieces > 1:
            raise ValueError("FeedForward: activation 'maxout' is not allowed with gated=True; use an element-wise one")
        self.up = nn.Linear(d_model, d_hidden * pieces, bias)
        self.gate = nn.Linear(d_model, d_hidden, bias) if gated else None
        self.activation = module
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(d_hidden, d_model, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(…, d_model) -> (…, d_model)."""
        hidden = self.activation(self.up(x) if self.gate is None else self.gate(x))
        if self.gate is not None:
            hidden = hidden * self.up(x)
        y: Tensor = self.down(self.dropout(hidden))
        return y
