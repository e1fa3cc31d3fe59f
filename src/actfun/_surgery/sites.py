"""Where the activations of a model are: modules, and functions that are attributes or are called."""

import contextlib
import functools
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as tree

from actfun._catalogue.names import Meaning
from actfun._surgery import known

REFUSED = {
    "ScriptModule": "a scripted or traced model has no activation modules; give the model it was made of",
    "GraphModule": "a graph (exported, or traced by torch.fx) has no activation modules; give the model it was made of",
}
COMPILED = "it, or a part of it, is compiled; give the model that was compiled, which then compiles anew"
QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic", "torch.ao.nn.qat")
STILL_FLOAT = ("torch.ao.nn.quantized.dynamic", "torch.ao.nn.quantized.modules.functional_modules")


@dataclass(frozen=True)
class Place:
    """Where a model holds something: a child or an attribute of a module, or an item of a list or dictionary there.

    owner: the name of the module. attribute: what it is there. key: of an item its index, else None.
    """

    name: str
    owner: str
    holder: nn.Module
    attribute: str
    key: Any = None

    def get(self) -> Any:
        value: Any = self.holder._modules.get(self.attribute, vars(self.holder).get(self.attribute))
        return value if self.key is None else value[self.key]

    def put(self, value: Any) -> None:
        held, attributes = self.holder._modules, vars(self.holder)
        if self.key is not None:  # in a copy: others may hold the container too
            items = attributes[self.attribute]
            changed = dict(items) if isinstance(items, dict) else list(items)
            changed[self.key] = value
            attributes[self.attribute] = tuple(changed) if isinstance(items, tuple) else changed
            return
        if self.attribute in held and isinstance(value, nn.Module):
            held[self.attribute] = value  # in its place, which decides the order
        else:
            held.pop(self.attribute, None)
            attributes.pop(self.attribute, None)
            setattr(self.holder, self.attribute, value)
        if isinstance(self.holder, nn.TransformerDecoderLayer) and isinstance(value, nn.Module):
            attributes[self.attribute] = value  # a copy looks for it there, and takes relu where it is not


@dataclass
class Site:
    """An activation of a model.

    name: where it is, as `named_modules` says it; of a call the module whose code makes it, and the function.
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
    places: tuple[Place, ...] = field(default=(), repr=False)  # none of a call in code
    owner: str = field(default="", repr=False)
    methods: frozenset[str] = field(default=frozenset(), repr=False)  # of a call: whose code makes it
    recomputed: bool = field(default=False, repr=False)  # whether checkpointing runs it again outside of its method

    @property
    def is_call(self) -> bool:
        """Whether it stands in the code of a method, not in an attribute."""
        return self.kind == "function" and not self.places


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

    Modules of torch, actfun, timm, transformers, diffusers and mmcv are found under every name, in plain lists, tuples
    and dictionaries too, and so are functions that are attributes. example: what the model is called with, a tensor, a
    tuple of arguments or a dictionary of them; with one, the calls of functions (`F.relu(x)`, `x.relu()`) are found as
    well, and all are counted. The model, the example and the random numbers stay as they are.

    Raises TypeError for what is no module, and for scripted, traced, exported and compiled models; ValueError for an
    example that the model does not take.
    """
    check_model(model)
    found, unseen = held_sites(model), unseen_modules(model)
    if example is None:
        return Sites(found, unseen)
    functions = [site for site in found if site.kind == "function"]
    with untouched(model), contextlib.ExitStack() as restored:
        calls = Calls(model, found)
        for site in functions:
            site.calls = 0
            for place in site.places:
                restored.callback(place.put, site.held)
                place.put(calls.through(site))
        with calls, torch.no_grad():
            run(model, example)
    for site in found:
        if site.kind == "module":
            site.calls = calls.of_modules[id(site.held)]
    return Sites([*found, *calls.of_functions.values()], unseen)


