"""The Transformer's block in one: backward keeps pre-activations, and all else exists for some rows at a time."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.nn import functional

from actfun._operators.maxout import cast
from actfun._operators.torch_private import has_hooks, in_dual_level, plain_device

WORKSPACE, WORKSPACE_OF_GPU = 2**22, 2**27  # bytes of hidden elements at a time: what caches hold, what fills a GPU
FEWEST_ROWS = 1_024  # of which a block adds to the gradients of weights, each time all of them
SMALL = 2**16  # hidden elements up to which torch's own operations are faster: their calls take less


class Parts(NamedTuple):
    """What is between the products: the activation, the tensors that it learns, and the share that dropout drops."""

    activation: Callable[[Tensor], Tensor]
    learned: tuple[Tensor, ...]
    dropped: float

    def hidden(self, pre: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """What the last product gets, of pre-activations: the gate first, where there is one."""
        y = self.activation(pre[0])
        if len(pre) > 1:
            y = y * pre[1]
        return y if mask is None else drop(y, mask, self.dropped)


def drop(x: Tensor, mask: Tensor, p: float) -> Tensor:
    """x where the mask says so, scaled, else 0: the product that torch's dropout forms on the CPU."""
    return x * mask.to(x.dtype).div_(1.0 - p)


class Block(torch.autograd.Function):
    """Products around an activation: `apply(parts, mask, x, down, down_bias, *weights and biases, *learned)`.

    x: (rows, in). The weights and biases are those of the first products: the gate's, if there is one, and up's.
    """

    @staticmethod
    def forward(ctx: Any, parts: Parts, mask: Tensor | None, x: Tensor, *given: Tensor | None) -> Tensor:
        down: Any = given[0]
        down_bias, *first = given[1 : len(given) - len(parts.learned)]
        pairs: Any = list(zip(first[::2], first[1::2], strict=True))
        kept = [x.new_empty(len(x), len(weight)) for weight, _ in pairs] if any(ctx.needs_input_grad) else []
        y = x.new_empty(len(x), len(down))
        for rows in _blocks(x, pairs[0][0]):
            pre = [one[rows] for one in kept] or [x.new_empty(rows.stop - rows.start, len(w)) for w, _ in pairs]
            for (weight, bias), z in zip(pairs, pre, strict=True):
                _product(x[rows], weight, bias, z)
            _product(parts.hidden(pre, None if mask is None else mask[rows]), down, down_bias, y[rows])
        ctx.parts, ctx.gated, ctx.has_mask = parts, len(pairs) > 1, mask is not None
        ctx.save_for_backward(mask, x, *given, *kept)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        parts: Parts = ctx.parts
        pieces = 1 + ctx.gated
        mask, x, *rest = ctx.saved_tensors
        given, kept = rest[:-pieces], rest[-pieces:]
        needed = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled() or in_dual_level():
            return None, None, *_again(parts, mask, x, given, needed, g)
        sums = _Sums(needed)
        dx = torch.empty_like(x) if needed[0] else None
        for rows in _blocks(x, given[2]):
            one = None if mask is None else mask[rows]
            part = None if dx is None else dx[rows]
            _add_block(sums, parts, x[rows], [z[rows] for z in kept], one, given, g[rows], part)
        return None, None, dx, *(sums.rounded(k, like) for k, like in enumerate(given, 1))


def _add_block(
    sums: "_Sums",
    parts: Parts,
    x: Tensor,
    kept: Sequence[Tensor],
    mask: Tensor | None,
    given: Sequence[Any],
    g: Tensor,
    dx: Tensor | None,
) -> None:
    """Add the gradients of some rows to the sums, and write that of x. What else was made for it goes with the call."""
    down, first = given[0], given[2::2][: len(kept)]
    places = sums.of_learned(3 + 2 * len(kept))
    learned = [parts.learned[place - 3 - 2 * len(kept)] for place in places]
    pre = [z.detach().requires_grad_() for z in kept]
    with torch.enable_grad():
        y = parts.hidden(pre, mask)
    sums.add_product(1, g, y.detach())
    sums.add_rows(2, g)
    edge = get_gradient_edge(y)
    del y  # its node needs no more than the pre-activations
    gradients = torch.autograd.grad([edge], [*pre, *learned], [g @ down])
    for k, (dz, weight) in enumerate(zip(gradients, first, strict=False)):
        sums.add_product(3 + 2 * k, dz, x)
        sums.add_rows(4 + 2 * k, dz)
        if dx is not None:
            torch.mm(dz, weight, out=dx) if k == 0 else dx.addmm_(dz, weight)
    for place, gradient in zip(places, gradients[len(kept) :], strict=True):
        sums.add(place, gradient)


