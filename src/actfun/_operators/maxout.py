"""Maxout, of which backward keeps the place of the largest piece: a bit for two pieces, two for up to four, and so on.

Places are kept in bit planes, the lowest bit of each place in the first: on the CPU by kernels, elsewhere by torch
operations.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from actfun._backends.layout import planes_of
from actfun._operators.dispatch import kernels_for
from actfun._operators.torch_private import in_dual_level, plain_device

WORKSPACE = 2**23  # bytes of pre-activations at a time; 8 MiB lie in the caches, and leave products their speed
SMALL = 2**15  # pre-activations up to which torch's own operations are faster on the CPU: their calls take 20 µs less
FEWEST_ROWS = 256  # of a product, below which it takes longer for each row


def pack(places: Tensor, pieces: int) -> Tensor:
    """Places, whole numbers of any shape, as bytes: (planes, ⌈n/8⌉)."""
    flat = functional.pad(places.flatten(), (0, -places.numel() % 8))
    weights = 2 ** torch.arange(8, device=places.device, dtype=torch.uint8)
    planes = [
        ((flat >> k & 1).to(torch.uint8).view(-1, 8) * weights).sum(-1, dtype=torch.uint8)
        for k in range(planes_of(pieces))
    ]
    return torch.stack(planes)


def unpack(bits: Tensor, shape: torch.Size) -> Tensor:
    """The places that were packed, as whole numbers."""
    shifts = torch.arange(8, device=bits.device, dtype=torch.uint8)
    small = torch.uint8 if bits.shape[0] <= 8 else torch.int32
    each = [(plane.unsqueeze(-1) >> shifts & 1).to(small) << k for k, plane in enumerate(bits)]
    places: Tensor = functools.reduce(torch.add, each)
    return places.flatten()[: math.prod(shape)].view(shape)


class Rows:
    """How outputs lie in memory, for kernels: rows of so many, the pieces of each side by side or in planes.

    shape: of the inputs. last: whether channels lie last in memory.
    """

    def __init__(self, shape: torch.Size, pieces: int, dim: int, last: bool) -> None:
        self.pieces, self.last = pieces, last
        self.packed = last or dim == len(shape) - 1
        self.inner = math.prod(shape) // pieces if self.packed else math.prod(shape[dim + 1 :])
        self.count = 1 if self.packed else math.prod(shape[:dim]) * shape[dim] // pieces
        self.shape = torch.Size((*shape[:dim], shape[dim] // pieces, *shape[dim + 1 :]))

    @classmethod
    def of(cls, x: Tensor, pieces: int, dim: int) -> "Rows":
        return cls(x.shape, pieces, dim, dim == 1 and lies_last(x))

    def laid(self, x: Tensor) -> Tensor:
        """A tensor in the order of these rows."""
        return x.contiguous(memory_format=_last(x) if self.last else torch.contiguous_format)

    def empty(self, like: Tensor, shape: torch.Size) -> Tensor:
        """A tensor of a shape, in this order."""
        order = _last(like) if self.last else torch.contiguous_format
        return torch.empty(shape, dtype=like.dtype, memory_format=order)


def lies_last(x: Tensor) -> bool:
    """Whether channels lie last in memory."""
    return x.dim() in (4, 5) and not x.is_contiguous() and x.is_contiguous(memory_format=_last(x))


def _last(x: Tensor) -> torch.memory_format:
    return torch.channels_last_3d if x.dim() == 5 else torch.channels_last


def _kernels(x: Tensor, pieces: int) -> Any:
    """What has kernels for x, or None."""
    if torch.compiler.is_compiling() or kernels_for(x) is None or x.device.type != "cpu":
        return None
    from actfun._backends.cpu import pieces as kernels

    return kernels if 1 < pieces <= kernels.MOST and x.numel() else None


class Largest(torch.autograd.Function):
    """The largest of each run of pieces along a dimension: `apply(x, pieces, dim)`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pieces: int, dim: int) -> Tensor:
        ctx.pieces, ctx.dim, ctx.rows, ctx.shape = pieces, dim, None, x.shape
        if kernels := _kernels(x, pieces):
            ctx.rows = rows = Rows.of(x, pieces, dim)
            y, bits = largest(kernels, rows.laid(x), rows)
        else:
            y, places = parts(x, pieces, dim).max(dim + 1)
            bits = pack(places, pieces)
        ctx.save_for_backward(bits)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (bits,) = ctx.saved_tensors
        rows = ctx.rows
        kernels = None if rows is None or torch.is_grad_enabled() or in_dual_level() else _kernels(g, ctx.pieces)
        if kernels:
            dx = rows.empty(g, ctx.shape)
            kernels.backward(rows.laid(g), bits, dx, rows.count, rows.inner, rows.pieces, rows.packed)
            return dx, None, None
        return spread(g, places_of(bits, g.shape, rows), ctx.pieces, ctx.dim), None, None


