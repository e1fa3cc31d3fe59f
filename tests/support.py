"""What the tests share: the cases of the registry, and the measure of error."""

import contextlib
import gc
import importlib.util
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor

from actfun import names, spec
from actfun._accuracy.error import ulps, ulps_in_digits
from actfun._backends import cpu
from actfun._backends.cpu.double import DERIVED
from actfun._backends.lowering import uses
from actfun._bench.libraries import has_compiler
from actfun._bench.memory import highest
from actfun._catalogue.kinds import ELEMENTWISE as KIND
from actfun._catalogue.registry import Activation, Parameter
from actfun._operators.torch_private import allocations

ROOT = Path(__file__).parents[1]
COMPILES = pytest.mark.skipif(not has_compiler(), reason="torch.compile needs a C++ compiler")


@dataclass(frozen=True)
class Case:
    """A formula to test: an activation's own, or one of its derivatives."""

    activation: Activation
    argument: str | None

    @property
    def formula(self) -> Callable[..., Any]:
        return self.activation.derivatives[self.argument] if self.argument else self.activation.formula

    @property
    def parameters(self) -> tuple[float, ...]:
        return tuple(p.default for p in self.activation.parameters.values() if isinstance(p, Parameter))

    @property
    def rounded(self) -> tuple[float, ...]:
        """The parameters as a float32 kernel sees them."""
        return tuple(float(numpy.float32(value)) for value in self.parameters)

    def __str__(self) -> str:
        return self.activation.name + (f"-d{self.argument}" if self.argument else "")


def given(name: str) -> dict[str, Any]:
    """What a function and a module that is called without further arguments need to know."""
    if name == "softmax2d":
        return {}
    more: dict[str, dict[str, Any]] = {
        "gated": {"gate": "first"},
        "along an axis": {"dim": -1},
        "reducing": {"pieces": 2},
    }
    return more.get(spec(name).kind.name, {})


def forget() -> None:
    """Take what kernels there are out of memory, as if this were a new process."""
    cpu._ready.cache_clear()
    for once in (cpu._kernel, cpu._lookup):
        once.made.clear()


ALL = [spec(name) for name in names(KIND)]
ELEMENTWISE = [activation for activation in ALL if activation.domain == (-math.inf, math.inf)]  # those of any number
VALUES = [Case(activation, None) for activation in ALL]
DERIVATIVES = [
    Case(activation, argument)
    for activation in ALL
    for argument in ("x", *(a for a, p in activation.parameters.items() if getattr(p, "learnable", False)))
]
CASES = VALUES + DERIVATIVES
CORE = [case for case in CASES if case.activation.torch]


def others_slow(items: Iterable[Any]) -> list[Any]:
    """Cases, activations or names: those that torch has too, and the others, whose code is the same, marked slow."""

    def torchs(item: Any) -> bool:
        name = item if isinstance(item, str) else getattr(item, "activation", item).name
        return bool(spec(name).torch)

    return [item if torchs(item) else pytest.param(item, marks=pytest.mark.slow) for item in items]


CAREFUL = [case for case in CASES if uses(case.formula, DERIVED)]  # those that need a transcendental function

# Float64, in ulp: what was measured, rounded up.
WIDER: dict[str, float] = {"gelu": 4.6, "mish-dx": 4.8}
WIDER |= {"aria": 270.0, "aria-dx": 270.0, "laplace": 1200.0, "laplace-dx": 1150.0, "smu-dmu": 570.0}  # steep
WIDER |= {"quick_gelu": 160.0, "quick_gelu-dx": 160.0}
WIDER |= {"xielu": 92.0, "hard_sigmoid": 12.0}  # beside a root of the value
WIDER |= {"phish-dx": 11.0, "smish-dx": 9.0, "telu-dx": 10.0, "xielu-dx": 12.0}  # beyond what is beside a root
WIDER |= {"gcu-dx": 17.0, "serf-dx": 8.0, "snake-dx": 1100.0, "snake_beta-dx": 1100.0, "snake-dalpha": 20.0}  # likewise
# On the left the terms of rational's numerator are some 50 times their sum, which all but a0 to a5 multiply by.
WIDER |= {"rational": 80.0, "rational-dx": 80.0, "rational-da0": 4.6}
WIDER |= {"rational-db1": 60.0, "rational-db2": 50.0, "rational-db3": 42.0, "rational-db4": 36.0}


