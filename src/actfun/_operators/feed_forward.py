"""The Transformer's block in one: backward keeps pre-activations, and all else exists for some rows at a time."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.func import functional_call
from torch.nn import functional

from actfun._operators.maxout import Sums, cast, product
from actfun._operators.torch_private import has_hooks, in_dual_level, plain_device

WORKSPACE, WORKSPACE_OF_GPU = 2**22, 2**27  # bytes of hidden elements at a time: what caches hold, what fills a GPU
FEWEST_ROWS = 1_024  # of which a block adds to the gradients of weights, each time all of them
SMALL = 2**16  # hidden elements up to which torch's own operations are faster: their calls take less


class Parts(NamedTuple):
    """What is between the products: the activation, the names of what it learns, and the share that dropout drops."""

    activation: nn.Module
    learned: tuple[str, ...]
    dropped: float

    def hidden(self, pre: Sequence[Tensor], mask: Tensor | None, learned: Sequence[Tensor]) -> Tensor:
        """What the last product gets, of pre-activations, the gate first where there is one, and of what is learned."""
        if learned:
            y: Tensor = functional_call(self.activation, dict(zip(self.learned, learned, strict=True)), (pre[0],))
        else:
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
        learned: Any = given[len(given) - len(parts.learned) :]
        pairs: Any = list(zip(first[::2], first[1::2], strict=True))
        kept = [x.new_empty(len(x), len(weight)) for weight, _ in pairs] if any(ctx.needs_input_grad) else []
        y = x.new_empty(len(x), len(down))
        for rows in _blocks(x, pairs[0][0]):
            pre = [one[rows] for one in kept] or [x.new_empty(rows.stop - rows.start, len(w)) for w, _ in pairs]
            for (weight, bias), z in zip(pairs, pre, strict=True):
                product(x[rows], weight, bias, z)
            one = None if mask is None else mask[rows]
            product(parts.hidden(pre, one, learned), down, down_bias, y[rows])
        ctx.parts, ctx.gated = parts, len(pairs) > 1
        ctx.save_for_backward(mask, x, *given, *kept)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        parts: Parts = ctx.parts
        pieces = 1 + ctx.gated
        mask, x, *rest = ctx.saved_tensors
        given, kept = rest[:-pieces], rest[-pieces:]
        needed = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled() or in_dual_level() or plain_device(g) is None:
            return None, None, *_again(parts, mask, x, given, needed, g)
        sums = Sums(needed)
        dx = torch.empty_like(x) if needed[0] else None
        for rows in _blocks(x, given[2]):
            one = None if mask is None else mask[rows]
            part = None if dx is None else dx[rows]
            _add_block(sums, parts, x[rows], [z[rows] for z in kept], one, given, g[rows], part)
        return None, None, dx, *(sums.rounded(k, like) for k, like in enumerate(given, 1))


def _add_block(
    sums: Sums,
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
    start = 2 + 2 * len(kept)  # of what is learned; gradients count from x, one before
    learned = [p.detach().requires_grad_() for p in given[start:]]
    pre = [z.detach().requires_grad_() for z in kept]
    with torch.enable_grad():
        y = parts.hidden(pre, mask, learned)
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
    for place, gradient in enumerate(gradients[len(kept) :], start + 1):
        sums.add(place, gradient)


def _again(
    parts: Parts, mask: Tensor | None, x: Tensor, given: Sequence[Any], needed: Sequence[bool], g: Tensor
) -> list[Tensor | None]:
    """The gradients by PyTorch, which can differentiate them."""
    count = len(given) - len(parts.learned)
    down, down_bias, *first = given[:count]
    with torch.enable_grad():
        pre = [functional.linear(x, weight, bias) for weight, bias in zip(first[::2], first[1::2], strict=True)]
        y = functional.linear(parts.hidden(pre, mask, given[count:]), down, down_bias)
        wanted = [one for one, need in zip((x, *given), needed, strict=True) if need]
        found = iter(torch.autograd.grad(y, wanted, g, create_graph=True))
    return [next(found) if need else None for need in needed]


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
    if dropped == 1.0:
        return None
    learned = dict(activation.named_parameters())
    parts = Parts(activation, tuple(learned), dropped)
    flat = cast(x).reshape(-1, x.shape[-1])
    mask = None
    if dropped:
        mask = torch.empty(len(flat), layers[-1].in_features, dtype=torch.bool, device=x.device).bernoulli_(
            1.0 - dropped
        )
    y: Tensor = Block.apply(parts, mask, flat, *given[1:], *learned.values())  # type: ignore[no-untyped-call]
    return y.view(*x.shape[:-1], -1)