def check_model(model: Any) -> None:
    """Raise TypeError for what is no module, or has no activations that could be exchanged."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    for base in type(model).__mro__:
        if base.__name__ in REFUSED and base.__module__.startswith("torch."):
            raise TypeError(f"model: {REFUSED[base.__name__]}")
    if any(m._compiled_call_impl is not None or type(m).__name__ == "OptimizedModule" for m in _live(model)):
        raise TypeError(f"model: {COMPILED}")


def _live(model: nn.Module) -> list[nn.Module]:
    """The modules of a model whose code Python runs."""
    return [m for m in model.modules() if not isinstance(m, torch.jit.ScriptModule)]


def check_not_quantised(model: nn.Module) -> None:
    """Raise TypeError where a part is quantised, or fused to become so: its activation is inside an operation."""
    for name, module in model.named_modules():
        home, kind = type(module).__module__, type(module).__name__
        if home.startswith(QUANTISED) and not home.startswith(STILL_FLOAT):
            part = f"{name or 'it'} is {home}.{kind}"
            raise TypeError(f"model: {part}; exchange activations before it is quantised or fused")


def run(model: nn.Module, example: Any) -> Any:
    """What the model gives for a copy of an example: a tensor, a tuple of arguments, or a mapping of them by name.

    Raises ValueError where the model does not take it.
    """
    if not isinstance(example, Tensor | tuple | list) and not hasattr(example, "keys"):
        raise TypeError(f"example must be a tensor, a tuple of arguments or a dictionary, got {type(example).__name__}")
    if hasattr(example, "keys"):
        args, kwargs = (), {key: example[key] for key in example}
    else:
        args, kwargs = tuple(example) if isinstance(example, tuple | list) else (example,), {}
    args, kwargs = tree.tree_map_only(
        Tensor, lambda t: t.detach().clone().requires_grad_(t.requires_grad), (args, kwargs)
    )
    try:
        output = model(*args, **kwargs)
        return list(output) if isinstance(output, Iterator) else output
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AssertionError) as error:
        raise ValueError(f"example: the model raised {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Leave parameters, buffers, modes and random numbers as they are, whatever runs within."""
    if lazy := next((name for name, p in [*model.named_parameters(), *model.named_buffers()] if is_lazy(p)), None):
        raise ValueError(f"model: {lazy} has no shape yet; run the model once before")
    held = [(m._buffers, name, buffer) for m in model.modules() for name, buffer in m._buffers.items()]
    kept = [(t, t.detach().to("cpu", copy=True)) for t in (*model.parameters(), *model.buffers()) if not t.is_meta]
    modes = [(module, module.training) for module in model.modules()]
    devices = sorted(
        {p.device.index for p in model.parameters() if p.device.type == "cuda" and p.device.index is not None}
    )
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            if model.training != modes[0][1]:
                model.train(modes[0][1])  # some merge weights in evaluation
            for module, mode in modes:
                module.training = mode
            for buffers, name, buffer in held:
                buffers[name] = buffer  # which may have been assigned
            with torch.no_grad():
                for tensor, before in kept:
                    if not torch.equal(tensor.cpu(), before):
                        tensor.copy_(before)


def held_sites(model: nn.Module) -> list[Site]:
    """The modules and functions that a model holds, each once."""
    if (meaning := known.meaning_of_module(model)) is not None:
        return [Site("", known.text(meaning), "module", None, (), meaning, model)]
    found: dict[tuple[Any, ...], Site] = {}
    places: dict[tuple[Any, ...], list[Place]] = {}
    names: dict[tuple[Any, ...], list[str]] = {}
    seen: set[int] = set()
    for owner, parent in model.named_modules(remove_duplicate=False):
        if isinstance(parent, torch.jit.ScriptModule) or known.meaning_of_module(parent) is not None:
            continue  # what an activation holds is its own affair
        for name, attribute, item, value in _contents(parent):
            is_module = isinstance(value, nn.Module)
            meaning = known.meaning_of_module(value) if is_module else known.meaning_of_function(value)
            if meaning is None:
                continue
            path = f"{owner}.{name}" if owner else name
            key = (id(value),) if is_module else (id(value), id(parent), name)  # functions are shared
            kind = "module" if is_module else "function"
            found.setdefault(key, Site(path, known.text(meaning), kind, None, (), meaning, value, (), owner))
            names.setdefault(key, []).append(path)
            if id(parent) not in seen:  # a parent with several names is one place
                places.setdefault(key, []).append(Place(path, owner, parent, attribute, item))
        seen.add(id(parent))
    for key, site in found.items():
        site.places, site.aliases = tuple(places[key]), tuple(names[key][1:])
    return list(found.values())


