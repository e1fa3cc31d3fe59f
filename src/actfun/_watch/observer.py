"""Sees the activations of a model while it runs: modules by hooks, calls of functions by a mode.

The hooks are PyTorch's global ones, so a model has nothing of them in it that could be copied, saved or traced, and
they are there only while somebody observes.
"""

import functools
import threading
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as tree

from actfun._catalogue.kinds import ELEMENTWISE, GATED
from actfun._catalogue.names import Meaning
from actfun._catalogue.registry import Activation
from actfun._operators.layers import Maxout, MaxoutConv1d, MaxoutConv2d, MaxoutConv3d
from actfun._operators.modules import MaxoutPieces, module_meant
from actfun._operators.op import activation_of
from actfun._operators.torch_private import in_backward, is_transformed, without_modes
from actfun._surgery import known
from actfun._surgery.sites import Site as Held
from actfun._surgery.sites import held_sites
from actfun._watch.slopes import Natural, Slope
from actfun._watch.tally import Tally

LAYERS = (Maxout, MaxoutConv1d, MaxoutConv2d, MaxoutConv3d)  # whose activation is inside
MOST_SIZES = 4  # numbers of units of one place
MOST_CALLS = 8  # of one place in a pass that are told apart: a loop over time makes hundreds
CHANNELS_FIRST = (functional.batch_norm, functional.instance_norm, functional.group_norm)
UNITS_LAST: tuple[Any, ...] = (
    functional.linear,
    functional.layer_norm,
    functional.rms_norm,
    functional.embedding,
    torch.addmm,
)
UNITS_LAST += (torch.matmul, torch.bmm, Tensor.matmul, Tensor.__matmul__, torch.einsum)
CONVOLUTIONS = {
    function: dims
    for dims in (1, 2, 3)
    for function in (getattr(functional, f"conv{dims}d"), getattr(functional, f"conv_transpose{dims}d"))
}
PASSING = frozenset({functional.dropout, torch.flatten, Tensor.flatten, Tensor.view, Tensor.reshape, torch.reshape})
PASSING |= {Tensor.transpose, torch.transpose, Tensor.permute, torch.permute}
PASSING |= {functional.max_pool2d, functional.adaptive_avg_pool2d, functional.avg_pool2d, Tensor.contiguous}
BENDING = frozenset({torch.clamp, torch.clamp_min, torch.clip, torch.maximum, torch.where, torch.abs})
BENDING |= {Tensor.clamp, Tensor.clamp_min, Tensor.clip, Tensor.maximum, Tensor.where, Tensor.abs}


@dataclass(frozen=True)
class Key:
    """What tells places apart.

    owner: the module. function: empty where the module is the activation. after: the layer whose weights come before.
    call: of these in a pass the how-manieth. units: how many there are.
    """

    owner: str
    function: str
    after: str
    call: int
    units: int

    def has_size_of(self, other: "Key") -> bool:
        """Whether only the number of units differs, or nothing."""
        return replace(self, units=0) == replace(other, units=0)

    def is_like(self, other: "Key") -> bool:
        """Whether only the layer before differs."""
        return replace(self, after="") == replace(other, after="")


@dataclass
class Place:
    """An activation that was seen.

    name: as a reader knows it. activation: as `actfun.get` takes it. kind: "module" or "function". shape: of its last
    pre-activations. dim: that of the outputs that holds the units. weight: the module and the attribute of the matrix
    before it, or None. order: in which it was first seen. natural: what the activation does by itself. feeds: whether a
    layer with weights takes its output.
    """

    key: Key
    name: str
    activation: str
    kind: str
    shape: tuple[int, ...]
    dim: int
    weight: tuple[nn.Module, str] | None
    order: int
    slope: Slope = field(repr=False)
    natural: Natural = field(repr=False)
    feeds: bool = False


@dataclass
class _Layer:
    """What came before an activation: the dimension of its units, and the matrix."""

    dim: int
    weight: tuple[nn.Module, str] | None


class _Inside:
    """On the stack: within an activation, whose own operations are its own affair. after: takes the output."""

    def __init__(self, after: Callable[[Any], None] | None = None) -> None:
        self.after = after


