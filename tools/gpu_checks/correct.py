"""Values and gradients against float64 on the same device, by the package's own torch operations.

The aim on every device: float32 within 4 ulp for |x| ≤ 3, within 1e-6 of the value up to |x| = 6 and 1e-5 wherever it
is a normal number; 16 bits within 0.51 ulp of the exact value. Gradients likewise, or within 4 ulp of 1/4, the size of
their terms, up to 1 from a root. NaN for NaN alone. A result falls short beyond the aim, and is wrong beyond twice the
aim: float32 without its rounding errors is a sum of up to ten of them, and what a compiler contracts may add to that.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actfun._accuracy.error import ulps, unit
from actfun._accuracy.implementation import Implementation, library_function, roots
from actfun._backends.tables import arguments
from gpu_checks.run import Run, Section

Function = Callable[[Tensor], Tensor]
Several = Callable[[list[Tensor]], list[Tensor]]
KINDS = ("value", "gradient", "g · gradient", "inf · 0")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
PORTION = 2**22  # elements at a time: float64 and what it leaves behind take 100 times as many bytes
NORMAL = 2.0**-126
LARGEST = torch.finfo(torch.float32).max
BESIDE = 1.0  # of a root: there a slope is a difference of terms of up to 1
TERM = 2.0**-25  # a unit in the last place of float32 at 1/4
AIM, AIM_16 = 4.0, 0.51  # ulp
WRONG = 2.0


@dataclass(frozen=True)
class Found:
    """The worst of some results: errors in ulp where |x| ≤ 3, ≤ 20 and anywhere; what misses the aim, and by how much.

    Beside a root a unit is one of 1/4, times the incoming gradient.
    """

    near: float
    middle: float
    anywhere: float
    short: int
    wrong: int
    first: str | None


def judge(x: Tensor, got: Tensor, exact: Tensor, ends: Sequence[float] = (), g: Tensor | None = None) -> Found:
    """How far results are off. ends: the roots of the derivative that they are, times g where there is one."""
    x, single, zero = x.double(), got.dtype is torch.float32, torch.zeros_like(exact)
    units, errors = unit(exact, got.dtype), ulps(got, exact)
    beside = sum(((x - root).abs() <= BESIDE for root in ends), start=torch.zeros_like(x, dtype=torch.bool))
    terms = torch.where(beside, TERM * (1.0 if g is None else g.double().abs()), 0.0)
    aim = torch.maximum((AIM if single else AIM_16) * units, 0.5 * units + AIM * terms)
    if single:
        far = torch.where(x.abs() <= 6.0, 1e-6, 1e-5) * exact.abs()
        aim = torch.maximum(aim, torch.where(x.abs() <= 3.0, zero, far))
        aim = torch.maximum(aim, torch.where(exact.abs() < NORMAL, NORMAL, zero))

    def counted_in(other: Tensor) -> Tensor:  # not where both are infinite, or one alone NaN
        return torch.where((errors > 0.0) & errors.isfinite(), errors * units / other, errors)

    misses, shown = counted_in(aim), counted_in(torch.maximum(units, terms))
    shown = torch.where((misses <= 1.0) & (exact.abs() < NORMAL), zero, shown)
    sides = [float(shown[x.abs() <= side].max()) if (x.abs() <= side).any() else 0.0 for side in (3.0, 20.0)]
    short, first = misses > 1.0, None
    if short.any():
        k = int(misses.argmax())
        first = f"{got[k].item():.9g} for {exact[k].item():.9g} at x = {x[k].item():.9g}"
    return Found(*sides, float(shown.max()), int(short.sum()), int((misses > WRONG).sum()), first)


def inputs(dtype: torch.dtype, run: Run) -> Iterator[Tensor]:
    """Every number of 16 bits, or evenly spaced patterns of float32, in portions."""
    if dtype is not torch.float32:
        yield arguments(dtype).to(run.device)
        return
    step, count = 2**32 // run.size.patterns, run.size.patterns
    for start in range(0, count, PORTION):
        places = torch.arange(start, min(start + PORTION, count), device=run.device)
        yield (places * step + places % step).to(torch.int32).view(torch.float32)  # the last bits take all values too


def worst(parts: list[Found]) -> Found:
    """What several portions come to."""
    first = next((part.first for part in parts if part.first), None)
    tops = [max(getattr(part, side) for part in parts) for side in ("near", "middle", "anywhere")]
    return Found(*tops, sum(part.short for part in parts), sum(part.wrong for part in parts), first)


def slopes(implementation: Implementation, x: Tensor) -> Tensor:
    """The exact derivative; NaN where float32, in which kernels compute, cannot hold it."""
    exact = implementation.exact(x)
    return torch.where(exact.abs() > LARGEST, math.nan, exact)


def graded(function: Function, x: Tensor, g: Tensor) -> Tensor:
    """The gradient that a function gives for an incoming one."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(function(x), x, g)[0]


