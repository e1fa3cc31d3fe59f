"""Write src/actfun/__init__.pyi and nn.pyi: what editors and mypy know of names that the package makes at run time."""

import inspect
import subprocess
import sys
from pathlib import Path

import actfun
from actfun import functional, modules, nn
from actfun.registry import Activation, Choice, Parameter, spec

SOURCE = Path(actfun.__file__).parent
HEAD = '"""Written by `tools/write_stubs.py` from the registry: do not edit."""\n'
CLASSES = sorted({*dir(nn)} & {*vars(modules)})  # those that are written out


def _type(parameter: Parameter | Choice, tensors: bool) -> str:
    if isinstance(parameter, Choice):
        return f"Literal[{', '.join(map(repr, parameter.options))}]".replace("'", '"')
    return "float | Tensor" if tensors and parameter.learnable else "float"


def _arguments(activation: Activation, tensors: bool) -> list[str]:
    defaults = {name: repr(p.default).replace("'", '"') for name, p in activation.parameters.items()}
    return [f"{name}: {_type(p, tensors)} = {defaults[name]}" for name, p in activation.parameters.items()]


def _plain(function: object, name: str) -> str:
    """A function written out in the source: its own signature."""
    signature = str(inspect.signature(function)).replace("torch._C.", "").replace("torch.", "")  # type: ignore[arg-type]
    return f"def {name}{signature}:"


def function_stub(activation: Activation) -> str:
    """The signature of an activation's function."""
    if activation.kind != "elementwise":
        head = _plain(functional.function_of(activation), activation.name)
    else:
        arguments = ", ".join(["x: Tensor", *_arguments(activation, True), "*", "inplace: bool = False"])
        head = f"def {activation.name}({arguments}) -> Tensor:"
    return f'{head}\n    """{activation.summary}"""\n'


def class_stub(activation: Activation) -> str:
    """The constructor of an activation's class, its parameters and what a call gives."""
    arguments = ["self", *_arguments(activation, False)]
    arguments += ["inplace: bool = False"] * activation.inplace
    arguments += ["learnable: bool = False", "num_parameters: int = 1"] * activation.learnable
    kept = [
        f"    {name}: {'float | nn.Parameter' if p.learnable else 'float'}\n"
        for name, p in activation.parameters.items()
        if isinstance(p, Parameter)
    ]
    return (
        f'class {activation.module}(Elementwise):\n    """{activation.summary}"""\n\n'
        + "".join(kept)
        + f"    def __init__({', '.join(arguments)}) -> None: ...\n"
    )


def stubs() -> dict[str, str]:
    """The text of each file of stubs, by its name."""
    activations = [spec(name) for name in actfun.names() if spec(name).formula.__module__.startswith("actfun.")]
    listed = ", ".join(f'"{name}"' for name in sorted(actfun.__all__))
    package = [
        HEAD,
        "from typing import Literal\n\nfrom torch import Generator, Tensor\n",
        "from actfun import nn as nn\n"
        + "".join(f"from actfun._api.{name} import {name} as {name}\n" for name in sorted(actfun._STUDIES))
        + "from actfun.gains import gain as gain\nfrom actfun.modules import get as get\n"
        "from actfun.registry import Activation as Activation\nfrom actfun.registry import names as names\n"
        "from actfun.registry import spec as spec\n",
        f"__version__: str\n__all__ = [{listed}]\n",
        *map(function_stub, activations),
    ]
    imports = "".join(f"from actfun.modules import {name} as {name}\n" for name in CLASSES)
    classes = [
        HEAD,
        "from typing import Literal\n\nfrom torch import nn\n",
        imports,
        *(class_stub(a) for a in activations if a.module not in CLASSES),
    ]
    return {"__init__.pyi": _formatted(package), "nn.pyi": _formatted(classes)}


def _formatted(parts: list[str]) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(SOURCE / "stub.pyi"), "-"]
    return subprocess.run(command, input="\n".join(parts), capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    for file, text in stubs().items():
        (SOURCE / file).write_text(text, encoding="utf-8")
