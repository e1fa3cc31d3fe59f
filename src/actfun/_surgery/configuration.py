"""Configurations of transformers, by which its models are made anew, brought along."""

import contextlib
import copy
import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from actfun._catalogue.names import Meaning, resolve, table
from actfun._surgery import known
from actfun._surgery.install import Step, Undo
from actfun._surgery.rerouted import is_own
from actfun._surgery.rules import Rule
from actfun._surgery.sites import Site, listed, sites


def bring_along(
    model: nn.Module, exchanged: list[Site], rules: Mapping[int, Rule], found: list[Site], undo: Undo
) -> list[str]:
    """Bring along the keys of transformers' configurations that name what was exchanged; what they cannot say.

    The model gets configurations of its own: others may have been made of the same. What they say by now is asked of
    the model that is made of them.
    """
    owned: dict[int, tuple[Any, list[nn.Module]]] = {}
    for module in model.modules():
        if hasattr(config := vars(module).get("config"), "to_dict"):
            owned.setdefault(id(config), (config, []))[1].append(module)
    notes = []
    copies: dict[int, Any] = {}
    for config, modules in owned.values():
        changed = copy.deepcopy(config, copies)
        for key, (value, name) in _changes(changed, rules, found).items():
            setattr(changed, key, name)
            notes.append(f"config.{key} is {name!r} now, was {value!r}")
        for module in modules:
            undo.append(Step("config", functools.partial(setattr, module, "config", config)))
            module.config = changed
    for name, module in model.named_modules():
        if hasattr(module, "save_pretrained") and hasattr(vars(module).get("config"), "to_dict"):
            inside = [site for site in exchanged if not name or site.name.startswith(f"{name}.")]
            if inside:
                notes += _unsaid(module, name, inside, rules)
            break  # what is in it is made by it
    return list(dict.fromkeys(notes))


def _changes(config: Any, rules: Mapping[int, Rule], found: list[Site]) -> dict[str, tuple[str, str]]:
    """The keys to change: what they say, and what they shall say."""
    changes = {}
    for key, value in list(vars(config).items()):
        if not isinstance(value, str) or "act" not in key or (meaning := _meant(f"{value}@transformers")) is None:
            continue
        of_it = [site for site in found if not site.is_call and known.same(site.meaning, meaning)]
        names = {_in_transformers(rules[id(site)].new) if id(site) in rules else value for site in of_it}
        if len(names) == 1 and (name := names.pop()) is not None and name != value:
            changes[key] = value, name
    return changes


def _unsaid(module: nn.Module, name: str, exchanged: list[Site], rules: Mapping[int, Rule]) -> list[str]:
    """What the model that is made of the configuration has otherwise."""
    kind = type(module).__mro__[1] if is_own(type(module)) else type(module)
    try:
        with torch.device("meta"):
            made = {f"{name}.{site.name}" if name else site.name: site for site in sites(kind(module.config))}
    except Exception as error:
        return [f"whether from_pretrained gives the new ones is not known: {type(error).__name__}: {error}"]
    wanted = {id(site): _meant(rules[id(site)].new) for site in exchanged}
    unsaid = [
        site
        for site in exchanged
        if site.name not in made or (w := wanted[id(site)]) is None or not known.same(made[site.name].meaning, w)
    ]
    return (
        [f"the configuration cannot say it of {listed(unsaid)}: from_pretrained gives the old ones"] if unsaid else []
    )


def _meant(name: str) -> Meaning | None:
    """What a name means."""
    with contextlib.suppress(ValueError):
        return resolve(name)
    return None


def _in_transformers(new: str) -> str | None:
    """What transformers calls an activation, in its configurations."""
    if (wanted := _meant(new)) is None:
        return None  # a class that is not known
    rows = [row for row in table() if row.framework == "transformers" and row.known and row.name == row.name.lower()]
    return next((row.name for row in rows if known.same(row.meaning, wanted)), None)
