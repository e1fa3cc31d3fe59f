"""Calls of torch's functions given to others: in the methods of a class, or within a context."""

import copyreg
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actfun._surgery import known
from actfun._surgery.sites import Site

Choose = Callable[[Any, tuple[Any, ...], dict[str, Any]], Callable[..., Tensor] | None]


class Rerouted(TorchFunctionMode):
    """Gives torch's functions to others: `choose` says which, None where torch's shall stay."""

    def __init__(self, choose: Choose) -> None:
        super().__init__()
        self._choose = choose

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        other = self._choose(function, args, kwargs)
        return (other or function)(*args, **kwargs)


class Call(NamedTuple):
    """A function that a method calls, with which arguments, and the child that stands in for it."""

    child: str
    function: Callable[..., Any]
    arguments: tuple[known.Argument, ...]

    @classmethod
    def of(cls, child: str, site: Site) -> "Call":
        return cls(child, site.held, known.arguments(site.held, site.meaning))

    def is_made(self, function: Any, given: tuple[Any, ...], named: dict[str, Any]) -> bool:
        """Whether a call is this one. Plain Python, for torch.compile traces it."""
        if function is not self.function:
            return False
        if isinstance(known.input_of(given, named), Tensor) and not known.takes(given, named):
            return False  # of torch.fx it is no tensor
        for place, name, default, wanted in self.arguments:
            if (given[place] if place < len(given) else named.get(name, default)) != wanted:
                return False
        return True


@functools.cache
def with_calls(kind: Any, methods: frozenset[str], calls: tuple[Call, ...]) -> Any:
    """A class like `kind`, of whose methods some run children in place of functions that they call.

    A class, not a forward of the instance: so copies, replicas and torch.fx run it, and pickle takes it.
    """
    if is_own(kind):
        kind, other_methods, other_calls = kind._changed
        methods, calls = methods | other_methods, (*other_calls, *calls)
    changed: dict[str, Any] = {name: _through(getattr(kind, name), calls) for name in methods}

    def reduce(module: nn.Module, protocol: Any) -> Any:
        reduced: Any = super(made, module).__reduce_ex__(protocol)
        if reduced[0] is not copyreg.__newobj__:  # type: ignore[attr-defined]
            raise TypeError(
                f"{kind.__name__} says itself how it is copied, and would lose what was exchanged; undo that"
            )
        return _new, (kind, methods, calls), *reduced[2:]

    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    changed |= {"__reduce_ex__": reduce, "_changed": (kind, methods, calls), **names}
    made = type(kind)(kind.__name__, (kind,), changed)
    return made


def is_own(kind: type) -> bool:
    """Whether a class was made by `with_calls`."""
    return "_changed" in vars(kind)


def _new(kind: Any, methods: frozenset[str], calls: tuple[Call, ...]) -> nn.Module:
    made = with_calls(kind, methods, calls)
    new: nn.Module = made.__new__(made)
    return new


def _through(method: Callable[..., Any], calls: tuple[Call, ...]) -> Callable[..., Any]:
    @functools.wraps(method)
    def run(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        def choose(function: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Callable[..., Any] | None:
            for call in calls:
                if call.is_made(function, given, named):
                    module, x = self.get_submodule(call.child), known.input_of(given, named)
                    if known.FUNCTIONS[function][1] or named.get("inplace"):
                        return lambda *_, **__: x.copy_(module(x.clone()))  # backward may need what is overwritten
                    return lambda *_, **__: module(x)
            return None

        with Rerouted(choose):
            return method(self, *args, **kwargs)

    return run