def largest(kernels: Any, x: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """The largest pieces of x, which lies as rows say, and the bits of their places."""
    y = rows.empty(x, rows.shape)
    bits = torch.empty(kernels.bytes_of(rows.count, rows.inner, rows.pieces), dtype=torch.uint8)
    kernels.forward(x, y, bits, rows.count, rows.inner, rows.pieces, rows.packed)
    return y, bits


def parts(x: Tensor, pieces: int, dim: int) -> Tensor:
    """x with the pieces in a dimension of their own, after `dim`."""
    return x.unflatten(dim, (-1, pieces))  # type: ignore[no-any-return,no-untyped-call]


def places_of(bits: Tensor, shape: torch.Size, rows: Rows | None) -> Tensor:
    """The places whose bits were kept, in the shape of the outputs. rows: of bits that a kernel wrote."""
    if rows is None:
        return unpack(bits, shape)
    padded = bits.shape[1] * 8 // rows.count
    flat = unpack(bits, torch.Size((rows.count, padded)))[:, : rows.inner]
    if rows.last:
        n, c, *space = shape
        return flat.reshape(n, *space, c).movedim(-1, 1)
    return flat.reshape(shape)


def spread(g: Tensor, places: Tensor, pieces: int, dim: int) -> Tensor:
    """g at the piece of each place, and 0 at the others; dim: that of the pieces. PyTorch can differentiate it."""
    dim %= g.dim()
    each = torch.arange(pieces, device=g.device, dtype=places.dtype).view(-1, *[1] * (g.dim() - dim - 1))
    won = places.unsqueeze(dim + 1) == each
    apart = torch.where(won, g.unsqueeze(dim + 1), torch.zeros((), dtype=g.dtype, device=g.device))
    return apart.reshape(*g.shape[:dim], g.shape[dim] * pieces, *g.shape[dim + 1 :])


def maxima(x: Tensor, pieces: int, dim: int) -> Tensor:
    """The largest of each run of pieces along `dim`, which is not negative.

    Raises RuntimeError where the pieces do not divide its length.
    """
    apart = parts(x, pieces, dim)
    if pieces > 1 and _is_ours(x) and not in_dual_level() and not _is_small(x, x.numel()):
        if torch.is_grad_enabled() and x.requires_grad:
            return Largest.apply(x, pieces, dim)  # type: ignore[no-any-return,no-untyped-call]
        if kernels := _kernels(x, pieces):
            rows = Rows.of(x, pieces, dim)
            return largest(kernels, rows.laid(x), rows)[0]
    return apart.max(dim + 1).values


def _is_small(x: Tensor, pre_activations: int) -> bool:
    return pre_activations <= SMALL and x.device.type == "cpu" and not torch.compiler.is_compiling()


def _is_ours(x: Tensor) -> bool:
    """Whether a call is eager and of a plain tensor, or compiled; exported graphs have torch's own maximum."""
    if torch.compiler.is_compiling():
        return not torch.compiler.is_exporting()
    return plain_device(x) is not None and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]


