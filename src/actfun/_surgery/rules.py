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
        if not known.is_known(key):
            raise TypeError(f"mapping: {key.__name__} is no activation that is known")
        return Rule(key.__name__, lambda site: type(site.held) is key and _is_element_wise(site.meaning), make, new)
    if isinstance(key, str) and "*" in key:
        return Rule(
            key,
            lambda s: fnmatch.fnmatchcase(s.activation.partition("(")[0], key) and _is_element_wise(s.meaning),
            make,
            new,
        )
    if isinstance(key, nn.Module):
        wanted = known.meaning_of_module(key)
        if wanted is None:
            raise TypeError(f"mapping: {type(key).__name__} is no activation that is known")
    elif isinstance(key, str):
        wanted = resolve(key)
    else:
        raise TypeError(f"mapping: what is replaced is a name, a class or a module, got {key!r}")
    if not _is_element_wise(wanted):
        raise ValueError(f"mapping: {key!r} is {wanted.activation.kind.name}; what is replaced must be element-wise")
    return Rule(known.text(wanted), lambda site: known.matches(wanted, site.meaning), make, new)


def _maker(value: Any) -> tuple[Callable[[bool], nn.Module], str]:
    """What makes the new module, which works in place if asked to and if it can, and how it is called."""
    meaning: Meaning | None
    make: Callable[[bool], nn.Module]
    if isinstance(value, str):
        meaning = resolve(value)
        make, name = functools.partial(module_named, meaning), known.text(meaning)
    elif isinstance(value, type) and issubclass(value, nn.Module):
        make, name = functools.partial(_of_class, value), value.__name__
        try:
            meaning = known.meaning_of_module(make(False))
        except TypeError as error:
            raise TypeError(f"mapping: {name} cannot be made without arguments: {error}; give a module") from error
    elif isinstance(value, nn.Module):
        meaning = known.meaning_of_module(value)
        make, name = functools.partial(_copied, value), known.text(meaning) if meaning else type(value).__name__
    else:
        raise TypeError(f"mapping: what replaces is a name, a class or a module, got {value!r}")
    if meaning is not None and not _is_element_wise(meaning):
        raise ValueError(f"mapping: {value!r} is {meaning.activation.kind.name}; what replaces must be element-wise")
    return make, name


def _is_element_wise(meaning: Meaning) -> bool:
    return meaning.activation.kind in (ELEMENTWISE, RANDOM)


def module_named(meaning: Meaning, inplace: bool) -> nn.Module:
    made = module_meant(meaning, {})
    return module_meant(meaning, {"inplace": True}) if inplace and _takes_inplace(type(made)) else made


def _of_class(kind: type[nn.Module], inplace: bool) -> nn.Module:
    return kind(inplace=True) if inplace and _takes_inplace(kind) else kind()


def _copied(module: nn.Module, inplace: bool) -> nn.Module:
    return copy.deepcopy(module)


def _takes_inplace(kind: type[nn.Module]) -> bool:
    return "inplace" in inspect.signature(kind).parameters
