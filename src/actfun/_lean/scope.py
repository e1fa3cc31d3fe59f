"""`actfun.lean`: within it, backward keeps what it needs once."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from actfun._catalogue.kinds import ELEMENTWISE, GATED
from actfun._catalogue.registry import Activation, spec
from actfun._lean import stored
from actfun._operators.feed_forward import drop
from actfun._operators.op import activation_of, overload_of
from actfun._operators.torch_private import in_dual_level, plain_device, recomputing_compiler
from actfun._surgery import known
from actfun._surgery.patched import TWINS, Patched

Arguments = tuple[Any, ...]
Named = Mapping[str, Any]


def _simple() -> frozenset[Any]:
    """torch's functions and methods of each element of tensors of one shape, and of numbers."""
    words = ("add", "sub", "mul", "div", "true_divide", "neg", "pow", "square", "rsub", "multiply", "subtract")
    signs = ("__radd__", "__rsub__", "__rmul__", "__rdiv__", "__neg__", "__pow__")
    owners = [(torch, word) for word in words] + [(Tensor, word) for word in (*words, *signs)]
    return frozenset(getattr(owner, word) for owner, word in owners if hasattr(owner, word))


SIMPLE = _simple()
_DATA: Any = vars(torch._C.TensorBase)["data"]
UNSEEN = frozenset((_DATA.__get__, Tensor.numpy, Tensor.__array__, Tensor.__dlpack__))  # ways to change it unseen
EXACT = (-2, -1, -0.5, 0.5, 2, 3)  # exponents whose powers have the same bits wherever an element stands


class Lean(Patched):
    """Computes torch's activations by actfun's, and notes of what tensors were made that can be made again."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.compiler.is_compiling() or not torch.is_grad_enabled() or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return super().__torch_function__(function, types, args, kwargs)
        if function in UNSEEN:
            stored.forget(args[0])
            return function(*args, **kwargs)
        if function in SIMPLE:
            y = function(*args, **kwargs)
            if _is_exact_power(function, args, kwargs) and _can_repeat(y, args, kwargs, leaves=False):
                stored.remember(y, function, args, kwargs)
            return y
        if (found := activation_of(function)) is not None:
            self.before()
            return _activate(*found, function, args, kwargs)
        if function is nn.functional.dropout and (given := _dropped(args, kwargs)) is not None:
            return dropout(*given)
        if function in TWINS and known.is_ours(function, args, kwargs) and not _is_exact(function):
            with self:  # which sees the operator that is called
                return TWINS[function](*args, **kwargs)
        return super().__torch_function__(function, types, args, kwargs)


def _is_exact_power(function: Any, given: Arguments, named: Named) -> bool:
    """Whether it is no power, or one whose vectors and single elements are computed alike."""
    if getattr(function, "__name__", "") not in ("pow", "__pow__"):
        return True
    exponent = given[1] if len(given) > 1 else named.get("exponent")
    return isinstance(exponent, int | float) and exponent in EXACT


def _is_exact(function: Any) -> bool:
    return spec(known.FUNCTIONS[function][0]).torch_is_exact


def _activate(activation: Activation, inplace: bool, overload: Any, given: Arguments, named: Named) -> Tensor:
    """The call of an operator, noted where backward keeps its input: of what keeps the output nothing is gained."""
    recorded = any(isinstance(x, Tensor) and x.requires_grad for x in given)
    if activation.kind not in (ELEMENTWISE, GATED) or _keeps_output(activation, given) or not recorded:
        return overload(*given, **named)  # type: ignore[no-any-return]
    if not inplace:
        y: Tensor = overload(*given, **named)
        if _can_repeat(y, given, named):
            stored.remember(y, overload, given, named)
        return y
    x: Tensor = given[0]
    other = overload_of(activation, False, tensors=overload._overloadname == "tensor")
    before = x.clone()
    y = other(before, *given[1:], **named)
    x.copy_(y)
    if _can_repeat(x, (before, *given[1:]), named):
        stored.remember(x, other, (before, *given[1:]), named)
    return x


def _keeps_output(activation: Activation, given: Arguments) -> bool:
    return activation.keeps == "output" and all(isinstance(value, float) and value > 0.0 for value in given[1:])


def _can_repeat(y: Any, given: Arguments, named: Named, leaves: bool = True) -> bool:
    """Whether a result is of real tensors that are what they seem, and of one dtype: no cast was made on the way.

    leaves: whether leaves that learn, and their parts, may be among them. An optimizer may change one before backward,
    so the operation has to keep it itself.
    """
    if type(y) is not Tensor or not y.requires_grad or y.layout is not torch.strided or not stored.is_real(y):
        return False
    if any(isinstance(value, Tensor) for value in named.values()):
        return False
    for x in given:
        if not isinstance(x, Tensor):
            continue
        if not leaves and _is_leaf(x):
            return False
        if type(x) is not nn.Parameter and (
            type(x) is not Tensor or x.layout is not torch.strided or x.dtype is not y.dtype or x.is_inference()
        ):
            return False
        if not stored.is_real(x):
            return False
    return True


def _is_leaf(x: Tensor) -> bool:
    """Whether a tensor, or what it is a view of, is a leaf that learns."""
    whole = x if x._base is None else x._base
    return whole.is_leaf and whole.requires_grad


class Dropout(torch.autograd.Function):
    """torch's dropout on the CPU, with the same random numbers and bits; backward keeps the mask, a byte an element."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, p: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.p = p
        return drop(x, mask, p)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (mask,) = ctx.saved_tensors
        return drop(g, mask, ctx.p), None, None


