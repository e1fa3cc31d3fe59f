"""Activations along an axis. What torch has right is torch's own function."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn

from actfun._backends import torch as torch_ops
from actfun._catalogue.kinds import AXIS
from actfun._catalogue.registry import spec
from actfun._operators.arguments import bind, check_dim, check_whole, number
from actfun._operators.behaviours.base import POSITIONS, Behaviour, Slider, implement
from actfun._operators.dispatch import check_input
from actfun._operators.quadrature import normal_mean, normal_mean_of_pairs


def _is_other(x: Any) -> bool:
    """Whether x has its own idea of what functions do, as fx's proxies and some subclasses have."""
    return type(x) is not Tensor and torch.overrides.has_torch_function_unary(x)


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Tensor:
    """Positive shares with sum 1 along `dim`: torch.nn.functional.softmax.

    input: a float16, bfloat16, float32 or float64 tensor; the result has its shape, and its dtype unless another is
    given. Without `dim` torch warns, and takes 0 for 0, 1 and 3 dimensions, else 1. NaN along an axis on which an entry
    is +inf, or all are -inf, as in torch.
    Source: Bridle, Probabilistic interpretation of feedforward classification network outputs, 1990.
    """
    return _of_torch(softmax, input, dim, _stacklevel, dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None
) -> Tensor:
    """The logarithm of softmax along `dim`, whose small shares keep their digits: torch.nn.functional.log_softmax.

    Arguments, result and infinities are those of `softmax`.
    Source: Bridle, Probabilistic interpretation of feedforward classification network outputs, 1990.
    """
    return _of_torch(log_softmax, input, dim, _stacklevel, dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Tensor:
    """The softmax of -input along `dim`: torch.nn.functional.softmin.

    Arguments and result are those of `softmax`; NaN along an axis on which an entry is -inf, or all are +inf.
    Source: PyTorch, torch.nn.Softmin.
    """
    return _of_torch(softmin, input, dim, _stacklevel, dtype)


def _of_torch(function: Any, x: Tensor, dim: Any, level: int, dtype: torch.dtype | None) -> Tensor:
    name = function.__name__
    if _is_other(x):
        shares: Tensor = torch.overrides.handle_torch_function(function, (x,), x, dim, level, dtype)
        return shares
    check_input(name, x)
    if dim is not None:
        check_dim(name, x, dim)
    return getattr(nn.functional, name)(x, dim, level + 2, dtype)  # type: ignore[no-any-return]


def softmax2d(input: Tensor) -> Tensor:
    """The softmax over the channels of an image, at each place: shares with sum 1 along dimension -3.

    input: (N, C, H, W) or (C, H, W), float16, bfloat16, float32 or float64; the result has its shape and dtype.
    Raises ValueError for another number of dimensions.
    Source: PyTorch, torch.nn.Softmax2d.
    """
    if _is_other(input):
        shares: Tensor = torch.overrides.handle_torch_function(softmax2d, (input,), input)
        return shares
    check_input("softmax2d", input)
    if input.dim() not in (3, 4):
        raise ValueError(f"softmax2d: expected 3 or 4 dimensions, (C, H, W) or (N, C, H, W), got {input.dim()}")
    return softmax(input, -3)


def _wide(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype is torch.float64 else torch.float32


class Projection(torch.autograd.Function):
    """The nearest shares: `apply(x, dim)`. Their derivative follows from which of them are not 0."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, dim: int) -> Tensor:
        wide = x.to(torch_ops.arithmetic(x))
        largest = wide.amax(dim, keepdim=True)
        z = torch.where((wide == largest) & wide.isinf(), 0.0, wide - largest)
        falling = z.sort(dim, descending=True).values
        total, count = falling.cumsum(dim), torch.ones_like(z).cumsum(dim)
        size = (1.0 + count * falling > total).sum(dim, keepdim=True)
        level = (total.gather(dim, (size - 1).clamp(min=0)) - 1.0) / size
        return torch.where(z <= level, 0.0, z - level).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.dim = inputs[1]
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (shares,) = ctx.saved_tensors
        return _centred(g, shares, ctx.dim), None


class TransformableProjection(Projection):
    """The same in forward mode too, which torch.compile cannot trace."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        Projection.setup_context(ctx, inputs, output)
        ctx.save_for_forward(output)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        (shares,) = ctx.saved_tensors
        return _centred(tangent, shares, ctx.dim)


def _centred(g: Tensor, shares: Tensor, dim: int) -> Tensor:
    """g less its mean over the shares that are not 0, there; else 0."""
    there = shares > 0.0
    wide = g.to(torch_ops.arithmetic(g))
    mean = torch.where(there, wide, 0.0).sum(dim, keepdim=True) / there.sum(dim, keepdim=True)
    return torch.where(there, wide - mean, 0.0).to(g.dtype)


def sparsemax(x: Tensor, dim: int = -1) -> Tensor:
    """The nearest shares with sum 1 along `dim`, of which many are exactly 0.

    x: a float16, bfloat16, float32 or float64 tensor; the result has its shape and dtype, and is rounded once.
    Infinities are limits: a single +inf takes all, several share alike, and so do entries that are all -inf.
    Source: Martins and Astudillo, arXiv:1602.02068.
    """
    if _is_other(x):
        shares: Tensor = torch.overrides.handle_torch_function(sparsemax, (x,), x, dim)
        return shares
    check_input("sparsemax", x)
    check_dim("sparsemax", x, dim)
    try:
        function = Projection if torch.compiler.is_compiling() else TransformableProjection
        return function.apply(x, dim)  # type: ignore[no-any-return,no-untyped-call]
    except IndexError:  # of no entries; rather than a question before, which torch.jit.trace would warn of
        return x.clone()


def gumbel_softmax(
    logits: Tensor,
    tau: float = 1.0,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    generator: Generator | None = None,
) -> Tensor:
    """A random choice along `dim`, made soft: softmax((logits + noise)/tau), the noise Gumbel's.

    logits: a float16, bfloat16, float32 or float64 tensor; the result has its shape and dtype; 16 bits are computed in
    float32, where no noise is infinite. hard: 1 for the choice and 0 for the rest, with the gradient of the soft one.
    eps: torch's, without effect. generator: where the noise comes from; the device's default when None.
    Raises ValueError for a tau that is not positive.
    Source: Jang, Gu and Poole, arXiv:1611.01144; Maddison, Mnih and Teh, arXiv:1611.00712.
    """
    if _is_other(logits):
        given = logits, tau, hard, eps, dim, generator
        chosen: Tensor = torch.overrides.handle_torch_function(gumbel_softmax, (logits,), *given)
        return chosen
    check_input("gumbel_softmax", logits)
    check_dim("gumbel_softmax", logits, dim)
    tau = _check_tau(tau)
    noise = -torch.empty_like(logits, dtype=_wide(logits)).exponential_(generator=generator).log()
    soft = nn.functional.softmax((logits + noise) / tau, dim)
    if hard:
        chosen = torch.zeros_like(soft).scatter(dim, soft.argmax(dim, keepdim=True), 1.0)
        soft = chosen + (soft - soft.detach())
    return soft.to(logits.dtype)


def _check_tau(tau: Any) -> float:
    plain = number("gumbel_softmax", "tau", tau)
    if not 0.0 < plain < math.inf:
        raise ValueError(f"gumbel_softmax: tau must be positive and finite, got {plain}")
    return plain


def crelu(x: Tensor, dim: int = 1) -> Tensor:
    """The positive part, then the negative part of x with its sign changed, along `dim`, which becomes twice as long.

    x: a float16, bfloat16, float32 or float64 tensor.
    Source: Shang et al., arXiv:1603.05201.
    """
    if _is_other(x):
        parts: Tensor = torch.overrides.handle_torch_function(crelu, (x,), x, dim)
        return parts
    check_input("crelu", x)
    check_dim("crelu", x, dim)
    return torch.cat([x, -x], dim).relu()


def groupsort(x: Tensor, group_size: int = 2, dim: int = -1) -> Tensor:
    """Each run of `group_size` consecutive entries along `dim`, in ascending order.

    x: a float16, bfloat16, float32 or float64 tensor; the result has its shape and dtype. NaN comes last; entries that
    are equal keep their order.
    Raises ValueError where `group_size` is below 1 or does not divide x.shape[dim].
    Source: Anil, Lucas and Grosse, arXiv:1811.05381.
    """
    if _is_other(x):
        ordered: Tensor = torch.overrides.handle_torch_function(groupsort, (x,), x, group_size, dim)
        return ordered
    check_input("groupsort", x)
    check_whole("groupsort", "group_size", group_size, low=1)
    check_dim("groupsort", x, dim)
    at = dim % x.dim()
    try:
        groups = x.unflatten(at, (-1, group_size))  # type: ignore[no-untyped-call]
    except RuntimeError:  # rather than a question before, which torch.jit.trace would warn of
        raise ValueError(
            f"groupsort: group_size must divide x.shape[{dim}] = {x.shape[dim]}, got {group_size}"
        ) from None
    return groups.sort(stable=True, dim=at + 1).values.flatten(at, at + 1)  # type: ignore[no-any-return]


class Softmax(nn.Softmax):
    """torch.nn.Softmax, by `actfun.softmax`."""

    activation = spec("softmax")

    def forward(self, input: Tensor) -> Tensor:
        """Shares along `dim`; same shape and dtype."""
        return softmax(input, self.dim, 5)


class LogSoftmax(nn.LogSoftmax):
    """torch.nn.LogSoftmax, by `actfun.log_softmax`."""

    activation = spec("log_softmax")

    def forward(self, input: Tensor) -> Tensor:
        """The logarithms of shares along `dim`; same shape and dtype."""
        return log_softmax(input, self.dim, 5)


class Softmin(nn.Softmin):
    """torch.nn.Softmin, by `actfun.softmin`."""

    activation = spec("softmin")

    def forward(self, input: Tensor) -> Tensor:
        """Shares along `dim`; same shape and dtype."""
        return softmin(input, self.dim, 5)


class Softmax2d(nn.Softmax2d):
    """torch.nn.Softmax2d, by `actfun.softmax2d`."""

    activation = spec("softmax2d")

    def forward(self, input: Tensor) -> Tensor:
        """Shares of the channels, (N, C, H, W) or (C, H, W); same shape and dtype."""
        return softmax2d(input)


class _Along(nn.Module):
    """An activation along `dim`."""

    dim: int

    def extra_repr(self) -> str:
        """The arguments."""
        shown = {name: value for name, value in vars(self).items() if not name.startswith("_") and name != "training"}
        return ", ".join(f"{name}={value}" for name, value in shown.items())


class Sparsemax(_Along):
    """`actfun.sparsemax` as a module."""

    activation = spec("sparsemax")

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        check_whole("Sparsemax", "dim", dim)
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Shares along `dim`; same shape and dtype."""
        return sparsemax(x, self.dim)


class GumbelSoftmax(_Along):
    """`actfun.gumbel_softmax` as a module; it is random in evaluation too."""

    activation = spec("gumbel_softmax")

    def __init__(self, tau: float = 1.0, hard: bool = False, dim: int = -1) -> None:
        super().__init__()
        self.tau, self.hard, self.dim = _check_tau(tau), hard, check_whole("GumbelSoftmax", "dim", dim)

    def forward(self, x: Tensor) -> Tensor:
        """A choice along `dim`; same shape and dtype."""
        return gumbel_softmax(x, self.tau, self.hard, dim=self.dim)


class CReLU(_Along):
    """`actfun.crelu` as a module: (…, n, …) -> (…, 2n, …) along `dim`."""

    activation = spec("crelu")

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        check_whole("CReLU", "dim", dim)
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """The positive part and the negative part."""
        return crelu(x, self.dim)


class GroupSort(_Along):
    """`actfun.groupsort` as a module."""

    activation = spec("groupsort")

    def __init__(self, group_size: int = 2, dim: int = -1) -> None:
        super().__init__()
        check_whole("GroupSort", "group_size", group_size, low=1)
        check_whole("GroupSort", "dim", dim)
        self.group_size, self.dim = group_size, dim

    def forward(self, x: Tensor) -> Tensor:
        """The entries of each group in ascending order; same shape and dtype."""
        return groupsort(x, self.group_size, self.dim)


Written = tuple[Callable[..., Tensor], type[nn.Module]]
WRITTEN: dict[str, Written] = {
    "softmax": (softmax, Softmax),
    "log_softmax": (log_softmax, LogSoftmax),
    "softmin": (softmin, Softmin),
    "softmax2d": (softmax2d, Softmax2d),
    "sparsemax": (sparsemax, Sparsemax),
    "gumbel_softmax": (gumbel_softmax, GumbelSoftmax),
    "crelu": (crelu, CReLU),
    "groupsort": (groupsort, GroupSort),
}


def _own_slope(module: nn.Module, z: Tensor) -> Tensor:
    """The derivative of each output in its own entry, of an activation that shares something out."""
    name = module.activation.name  # type: ignore[union-attr]
    if name == "gumbel_softmax":  # without noise
        share = (z / module.tau).softmax(module.dim)  # type: ignore[operator,arg-type]
        return share * (1.0 - share) / module.tau  # type: ignore[operator]
    y: Tensor = module.forward(z)  # no hooks: it may be one that asks
    if name == "sparsemax":
        there = (y > 0.0).to(y.dtype)
        count: Tensor = there.sum(module.dim, keepdim=True)  # type: ignore[call-overload]
        return there - there / count
    if name == "log_softmax":
        return -torch.expm1(y)
    return (y * (y - 1.0)) if name == "softmin" else y * (1.0 - y)


@implement(AXIS)
class AxisBehaviour(Behaviour):
    """Written above: a function and a class for each."""

    def __init__(self, activation: Any) -> None:
        if activation.name not in WRITTEN:
            raise ValueError(f"{activation.name}: those along an axis are written by hand: {', '.join(WRITTEN)}")
        super().__init__(activation)

    def function(self) -> Callable[..., Tensor]:
        """Written above."""
        return WRITTEN[self.activation.name][0]

    def module(self) -> type[nn.Module]:
        """Written above."""
        return WRITTEN[self.activation.name][1]

    def along_last(self) -> dict[str, Any]:
        """That is the dimension, whatever it is for images."""
        if self.activation.name == "softmax2d":
            raise ValueError("softmax2d is for images, (N, C, H, W); of a layer's units take softmax")
        return {"dim": -1}

    def inputs(self, module: nn.Module) -> float:
        """Of crelu's outputs two have one."""
        return 0.5 if self.activation.name == "crelu" else 1.0

    def slope(self, module: nn.Module, z: Tensor) -> Tensor:
        """In an output's own entry; in that which has come to its place, of groupsort."""
        if self.activation.name == "groupsort":
            return torch.ones_like(z)
        if self.activation.name == "crelu":
            return torch.where(module.forward(z) > 0.0, 1.0, 0.0)
        return _own_slope(module, z)

    def gain(self, preserve: str, parameters: dict[str, Any]) -> float:
        """Of two independent entries, for what shares something out; of any number, for crelu and groupsort."""
        _, numbers = bind(self.activation, parameters)
        if self.activation.name in ("crelu", "groupsort"):  # a part, or all, of the entries, each once
            return math.sqrt(2.0) if self.activation.name == "crelu" and preserve == "forward" else 1.0
        if self.activation.name == "gumbel_softmax":
            _check_tau(numbers[0])
            return 1.0 / math.sqrt(normal_mean_of_pairs(lambda z, w: _gumbel_square(z, w, numbers[0], preserve)))
        return 1.0 / math.sqrt(normal_mean(lambda z: self._square(z, preserve), (-math.sqrt(0.5), math.sqrt(0.5))))

    def _square(self, z: Tensor, preserve: str) -> Tensor:
        """The mean square of the outputs, or of what the gradient in an input has, where entries differ by √2·z."""
        x = torch.stack([math.sqrt(2.0) * z, torch.zeros_like(z)], -1).requires_grad_(preserve == "backward")
        x = x[..., None, None] if self.activation.name == "softmax2d" else x
        y = self.function()(x, *([] if self.activation.name == "softmax2d" else [-1]))
        pair = y.flatten(z.dim())
        if preserve == "forward":
            forward: Tensor = pair.square().mean(-1)
            return forward
        rows = [torch.autograd.grad(one.sum(), x, retain_graph=True)[0].flatten(z.dim()) for one in pair.unbind(-1)]
        backward: Tensor = torch.stack(rows).square().sum(0).mean(-1)
        return backward

    def slider(self) -> Slider:
        """An entry beside another one, which is moved; of gumbel_softmax tau is, and there is no noise."""
        name, function = self.activation.name, self.function()
        if name == "crelu":
            return Slider.fixed(lambda x: crelu(x[:, None])[:, 0])
        if name == "gumbel_softmax":
            taus = tuple(round(0.1 * k, 1) for k in range(1, POSITIONS + 1))
            return Slider("tau", taus, 1.0, lambda x, tau: torch.sigmoid(x / tau))
        values = tuple(round(-2.0 + 0.2 * k, 1) for k in range(POSITIONS))

        def entry(x: Tensor, other: float) -> Tensor:
            pair = torch.stack([torch.full_like(x, other), x], -1)
            if name == "softmax2d":
                return softmax2d(pair[..., None, None])[:, 1, 0, 0]
            shown: Tensor = function(pair, dim=-1)[:, 1]
            return shown

        return Slider("other", values, 0.0, entry)


def _gumbel_square(z: Tensor, w: Tensor, tau: float, preserve: str) -> Tensor:
    """As `_square`; the difference of two entries' noise is logistic, which w is made."""
    logistic = torch.special.log_ndtr(w) - torch.special.log_ndtr(-w)
    share = torch.sigmoid((math.sqrt(2.0) * z + logistic) / tau)
    other = 1.0 - share
    return (share**2 + other**2) / 2.0 if preserve == "forward" else 2.0 * (share * other / tau) ** 2
