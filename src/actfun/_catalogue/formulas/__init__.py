"""The activations, each written once, by family; importing this package fills the registry. Standard library only.

A formula is an ordinary function: `gelu(1.0)` works on a Python float, in double precision.
"""

import importlib
import pkgutil

from actfun._catalogue.registry import names

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

NAMES = names()  # those of the package: users' own come later
