"""New modules in the places of activations, what undoes it, and the trial by twins."""

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn

from actfun._surgery import known
from actfun._surgery.checks import Observed, check_same, observed
from actfun._surgery.patched import Rerouted
from actfun._surgery.rules import Rule, named
from actfun._surgery.sites import Site

Undo = list[Callable[[], None]]


def install(
    model: nn.Module,
    held: list[Site],
    make: Callable[[Site], Callable[[bool], nn.Module]],
    share: bool,
    undo: Undo,
) -> dict[int, list[nn.Module]]:
    """Put new modules in the places of sites; id of a site -> its new modules."""
    owners = dict(model.named_modules())
    new: dict[int, list[nn.Module]] = {}
    for site in held:
        shared: nn.Module | None = None
        for place in site.places:
            if shared is None or not share:
                shared = _like(site.held, make(site)(bool(getattr(site.held, "inplace", False))), owners[place.owner])
                new.setdefault(id(site), []).append(shared)
            undo.append(functools.partial(place.put, site.held))
            place.put(shared)
            layer = owners[place.owner]
            if isinstance(layer, nn.TransformerEncoderLayer) and place.name.endswith("activation"):
                undo.append(functools.partial(setattr, layer, "activation_relu_or_gelu", layer.activation_relu_or_gelu))
                layer.activation_relu_or_gelu = 0  # no fast path
    return new


def _like(old: Any, new: nn.Module, owner: nn.Module) -> nn.Module:
    """With the mode, the device, the dtype and the hooks of what is replaced."""
    near = next(iter(owner.parameters()), None)
    if near is not None and near.is_floating_point():
        new.to(device=near.device, dtype=near.dtype)
    new.train(getattr(old, "training", owner.training))
    if isinstance(old, nn.Module):
        for name, value in vars(old).items():
            if "_hook" in name:
                vars(new)[name] = value  # the same dictionary: what removes a hook goes on doing so
    return new


def count_hooks(old: Any) -> int:
    if not isinstance(old, nn.Module):
        return 0
    return sum(len(value) for name, value in vars(old).items() if name.endswith("_hooks") and isinstance(value, dict))


def reroute(
    model: nn.Module, called: list[Site], make: Callable[[Site], nn.Module], undo: Undo
) -> dict[int, list[nn.Module]]:
    """Run the forwards that call functions with new modules in their place, which become children of the callers."""
    owners = dict(model.named_modules())
    by_owner: dict[str, list[Site]] = {}
    new: dict[int, list[nn.Module]] = {}
    for site in called:
        by_owner.setdefault(site.owner, []).append(site)
    for name, of_it in by_owner.items():
        owner = owners[name]
        children = {f"in_place_of_{site.meaning.canonical}_{k}": site for k, site in enumerate(of_it)}
        for child, site in children.items():
            new[id(site)] = [_like(None, make(site), owner)]
            owner.add_module(child, new[id(site)][0])
            undo.append(functools.partial(owner._modules.pop, child))
        undo.append(functools.partial(_restore, owner, owner.__dict__.get("forward")))
        calls = [Call(c, s.held, () if s.alone else known.arguments(s.held, s.meaning)) for c, s in children.items()]
        owner.forward = Forward(owner, calls)
    return new


def _restore(owner: nn.Module, forward: Any) -> None:
    del owner.forward
    if forward is not None:
        owner.forward = forward


class Call(NamedTuple):
    """A function that a forward calls, with which arguments, and the child that stands in for it."""

    child: str
    function: Callable[..., Any]
    arguments: tuple[known.Argument, ...]


class Forward:
    """What a module runs in place of its forward: that, with children in place of functions that it calls.

    An object and no closure: a copy of the module calls the copy's children, and pickle takes it.
    """

    def __init__(self, owner: nn.Module, calls: list[Call]) -> None:
        self._owner, self._calls = owner, calls
        self._plain: Any = owner.forward

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._plain)

    @property
    def __code__(self) -> types.CodeType:
        """Where the forward stands, which torch.export asks for."""
        code: types.CodeType = self._plain.__code__
        return code

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with Rerouted(self._choose):
            return self._plain(*args, **kwargs)

    def _choose(self, function: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Callable[..., Any] | None:
        for child, replaced, arguments in self._calls:
            if function is replaced and _has(arguments, given, named):
                module = self._owner.get_submodule(child)
                if known.FUNCTIONS[function][1] or named.get("inplace"):
                    return lambda x, *_, **__: x.copy_(module(x.clone()))  # backward may need what is overwritten
                return lambda x, *_, **__: module(x)
        return None


def _has(arguments: tuple[known.Argument, ...], given: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Whether a call has these arguments. Plain Python, for torch.compile traces it."""
    for place, name, default, wanted in arguments:
        if (given[place] if place < len(given) else named.get(name, default)) != wanted:
            return False
    return True


def try_twins(
    model: nn.Module,
    example: Any,
    before: Observed,
    held: list[Site],
    called: list[Site],
    chosen: Mapping[int, Rule],
    share: bool,
) -> None:
    """Exchange every site for actfun's twin of it, in place only where the new one will be; the output must agree."""

    def twin(site: Site) -> Callable[[bool], nn.Module]:
        def make(inplace: bool) -> nn.Module:
            new = chosen[id(site)].make(inplace)
            made = named(site.meaning, inplace and bool(getattr(new, "inplace", False)))
            for own, other in zip(made.parameters(), getattr(site.held, "parameters", tuple)(), strict=False):
                own.data = other.detach().clone()
            return made

        return make

    def is_same(some: list[Site], calls: list[Site]) -> bool:
        undo: Undo = []
        try:
            new = install(model, some, twin, share, undo)
            reroute(model, calls, lambda site: twin(site)(False), undo)
            return check_same(before, observed(model, example, some, new))
        finally:
            unwind(undo)

    if is_same(held, called):
        return
    alone = [s for s in held if not is_same([s], [])] + [s for s in called if not is_same([], [s])]
    names = ", ".join(site.name for site in alone or held + called)
    raise RuntimeError(
        f"the output changes where actfun computes the same function at {names}: it depends on the activation working "
        f"in place, or on the very object; nothing was replaced"
    )


def unwind(undo: Undo) -> None:
    """Undo all, the last first."""
    while undo:
        undo.pop()()
