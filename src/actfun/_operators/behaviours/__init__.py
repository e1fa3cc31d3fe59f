"""What activations do with tensors: a module for each kind; importing this package fills the table in `base`."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
