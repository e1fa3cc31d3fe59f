"""The classes that `actfun.nn` shows: those of activations, layers that hold one, the Transformer's block."""

from typing import Any

from torch import Tensor, nn

from actfun._catalogue.registry import Activation, spec
from actfun._once import Once
from actfun._operators import functional  # noqa: F401  (makes the functions that modules call)
from actfun._operators.behaviours.base import behaviour_of
from actfun._operators.behaviours.elementwise import Elementwise as Elementwise
from actfun._operators.behaviours.gated import Gated as Gated
from actfun._operators.behaviours.reduction import MaxoutPieces, check_pieces

PUBLIC = "actfun.nn"  # where users find the classes


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


def hidden(name: str) -> nn.Module:
    """A module for a layer whose units are along the last dimension: what is packed has the gate first.

    Raises ValueError where there is none.
    """
    return behaviour_of(spec(name)).hidden()


def inputs(module: nn.Module) -> float:
    """How many pre-activations a module has for each output; 1 where it is not of actfun.nn."""
    activation = getattr(module, "activation", None)
    return behaviour_of(activation).inputs(module) if isinstance(activation, Activation) else 1.0


@Once
def module_of(activation: Activation) -> type[nn.Module]:
    """The class of an activation, made once."""
    made = behaviour_of(activation).module()
    made.__module__ = PUBLIC
    return made


class FeedForward(nn.Module):
    """The Transformer's position-wise block: up to d_hidden, an activation, dropout, down to d_model.

    gated: act(gate(x)) * up(x) in place of act(up(x)) (arXiv:2002.05202). activation: a name, or a module; "maxout",
    "swiglu" and the like take two pre-activations for each hidden unit and are not allowed with a gate.
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
        module = hidden(activation) if isinstance(activation, str) else activation
        width = d_hidden * inputs(module)
        if gated and width != d_hidden:
            name = module.activation.name  # type: ignore[union-attr]
            raise ValueError(
                f"FeedForward: activation {name!r} is not allowed with gated=True; use an element-wise one"
            )
        if not width.is_integer():
            raise ValueError(f"FeedForward: d_hidden must be even, for crelu gives two outputs for one, got {d_hidden}")
        self.up = nn.Linear(d_model, int(width), bias)
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
