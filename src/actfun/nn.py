"""The activations as modules under torch's class names; Maxout; the Transformer's feed-forward block.

Classes of activations follow from the registry, so none is named here. `nn.pyi`, which `tools/write_stubs.py` writes,
names them for editors and mypy.
"""

from typing import Any

from actfun.modules import PUBLIC, Elementwise, FeedForward, Maxout, MaxoutConv2d, MaxoutPieces, StochasticGELU
from actfun.modules import module_of as _module_of
from actfun.registry import names as _names
from actfun.registry import nearest as _nearest
from actfun.registry import spec as _spec

for _kind in (Elementwise, FeedForward, Maxout, MaxoutConv2d, MaxoutPieces, StochasticGELU):
    _kind.__module__ = PUBLIC  # what is pickled names this place


def __getattr__(name: str) -> Any:
    for activation in map(_spec, _names()):
        if activation.module == name:
            return _module_of(activation)
    raise AttributeError(f"module 'actfun.nn' has no attribute {name!r}; {_nearest(name, tuple(__dir__()))}")


def __dir__() -> list[str]:
    own = [name for name, value in globals().items() if isinstance(value, type)]
    return sorted({*own, *(_spec(name).module for name in _names())})