def several(functions: Several, x: Tensor, g: Tensor, count: int) -> list[tuple[Tensor, Tensor]]:
    """Values and gradients of functions that are called together, each with an x of its own."""
    leaves = [x.detach().clone().requires_grad_() for _ in range(count)]
    values = functions(leaves)
    return list(zip(values, torch.autograd.grad(values, leaves, [g] * count), strict=True))


def check(run: Run, section: Section, names: Sequence[str], way: str, dtype: torch.dtype, functions: Several) -> None:
    """Functions' values and gradients in one dtype, for an incoming 1, a random one, and inf, which a 0 must stop."""
    implementations = {
        name: (Implementation("actfun", name, False, dtype), Implementation("actfun", name, True, dtype))
        for name in names
    }
    parts: dict[str, dict[str, list[Found]]] = {name: {kind: [] for kind in KINDS} for name in names}
    for x in inputs(dtype, run):
        random = torch.randn(x.shape, device=x.device, generator=torch.Generator(run.device).manual_seed(0)).to(dtype)
        got = [several(functions, x, g, len(names)) for g in (torch.ones_like(x), random, torch.full_like(x, math.inf))]
        for k, (name, (value, slope)) in enumerate(implementations.items()):
            ends, exact = roots(slope.formula, slope.numbers), slopes(slope, x)
            parts[name]["value"].append(judge(x, got[0][k][0].detach(), value.exact(x)))
            known = ~exact.isnan() | x.isnan()
            for kind, g, mine in (
                ("gradient", torch.ones_like(x), got[0][k][1]),
                ("g · gradient", random, got[1][k][1]),
            ):
                product = exact[known] * g[known].double()
                parts[name][kind].append(judge(x[known], mine[known], product, ends, g[known]))
            stopped = torch.where(exact == 0.0, got[2][k][1], 0.0)  # NaN for inf times what float32 takes for 0: wrong
            stopped = torch.where(got[2][k][1].isnan() & ~x.isnan(), math.nan, stopped)
            parts[name]["inf · 0"].append(judge(x, stopped, torch.zeros_like(exact)))
    for name, kinds in parts.items():
        for kind, found in kinds.items():
            _record(section, name, way, dtype, kind, worst(found))


def _record(section: Section, name: str, way: str, dtype: torch.dtype, kind: str, found: Found) -> None:
    short = str(dtype).removeprefix("torch.")
    section.rows.append({"name": name, "way": way, "dtype": short, "kind": kind, **vars(found)})
    if found.wrong:
        section.failures.append(f"{name} {way} {short} {kind}: {found.wrong} off, {found.first}")


def ours(name: str) -> Function:
    """The package's function, at its default parameters."""
    function = library_function("actfun", name)
    assert function is not None
    return function


def eager(run: Run, section: Section, functions: dict[str, Function] | None = None) -> None:
    """All activations in all dtypes that kernels serve; `functions` stand in for the package's, to test the checker."""
    chosen = functions or {name: ours(name) for name in run.names}
    for dtype, name in run.each(section, [(dtype, name) for dtype in DTYPES for name in chosen]):
        check(run, section, (name,), "eager", dtype, lambda xs, name=name: [chosen[name](xs[0])])


def compiled(run: Run, section: Section) -> None:
    """The same through torch.compile: all in one graph, which takes a third of the time, or where that fails, each."""
    for dtype in run.each(section, DTYPES[:2]):
        try:
            check(run, section, run.names, "compiled", dtype, _compiled(run.names))
        except Exception as error:  # whatever it is, it may be that of one activation
            run.say(f"compiled together, {dtype}: {str(error).strip().splitlines()[0]}")
            for name in run.each(section, run.names):
                check(run, section, (name,), "compiled", dtype, _compiled((name,)))


def _compiled(names: Sequence[str]) -> Several:
    torch._dynamo.reset()
    functions = [ours(name) for name in names]
    together: Several = torch.compile(lambda xs: [f(x) for f, x in zip(functions, xs, strict=True)], dynamic=False)
    return together