@dataclass
class Seen:
    """A call of an activation.

    owner: the module that makes it. function: how it is written; empty where the owner is the activation. kind:
    "module", "function", or "layer" where the activation is inside. slope: makes the slope. graded: the tensor whose
    gradient is counted, if it is not z. channels: the dimension of z that holds them, where that is known.
    """

    owner: str
    function: str
    meaning: Meaning
    kind: str
    z: Tensor
    learned: bool
    slope: Callable[[], Slope]
    graded: Tensor | None = None
    channels: int | None = None
    weight: tuple[nn.Module, str] | None = None

    @property
    def label(self) -> str:
        """How the place is named."""
        return ":".join(filter(None, (self.owner, self.function))) or self.meaning.canonical


class _Pass(threading.local):
    """What is known of the pass that a thread runs now."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.layers: dict[tuple[int, ...], _Layer] = {}
        self.by_dims: dict[int, _Layer] = {}
        self.sources: dict[int, tuple[weakref.ref[Tensor], _Layer]] = {}  # tensors that a layer made, by id
        self.generation = 0
        self.calls: Counter[tuple[str, str, str]] = Counter()
        self.outputs: dict[int, tuple[weakref.ref[Tensor], Place]] = {}
        self.mode: _Mode | None = None


class Observer:
    """Counts what the activations of some modules do, from `start` to `stop`.

    limit: of the numbers of one call that are counted; of more a sample is. accept: asked when a pass begins, that is
    when a module of these is called from outside, with that; False leaves the pass alone. tallies: what the pass that
    runs has counted, by place.
    """

    def __init__(
        self,
        models: Iterable[nn.Module],
        limit: int | None = None,
        bins: bool = False,
        accept: Callable[[nn.Module], bool] = lambda module: True,
    ) -> None:
        self.models = [getattr(model, "_orig_mod", model) for model in models]
        self._limit, self._bins, self._accept = limit, bins, accept
        self.look()
        self.places: dict[Key, Place] = {}
        self.tallies: dict[Key, Tally] = {}
        self._slopes: dict[tuple[str, str, str, int, str], Slope] = {}
        self.others: dict[str, str] = {}  # what bends, and is no activation that is known: its name -> the function's
        self.failed: dict[str, str] = {}  # places that could not be measured -> why
        self.seen = self.turn = 0  # passes since the last time that was taken, and in all
        self._earlier: list[tuple[dict[Key, Tally], bool]] = []  # of each pass, and whether it was dropped
        self.input: dict[str, float] = {}  # of the first layer with weights: mean and std
        self.on_gradient: Callable[[], None] = lambda: None
        self._pass = _Pass()
        self._hooks: list[Any] = []
        self._on_leaves: list[Any] = []  # handles of hooks of tensors that stay after a step
        self._fresh = True  # whether the next pass is a step's first
        self._generation = 0  # of the hooks: what threads know of passes under earlier ones is void
        self._inside: set[int] = set()  # threads within a pass that is observed
        self._stopping = False

    def look(self) -> None:
        """See which modules there are."""
        self.names: dict[int, str] = {}
        self.held: dict[int, Held] = {}
        self._modules: list[Any] = []  # held, for their ids stand for them
        for k, model in enumerate(self.models):
            for name, module in model.named_modules(prefix=str(k) if len(self.models) > 1 else ""):
                self.names.setdefault(id(module), name)
                self._modules.append(module)
            for site in held_sites(model):
                if site.kind == "module":
                    self.held[id(site.held)] = site
                    self.names.setdefault(id(site.held), site.name)
                    self._modules.append(site.held)

    # Passes: what each has counted is kept apart until a step ends.

    @property
    def has_earlier(self) -> bool:
        """Whether passes before this one have counted, and were not dropped."""
        return any(not dropped for _, dropped in self._earlier)

    @property
    def has_counted(self) -> bool:
        """Whether there is something to take."""
        return bool(self.tallies or self._earlier)

    @property
    def passes(self) -> int:
        """How many passes are kept apart."""
        return len(self._earlier) + bool(self.tallies)

    def next_pass(self) -> None:
        """Keep what comes apart from what was counted before."""
        if self.tallies:
            self._earlier.append((self.tallies, False))
            self.tallies = {}

    def drop_earlier(self) -> None:
        """Leave the passes before this one that had gradients out of the step, for those were thrown away."""
        self._earlier = [(t, dropped or any(one.gradients for one in t.values())) for t, dropped in self._earlier]

    def take_each(self) -> list[dict[Key, Tally]]:
        """What was counted since the last time, of each pass; what counts no more."""
        found = [*(tallies for tallies, _ in self._earlier), *([self.tallies] if self.tallies else [])]
        for tallies in found:
            for tally in tallies.values():
                tally.closed = True
        for handle in self._on_leaves:
            handle.remove()
        self._on_leaves.clear()
        self.tallies, self._earlier, self.seen, self._fresh = {}, [], 0, True
        return found

    def take(self) -> dict[Key, Tally]:
        """The same of all passes together, but for those that were dropped."""
        dropped = [tallies for tallies, is_dropped in self._earlier if is_dropped]
        whole: dict[Key, Tally] = {}
        for tallies in self.take_each():
            if not any(tallies is other for other in dropped):
                for key, tally in tallies.items():
                    if key in whole:
                        whole[key].add(tally)
                    else:
                        whole[key] = tally
        return whole

    # What the hooks do.

    def start(self) -> None:
        """Observe from now on."""
        self._stopping = False
        if not self._hooks:
            self._generation += 1
            self._hooks = [
                register_module_forward_pre_hook(self._enter),
                register_module_forward_hook(self._leave, always_call=True),
            ]

    def stop(self) -> None:
        """Observe no more. In a pass that was broken off by more than an Exception the mode is still there."""
        now = self._pass
        now.stack.clear()
        if now.mode is not None:
            self._leave_mode(now)
        if self._inside:  # other threads, which have a mode to leave
            self._stopping = True
            return
        self._stopping = False
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _leave_mode(self, now: _Pass) -> None:
        assert now.mode is not None
        now.mode.leave()
        now.mode = None
        self._inside.discard(threading.get_ident())

    def _enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if torch.compiler.is_compiling() or id(module) not in self.names:
            return
        now = self._pass
        if now.generation != self._generation:
            now.stack.clear()
            now.generation = self._generation
        begins = not now.stack
        observed = self._begin(now, module) if begins else not isinstance(now.stack[-1], _Inside)
        if self._hooks:  # whoever was asked may have stopped it
            now.stack.append(self._entered(module, inputs) if observed else _Inside())

    def _begin(self, now: _Pass, module: nn.Module) -> bool:
        """Whether the pass that begins is observed; then the mode that sees functions is entered."""
        if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return False
        accepted = bool(in_backward() and self.tallies)  # a checkpoint is no pass of its own
        if not in_backward():
            with self.contained("a pass"):
                accepted = self._accept(module)
        if not accepted:
            return False
        if in_backward():  # of a part of a pass, by a checkpoint
            now.calls.clear()
        elif self._fresh or any(module is model for model in self.models):  # parts that are called by hand go on
            now.layers.clear()
            now.by_dims.clear()
            now.calls.clear()
            now.outputs.clear()
            now.sources.clear()
            self._fresh = False
        now.mode = _Mode(self)
        now.mode.__enter__()  # type: ignore[no-untyped-call]
        self._inside.add(threading.get_ident())
        if not in_backward():
            self.seen += 1
            self.turn += 1
        return True

    def _entered(self, module: nn.Module, inputs: tuple[Any, ...]) -> Any:
        """What goes on the stack for a module: itself, or that it is an activation."""
        if isinstance(module, LAYERS):
            return _Inside(self._before_pieces(module, inputs))
        meaning = self._meaning(module)
        if meaning is None:
            return module
        if not inputs or not _is_plain(inputs[0]):
            return _Inside() if inputs and isinstance(inputs[0], Tensor) else module
        name = self.names[id(module)]
        learned = next(module.parameters(), None) is not None
        seen = Seen(name, "", meaning, "module", inputs[0], learned, lambda: _slope_of_module(module, meaning, inputs))
        seen.channels = _channels(module)
        return _Inside(self._before(seen))

    def _meaning(self, module: nn.Module) -> Meaning | None:
        """The activation that a module is, or None."""
        if (site := self.held.get(id(module))) is not None:
            return site.meaning
        activation = getattr(module, "activation", None)
        if not isinstance(activation, Activation) or activation.name == "identity":
            return None
        return Meaning(activation.name)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if torch.compiler.is_compiling() or id(module) not in self.names:
            return
        now = self._pass
        if not now.stack or now.generation != self._generation:  # it was entered before this began
            return
        top = now.stack.pop()
        if isinstance(top, _Inside) and top.after is not None:
            top.after(output)
        if not now.stack and now.mode is not None:
            self._leave_mode(now)
            if self._stopping and not self._inside:
                self.stop()

    # What the mode does.

    def call(self, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call a function of torch's or of ours, and see what it is."""
        now = self._pass
        owner = now.stack[-1] if now.stack else None
        if owner is None or isinstance(owner, _Inside):
            return function(*args, **kwargs)
        name, seen = self.names[id(owner)], None
        with self.contained(f"a call in {name or 'the model'}"):
            seen = _seen_call(name, function, args, kwargs)
        if seen is not None:
            after = self._before(seen)
            y = function(*args, **kwargs)
            if after is not None:
                after(y)
            return y
        y = function(*args, **kwargs)
        if function in PASSING and isinstance(y, Tensor) and args:
            with self.guard(known.label(function)):
                self._pass_on(now, function, args, y)
        if function in CONVOLUTIONS or function in UNITS_LAST or function in CHANNELS_FIRST:
            with self.guard(known.label(function)):
                self._note_layer(now, owner, function, args, kwargs, y)
        elif function in BENDING and isinstance(y, Tensor) and tuple(y.shape) in now.layers and y.is_floating_point():
            self.others.setdefault(f"{name}:{function.__name__}" if name else function.__name__, function.__name__)
        return y

    def _pass_on(self, now: _Pass, function: Any, args: tuple[Any, ...], y: Tensor) -> None:
        """Note that a tensor is another one's numbers, seen otherwise."""
        found = now.outputs.get(id(args[0]))
        if found is not None and found[0]() is args[0]:
            now.outputs[id(y)] = weakref.ref(y), found[1]
        layer = _source(now, args[0])
        if layer is not None and (moved := _moved(layer, function, args, y)) is not None:
            now.sources[id(y)] = weakref.ref(y), moved

    def _note_layer(self, now: _Pass, owner: nn.Module, function: Any, args: Any, kwargs: Any, y: Any) -> None:
        if not _is_plain(y):
            return
        shape = tuple(y.shape)
        dim = y.dim() - 1
        if function not in CHANNELS_FIRST and function is not functional.layer_norm:
            self._note_input(now, args, kwargs)
        if function in CONVOLUTIONS:
            dim = y.dim() - CONVOLUTIONS[function] - 1
        elif function in CHANNELS_FIRST:
            dim = min(1, y.dim() - 1)
        weight = None
        if function in CONVOLUTIONS or function in UNITS_LAST:
            given = [x for x in (*args[1:], *kwargs.values()) if isinstance(x, Tensor) and x.dim() > 1]
            weight = next((found for x in given if (found := self._named(owner, x)) is not None), None)
        if weight is None and args and (source := _source(now, args[0])) is not None:  # a norm's
            weight = source.weight
        elif weight is None and function in (*CHANNELS_FIRST, functional.layer_norm) and shape in now.layers:
            weight = now.layers[shape].weight
        layer = now.layers[shape] = now.by_dims[y.dim()] = _Layer(dim, weight)
        now.sources[id(y)] = weakref.ref(y), layer

    def _note_input(self, now: _Pass, args: Any, kwargs: Any) -> None:
        """Note whose output a layer takes; of the first layer what its input is like."""
        for x in (*args, *kwargs.values()):
            if not isinstance(x, Tensor):
                continue
            kept = now.outputs.get(id(x))
            if kept is not None and kept[0]() is x:
                kept[1].feeds = True
            raw = _is_plain(x) and x.grad_fn is None and not isinstance(x, nn.Parameter)
            if not self.input and not now.calls and raw:
                wide = x.detach().float()
                self.input = {"mean": float(wide.mean()), "std": float(wide.std(correction=0))}
            break

    def _named(self, owner: nn.Module, weight: Tensor) -> tuple[nn.Module, str] | None:
        """Where a parameter is kept; asked each time, for sharding puts others in their place."""
        return next(((owner, name) for name, held in owner._parameters.items() if held is weight), None)

    # What is counted.

    def _before(self, seen: Seen) -> Callable[[Any], None] | None:
        """Count what goes into an activation; what is given back counts what comes out."""
        with self.guard(seen.label):
            return self._count(self._pass, seen)
        return None

    @contextmanager
    def guard(self, name: str) -> Iterator[None]:
        """Count within: no mode sees it, it has no gradients, and what cannot be counted does not stop the training."""
        with self.contained(name), without_modes(), torch.no_grad():
            yield

    def contained(self, name: str) -> "_Contained":
        """A context whose errors become one warning: training goes on."""
        return _Contained(self.failed, name)

    def _count(self, now: _Pass, seen: Seen) -> Callable[[Any], None]:
        place = self._place(now, seen)
        z, dim = seen.z, place.dim
        tally = self.tallies.get(place.key)
        if tally is None:
            tally = self.tallies[place.key] = Tally(self._bins)
        graded = z if seen.graded is None else seen.graded
        simple = seen.meaning.activation.kind is ELEMENTWISE  # others look at more than one entry
        free = [k for k in (*range(1, z.dim()), 0) if k != dim]  # places of an image are thinned before samples are
        cut = _thinned(z, free, self._limit if simple else None, self.turn)
        if graded.requires_grad:
            # Of the tensor: a hook of the module would forbid in-place.
            handle = graded.register_hook(self._on_gradient(place.key, tally, cut))  # type: ignore[no-untyped-call]
            if graded.is_leaf:
                self._on_leaves.append(handle)
        if in_backward():  # a checkpoint computes again
            return lambda y: None
        part = z.detach()[cut]
        samples = 1 if part.dim() == 1 or dim == 0 else part.shape[0]
        if part.dim() == 3 and dim == 2:  # tokens are samples, the places of an image are not
            samples *= part.shape[1]
        if (pieces := place.slope.pieces(part)) is not None:
            tally.won(pieces)
        tally.before(part, place.slope(part), place.slope.top(part, dim), dim, samples)

        def after(y: Any) -> None:
            if not isinstance(y, Tensor):
                return
            with self.guard(seen.label):
                tally.after(y.detach()[cut], dim)
            now.outputs[id(y)] = weakref.ref(y), place
            if not graded.requires_grad and seen.kind == "layer" and y.requires_grad:
                y.register_hook(self._on_gradient(place.key, tally, cut))  # type: ignore[no-untyped-call]

        return after

    def _place(self, now: _Pass, seen: Seen) -> Place:
        """Where a call is made; a place that is new is entered."""
        z, dims = seen.z, seen.z.dim()
        layer = _source(now, z if seen.graded is None else seen.graded)
        layer = layer or now.layers.get(tuple(z.shape)) or now.by_dims.get(dims)
        weight = seen.weight or (layer.weight if layer is not None else None)
        after = self.names.get(id(weight[0]), "") if weight is not None else ""
        now.calls[seen.owner, seen.function, after] += 1
        call = min(now.calls[seen.owner, seen.function, after], MOST_CALLS)
        at = seen.owner, seen.function, after, call, seen.meaning.canonical
        slope = self._slopes.get(at)
        if slope is None or seen.learned:
            slope = self._slopes[at] = seen.slope()
        dim = slope.dim if slope.dim is not None else seen.channels
        if dim is None:
            dim = layer.dim if layer is not None else 1 if dims > 3 else -1
        dim = dim % dims if -dims <= dim < dims else dims - 1
        key = Key(seen.owner, seen.function, after, call, z.shape[dim])
        place = self.places.get(key)
        if place is None and in_backward():  # a checkpoint runs a part of a pass, which may not show the layer before
            place = next((known for known in self.places.values() if known.key.is_like(key)), None)
        if place is None and sum(known.key.has_size_of(key) for known in self.places.values()) >= MOST_SIZES:
            raise ValueError("its number of units changes from call to call")
        if place is None:
            kind = "function" if seen.kind == "function" else "module"
            text, order, natural = known.text(seen.meaning), len(self.places), slope.natural(z, dim)
            place = Place(key, self._name(seen, key), text, kind, (), dim, None, order, slope, natural)
            self.places[key] = place
        place.shape, place.dim, place.slope = tuple(z.shape), dim, slope
        place.weight = weight or place.weight
        return place

    def _name(self, seen: Seen, key: Key) -> str:
        """A name for a place: of a function with the layer before it, of a module its own, if taken with that."""
        taken = {place.name for place in self.places.values()}
        name = seen.label if not key.function or not key.after else f"{key.after} → {key.function}"
        if name in taken and key.after and not key.function and key.call == 1:
            name = f"{key.after} → {name}"
        if key.call > 1:
            name += f" #{key.call}"
        return name if name not in taken else f"{name} ({key.units} units)"

    def _on_gradient(self, key: Key, tally: Tally, cut: tuple[slice, ...]) -> Callable[[Tensor], None]:
        def count(g: Tensor) -> None:
            if not tally.closed:  # else the window it is of has ended
                with self.guard(self.places[key].name):
                    self.on_gradient()
                    tally.gradient(g.detach()[cut], g.numel())

        return count

    def _before_pieces(self, layer: Any, inputs: tuple[Any, ...]) -> Callable[[Any], None] | None:
        """Count what a Maxout layer does: all its pieces are computed once more."""
        x = inputs[0] if inputs else None
        if not _is_plain(x):
            return None
        name = self.names[id(layer)]
        z = x
        with self.guard(name):
            z = layer.pre_activations(x)
        meaning, dim = Meaning("maxout", {"pieces": layer.pieces}), layer.dim(z)
        seen = Seen(
            name, "", meaning, "layer", z, False, lambda: Slope(layer.forward, module=MaxoutPieces(layer.pieces, dim))
        )
        seen.weight = layer, "weight"
        return self._before(seen)


