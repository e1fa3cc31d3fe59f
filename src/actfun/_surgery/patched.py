"""torch's own activations computed by actfun's, while a context is entered."""

from actfun._surgery import known
from actfun._surgery.rerouted import Rerouted

TWINS = known.twins()


def patched() -> Rerouted:
    """A context in which torch's own activations (modules, `F.*`, `torch.*`, methods) are computed by actfun's.

    Classes stay torch's, for tools that go by them. It holds for what is called within, under torch.compile and
    torch.export too; kernels that have an activation inside (recurrent ones, the encoder's fast path) are not reached.
    Calls that actfun does not take, of whole numbers, sparse tensors, with `out=` or with another threshold of softplus
    than 20, stay torch's. What activation checkpointing computes again in backward is called there, so backward must
    run within too.
    """
    return Rerouted(
        lambda function, given, named: TWINS.get(function) if known.is_ours(function, given, named) else None
    )