def _contents(parent: nn.Module) -> Iterator[tuple[str, str, Any, Any]]:
    """What a module holds, children, and modules and functions in other attributes: name, attribute, key, value."""
    for name, child in list(parent._modules.items()):
        if child is not None:
            yield name, name, None, child
    for name, value in list(vars(parent).items()):
        if name in parent._modules or (
            name.startswith("_") and not isinstance(value, nn.Module) and not callable(value)
        ):
            continue
        if isinstance(value, list) or type(value) is tuple:
            yield from ((f"{name}[{k}]", name, k, item) for k, item in enumerate(value))
        elif isinstance(value, dict) and not name.startswith("_"):
            yield from ((f"{name}[{k!r}]", name, k, item) for k, item in list(value.items()) if k is not None)
        elif callable(value) and name != "forward":
            yield name, name, None, value


def unseen_modules(model: nn.Module) -> dict[str, str]:
    """Modules whose activation is part of an operation: recurrent and quantised ones, norms that have one built in."""
    return {
        name: type(module).__name__
        for name, module in model.named_modules()
        if isinstance(module, (*known.RECURRENT, torch.jit.ScriptModule))
        or type(module).__name__ in known.NORMS
        or (type(module).__module__.startswith("torch.ao.nn.intrinsic.quantized") and "ReLU" in type(module).__name__)
    }


class Calls(TorchFunctionMode):
    """Counts what is called while an example runs: modules, and functions by the module whose code calls them."""

    def __init__(self, model: nn.Module, found: list[Site]) -> None:
        super().__init__()
        self.of_modules: Counter[int] = Counter()
        self.of_functions: dict[tuple[str, Any, str], Site] = {}
        self._stack: list[nn.Module | None] = [model]
        self._known = {id(site.held) for site in found if site.kind == "module"}
        self._known |= {id(model.get_submodule(name)) for name in unseen_modules(model)}  # on meta they are taken apart
        self._names = {id(module): name for name, module in model.named_modules()}
        loose = [site.held for site in found if site.kind == "module" and id(site.held) not in self._names]
        self._watched = [*_live(model), *loose]
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

    def through(self, site: Site) -> Callable[..., Any]:
        """The function of an attribute, which counts its calls as the attribute's, not as those of code."""

        @functools.wraps(site.held)
        def call(*args: Any, **kwargs: Any) -> Any:
            site.calls = (site.calls or 0) + 1
            self._stack.append(None)
            try:
                return site.held(*args, **kwargs)
            finally:
                self._stack.pop()

        return call

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        self.of_modules[id(module)] += 1
        inside = id(module) in self._known or self._stack[-1] is None
        self._stack.append(None if inside else module)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._stack.pop()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        owner = self._stack[-1]
        if owner is not None and (meaning := known.meaning_of_call(function, args, kwargs)) is not None:
            name, written, label = self._names.get(id(owner), ""), known.text(meaning), known.label(function)
            new = Site(f"{name}:{label}" if name else label, written, "function", 0, (), meaning, function, (), name)
            site = self.of_functions.setdefault((name, function, written), new)
            method, recomputed = _method_of(owner)
            site.calls = (site.calls or 0) + 1
            site.methods |= {method}
            site.recomputed |= recomputed
        return function(*args, **kwargs)


def _method_of(owner: nn.Module) -> tuple[str, bool]:
    """Which method of a module runs by now, and whether activation checkpointing runs a part of it on its own."""
    frame, recomputed = sys._getframe(2), False
    while frame is not None:
        code = frame.f_code
        if code.co_argcount and frame.f_locals.get(code.co_varnames[0]) is owner and hasattr(type(owner), code.co_name):
            return ("forward" if code.co_name.endswith("_call_impl") else code.co_name), recomputed
        recomputed |= frame.f_globals.get("__name__") == "torch.utils.checkpoint"
        frame = frame.f_back  # type: ignore[assignment]
    return "forward", recomputed


def listed(found: list[Site]) -> str:
    """The names of the first few, with how often they are called."""
    words = [site.name if site.calls is None else f"{site.name} ×{site.calls}" for site in found[:4]]
    return ", ".join(words) + (f" and {len(found) - 4} more" if len(found) > 4 else "")