class _Contained:
    """A context whose errors become one warning each name. A class, for a generator takes 2 µs in every step."""

    def __init__(self, failed: dict[str, str], name: str) -> None:
        self._failed, self._name = failed, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        if not isinstance(error, Exception):
            return False
        if self._name not in self._failed:
            self._failed[self._name] = f"{type(error).__name__}: {error}"
            said = f"actfun.watch: {self._name} cannot be measured: {self._failed[self._name]}"
            warnings.warn(said, stacklevel=2)
        return True


class _Mode(TorchFunctionMode):
    """Gives each call of a function to an observer."""

    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self._observer = observer

    def leave(self) -> None:
        """Leave it, if it has not been left."""
        self.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._observer.call(function, args, kwargs or {})


def _source(now: _Pass, x: Any) -> _Layer | None:
    """The layer that made a tensor."""
    found = now.sources.get(id(x))
    return found[1] if found is not None and found[0]() is x else None


def _moved(layer: _Layer, function: Any, args: tuple[Any, ...], y: Tensor) -> _Layer | None:
    """What is known of a layer's output that was turned, or seen in another shape; None where its units are lost."""
    dims, name = args[0].dim(), function.__name__
    dim = layer.dim
    if name in ("transpose", "permute") and len(args) == 1:  # by name
        return None
    if name in ("transpose", "permute"):
        order = list(range(dims))
        if name == "transpose":
            a, b = args[1] % dims, args[2] % dims
            order[a], order[b] = b, a
        else:
            order = [k % dims for k in (args[1] if isinstance(args[1], list | tuple) else args[1:])]
        dim = order.index(layer.dim)
    elif dim == dims - 1 and y.shape[-1] == args[0].shape[-1]:
        dim = y.dim() - 1
    elif dim >= y.dim() or y.shape[dim] != args[0].shape[dim]:
        return None
    return _Layer(dim, layer.weight)


