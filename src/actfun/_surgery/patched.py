"""torch's own activations computed by actfun's, while a context is entered."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from actfun._operators.torch_private import Checkpoints
from actfun._surgery import known

TWINS = known.twins()


class Patched(TorchFunctionMode):
    """Gives torch's activations to actfun's."""

    def __init__(self) -> None:
        super().__init__()
        self._checkpoints = None if torch.compiler.is_compiling() else Checkpoints()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in TWINS and known.is_ours(function, args, kwargs):
            self.before()
            return TWINS[function](*args, **kwargs)
        return function(*args, **kwargs)

    def before(self) -> None:
        """See to it that a checkpoint around this call enters the context again when it computes again."""
        if self._checkpoints is not None and not torch.compiler.is_compiling():
            self._checkpoints.enter(type(self))


def patched() -> Patched:
    """A context in which torch's own activations (modules, `F.*`, `torch.*`, methods) are computed by actfun's.

    Classes stay torch's, for tools that go by them. It holds for what is called within, under torch.compile and
    torch.export too; kernels that have an activation inside (recurrent ones, the encoder's fast path) are not reached.
    Calls that actfun does not take, of whole numbers, sparse tensors, with `out=` or with another threshold of softplus
    than 20, stay torch's. What activation checkpointing computes again in backward is computed alike, within or after.

    Raises RuntimeError in a checkpoint with use_reentrant=True that begins within: nothing here would reach its second
    computation.
    """
    return Patched()
