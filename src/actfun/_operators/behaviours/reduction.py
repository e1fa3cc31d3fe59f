"""Activations that make one number of several pieces."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from actfun._catalogue.kinds import REDUCTION
from actfun._catalogue.registry import spec
from actfun._operators.arguments import bind, check_dim, check_whole
from actfun._operators.behaviours.base import Behaviour, Slider, implement
from actfun._operators.dispatch import check_input
from actfun._operators.maxout import maxima
from actfun._operators.quadrature import normal_mean


def check_pieces(name: str, pieces: Any) -> int:
    """`pieces` as Python's number. Raises TypeError unless it is whole, ValueError unless it is at least 1."""
    return check_whole(name, "pieces", pieces, low=1)


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
    pieces, dim = check_pieces("maxout", pieces), check_dim("maxout", x, dim)
    try:
        return maxima(x, pieces, dim % x.dim())
    except RuntimeError:  # rather than a question before, which torch.jit.trace would warn of
        if x.shape[dim] % pieces == 0:
            raise
        raise ValueError(f"maxout: pieces must divide x.shape[{dim}] = {x.shape[dim]}, got {pieces}") from None


class MaxoutPieces(nn.Module):
    """`actfun.maxout` as a module, without weights of its own: (…, n·pieces) -> (…, n) along `dim`."""

    activation = spec("maxout")

    def __init__(self, pieces: int = 2, dim: int = -1) -> None:
        super().__init__()
        self.pieces, self.dim = check_pieces("MaxoutPieces", pieces), check_whole("MaxoutPieces", "dim", dim)

    def forward(self, x: Tensor) -> Tensor:
        """The maximum of each run of pieces."""
        return maxout(x, self.pieces, self.dim)

    def extra_repr(self) -> str:
        """The number of pieces and their dimension."""
        return f"pieces={self.pieces}, dim={self.dim}"


@implement(REDUCTION)
class ReductionBehaviour(Behaviour):
    """The largest piece passes, with all of its gradient."""

    only = "maxout"

    def function(self) -> Callable[..., Tensor]:
        """Written above."""
        return maxout

    def module(self) -> type[nn.Module]:
        """Written above."""
        return MaxoutPieces

    def slope(self, module: nn.Module, z: Tensor) -> Tensor:
        """1: a unit passes the whole gradient to the piece that wins."""
        return torch.ones_like(z.unflatten(module.dim, (-1, module.pieces)).select(module.dim % z.dim() + 1, 0))  # type: ignore

    def inputs(self, module: nn.Module) -> float:
        """Its pieces."""
        return float(module.pieces)  # type: ignore[arg-type]

    def pieces(self, module: nn.Module, z: Tensor) -> Tensor:
        """Those of each unit."""
        dim: Any = module.dim
        parts: Tensor = z.movedim(dim, -1).unflatten(-1, (-1, module.pieces))  # type: ignore[no-untyped-call]
        return parts

    def gain(self, preserve: str, parameters: dict[str, Any]) -> float:
        """Of independent pieces; backward it is each piece's, with all of them counted in fan_out."""
        bind(self.activation, parameters)
        pieces = check_pieces("gain", parameters.get("pieces", self.activation.parameters["pieces"].default))
        if preserve == "backward":
            return math.sqrt(pieces)  # each piece wins once in `pieces` times
        return 1.0 / math.sqrt(normal_mean(lambda z: z * z * pieces * torch.special.ndtr(z) ** (pieces - 1)))

    def slider(self) -> Slider:
        """The largest of so many tangents to x²/2."""

        def envelope(x: Tensor, pieces: float) -> Tensor:
            at = torch.linspace(-2.0, 2.0, int(pieces) + 2, dtype=x.dtype)[1:-1]
            return maxout(at * x[:, None] - 0.5 * at * at, int(pieces))[:, 0]

        return Slider("pieces", tuple(range(1, 9)), 4, envelope)