def _slope_of_module(module: Any, meaning: Meaning, inputs: tuple[Any, ...]) -> Slope:
    rest = inputs[1:]  # not the first one, whose graph would stay in memory
    if meaning.activation.kind is ELEMENTWISE:
        learned = next(module.parameters(), None) is not None
        return Slope(lambda z: module.forward(z, *rest), learned)
    if isinstance(getattr(module, "activation", None), Activation):
        return Slope(module.forward, module=module)
    along = {"dim": module.dim} if meaning.activation.kind is GATED else {}
    return Slope(module.forward, module=module_meant(meaning, along))


def _seen_call(owner: str, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Seen | None:
    """A call as what is seen; None where it is no activation that can be counted."""
    own = activation_of(function)
    meaning = known.meaning_of_call(function, args, kwargs) if own is None else _own_meaning(own[0], args)
    if meaning is None or meaning.canonical == "identity" or not _is_plain(z := known.input_of(args, kwargs)):
        return None
    label = known.label(function) if own is None else f"af.{meaning.canonical}"
    kind = meaning.activation.kind
    if kind is ELEMENTWISE:
        named = {name: value for name, value in kwargs.items() if name not in ("input", "self", "x")}
        learned = any(isinstance(value, Tensor) for value in (*args[1:], *named.values()))
        rest, named = tree.tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, (args[1:], named))
        call = functools.partial(_call_with, function, rest, named)
        return Seen(owner, label, meaning, "function", z, learned, lambda: Slope(call, learned))
    if kind is GATED and own is not None:  # of two tensors
        if not _is_plain(args[1]):
            return None
        packed = torch.cat([z.detach(), args[1].detach()], -1)
        module = module_meant(meaning, {"gate": "first"})
        return Seen(owner, label, meaning, "function", packed, False, lambda: Slope(function, module=module), z)
    along = {"dim": args[1] if len(args) > 1 else kwargs.get("dim", -1)} if kind is GATED else {}
    module = module_meant(meaning, along)
    return Seen(owner, label, meaning, "function", z, False, lambda: Slope(function, module=module))