# What stands in an exponent is a multiple of x, rounded: that costs its size. Relative errors, in units of 2⁻²⁴ too.
STEEP: dict[str, float] = {"aria": 32.0, "aria-dx": 32.0, "laplace": 220.0, "laplace-dx": 220.0, "smu-dmu": 300.0}
STEEP |= {"quick_gelu": 14.0, "quick_gelu-dx": 220.0}
STEEP |= {"serf-dx": 22.0, "telu-dx": 11.0, "xielu": 13.0}  # not far from a root
STEEP |= {"rational": 85.0, "rational-dx": 60.0}  # as in WIDER
STEEP |= {f"rational-db{k}": 85.0 for k in (1, 2, 3, 4)}


def same(y: Tensor, right: Tensor) -> Tensor:
    """Where two tensors of 16 bits hold the same bits, or NaN both."""
    return (y.view(torch.int16) == right.view(torch.int16)) | (y.isnan() & right.isnan())


def points(low: float = -20.0, high: float = 20.0, count: int = 20_001) -> Tensor:
    """Float32 numbers of an interval: evenly spaced ones, and ones near 0 of every size."""
    small = torch.logspace(-30, math.log10(min(-low, high)), count // 4)
    return torch.cat([torch.linspace(low, high, count), small, -small])


def assert_close(got: Tensor, exact: Tensor | list[Any], ulp: float, absolute: float = 0.0) -> None:
    """Every value within `ulp` units in the last place, or within `absolute`."""
    assert len(got) == len(exact) > 0
    errors = ulps(got, exact.double()) if isinstance(exact, Tensor) else ulps_in_digits(got, exact)
    wide = (
        exact.double()
        if isinstance(exact, Tensor)
        else torch.tensor([float(value) for value in exact], dtype=torch.float64)
    )
    bad = ~((errors <= ulp) | ((got.double() - wide).abs() <= absolute))
    worst = int(torch.where(bad, errors, -1.0).argmax())
    assert not bad.any(), (
        f"{int(bad.sum())} values are off; worst {float(errors[worst]):.2f} ulp: {got[worst]} for {exact[worst]}"
    )


class References(HTMLParser):
    """Collects everything in a page that a browser would fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        for name, value in attrs:
            if name in {"src", "srcset", "href", "xlink:href", "action", "data", "poster", "background"}:
                if not (value or "").startswith(("#", "data:")):
                    self.found.append(f"{tag} {name}={value}")
            if name == "style":
                self.style(value or "")

    def handle_data(self, text: str) -> None:
        if self.inside == "style":
            self.style(text)

    def style(self, text: str) -> None:
        self.found += re.findall(r"@import[^;]*|url\(\s*[\"']?(?!data:|#)[^)]*\)", text)


def models_of_transformers() -> Any:
    """transformers, whose models can be imported where torchvision's operators do not fit the build of torch."""
    transformers = pytest.importorskip("transformers")
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        for module in (transformers.utils, transformers.utils.import_utils):
            module.is_torchvision_available = lambda: False
    transformers.logging.set_verbosity_error()
    return transformers


_operators: list[torch.library.Library] = []  # which live as long as this holds them


def let_torchvision_load() -> None:
    """Have torchvision importable where its operators do not fit the build of torch; they themselves fail as before."""
    found = importlib.util.find_spec("torchvision")
    if found is None or "torchvision" in sys.modules or _operators:
        return
    if subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, check=False).returncode == 0:
        return
    registered = (Path(found.origin or "").parent / "_meta_registrations.py").read_text()
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in sorted(
        {*re.findall(r'register_meta\("(\w+)"', registered), *re.findall(r'"torchvision::(\w+)"', registered)}
    ):
        with contextlib.suppress(RuntimeError):  # it is there
            library.define(f"{name}(Tensor x) -> Tensor")
    _operators.append(library)


def stored_bytes(forward: Callable[[], Tensor]) -> int:
    """Bytes that stay allocated after a forward pass, its output aside."""
    forward()  # what is made once
    gc.collect()
    y, changes = allocations(forward)
    return sum(changes) - y.untyped_storage().nbytes()


def peak_bytes(work: Callable[[], Any]) -> int:
    """The most that was allocated at a time, above what was at first."""
    kept, changes = allocations(work)
    del kept
    return highest(changes)
