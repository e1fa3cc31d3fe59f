"""What an example shows of an exchange: that all sites are called, and how far numbers moved."""

import contextlib
import functools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from actfun._surgery.sites import Site, run, untouched

# What twins may change of the largest output; else 1e-3. With drawn weights 37 models come to 9e-7 in float32, seven of
# them to 5e-3 in bfloat16 and 9e-4 in float16; trained ones may amplify rounding more.
SAME = {torch.float16: 3e-2, torch.bfloat16: 2e-1, torch.float64: 1e-6}
SIZES = 3e-2  # of a root mean square; 2e-4 was measured, but for what float16 has few bits for, which is below this:
TINY = 1e-6
Way = tuple[bool, bool]  # training, with gradients: torch's encoder layers take another path in evaluation without
EAGER, BARE = (False, True), (False, False)
WAYS = ((True, True), EAGER, BARE)
Ways = Iterable[Way]
Modules = Mapping[int, list[nn.Module]]  # id of a site -> what was put there


@dataclass(frozen=True)
class Sizes:
    """At a site: the root mean square of inputs and outputs, and the share of outputs that are exactly 0."""

    rms_in: float
    rms_out: float
    zeros: float


@dataclass(frozen=True)
class Shift:
    """A site before and after."""

    before: Sizes
    after: Sizes


@dataclass
class Observed:
    """What a model gave: its output in evaluation, the calls of each site in each way, and sizes at sites."""

    output: list[Tensor]
    calls: dict[Way, Counter[str]] = field(default_factory=dict)
    sizes: dict[str, Sizes] = field(default_factory=dict)


@dataclass(frozen=True)
class Checked:
    """What was found. moved: the root mean square of the output's change, over that of the output. shifts: by site."""

    moved: float
    shifts: dict[str, Shift]


def observed(model: nn.Module, example: Any, held: list[Site], new: Modules | None = None, ways: Ways = ()) -> Observed:
    """Run an example in evaluation, and in some ways, counting the calls of sites. The model stays as it is.

    new: what stands at the sites by now. A way in which the model cannot run before is left out: some want targets in
    training, and batch normalisation wants more than one value.
    """
    watched = {site.name: [site.held] if new is None else new[id(site)] for site in held}
    modules = [(name, m) for name, those in watched.items() for m in those if isinstance(m, nn.Module)]
    sums: dict[str, list[float]] = {}
    with untouched(model):
        model.eval()
        with _hooked(sums, modules), torch.no_grad():
            found = Observed(list(_tensors(run(model, example))))
        found.sizes = {
            n: Sizes((a / c) ** 0.5, (b / d) ** 0.5, z / d) for n, (a, c, b, d, z) in sums.items() if c and d
        }
        for training, gradients in ways:
            model.train(training)
            with _counted(modules) as calls, torch.set_grad_enabled(gradients):
                try:
                    run(model, example)
                except Exception:
                    if new is not None:
                        raise
                else:
                    found.calls[training, gradients] = calls
    return found


@contextlib.contextmanager
def _hooked(sums: dict[str, list[float]], modules: list[tuple[str, nn.Module]]) -> Iterator[None]:
    """Measure what goes in and out of modules."""
    with contextlib.ExitStack() as hooks:
        for name, module in modules:
            before = module.register_forward_pre_hook(functools.partial(_inputs, sums, name))
            hooks.callback(before.remove)
            hooks.callback(module.register_forward_hook(functools.partial(_outputs, sums, name)).remove)
        yield


@contextlib.contextmanager
def _counted(modules: list[tuple[str, nn.Module]]) -> Iterator[Counter[str]]:
    """Count the calls of modules, not by hooks: for those torch's encoder layers leave the path that is looked for."""
    calls: Counter[str] = Counter()

    def counting(name: str, forward: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            return forward(*args, **kwargs)

        return run

    with contextlib.ExitStack() as restored:
        for name, module in modules:
            own = module.__dict__.get("forward")
            restored.callback(module.__dict__.pop, "forward", None)
            if own is not None:
                restored.callback(setattr, module, "forward", own)
            module.forward = counting(name, module.forward)
        yield calls


def _inputs(sums: dict[str, list[float]], name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
    of = sums.setdefault(name, [0.0] * 5)
    if inputs:  # none where it is given by name
        of[0] += float(inputs[0].double().square().sum())
        of[1] += inputs[0].numel()


def _outputs(sums: dict[str, list[float]], name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
    of = sums[name]
    of[2] += float(output.double().square().sum())
    of[3] += output.numel()
    of[4] += int((output == 0.0).sum())


def _tensors(output: Any) -> Iterator[Tensor]:
    """The floating-point tensors of a result, in order, however it is made up."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output.detach().clone()
    elif isinstance(output, list | tuple):
        for part in output:
            yield from _tensors(part)
    elif hasattr(output, "values"):
        for part in output.values():
            yield from _tensors(part)


def _times(count: int | None) -> str:
    return "once" if count == 1 else f"{count} times"


def check_same(before: Observed, after: Observed) -> bool:
    """Whether outputs agree within what rounding may come to in a deep network, and the sizes at sites.

    The sizes tell where the output says nothing: some models are made with a last layer of zeros.
    """
    if [t.shape for t in before.output] != [t.shape for t in after.output]:
        return False
    pairs = [(before.sizes[name], now) for name, now in after.sizes.items() if name in before.sizes]
    alike = functools.partial(math.isclose, rel_tol=SIZES, abs_tol=TINY)
    return all(alike(was.rms_in, now.rms_in) and alike(was.rms_out, now.rms_out) for was, now in pairs) and all(
        bool((a - b).abs().max() <= SAME.get(a.dtype, 1e-3) * a.abs().max()) or torch.equal(a, b)
        for a, b in zip(before.output, after.output, strict=True)
        if a.numel()
    )


def check_counts(before: Observed, after: Observed, exchanged: list[Site], found: Way) -> Checked:
    """Raise RuntimeError unless every new module is called as often as the old one; how far the output moved.

    found: the way in which functions were counted.
    """
    for way, was in before.calls.items():
        now, usual = after.calls[way], before.calls.get(EAGER, was) if way == BARE else was
        for site in exchanged:
            if isinstance(site.held, nn.Module):
                expected = max(was[site.name], usual[site.name])  # a fused path calls no module
                if now[site.name] != expected:
                    said = f"{'training' if way[0] else 'evaluation'} {'with' if way[1] else 'without'} gradients"
                    raise RuntimeError(
                        f"{site.name} was called {_times(expected)} and is called {_times(now[site.name])} in {said}; "
                        f"nothing was replaced"
                    )
            elif way == found and now[site.name] != site.calls:
                counts = f"was called {_times(site.calls)}, and what replaces it {_times(now[site.name])}"
                raise RuntimeError(
                    f"{site.name} {counts}: modules inside call the function too, and are not replaced; nothing was "
                    f"replaced"
                )
    if [t.shape for t in before.output] != [t.shape for t in after.output]:
        raise RuntimeError("the output has another shape; nothing was replaced")
    change = sum(float((a - b).double().square().sum()) for a, b in zip(before.output, after.output, strict=True))
    size = sum(float(a.double().square().sum()) for a in before.output)
    shifts = {name: Shift(before.sizes[name], sizes) for name, sizes in after.sizes.items() if name in before.sizes}
    return Checked((change / size) ** 0.5 if size else float("inf") if change else 0.0, shifts)