def _call_with(function: Any, rest: tuple[Any, ...], named: Mapping[str, Any], z: Tensor) -> Tensor:
    y: Tensor = function(z, *rest, **named)
    return y


def _own_meaning(activation: Activation, args: tuple[Any, ...]) -> Meaning:
    """What a call of an operator of ours computes."""
    numbers = args[2:] if activation.kind is GATED else args[1:]
    stated = zip(activation.parameters, numbers, strict=False)
    return Meaning(activation.name, {name: value for name, value in stated if isinstance(value, int | float)})


def _is_plain(z: Any) -> bool:
    """Whether it is a tensor whose numbers can be counted."""
    plain = type(z) in (Tensor, nn.Parameter) and z.layout is torch.strided and z.is_floating_point() and z.numel()
    return bool(plain and z.dim() and not z.is_meta and not is_transformed(z))


def _channels(module: Any) -> int | None:
    """The dimension that holds channels, where an element-wise module learns a parameter for each."""
    several = any(parameter.numel() > 1 for parameter in module.parameters(recurse=False))
    return (module.dim if isinstance(getattr(module, "dim", None), int) else 1) if several else None


def _thinned(z: Tensor, free: list[int], limit: int | None, turn: int) -> tuple[slice, ...]:
    """Which part of a tensor is counted: of the first dimensions that may be thinned every so-manieth, by turns."""
    cut, too_many = [slice(None)] * z.dim(), z.numel() / limit if limit else 1.0
    for dim in free:
        if too_many <= 1.0:
            break
        step = min(-(-z.shape[dim] // max(int(z.shape[dim] / too_many), 1)), z.shape[dim])
        cut[dim] = slice(turn % step, None, step)
        too_many /= step
    return tuple(cut)
