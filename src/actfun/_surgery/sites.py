"""Where the activations of a model are: modules, and functions that are attributes or are called."""

import contextlib
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actfun._catalogue.names import Meaning
from actfun._surgery import known

REFUSED = {
    "ScriptModule": "a scripted model has no activation modules; give the model that was scripted",
    "GraphModule": "a graph (exported, or traced by torch.fx) has no activation modules; give the model it was made of",
    "OptimizedModule": "it is compiled; give the model that was compiled (model._orig_mod), which then compiles anew",
}
QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic", "torch.ao.nn.qat")
STILL_FLOAT = ("torch.ao.nn.quantized.dynamic", "torch.ao.nn.quantized.modules.functional_modules")


@dataclass(frozen=True)
class Place:
    """Where a model holds something: the module of that name, and how to put something else there."""

    name: str
    owner: str
    put: Callable[[Any], None]


@dataclass
class Site:
    """An activation of a model.

    name: where it is, as `named_modules` says it; of a call the module whose forward makes it, and the function.
    activation: what it computes, as `actfun.get` takes it. kind: "module" or "function". calls: how often the example
    called it, None without one. aliases: other names of the same object.
    """

    name: str
    activation: str
    kind: str
    calls: int | None
    aliases: tuple[str, ...] = ()
    meaning: Meaning = field(default_factory=lambda: Meaning("identity"), repr=False)
    held: Any = field(default=None, repr=False)  # the module or the function; of a call what is called
    places: tuple[Place, ...] = field(default=(), repr=False)  # none of a call in the code of a forward
    owner: str = field(default="", repr=False)
    alone: bool = field(default=True, repr=False)  # whether the model calls the function in this form only

    @property
    def is_call(self) -> bool:
        """Whether it stands in the code of a forward, not in an attribute."""
        return not self.places


class Sites(list[Site]):
    """The sites of a model. unseen: the names of modules whose activation is inside an operation, with their class."""

    def __init__(self, found: list[Site], unseen: dict[str, str]) -> None:
        super().__init__(found)
        self.unseen = unseen

    @property
    def summary(self) -> str:
        """What there is, most frequent first: "relu ×9, sigmoid ×2"."""
        counted = Counter(site.activation for site in self)
        return ", ".join(f"{name} ×{count}" for name, count in counted.most_common()) or "no activation that is known"


def sites(model: nn.Module, example: Any = None) -> Sites:
    """Every activation of a model, by its canonical name with its parameters.

    Modules of torch, actfun, timm, transformers, diffusers and mmcv are found under every name, in plain lists and
    dictionaries too, and so are functions that are attributes. example: what the model is called with, a tensor, a
    tuple of arguments or a dictionary of them; with one, the calls of functions (`F.relu(x)`, `x.relu()`) are found as
    well, and all are counted. The model, its buffers and the random numbers stay as they are.

    Raises TypeError for what is no module, and for scripted, traced, exported and compiled models.
    """
    check_model(model)
    found, unseen = _held(model), _unseen(model)
    if example is None:
        return Sites(found, unseen)
    with untouched(model):
        calls = Calls(model, found)
        with calls, torch.no_grad():
            run(model, example)
    for site in found:
        site.calls = calls.of_modules[id(site.held)]
    kept = [site for site in found if site.kind == "function"]
    for (owner, function, written), (meaning, count) in calls.of_functions.items():
        attribute = next((s for s in kept if s.owner == owner and known.same(s.meaning, meaning)), None)
        if attribute is not None:
            attribute.calls = (attribute.calls or 0) + count
        else:
            name = f"{owner}:{known.label(function)}" if owner else known.label(function)
            found.append(Site(name, written, "function", count, (), meaning, function, (), owner))
            found[-1].alone = len(calls.forms[function]) == 1
    return Sites(found, unseen)


def check_model(model: Any) -> None:
    """Raise TypeError for what is no module, or has no activations that could be exchanged."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    for base in type(model).__mro__:
        if base.__name__ in REFUSED and base.__module__.startswith("torch."):
            raise TypeError(f"model: {REFUSED[base.__name__]}")


def check_not_quantised(model: nn.Module) -> None:
    """Raise TypeError where a part is quantised, or fused to become so: its activation is inside an operation."""
    for name, module in model.named_modules():
        home, kind = type(module).__module__, type(module).__name__
        if home.startswith(QUANTISED) and not home.startswith(STILL_FLOAT):
            part = f"{name or 'it'} is {home}.{kind}"
            raise TypeError(f"model: {part}; exchange activations before it is quantised or fused")


def run(model: nn.Module, example: Any) -> Any:
    """What the model gives for an example: a tensor, a tuple of arguments, or a mapping of them by name."""
    if isinstance(example, Tensor):
        return model(example)
    if isinstance(example, tuple | list):
        return model(*example)
    if hasattr(example, "keys"):
        return model(**{key: example[key] for key in example})
    raise TypeError(f"example must be a tensor, a tuple of arguments or a dictionary, got {type(example).__name__}")


@contextlib.contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Leave buffers, modes and random numbers as they are, whatever runs within."""
    buffers = {tensor: tensor.detach().clone() for tensor in model.buffers() if not tensor.is_meta}
    modes = [(module, module.training) for module in model.modules()]
    devices = sorted(
        {p.device.index for p in model.parameters() if p.device.type == "cuda" and p.device.index is not None}
    )
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, before in buffers.items():
                    tensor.copy_(before)
            for module, mode in modes:
                module.training = mode


