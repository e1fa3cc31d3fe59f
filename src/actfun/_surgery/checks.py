"""What an example shows of an exchange: that all sites are called, and how far numbers moved."""

import contextlib
import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from actfun._catalogue.kinds import RANDOM
from actfun._surgery.install import Make, New, Undo, install, reroute, unwind
from actfun._surgery.rules import Rule, module_named
from actfun._surgery.sites import Site, run, untouched

# What twins may change of the largest output; else 1e-3. With drawn weights 37 models come to 9e-7 in float32, seven of
# them to 5e-3 in bfloat16 and 9e-4 in float16; trained ones may amplify rounding more.
OUTPUT_TOLERANCE = {torch.float16: 3e-2, torch.bfloat16: 2e-1, torch.float64: 1e-6}
# Of a root mean square at a site. 2e-4 was measured, but for what float16 has few bits for, which is below the floor.
RMS_TOLERANCE = 3e-2
RMS_FLOOR = 1e-6
Way = tuple[bool, bool]  # training, with gradients: torch's encoder layers take another path in evaluation without
TRAINING, EAGER, BARE = (True, True), (False, True), (False, False)
WAYS = {TRAINING: "training", EAGER: "evaluation", BARE: "evaluation without gradients"}


@dataclass(frozen=True)
class Sizes:
    """At a site: mean and root mean square of inputs and outputs, and the share of outputs that are exactly 0."""

    mean_in: float
    rms_in: float
    mean_out: float
    rms_out: float
    zeros: float


@dataclass(frozen=True)
class Shift:
    """A site before and after. alone: the root mean square that the new function makes of what came in before."""

    before: Sizes
    after: Sizes
    alone: float


@dataclass
class Observed:
    """What a model gave: outputs and calls of the sites in each way; by site sizes, and rms out of another module."""

    outputs: dict[Way, list[Tensor]] = field(default_factory=dict)
    calls: dict[Way, Counter[str]] = field(default_factory=dict)
    sizes: dict[str, Sizes] = field(default_factory=dict)
    alone: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # site -> what the other module raised


@dataclass(frozen=True)
class Checked:
    """What was found. moved: the root mean square of the output's change, over that of the output, in evaluation; NaN
    where it has no numbers. shifts: by site. otherwise: sites that are called more or less often than before.
    """

    moved: float
    shifts: dict[str, Shift]
    otherwise: list[str]


@dataclass
class _Sums:
    """Sums over what goes in, what comes out, and what another module makes of what goes in."""

    inputs: int = 0
    outputs: int = 0
    values: list[float] = field(default_factory=lambda: [0.0] * 6)

    def sizes(self) -> Sizes:
        a, b, c, d, zeros, _ = self.values
        n, m = self.inputs, self.outputs
        return Sizes(a / n, (b / n) ** 0.5, c / m, (d / m) ** 0.5, zeros / m)


def observed(
    model: nn.Module,
    example: Any,
    watched: list[Site],
    new: New | None = None,
    ways: Iterable[Way] = WAYS,
    beside: Mapping[str, nn.Module] | None = None,
) -> Observed:
    """Run an example in evaluation, and in some ways, counting the calls of sites. The model stays as it is.

    new: what stands at the sites by now. beside: by site, a module that computes what goes in as well. A way in which
    the model cannot run before is left out: some want targets in training, and batch normalisation wants more than one
    value.
    """
    there = {site.name: [site.held] if new is None else new[id(site)] for site in watched}
    modules = [(name, m) for name, those in there.items() for m in those if isinstance(m, nn.Module)]
    sums: dict[str, _Sums] = {}
    found = Observed()
    with untouched(model):
        model.eval()
        with _measured(sums, modules, beside or {}, found.failed), torch.no_grad():
            run(model, example)
    for name, of in sums.items():
        if of.inputs and of.outputs:
            found.sizes[name], found.alone[name] = of.sizes(), (of.values[5] / of.inputs) ** 0.5
    for training, gradients in ways:
        with untouched(model):
            model.train(training)
            with _counted(modules) as calls, torch.set_grad_enabled(gradients):
                try:
                    output = run(model, example)
                except ValueError:
                    if new is not None:
                        raise
                else:
                    found.calls[training, gradients] = calls
                    found.outputs[training, gradients] = list(_numbers(output))
    return found


