"""Configurations of transformers, by which its models are made anew, brought along."""

import contextlib
import functools
from collections.abc import Callable, Mapping

from torch import nn

from actfun._catalogue.names import Meaning, resolve, table
from actfun._surgery import known
from actfun._surgery.rules import Rule
from actfun._surgery.sites import Site, listed


def bring_along(
    model: nn.Module,
    exchanged: list[Site],
    rules: Mapping[int, Rule],
    found: list[Site],
    undo: list[Callable[[], None]],
) -> list[str]:
    """Bring along the keys of transformers' configurations that name what was exchanged; what they cannot say."""
    configs = {id(c): c for c in (getattr(m, "config", None) for m in model.modules()) if hasattr(c, "to_dict")}
    notes, said = [], set()
    for config in configs.values():
        for key, value in list(vars(config).items()):
            if not isinstance(value, str) or "act" not in key or (meaning := _meant(f"{value}@transformers")) is None:
                continue
            of_it = [site for site in found if not site.is_call and known.same(site.meaning, meaning)]
            names = {_in_transformers(rules[id(s)].new) if id(s) in rules else value for s in of_it}
            if len(names) == 1 and (name := names.pop()) is not None and name != value:
                undo.append(functools.partial(setattr, config, key, value))
                setattr(config, key, name)
                notes.append(f"config.{key} is {name!r} now, was {value!r}")
                said |= {id(site) for site in of_it}
    if configs and (unsaid := [site for site in exchanged if id(site) not in said]):
        notes.append(f"the configuration cannot say it of {listed(unsaid)}: from_pretrained gives the old ones back")
    return list(dict.fromkeys(notes))


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
