"""What a mapping says: which sites are exchanged, and what makes the new modules."""

import copy
import fnmatch
import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from actfun._catalogue.kinds import ELEMENTWISE, RANDOM
from actfun._catalogue.names import Meaning, resolve
from actfun._operators.modules import module_meant
from actfun._surgery import known
from actfun._surgery.sites import Site


class Rule(NamedTuple):
    """A pair of the mapping: which sites it is for, and what makes a module for them."""

    key: str
    fits: Callable[[Site], bool]
    make: Callable[[bool], nn.Module]
    new: str


def rule(key: Any, value: Any) -> Rule:
    make, new = _maker(value)
    if isinstance(key, type) and issubclass(key, nn.Module):
        return Rule(key.__name__, lambda site: type(site.held) is key, make, new)
    if isinstance(key, str) and "*" in key:
        return Rule(key, lambda site: fnmatch.fnmatchcase(site.activation.partition("(")[0], key), make, new)
    if isinstance(key, nn.Module):
        wanted = known.meaning_of_module(key)
        if wanted is None:
            raise TypeError(f"mapping: {type(key).__name__} is no activation that is known")
    elif isinstance(key, str):
        wanted = resolve(key)
    else:
        raise TypeError(f"mapping: what is replaced is a name, a class or a module, got {key!r}")
    return Rule(known.text(wanted), lambda site: known.matches(wanted, site.meaning), make, new)


def _maker(value: Any) -> tuple[Callable[[bool], nn.Module], str]:
    """What makes the new module, which works in place if asked to and if it can, and how it is called."""
    if isinstance(value, str):
        meaning = resolve(value)
        if meaning.activation.kind not in (ELEMENTWISE, RANDOM):
            raise ValueError(
                f"mapping: {value!r} is {meaning.activation.kind.name}; what replaces must be element-wise"
            )
        return functools.partial(named, meaning), known.text(meaning)
    if isinstance(value, type) and issubclass(value, nn.Module):
        return lambda inplace: value(**({"inplace": True} if inplace and _takes_inplace(value) else {})), value.__name__
    if isinstance(value, nn.Module):
        meant = known.meaning_of_module(value)
        return lambda inplace: copy.deepcopy(value), known.text(meant) if meant else type(value).__name__
    raise TypeError(f"mapping: what replaces is a name, a class or a module, got {value!r}")


def named(meaning: Meaning, inplace: bool) -> nn.Module:
    made = module_meant(meaning, {})
    return module_meant(meaning, {"inplace": True}) if inplace and _takes_inplace(type(made)) else made


def _takes_inplace(kind: type[nn.Module]) -> bool:
    return "inplace" in inspect.signature(kind).parameters