def dropout(x: Tensor, p: float) -> Tensor:
    """x, of which a share p of entries is set to 0."""
    mask = torch.empty_like(x, dtype=torch.bool).bernoulli_(1.0 - p)  # the numbers that torch draws
    y: Tensor = Dropout.apply(x, mask, p)  # type: ignore[no-untyped-call]
    stored.remember(y, drop, (x, mask, p), {})
    return y


def _dropped(given: Arguments, named: Named) -> tuple[Tensor, float] | None:
    """The arguments of a call of dropout that draws numbers on the CPU, not in place."""
    called: dict[str, Any] = dict(zip(("input", "p", "training", "inplace"), given, strict=False)) | dict(named)
    x, p = called.get("input"), called.get("p", 0.5)
    if type(x) is not Tensor or not x.requires_grad or plain_device(x) != "cpu" or not x.is_floating_point():
        return None
    trained = called.get("training", True) and not called.get("inplace", False)
    if not trained or not 0.0 < p < 1.0 or not x.numel() or in_dual_level():
        return None
    return x, p


_entered = threading.local()


@contextmanager
def lean() -> Iterator[None]:
    """A context in which torch's own activations and actfun's keep for backward what it needs once.

    Calls are those of `actfun.patched`: modules, `F.*`, `torch.*`, methods, in place or not; gradients have the same
    bits. Where an activation keeps its input, its output is not kept for what consumes it, be that a linear layer, a
    convolution, a norm or a product: backward makes it again. So a block of Linear, GELU, Linear keeps half as much.
    Backward may run within or after, more than once, and of itself (create_graph). Threads enter it one by one.

    A tensor that is kept and was changed in place raises RuntimeError in backward. Another one may be kept for it: that
    which it is made of.
    What torch.compile compiles within makes such outputs again too, as Inductor plans it. Hooks of saved tensors that
    are entered within come first, so what they see is kept as they say; outer ones see nothing.
    """
    if getattr(_entered, "now", False):
        yield
        return
    _entered.now = True
    try:
        with recomputing_compiler(), Lean(), torch.autograd.graph.saved_tensors_hooks(stored.pack, stored.unpack):
            yield
    finally:
        _entered.now = False