@contextlib.contextmanager
def _measured(
    sums: dict[str, _Sums],
    modules: list[tuple[str, nn.Module]],
    beside: Mapping[str, nn.Module],
    failed: dict[str, str],
) -> Iterator[None]:
    """Measure what goes in and out of modules."""

    def inputs(name: str, module: nn.Module, given: tuple[Any, ...]) -> None:
        of = sums.setdefault(name, _Sums())
        if given:  # none where it is given by name
            x = given[0].detach()
            of.inputs += x.numel()
            of.values[0] += float(x.double().sum())
            of.values[1] += float(x.double().square().sum())
            if name in beside:
                try:
                    of.values[5] += float(beside[name](x.clone()).double().square().sum())
                except Exception as error:
                    failed[name] = f"{type(error).__name__}: {error}"

    def outputs(name: str, module: nn.Module, given: Any, y: Tensor) -> None:
        of = sums[name]
        of.outputs += y.numel()
        of.values[2] += float(y.double().sum())
        of.values[3] += float(y.double().square().sum())
        of.values[4] += int((y == 0.0).sum())

    with contextlib.ExitStack() as hooks:
        for name, module in modules:
            hooks.callback(module.register_forward_pre_hook(functools.partial(inputs, name)).remove)
            hooks.callback(module.register_forward_hook(functools.partial(outputs, name)).remove)
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
            if (own := vars(module).get("forward")) is not None:
                restored.callback(setattr, module, "forward", own)
            restored.callback(vars(module).pop, "forward", None)  # runs first
            module.forward = counting(name, module.forward)
        yield calls


def _numbers(output: Any) -> Iterator[Tensor]:
    """The floating-point and complex tensors of a result, in order, however it is made up."""
    if isinstance(output, Tensor):
        if output.is_floating_point() or output.is_complex():
            output = output.detach().clone()
            yield torch.view_as_real(output) if output.is_complex() else output
    elif isinstance(output, Mapping):
        yield from _numbers(list(output.values()))
    elif isinstance(output, list | tuple):
        for part in output:
            yield from _numbers(part)
    elif dataclasses.is_dataclass(output) or hasattr(output, "__dict__"):
        yield from _numbers(list(vars(output).values()))


def try_twins(
    model: nn.Module,
    example: Any,
    before: Observed,
    held: list[Site],
    called: list[Site],
    rules: Mapping[int, Rule],
    share: bool,
) -> Observed:
    """What is observed with actfun's twin of each site: in place only where the new one will be.

    Raises RuntimeError where the output is another, or a twin is called more or less often than what it stands for;
    ValueError where the model itself gives something else each time.
    """

    def twin(site: Site) -> Any:
        def make(inplace: bool) -> nn.Module:
            new = rules[id(site)].make(inplace)
            made = module_named(site.meaning, inplace and bool(getattr(new, "inplace", False)))
            for own, other in zip(made.parameters(), getattr(site.held, "parameters", tuple)(), strict=False):
                own.data = other.detach().clone()
            return made

        return make

    some = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    beside = {s.name: rules[id(s)].make(False).to(some.device, some.dtype).eval() for s in [*held, *called]}
    called = [site for site in called if not site.meaning.activation.learned]  # their tensor is the call's
    everything = _with(model, example, held, called, twin, share, before.calls, beside)
    for name, error in everything.failed.items():
        raise RuntimeError(f"{name}: what replaces it raised {error}; nothing was replaced")
    fixed = all(site.meaning.activation.kind is not RANDOM for site in [*held, *called])  # else training draws others
    if not check_same(before, everything, fixed):
        if not check_same(before, observed(model, example, []), True):
            raise ValueError("example: the model gives something else each time it is run, so nothing can be checked")
        alone = [
            s for s in held if not check_same(before, _with(model, example, [s], [], twin, share, before.calls), fixed)
        ]
        alone += [
            s
            for s in called
            if not check_same(before, _with(model, example, [], [s], twin, share, before.calls), fixed)
        ]
        names = ", ".join(site.name for site in alone or held + called)
        raise RuntimeError(
            f"the output changes where actfun computes the same function at {names}: it depends on the activation "
            f"working in place, or on the very object; nothing was replaced"
        )
    _check_counts(before, everything, held + called, (model.training, True))
    return everything


