"""The activations as modules under torch's class names; Maxout; the Transformer's feed-forward block.

Classes of activations follow from the registry, so none is named here. `nn.pyi`, which `tools/write_stubs.py` writes,
names them for editors and mypy.
"""

from typing import Any

from torch.nn import Module as _Module

from actfun._catalogue.registry import names as _names
from actfun._catalogue.registry import nearest as _nearest
from actfun._catalogue.registry import spec as _spec
from actfun._catalogue.sides import is_sided as _is_sided
from actfun._catalogue.sides import named as _named
from actfun._operators import layers as _layers
from actfun._operators import modules as _modules

_OWN = {  # the classes that are written out
    name: made
    for name, made in {**vars(_layers), **vars(_modules)}.items()
    if isinstance(made, type) and issubclass(made, _Module) and made.__module__.startswith("actfun.")
    if not name.startswith("_")
}
for _made in _OWN.values():
    _made.__module__ = __name__  # what is pickled names this place
globals().update(_OWN)


def __getattr__(name: str) -> Any:
    for activation in map(_spec, _names()):
        if activation.module == name:
            return _modules.module_of(activation)
    if _is_sided(name):  # of a pickled module
        class_name, _, sides = name.partition("__")
        return _modules.module_of(_named(f"{__getattr__(class_name).activation.name}__{sides}"))
    raise AttributeError(f"module 'actfun.nn' has no attribute {name!r}; {_nearest(name, tuple(__dir__()))}")


def __dir__() -> list[str]:
    return sorted({*_OWN, *(_spec(name).module for name in _names())})