class _Sums:
    """Gradients that are needed, summed over blocks: those of 16 bits in float32, so they are rounded once."""

    def __init__(self, needed: Sequence[bool]) -> None:
        self._needed, self._found = needed, dict[int, Tensor]()

    def of_learned(self, start: int) -> list[int]:
        """The places, from `start` on, of gradients that are needed."""
        return [place for place in range(start, len(self._needed)) if self._needed[place]]

    def add(self, place: int, value: Tensor) -> None:
        if place in self._found:
            self._found[place] += value
        else:
            self._found[place] = value.to(_wide(value))

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


def _again(
    parts: Parts, mask: Tensor | None, x: Tensor, given: Sequence[Any], needed: Sequence[bool], g: Tensor
) -> list[Tensor | None]:
    """The gradients by PyTorch, which can differentiate them."""
    down, down_bias, *first = given[: len(given) - len(parts.learned)]
    with torch.enable_grad():
        pre = [functional.linear(x, weight, bias) for weight, bias in zip(first[::2], first[1::2], strict=True)]
        y = functional.linear(parts.hidden(pre, mask), down, down_bias)
        wanted = [one for one, need in zip((x, *given), needed, strict=True) if need]
        found = iter(torch.autograd.grad(y, wanted, g, create_graph=True))
    return [next(found) if need else None for need in needed]


def _wide(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype is torch.float64 else torch.float32


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> None:
    if bias is None:
        torch.mm(x, weight.t(), out=out)
    else:
        torch.addmm(bias, x, weight.t(), out=out)


def _blocks(x: Tensor, weight: Tensor) -> Iterator[slice]:
    """Rows whose hidden elements fit into the workspace."""
    space = WORKSPACE if x.device.type == "cpu" else WORKSPACE_OF_GPU
    size = max(space // (len(weight) * x.element_size()), FEWEST_ROWS)
    for start in range(0, len(x), size):
        yield slice(start, min(start + size, len(x)))


def in_one(x: Tensor, first: Sequence[Any], activation: nn.Module, dropout: Any, down: Any) -> Tensor | None:
    """The block computed in one, (…, in) -> (…, out); None where its modules have to be called one by one.

    So it is where one has hooks, is of another class than torch's linear layer and dropout, or is compiled, exported or
    transformed. first: the gate, if there is one, and up.
    """
    if torch.compiler.is_compiling() or plain_device(x) is None or in_dual_level() or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return None
    layers: Any = [*first, down]
    if any(type(layer) is not nn.Linear for layer in layers) or type(dropout) is not nn.Dropout:
        return None
    if has_hooks(*layers, activation, dropout) or x.dim() == 0 or x.shape[-1] != layers[0].in_features:
        return None
    hidden = x.numel() // max(x.shape[-1], 1) * layers[-1].in_features
    if hidden <= SMALL:
        return None
    given = [cast(x), cast(down.weight), None if down.bias is None else cast(down.bias)]
    for layer in first:
        given += [cast(layer.weight), None if layer.bias is None else cast(layer.bias)]
    there = [one for one in given if one is not None]
    if len({one.dtype for one in there}) > 1 or any(plain_device(one) is None for one in there):
        return None
    dropped = dropout.p if dropout.training else 0.0
    parts = Parts(activation, tuple(activation.parameters()), dropped)
    flat = cast(x).reshape(-1, x.shape[-1])
    mask = None
    if dropped:
        mask = torch.empty(len(flat), layers[-1].in_features, dtype=torch.bool, device=x.device).bernoulli_(
            1.0 - dropped
        )
    y: Tensor = Block.apply(parts, mask, flat, *given[1:], *parts.learned)  # type: ignore[no-untyped-call]
    return y.view(*x.shape[:-1], -1)
