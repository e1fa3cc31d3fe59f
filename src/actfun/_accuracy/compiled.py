"""How far compiled calls are off, by stretches of the line: near 0, where a network works, and out to the tails."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from actfun._accuracy.error import nearest, ulps
from actfun._accuracy.implementation import Implementation, library_function, roots
from actfun._accuracy.survey import patterns
from actfun._backends.tables import arguments
from actfun._runs.job import Job

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
NEAR, FURTHER = 3.0, 6.0  # the stretches: |x| up to here
DENSE = 2**20  # numbers from -FURTHER to FURTHER, beside every 4,093rd of all float32
NEAR_ULP, FURTHER_RELATIVE, NORMAL_RELATIVE, NEAR_ROOT = 4.0, 1e-6, 1e-5, 2e-7  # targets for float32
ROOT_REACH = 0.5  # how far from a root of a derivative the absolute error counts: terms of size 1 cancel there
SIXTEEN_ULP = 0.51  # of 16 bits: the nearest number, or its neighbour where the exact value lies between them


@dataclass(frozen=True)
class Deviation:
    """The worst errors of a compiled function, or of its derivative, in a dtype.

    near: ulp for |x| ≤ 3; of 16 bits for all x. further: relative, for |x| ≤ 6; normal: wherever the exact result is a
    normal number. root: absolute, within 1/2 of a root of the derivative, which the others leave out. nans: how many
    numbers gave NaN. float32 alone has `further`, `normal` and `root`.
    """

    name: str
    derivative: bool
    dtype: str
    near: float
    further: float
    normal: float
    root: float
    nans: int

    @property
    def met(self) -> bool:
        """Whether the targets are met."""
        if self.dtype != "float32":
            return self.nans == 0 and self.near <= SIXTEEN_ULP
        errors = (self.near, self.further, self.normal, self.root)
        targets = (NEAR_ULP, FURTHER_RELATIVE, NORMAL_RELATIVE, NEAR_ROOT)
        return self.nans == 0 and all(error <= target for error, target in zip(errors, targets, strict=True))


def inputs(dtype: torch.dtype) -> Tensor:
    """Every number of 16 bits; of float32 one in 4,093, and many more from -6 to 6."""
    if dtype is not torch.float32:
        return arguments(dtype)
    return torch.cat([*patterns(), torch.linspace(-FURTHER, FURTHER, DENSE)])


@dataclass(frozen=True)
class CompiledCall(Job):
    """The errors of an activation's compiled call in a dtype."""

    studies: ClassVar[tuple[str, ...]] = ("_accuracy",)

    name: str
    dtype: str

    @property
    def label(self) -> str:
        """What a reader knows it by."""
        return f"{self.name} {self.dtype} compiled"

    def run(self) -> dict[str, Any]:
        """Measure value and derivative."""
        return {"found": [asdict(found) for found in measure(self.name, getattr(torch, self.dtype))]}


def measure(name: str, dtype: torch.dtype) -> list[Deviation]:
    """The errors of an activation compiled as a whole, value and derivative, at its default parameters."""
    function = library_function("actfun", name)
    assert function is not None
    torch.compiler.reset()
    compiled = torch.compile(lambda x: function(x), fullgraph=True)
    x = inputs(dtype).requires_grad_()
    y = compiled(x)
    (slope,) = torch.autograd.grad(y, x, torch.ones_like(y))
    pairs = ((y.detach(), False), (slope, True))
    return [deviation(Implementation("actfun", name, derivative, dtype), x.detach(), got) for got, derivative in pairs]


def deviation(implementation: Implementation, x: Tensor, got: Tensor) -> Deviation:
    """What results at x come to."""
    exact, size = implementation.exact(x), x.double().abs()
    beside = torch.zeros_like(x, dtype=torch.bool)
    for root in roots(implementation.formula, implementation.numbers) if implementation.derivative else ():
        beside |= (x.double() - root).abs() <= ROOT_REACH
    errors, distance = ulps(got, exact), (got.double() - exact).abs()
    relative = torch.where(got == nearest(exact, got.dtype), 0.0, distance / exact.abs())
    tiny, largest = (getattr(torch.finfo(torch.float32), end) for end in ("smallest_normal", "max"))
    normal = (exact.abs() >= tiny) & (exact.abs() <= largest) & ~beside

    def worst(values: Tensor, where: Tensor) -> float:
        return float(torch.where(where & x.isfinite(), values, 0.0).max())

    single = implementation.dtype is torch.float32
    return Deviation(
        name=implementation.name,
        derivative=implementation.derivative,
        dtype=str(implementation.dtype).removeprefix("torch."),
        near=worst(errors, normal & (size <= NEAR)) if single else worst(errors, ~x.isnan()),
        further=worst(relative, normal & (size <= FURTHER)) if single else 0.0,
        normal=worst(relative, normal) if single else 0.0,
        root=worst(distance, beside) if single else 0.0,
        nans=int((got.isnan() & ~exact.isnan()).sum()),
    )
