"""Activations through torch.compile, ours and torch's own alike: alone and fused with what stands beside them."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from time import perf_counter
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import dropout

from actfun._accuracy.implementation import library_function
from actfun._bench.libraries import EAGER, OURS
from actfun._bench.timing import Timing, in_turn
from actfun._operators.torch_private import compiler_counts, empty_compiler_cache

SIZES = (4096, 65_536, 2**20, 2**24)
DTYPES = ("float32", "bfloat16")
COLUMNS = 1024  # of the input, and numbers in a bias, where a size is a multiple of that
SECONDS = 0.5  # of a compiled call's budget, to one of an eager call's: to compile takes longer than that
PLACES: dict[str, Callable[..., Tensor]] = {  # (function, input, what stands beside it)
    "alone": lambda f, x, _: f(x),
    "bias": lambda f, x, bias: f(x + bias),
    "dropout": lambda f, x, _: dropout(f(x), 0.1),
    "residual": lambda f, x, _: x + f(x),
    "gate": lambda f, x, gate: f(x) * gate,
}


@dataclass(frozen=True)
class Compiled(Timing):
    """An activation at one size in one of `PLACES`: forward, or both ways with gradients of all tensors."""

    kind: ClassVar[str] = "compiled"

    activation: str
    dtype: str
    size: int
    backward: bool
    place: str
    budget: float

    @property
    def label(self) -> str:
        """What a reader knows it by."""
        way = "both ways" if self.backward else "forward"
        return f"{self.activation} {self.place} compiled {self.dtype} {self.size} {way}"

    def run(self) -> dict[str, Any]:
        """Compile both libraries' function with empty caches, then time it."""
        _start_compiler()
        torch.compiler.reset()
        calls, compiling = {}, {}
        order = [OURS, EAGER]
        Random(self.label).shuffle(order)
        with torch.set_grad_enabled(self.backward):
            for library in order:
                calls[library] = self._call(library)
                compiling[library] = _first_call(calls[library])
            times = in_turn(calls, self.budget)
        return {**times, "compiling": compiling}

    def _call(self, library: str) -> Callable[[], Any]:
        random = torch.Generator().manual_seed(0)
        columns = math.gcd(self.size, COLUMNS)
        shape = (self.size // columns, columns)
        dtype = getattr(torch, self.dtype)
        x, g, gate = (torch.randn(shape, generator=random).to(dtype) for _ in range(3))
        beside = gate[0].clone() if self.place == "bias" else gate
        function, place = library_function(library, self.activation), PLACES[self.place]
        compiled = torch.compile(lambda x, beside: place(function, x, beside))
        if not self.backward:
            return lambda: compiled(x, beside)
        inputs = [x, beside] if self.place in ("bias", "gate") else [x]
        for tensor in inputs:
            tensor.requires_grad_()
        return lambda: torch.autograd.grad(compiled(x, beside), inputs, g)


@functools.cache
def _start_compiler() -> None:
    """Have torch's compiler load what it loads once a process, which would count for the function that comes first."""
    x = torch.ones(COLUMNS, requires_grad=True)
    torch.autograd.grad(torch.compile(torch.cos)(x), x, x.detach())


def _first_call(call: Callable[[], Any]) -> float:
    """The seconds of a call that compiles, where nothing is left from what was compiled before."""
    with empty_compiler_cache():
        begun = perf_counter()
        call()
        return perf_counter() - begun


@dataclass(frozen=True)
class Graphs(Timing):
    """How often torch.compile starts anew: over sizes, dtypes, with gradients and without, for both libraries."""

    kind: ClassVar[str] = "graphs"

    activation: str

    @property
    def label(self) -> str:
        """What a reader knows it by."""
        return f"{self.activation} graphs"

    def run(self) -> dict[str, Any]:
        """Count graphs and graph breaks."""
        counts = {library: count_graphs(library_function(library, self.activation)) for library in (OURS, EAGER)}
        graphs, breaks = ({library: count[k] for library, count in counts.items()} for k in (0, 1))
        return {"graphs": graphs, "breaks": breaks}


def count_graphs(function: Any) -> tuple[int, int]:
    """Graphs and graph breaks of a function over calls that users make of one; without Inductor, which sees neither."""
    torch.compiler.reset()
    before = _counts()
    compiled = torch.compile(lambda x: function(x), backend="aot_eager")
    for dtype in (torch.float32, torch.bfloat16):
        for size in (64, 96, 128, 64):
            for differentiated in (False, True):
                compiled(torch.ones(size, dtype=dtype, requires_grad=differentiated))
    graphs, breaks = (after - count for after, count in zip(_counts(), before, strict=True))
    return graphs, breaks


def _counts() -> tuple[int, int]:
    counts = compiler_counts()
    return counts["stats"]["unique_graphs"], sum(counts["graph_break"].values())


def compiled(
    alone: Sequence[str], fused: Sequence[str], dtypes: Sequence[str], sizes: Sequence[int], seconds: float
) -> list[Compiled | Graphs]:
    """Cells of activations alone and of those that are fused too, and the graphs of them all."""
    cells = [
        Compiled(name, dtype, size, backward, place, SECONDS * seconds)
        for dtype in dtypes
        for backward in (False, True)
        for place in PLACES
        for size in sizes
        for name in alone
        if place == "alone" or name in fused
    ]
    return [*map(Graphs, alone), *cells]