def _wide(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype is torch.float64 else torch.float32


class Sums:
    """Gradients that are needed, summed over blocks: those of 16 bits in float32, though each block's is rounded."""

    def __init__(self, needed: Sequence[bool]) -> None:
        self._needed, self._found = needed, dict[int, Tensor]()

    def add(self, place: int, value: Tensor) -> None:
        if place not in self._found:
            self._found[place] = value.to(_wide(value))
        elif torch.is_grad_enabled():
            self._found[place] = self._found[place] + value
        else:
            self._found[place] += value

    def add_product(self, place: int, g: Tensor, x: Tensor) -> None:
        """That of a weight: g turned, times x."""
        if not self._needed[place]:
            return
        if place in self._found and self._found[place].dtype is x.dtype:
            self._found[place].addmm_(g.t(), x)
        else:
            self.add(place, g.t() @ x)

    def add_rows(self, place: int, g: Tensor) -> None:
        """That of a bias: the sum over rows."""
        if self._needed[place]:
            self.add(place, g.sum(0, dtype=_wide(g)))

    def rounded(self, place: int, like: Tensor | None) -> Tensor | None:
        """The sum in the dtype of what it is for."""
        return self._found[place].to(like.dtype) if like is not None and place in self._found else None


def product(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> None:
    """Write what a linear layer gives for rows into `out`."""
    if bias is None:
        torch.mm(x, weight.t(), out=out)
    else:
        torch.addmm(bias, x, weight.t(), out=out)


class Blocks:
    """Rows of a linear layer's input, a block at a time, through pre-activations that are there once."""

    def __init__(self, x: Tensor, weight: Tensor, pieces: int) -> None:
        self.x, self.pieces, wide = x, pieces, weight.shape[0]
        fit = max(WORKSPACE // (wide * x.element_size()), FEWEST_ROWS)
        self.size = min(fit // 16 * 16, x.shape[0])  # bits of a block begin at a byte
        self.outputs = wide // pieces
        self.space = torch.empty((self.size, wide), dtype=x.dtype)

    def __iter__(self) -> Any:
        """The first and last row of each block, and room for its pre-activations."""
        for start in range(0, self.x.shape[0], self.size):
            stop = min(start + self.size, self.x.shape[0])
            yield start, stop, self.space[: stop - start]


class Linear(torch.autograd.Function):
    """A linear layer and the largest of its pieces, block by block: `apply(x, weight, bias, pieces)`, x (rows, in)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, pieces: int) -> Tensor:
        kernels, blocks = _kernels(x, pieces), Blocks(x, weight, pieces)
        y = torch.empty((x.shape[0], blocks.outputs), dtype=x.dtype)
        bits = torch.empty(kernels.bytes_of(1, y.numel(), pieces), dtype=torch.uint8)
        for start, stop, z in blocks:
            product(x[start:stop], weight, bias, z)
            done = bits[:, start * blocks.outputs // 8 :]
            kernels.forward(z, y[start:stop], done, 1, (stop - start) * blocks.outputs, pieces, True)
        ctx.pieces, ctx.with_bias = pieces, bias is not None
        ctx.save_for_backward(x, weight, bits)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bits = ctx.saved_tensors
        kernels = None if torch.is_grad_enabled() or in_dual_level() else _kernels(g, ctx.pieces)
        if kernels is None:
            rows = Rows(torch.Size((len(g), len(weight))), ctx.pieces, 1, False)
            dz = spread(g, places_of(bits, g.shape, rows), ctx.pieces, 1)
            return dz @ weight, dz.t() @ x, dz.sum(0) if ctx.with_bias else None, None
        need_x, need_weight, need_bias, _ = ctx.needs_input_grad
        g, blocks = g.contiguous(), Blocks(x, weight, ctx.pieces)
        dx = torch.empty_like(x, memory_format=torch.contiguous_format) if need_x else None
        sums = Sums((need_x, need_weight, need_bias))
        for start, stop, dz in blocks:
            part = bits[:, start * blocks.outputs // 8 :]
            kernels.backward(g[start:stop], part, dz, 1, (stop - start) * blocks.outputs, ctx.pieces, True)
            if dx is not None:
                torch.mm(dz, weight, out=dx[start:stop])
            sums.add_product(1, dz, x[start:stop])
            sums.add_rows(2, dz)
        return dx, sums.rounded(1, weight), sums.rounded(2, weight), None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, pieces: int) -> Tensor:
    """The largest of each run of `pieces` outputs of a linear layer, (…, in) -> (…, out/pieces)."""
    given = _in_blocks(x, weight, bias, pieces)
    if given is None or x.shape[-1] != weight.shape[1]:
        z = functional.linear(x, weight, bias)
        return maxima(z, pieces, z.dim() - 1)
    y: Tensor = Linear.apply(given[0].reshape(-1, x.shape[-1]), *given[1:], pieces)  # type: ignore[no-untyped-call]
    return y.view(*x.shape[:-1], -1)


def _in_blocks(
    x: Tensor, weight: Tensor, bias: Tensor | None, pieces: int
) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """What a layer computes block by block, as autocast casts it; None where it computes all at once."""
    if not _is_ours(x) or torch.compiler.is_compiling() or in_dual_level() or not x.numel():
        return None
    if _is_small(x, x.numel() // max(weight.shape[1], 1) * len(weight)):
        return None
    x, weight, bias = cast(x), cast(weight), None if bias is None else cast(bias)
    if not x.dtype == weight.dtype == (x if bias is None else bias).dtype:
        return None
    if _kernels(x, pieces) is None or kernels_for(x, weight, bias) is None:
        return None
    return x, weight, bias


def cast(x: Tensor) -> Tensor:
    """A tensor as autocast, where it is on, has it for products."""
    device = x.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return x
    return x if x.dtype is torch.float64 or not x.is_floating_point() else x.to(torch.get_autocast_dtype(device))


class Convolution(torch.autograd.Function):
    """A convolution and the largest of its pieces, some images at a time: `apply(x, weight, bias, pieces, *how)`.

    how: stride, padding and dilation, of each dimension of space, and groups.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, pieces: int, *how: Any) -> Tensor:
        kernels, last = _kernels(x, pieces), lies_last(x) or lies_last(weight)
        ctx.pieces, ctx.how, ctx.with_bias, ctx.last = pieces, how, bias is not None, last
        ctx.size = _images(x, weight, *how)
        kept, y = [], None
        for start in range(0, len(x), ctx.size):
            z = _convolve(x[start : start + ctx.size], weight, bias, *how)
            rows = Rows(z.shape, pieces, 1, last)
            part, bits = largest(kernels, rows.laid(z), rows)
            if y is None:
                y = part if len(part) == len(x) else rows.empty(part, torch.Size((len(x), *part.shape[1:])))
            if y is not part:
                y[start : start + ctx.size] = part
            kept.append(bits)
        ctx.save_for_backward(x, weight, *kept)
        return y  # type: ignore[return-value]  # there is at least one image

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *kept = ctx.saved_tensors
        kernels = None if torch.is_grad_enabled() or in_dual_level() else _kernels(g, ctx.pieces)
        needed, whole = ctx.needs_input_grad[:3], []
        sums = Sums(needed)
        for part, gradient, bits in zip(x.split(ctx.size), g.split(ctx.size), kept, strict=True):  # type: ignore[no-untyped-call]
            shape = torch.Size((len(part), weight.shape[0], *g.shape[2:]))
            rows = Rows(shape, ctx.pieces, 1, ctx.last)
            if kernels is None:
                dz = spread(gradient, places_of(bits, gradient.shape, rows), ctx.pieces, 1)
            else:
                dz = rows.empty(g, shape)
                kernels.backward(rows.laid(gradient), bits, dz, rows.count, rows.inner, rows.pieces, rows.packed)
            found = _gradients(dz, part, weight, ctx.with_bias, ctx.how, needed)
            whole.append(found[0])
            for place in (1, 2):
                if needed[place]:
                    sums.add(place, found[place])
        dx = None if not needed[0] else whole[0] if len(whole) == 1 else torch.cat(whole)
        return dx, sums.rounded(1, weight), sums.rounded(2, weight), *[None] * 5


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    return torch.convolution(x, weight, bias, stride, padding, dilation, False, [0] * len(stride), groups)


def _gradients(dz: Tensor, x: Tensor, weight: Tensor, with_bias: bool, how: Any, needed: Any) -> Any:
    stride, padding, dilation, groups = how
    sizes = [weight.shape[0]] if with_bias else None
    none = [0] * len(stride)
    return torch.ops.aten.convolution_backward(
        dz, x, weight, sizes, stride, padding, dilation, False, none, groups, needed
    )


def _images(x: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any, groups: int) -> int:
    """How many images' pre-activations fit into the workspace, at least 1."""
    size = weight.shape[0] * x.element_size()
    for n, k, s, p, d in zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True):
        size *= (n + 2 * p - d * (k - 1) - 1) // s + 1
    return max(WORKSPACE // max(size, 1), 1)


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, pieces: int, *how: Any) -> Tensor:
    """The largest of each run of `pieces` channels of a convolution, (N, C, …) -> (N, out/pieces, …).

    how: stride, padding and dilation, of each dimension of space, and groups.
    """
    given = _in_blocks(x, weight, bias, pieces) if x.dim() == weight.dim() else None
    if given is None:
        bias = None if bias is None else cast(bias)
        return maxima(_convolve(cast(x), cast(weight), bias, *how), pieces, 1)
    y: Tensor = Convolution.apply(*given, pieces, *how)  # type: ignore[no-untyped-call]
    return y
