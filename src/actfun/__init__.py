"""Activation functions, each written once as a formula: accurate, differentiable, fast, and compared fairly.

`import actfun as af`, then `af.gelu(x)`, `af.nn.GELU()`, `af.names()`, `af.spec("gelu")`, `af.get("elu")`,
`af.gain("gelu")`; `actfun.formula` to write one. What needs torch is loaded when it is first asked for.
"""

import importlib
from typing import Any, NoReturn

from actfun import formula
from actfun._catalogue.formulas import NAMES as _OWN
from actfun._catalogue.names import conventions, spec
from actfun._catalogue.registry import Activation, names
from actfun._catalogue.sides import is_sided, named
from actfun._version import __version__

_STUDIES = ("compare", "claims", "accuracy", "bench", "show", "atlas", "plot")  # these need the extra `compare`
_LAZY = {
    "nn": "actfun.nn",
    "get": "actfun._operators.modules",
    "config": "actfun._operators.modules",
    "gain": "actfun._operators.gains",
    "sites": "actfun._surgery.sites",
    "replace": "actfun._surgery.replace",
    "replaced": "actfun._surgery.replace",
    "patched": "actfun._surgery.patched",
    "lean": "actfun._lean.scope",
    "Task": "actfun._compare.own",
    "watch": "actfun._studies.watch",
    **{name: f"actfun._studies.{name}" for name in _STUDIES},
}

__all__ = ["Activation", "__version__", "conventions", "formula", "names", "spec", *_LAZY, *names()]


def __getattr__(name: str) -> Any:
    if name in names():
        value = importlib.import_module("actfun._operators.functional").function_of(spec(name))
        if name not in _OWN:
            return value  # a user's own, which may be written again
    elif is_sided(name):  # of a pickled module
        value = importlib.import_module("actfun._operators.functional").function_of(named(name))
    elif name in _LAZY:
        try:
            module = importlib.import_module(_LAZY[name])
        except ModuleNotFoundError as error:
            if name not in (*_STUDIES, "Task"):
                raise
            return _missing(name, error.name)
        value = module if name == "nn" else getattr(module, name)
    else:
        raise AttributeError(f"module 'actfun' has no attribute {name!r}")
    globals()[name] = value
    return value


def _missing(name: str, package: str | None) -> Any:
    """What stands for a function whose packages are not installed: names can be listed, a call says what is missing."""

    def needs(*_: Any, **__: Any) -> NoReturn:
        raise ImportError(f"actfun.{name} needs {package}: pip install 'actfun[compare]'")

    return needs


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