def _held(model: nn.Module) -> list[Site]:
    """The modules and functions that a model holds, each once."""
    found: dict[int, Site] = {}
    places: dict[int, list[Place]] = {}
    names: dict[int, list[str]] = {}
    seen: set[int] = set()
    for owner, parent in model.named_modules(remove_duplicate=False):
        if parent is not model and known.meaning_of_module(parent) is not None:
            continue  # what an activation holds is its own affair
        for name, value, put in _contents(parent):
            is_module = isinstance(value, nn.Module)
            meaning = known.meaning_of_module(value) if is_module else known.meaning_of_function(value)
            if meaning is None:
                continue
            path = f"{owner}.{name}" if owner else name
            key = id(value) if is_module else hash((id(value), id(parent), name))  # functions are shared
            kind = "module" if is_module else "function"
            found.setdefault(key, Site(path, known.text(meaning), kind, None, (), meaning, value, (), owner))
            names.setdefault(key, []).append(path)
            if id(parent) not in seen:  # a parent with several names is one place
                places.setdefault(key, []).append(Place(path, owner, put))
        seen.add(id(parent))
    for key, site in found.items():
        site.places, site.aliases = tuple(places[key]), tuple(names[key][1:])
    return list(found.values())


def _contents(parent: nn.Module) -> Iterator[tuple[str, Any, Callable[[Any], None]]]:
    """What a module holds: children, and in other attributes modules and functions, with how to replace each."""
    for name, child in list(parent._modules.items()):
        if child is not None:
            yield name, child, _setter(parent, name)
    for name, value in list(vars(parent).items()):
        if name.startswith("_") and not isinstance(value, nn.Module) and not callable(value):
            continue
        if isinstance(value, list):
            yield from ((f"{name}[{k}]", item, _item(value, k)) for k, item in enumerate(value))
        elif isinstance(value, dict) and not name.startswith("_"):
            yield from ((f"{name}[{k!r}]", item, _item(value, k)) for k, item in list(value.items()))
        elif callable(value) and name not in ("forward", "_modules"):
            yield name, value, _setter(parent, name)


def _setter(parent: nn.Module, name: str) -> Callable[[Any], None]:
    reference = weakref.ref(parent)

    def put(value: Any) -> None:
        owner = reference()
        assert owner is not None
        if name in owner._modules and isinstance(value, nn.Module):
            owner._modules[name] = value  # in its place, which decides the order
            return
        owner._modules.pop(name, None)
        vars(owner).pop(name, None)
        setattr(owner, name, value)

    return put


def _item(container: Any, key: Any) -> Callable[[Any], None]:
    return lambda value: container.__setitem__(key, value)


def _unseen(model: nn.Module) -> dict[str, str]:
    """Modules whose activation is part of an operation: recurrent and quantised ones, norms that have one built in."""
    return {
        name: type(module).__name__
        for name, module in model.named_modules()
        if isinstance(module, known.RECURRENT)
        or type(module).__name__ in known.NORMS
        or (type(module).__module__.startswith("torch.ao.nn.intrinsic.quantized") and "ReLU" in type(module).__name__)
    }


class Calls(TorchFunctionMode):
    """Counts what is called while an example runs: modules, and functions by the module whose forward calls them."""

    def __init__(self, model: nn.Module, found: list[Site]) -> None:
        super().__init__()
        self.of_modules: Counter[int] = Counter()
        self.of_functions: dict[tuple[str, Any, str], tuple[Meaning, int]] = {}
        self.forms: defaultdict[Any, set[str]] = defaultdict(set)  # of each function, inside of modules too
        self._stack: list[str | None] = [""]
        self._known = {id(site.held) for site in found if site.kind == "module"}
        self._known |= {id(model.get_submodule(name)) for name in _unseen(model)}  # on meta they are taken apart
        self._names = {id(module): name for name, module in model.named_modules()}
        loose = [site.held for site in found if site.kind == "module" and id(site.held) not in self._names]
        self._watched = [*model.modules(), *loose]
        self._hooks: list[Any] = []

    def __enter__(self) -> "Calls":
        for module in self._watched:
            self._hooks.append(module.register_forward_pre_hook(self._enter, prepend=True))
            self._hooks.append(module.register_forward_hook(self._leave, always_call=True))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        self.of_modules[id(module)] += 1
        inside = id(module) in self._known or self._stack[-1] is None
        self._stack.append(None if inside else self._names.get(id(module), ""))

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._stack.pop()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        owner = self._stack[-1]
        if (meaning := known.meaning_of_call(function, args, kwargs)) is not None:
            written = known.text(meaning)
            self.forms[function].add(written)
            if owner is not None:
                key = owner, function, written
                self.of_functions[key] = meaning, self.of_functions.get(key, (meaning, 0))[1] + 1
        return function(*args, **kwargs)


def listed(found: list[Site]) -> str:
    """The names of the first few, with how often they are called."""
    words = [site.name if site.calls is None else f"{site.name} ×{site.calls}" for site in found[:4]]
    return ", ".join(words) + (f" and {len(found) - 4} more" if len(found) > 4 else "")