def _with(
    model: nn.Module,
    example: Any,
    held: list[Site],
    called: list[Site],
    make: Make,
    share: bool,
    ways: Iterable[Way],
    beside: Mapping[str, nn.Module] | None = None,
) -> Observed:
    """What is observed with some sites exchanged, which are put back."""
    undo: Undo = []
    try:
        new = install(model, held, make, share, undo)
        new |= reroute(model, called, make, undo)
        return observed(model, example, held + called, new, ways, beside)
    finally:
        unwind(undo)


def check_same(before: Observed, after: Observed, training: bool) -> bool:
    """Whether outputs agree within what rounding may come to in a deep network, and the sizes at sites.

    The sizes tell where the output says nothing: some models are made with a last layer of zeros. training: whether
    training is compared too.
    """
    alike = functools.partial(math.isclose, rel_tol=RMS_TOLERANCE, abs_tol=RMS_FLOOR)
    sizes = [(before.sizes[name], now) for name, now in after.sizes.items() if name in before.sizes]
    if not all(alike(was.rms_in, now.rms_in) and alike(was.rms_out, now.rms_out) for was, now in sizes):
        return False
    ways = [way for way in before.outputs if way in after.outputs and (training or way != TRAINING)]
    return all(_are_same(before.outputs[way], after.outputs[way]) for way in ways)


def _are_same(some: list[Tensor], others: list[Tensor]) -> bool:
    if [t.shape for t in some] != [t.shape for t in others]:
        return False
    for a, b in zip(some, others, strict=True):
        finite = a.isfinite() & b.isfinite()
        if not torch.equal(a[~finite].nan_to_num(), b[~finite].nan_to_num()):
            return False
        a, b = a[finite], b[finite]
        if (
            a.numel()
            and not torch.equal(a, b)
            and (a - b).abs().max() > OUTPUT_TOLERANCE.get(a.dtype, 1e-3) * a.abs().max()
        ):
            return False
    return True


def _check_counts(before: Observed, twins: Observed, exchanged: list[Site], found: Way) -> None:
    """Raise RuntimeError unless every twin is called as often as what it stands for.

    found: the way in which functions were counted.
    """
    for way, was in before.calls.items():
        now, usual = twins.calls[way], before.calls.get(EAGER, was) if way == BARE else was
        for site in exchanged:
            if isinstance(site.held, nn.Module):
                expected = max(was[site.name], usual[site.name])  # a fused path calls no module
                if now[site.name] != expected:
                    raise RuntimeError(
                        f"{site.name} is called {_times(expected)}, and what replaces it {_times(now[site.name])}, in "
                        f"{WAYS[way]}; nothing was replaced"
                    )
            elif way == found and now[site.name] != site.calls:
                counts = f"is called {_times(site.calls)}, and what replaces it {_times(now[site.name])}"
                raise RuntimeError(
                    f"{site.name} {counts}: modules inside call the function too, and are not replaced; nothing was "
                    f"replaced"
                )


def _times(count: int | None) -> str:
    return "once" if count == 1 else f"{count} times"


def check_new(before: Observed, twins: Observed, after: Observed) -> Checked:
    """Raise RuntimeError where the new ones are not called, or the output has another shape; how far it moved."""
    for way, calls in twins.calls.items():
        if calls.total() and not after.calls[way].total():
            raise RuntimeError("what replaces the sites is not called; nothing was replaced")
    outputs, now = before.outputs.get(EAGER, []), after.outputs.get(EAGER, [])
    if [t.shape for t in outputs] != [t.shape for t in now]:
        raise RuntimeError("the output has another shape; nothing was replaced")
    change = size = 0.0
    for a, b in zip(outputs, now, strict=True):
        finite = a.isfinite() & b.isfinite()
        change += float((a - b)[finite].double().square().sum())
        size += float(a[finite].double().square().sum())
    shifts = {n: Shift(twins.sizes[n], s, twins.alone[n]) for n, s in after.sizes.items() if n in twins.sizes}
    moved = math.nan if not outputs else (change / size) ** 0.5 if size else math.inf if change else 0.0
    otherwise = {
        n: None
        for way, calls in twins.calls.items()
        for n in calls | after.calls[way]
        if calls[n] != after.calls[way][n]
    }
    return Checked(moved, shifts, list(otherwise))
