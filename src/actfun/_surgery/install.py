"""New modules in the places of activations, and what undoes it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from actfun._surgery.rerouted import Call, with_calls
from actfun._surgery.sites import Place, Site


@dataclass(frozen=True)
class Step:
    """Something that was changed. back: how it goes back. get, left: what is there, and what was left there."""

    where: str
    back: Callable[[], Any]
    get: Callable[[], Any] = lambda: None
    left: Any = None

    @property
    def stands(self) -> bool:
        """Whether it is as it was left."""
        return self.get() is self.left


Undo = list[Step]
Make = Callable[[Site], Callable[[bool], nn.Module]]  # of a site, what makes a module, in place or not
New = dict[int, list[nn.Module]]  # id of a site -> what was put there


def install(model: nn.Module, held: list[Site], make: Make, share: bool, undo: Undo) -> New:
    """Put new modules in the places of sites."""
    owners = dict(model.named_modules(remove_duplicate=False))
    new: New = {}
    for site in held:
        shared: nn.Module | None = None
        for place in site.places:
            home = _home(owners, place.owner)
            if shared is None or not share:
                inplace = bool(getattr(site.held, "inplace", False))
                shared = _made(make(site), inplace, getattr(site.held, "training", place.holder.training), home)
                _take_hooks(site.held, shared)
                new.setdefault(id(site), []).append(shared)

            back = functools.partial(_put_back, place, site.held, shared, home, owners)
            undo.append(Step(place.name, back, place.get, shared))
            place.put(shared)
            layer = place.holder
            if isinstance(layer, nn.TransformerEncoderLayer) and place.attribute == "activation":
                kind = functools.partial(setattr, layer, "activation_relu_or_gelu", layer.activation_relu_or_gelu)
                undo.append(Step(place.name, kind))
                layer.activation_relu_or_gelu = 0  # no fast path
    return new


def _put_back(place: Place, old: Any, new: nn.Module, home: tuple[Any, ...], owners: dict[str, nn.Module]) -> None:
    """The old one, in the mode of the new one, and where its neighbours are by now."""
    place.put(old)
    if isinstance(old, nn.Module):
        old.train(new.training)
        if (by_now := _home(owners, place.owner)) != home:
            old.to(*by_now)


def _home(owners: dict[str, nn.Module], name: str) -> tuple[Any, ...]:
    """Device and dtype of the first floating-point parameter in a module, or in what it is in; nothing without one."""
    while (near := next((p for p in owners[name].parameters() if p.is_floating_point()), None)) is None and name:
        name = name.rpartition(".")[0]
    return () if near is None else (near.device, near.dtype)


def _made(make: Callable[[bool], nn.Module], inplace: bool, training: bool, home: tuple[Any, ...]) -> nn.Module:
    """A new module with the mode of what is replaced, and the device and dtype of its neighbours."""
    with torch.inference_mode(False):
        new = make(inplace)
        if home:
            new.to(*home)
    return new.train(training)


def _take_hooks(old: Any, new: nn.Module) -> None:
    if isinstance(old, nn.Module):
        for name, value in vars(old).items():
            if "_hook" in name:
                vars(new)[name] = value  # the same dictionary: what removes a hook goes on doing so


def count_hooks(old: Any) -> int:
    if not isinstance(old, nn.Module):
        return 0
    return sum(len(value) for name, value in vars(old).items() if name.endswith("_hooks") and isinstance(value, dict))


def reroute(model: nn.Module, called: list[Site], make: Make, undo: Undo) -> New:
    """Run the methods that call functions with new modules in their place, which become children of the callers.

    Raises ValueError where that cannot be: for methods of an instance, and for calls that checkpointing recomputes.
    """
    owners = dict(model.named_modules())
    new: New = {}
    for name in dict.fromkeys(site.owner for site in called):
        owner, of_it = owners[name], [site for site in called if site.owner == name]
        calls = []
        for site in of_it:
            if site.recomputed:
                raise ValueError(
                    f"functional: {site.name} is recomputed by activation checkpointing, outside of the method that "
                    f"calls it; make it a method of its module, or a module"
                )
            if own := [method for method in site.methods if method in vars(owner)]:
                raise ValueError(
                    f"functional: {name or 'the model'} has a {own[0]} of its own, not its class's, which calls "
                    f"{site.name}; exchange before it is put there"
                )
            stem = f"in_place_of_{site.meaning.canonical}"
            child = next(word for k in range(len(vars(owner)) + 100) if not hasattr(owner, word := f"{stem}_{k}"))
            new[id(site)] = [_made(make(site), False, owner.training, _home(owners, name))]
            owner.add_module(child, new[id(site)][0])
            undo.append(Step(site.name, functools.partial(owner._modules.pop, child)))
            calls.append(Call.of(child, site))
        methods: frozenset[str] = frozenset().union(*(site.methods for site in of_it))
        kind: Any = type(owner)
        changed = with_calls(kind, methods, tuple(calls))
        back = functools.partial(setattr, owner, "__class__", kind)
        undo.append(Step(", ".join(site.name for site in of_it), back, functools.partial(type, owner), changed))
        owner.__class__ = changed
    return new


def unwind(undo: Undo) -> None:
    """Undo all, the last first."""
    while undo:
        undo.pop().back()
