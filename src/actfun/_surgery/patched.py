"""torch's own activations computed by actfun's, while a context is entered."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from actfun._operators.dispatch import DTYPES, LAYOUTS
from actfun._surgery import known


class Rerouted(TorchFunctionMode):
    """Gives torch's functions to others: `choose` says which, None where torch's shall stay."""

    def __init__(self, choose: Callable[[Any, tuple[Any, ...], dict[str, Any]], Callable[..., Tensor] | None]) -> None:
        super().__init__()
        self._choose = choose

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        other = self._choose(function, args, kwargs)
        return (other or function)(*args, **kwargs)


def _takes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether actfun takes the arguments of a call: a dense floating-point tensor, and no `out`."""
    x = args[0] if args else kwargs.get("input", kwargs.get("self"))
    return isinstance(x, Tensor) and x.dtype in DTYPES and x.layout in LAYOUTS and "out" not in kwargs


def patched() -> torch.overrides.TorchFunctionMode:
    """A context in which torch's own activations (modules, `F.*`, `torch.*`, methods) are computed by actfun's.

    Classes stay torch's, for tools that go by them. It holds for what is called within, under torch.compile and
    torch.export too; kernels that have an activation inside (recurrent ones, the encoder's fast path) are not reached.
    Calls that actfun does not take, of whole numbers, sparse tensors or with `out=`, stay torch's.
    """
    twins = known.twins()
    return Rerouted(lambda function, args, kwargs: twins.get(function) if _takes(args, kwargs) else None)
