"""Layers of weights whose outputs are the largest of several pieces: Maxout."""

import math
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from actfun._catalogue.registry import nearest, spec
from actfun._operators import maxout
from actfun._operators.behaviours.base import behaviour_of
from actfun._operators.behaviours.reduction import check_pieces

Layout = Literal["thinc", "paddle", "tensorflow_addons"]
LAYOUTS: tuple[str, ...] = get_args(Layout)


class _Pieces(nn.Module):
    """What layers with pieces share. Those of an output follow each other along the weight's first dimension."""

    weight: Any
    bias: Any
    pieces: int
    space: ClassVar[int] = 0  # dimensions behind the outputs

    def reset_parameters(self) -> None:
        """Draw weights from N(0, g²/fan_in), g = 1/√E[max²] of as many normals as pieces; biases are 0.

        So outputs have the mean square that inputs have (`actfun.gain`).
        """
        gain = behaviour_of(spec("maxout")).gain("forward", {"pieces": self.pieces})
        fan_in = math.prod(self.weight.shape[1:])
        nn.init.normal_(self.weight, 0.0, gain / math.sqrt(fan_in) if fan_in else 0.0)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def outputs(self) -> int:
        """How many outputs there are."""
        return int(self.weight.shape[0] // self.pieces)

    @torch.no_grad()
    def shares(self, input: Tensor) -> Tensor:
        """Of each piece the share of outputs that it gives for some input: (outputs, pieces), each row with sum 1.

        A piece with share 0 is dead there: no gradient reaches its weights.
        """
        counts = torch.zeros(self.outputs(), self.pieces, dtype=torch.long, device=self.weight.device)
        for part in input.split(1_024):  # type: ignore[no-untyped-call]
            z = self.pre_activations(part)
            dim = self.dim(z)
            places = maxout.parts(z, self.pieces, dim).max(dim + 1).indices.movedim(dim, 0).flatten(1)
            counts += nn.functional.one_hot(places, self.pieces).sum(1)
        return counts / counts.sum(1, keepdim=True)

    def pre_activations(self, input: Tensor) -> Tensor:
        """The values of all pieces, as the layer of torch gives them, those of an output one after another."""
        layer: Any = super()
        z: Tensor = layer.forward(input)
        return z

    def dim(self, z: Tensor) -> int:
        """The dimension that holds outputs."""
        return z.dim() - 1 - self.space

    def load_layout(self, layout: Layout, weight: Tensor, bias: Tensor | None = None) -> None:
        """Take weights of another library.

        layout: "thinc": (outputs, pieces, inputs), biases (outputs, pieces). "paddle": of a layer before paddle's
        maxout with as many groups as pieces. "tensorflow_addons": of a layer before tfa's Maxout, whose pieces are
        `outputs` apart. Linear weights of the last two are (inputs, outputs·pieces); convolutions of paddle
        (outputs·pieces, inputs, …), of TensorFlow (…, inputs, outputs·pieces).
        Raises ValueError for another layout, or a shape that does not fit.
        """
        if layout not in LAYOUTS:
            raise ValueError(f"layout: {layout!r} is not known; {nearest(str(layout), LAYOUTS)}")
        name = type(self).__name__
        if (bias is None) != (self.bias is None):
            raise ValueError(f"{name}: bias {'is missing' if bias is None else 'is given, and the layer has none'}")
        with torch.no_grad():
            for ours, theirs in ((self.weight, weight), (self.bias, bias)):
                if ours is None or theirs is None:
                    continue
                turned = self._turn(layout, theirs, ours.dim())
                if turned.shape != ours.shape:
                    what = "weight" if ours is self.weight else "bias"
                    raise ValueError(f"{name}: {what} of shape {tuple(theirs.shape)} is none of {layout} for {self}")
                ours.copy_(turned)

    def _turn(self, layout: str, theirs: Tensor, dims: int) -> Tensor:
        """A weight or bias of another library in our order."""
        if layout == "thinc":
            return theirs.flatten(0, 1) if theirs.dim() > 1 else theirs
        if dims == 2:
            theirs = theirs.t()
        elif dims > 2 and layout == "tensorflow_addons":
            theirs = theirs.movedim((-1, -2), (0, 1))
        if layout == "tensorflow_addons" and theirs.shape[0] % self.pieces == 0:
            theirs = theirs.unflatten(0, (self.pieces, -1)).transpose(0, 1).flatten(0, 1)  # type: ignore[no-untyped-call]
        return theirs

    def extra_repr(self) -> str:
        """As torch's class has it, and the pieces."""
        return f"{super().extra_repr()}, pieces={self.pieces}"


class Maxout(_Pieces, nn.Linear):
    """A linear layer to `pieces` values for each output, of which the largest counts (arXiv:1302.4389).

    Input (…, in_features), output (…, out_features); weight (out_features·pieces, in_features), the pieces of an output
    one after another. Backward keeps the input and the place of the largest piece, a bit for two pieces, two for up to
    four; on the CPU the values of all pieces exist for some rows at a time only.
    Weights start from N(0, g²/in_features), g the gain of maxout, biases from 0.
    Raises TypeError or ValueError for pieces that are not a whole number of at least 1.
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
        self.pieces = check_pieces("Maxout", pieces)
        nn.Linear.__init__(self, in_features, out_features * self.pieces, bias, device, dtype)
        self.out_features = out_features

    def forward(self, input: Tensor) -> Tensor:
        """(…, in_features) -> (…, out_features)."""
        return maxout.linear(input, self.weight, self.bias, self.pieces)


class _Convolution(_Pieces):
    """What convolutions with pieces share."""

    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, pieces: int = 2, **conv_args: Any
    ) -> None:
        name = type(self).__name__
        self.pieces = check_pieces(name, pieces)
        if (groups := conv_args.get("groups", 1)) and out_channels % groups:
            raise ValueError(f"{name}: out_channels must be divisible by groups = {groups}, got {out_channels}")
        super().__init__(in_channels, out_channels * self.pieces, kernel_size, **conv_args)
        self.out_channels = out_channels

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, …) -> (N, out_channels, …), or the same without N."""
        x, padding = self._padded(input)
        if x.dim() == self.space + 1:
            return self._of(x[None], padding)[0]
        return self._of(x, padding)

    def _of(self, x: Tensor, padding: tuple[int, ...]) -> Tensor:
        how = self.stride, padding, self.dilation, self.groups
        return maxout.convolution(x, self.weight, self.bias, self.pieces, *how)

    def _padded(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """The input, padded where a convolution cannot do it, and what is left to pad by zeros on both sides."""
        own: Any = self
        none = (0,) * self.space
        if own.padding_mode != "zeros":
            return nn.functional.pad(x, own._reversed_padding_repeated_twice, own.padding_mode), none
        if not isinstance(own.padding, str):
            return x, own.padding
        sides = own._reversed_padding_repeated_twice
        low, high = sides[::2][::-1], sides[1::2][::-1]
        if low == high:
            return x, tuple(low)
        return nn.functional.pad(x, sides), none


class MaxoutConv1d(_Convolution, nn.Conv1d):
    """A 1-D convolution to `pieces` channels for each output channel, of which the largest counts (arXiv:1302.4389).

    Input (N, in_channels, L), output (N, out_channels, L'), or both without N; further arguments are torch.nn.Conv1d's.
    What backward keeps and how weights start is as of `Maxout`.
    Raises ValueError where groups do not divide out_channels.
    """

    space = 1


class MaxoutConv2d(_Convolution, nn.Conv2d):
    """The same in 2-D: input (N, in_channels, H, W), output (N, out_channels, H', W'), of torch.nn.Conv2d."""

    space = 2


class MaxoutConv3d(_Convolution, nn.Conv3d):
    """The same in 3-D: input (N, in_channels, D, H, W), output (N, out_channels, D', H', W'), of torch.nn.Conv3d."""

    space = 3
