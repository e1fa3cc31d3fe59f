"""Each activation against torch's own, in turn in one run: `python benchmarks/against_torch.py [ELEMENTS]`.

Prints medians in ns per element and torch's time over ours, forward, and forward with backward.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

import actfun as af

ROUNDS = 40
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def medians(contestants: list[Callable[[], object]]) -> list[float]:
    """The median seconds of each, called in turn; two rounds before the count compile and fill caches."""
    times: list[list[float]] = [[] for _ in contestants]
    for _ in range(ROUNDS + 2):
        for own, contestant in zip(times, contestants, strict=True):
            start = time.perf_counter()
            contestant()
            own.append(time.perf_counter() - start)
    return [statistics.median(own[2:]) for own in times]


def row(name: str, dtype: torch.dtype, elements: int) -> list[str]:
    """One activation at one dtype."""
    x, g = (torch.randn(elements) * 3).to(dtype), torch.randn(elements).to(dtype)
    recorded = x.clone().requires_grad_()
    theirs, ours = getattr(torch.nn.functional, af.spec(name).torch or ""), getattr(af, name)

    def step(function: Callable[..., torch.Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(function(recorded), recorded, g)

    figures = [s / elements * 1e9 for s in medians([lambda: theirs(x), lambda: ours(x), step(theirs), step(ours)])]
    cells = [f"{value:.3f}" for value in figures]
    ratios = [f"{figures[0] / figures[1]:.2f}", f"{figures[2] / figures[3]:.2f}"]
    return [name, str(dtype).removeprefix("torch."), *cells[:2], ratios[0], *cells[2:], ratios[1]]


if __name__ == "__main__":
    elements = int(sys.argv[1]) if len(sys.argv) > 1 else 2**20
    table = Table(
        title=f"{elements} elements, {torch.get_num_threads()} threads, torch {torch.__version__}, ns/element"
    )
    for heading in ("", "dtype", "torch", "actfun", "ratio", "torch +bwd", "actfun +bwd", "ratio"):
        table.add_column(heading, justify="right" if heading else "left")
    cases = [(name, dtype) for dtype in DTYPES for name in af.names() if af.spec(name).torch]
    for name, dtype in track(cases, "measuring", console=Console(stderr=True)):
        table.add_row(*row(name, dtype, elements))
    Console().print(table)
