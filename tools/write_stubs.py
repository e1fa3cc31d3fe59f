"""Write src/actfun/__init__.pyi and nn.pyi: what editors and mypy know of names that the package makes at run time."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import actfun
from actfun import nn
from actfun._catalogue.formulas import NAMES
from actfun._catalogue.kinds import GATED
from actfun._catalogue.registry import Activation, Parameter, spec
from actfun._operators import functional
from actfun._operators.modules import module_of

SOURCE = Path(actfun.__file__).parent
HEAD = '"""Written by `tools/write_stubs.py` from the registry: do not edit."""\n'


def written_out() -> dict[str, str]:
    """The classes of `actfun.nn` that are written out in the source: name -> module."""
    places = {name: getattr(nn, name).forward.__module__ for name in dir(nn)}
    return {name: place for name, place in places.items() if hasattr(importlib.import_module(place), name)}


def function_stub(activation: Activation) -> str:
    """The signature of an activation's function."""
    shown = str(inspect.signature(functional.function_of(activation)))
    signature = shown.replace("torch._C.", "").replace("torch.", "")
    return f'def {activation.name}{signature}:\n    """{activation.summary}"""\n'


def class_stub(activation: Activation) -> str:
    """The constructor of an activation's class, its parameters and what a call gives."""
    if activation.kind is GATED:
        return gated_stub(activation)
    arguments = ["self", *map(str, inspect.signature(getattr(nn, activation.module)).parameters.values())]
    kept = [
        f"    {name}: {'nn.Parameter' if p.learned else 'float | nn.Parameter' if p.learnable else 'float'}\n"
        for name, p in activation.parameters.items()
        if isinstance(p, Parameter)
    ]
    return (
        f'class {activation.module}(Elementwise):\n    """{activation.summary}"""\n\n'
        + "".join(kept)
        + f"    def __init__({', '.join(arguments)}) -> None: ...\n"
    )


def gated_stub(activation: Activation) -> str:
    """The same of a gated one."""
    arguments = ["self", *map(str, inspect.signature(module_of(activation)).parameters.values())]
    return (
        f'class {activation.module}(Gated):\n    """{activation.summary}"""\n\n'
        f"    def __init__({', '.join(arguments)}) -> None: ...\n"
    )


def stubs() -> dict[str, str]:
    """The text of each file of stubs, by its name."""
    activations = [spec(name) for name in NAMES]
    listed = ", ".join(f'"{name}"' for name in sorted(actfun.__all__))
    imported = {
        **actfun._LAZY,
        **dict.fromkeys(("formula", "nn"), "actfun"),
        **dict.fromkeys(("Activation", "names"), "actfun._catalogue.registry"),
        **dict.fromkeys(("conventions", "spec"), "actfun._catalogue.names"),
    }
    package = [
        HEAD,
        "from typing import Literal\n\nfrom torch import Generator, Tensor, dtype\n",
        "".join(sorted(f"from {place} import {name} as {name}\n" for name, place in imported.items())),
        f"__version__: str\n__all__ = [{listed}]\n",
        *map(function_stub, activations),
    ]
    by_hand = written_out()
    imports = "".join(sorted(f"from {place} import {name} as {name}\n" for name, place in by_hand.items()))
    classes = [
        HEAD,
        "from typing import Literal\n\nimport torch\nfrom torch import nn\n",
        imports,
        *(class_stub(a) for a in activations if a.module not in by_hand),
    ]
    return {"__init__.pyi": _formatted(package), "nn.pyi": _formatted(classes)}


def _formatted(parts: list[str]) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(SOURCE / "stub.pyi"), "-"]
    return subprocess.run(command, input="\n".join(parts), capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    for file, text in stubs().items():
        (SOURCE / file).write_text(text, encoding="utf-8")
