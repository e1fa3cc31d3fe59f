"""Tensors that autograd saves: kept, or made again from what is kept.

Each storage may carry a note: how its content was made, and whether something keeps it. A note lives and dies with its
storage, and holds no tensor, so it lengthens the life of nothing. When autograd saves a tensor whose content can be
made again from what is kept, it gets the recipe in its place.
"""

import contextlib
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

NOTE = "_actfun_note"  # an attribute of a storage's Python object, which PyTorch preserves as long as the storage lives
MOST_CALLS = 12  # to make a tensor again; GELU written out, as transformers has it, takes 8


class Kept:
    """A tensor that is kept for backward: as it is, or, once all that it was made of is kept too, made again.

    In u·sigmoid(1.702·u) the sigmoid keeps 1.702·u before the product keeps u.
    """

    __slots__ = ("__weakref__", "again", "tensor", "version")

    def __init__(self, tensor: Tensor) -> None:
        # Of a leaf what it holds then, as without hooks; an output would hold its own node, and so itself.
        self.tensor: Tensor | None = tensor if tensor.is_leaf else tensor.detach()
        self.version = tensor._version
        self.again: Any = None  # an `Again`, in place of the tensor

    def get(self) -> Tensor:
        """The tensor. Raises RuntimeError where it was changed since, which PyTorch does not look for under hooks."""
        if self.tensor is None:
            found: Tensor = self.again.get()
            return found
        if self.tensor._version != self.version:
            shape = tuple(self.tensor.shape)
            raise RuntimeError(
                f"lean: a tensor that backward needs, of shape {shape}, was changed in place after it was used; change "
                f"a copy of it (version {self.version} is needed, and it is {self.tensor._version})"
            )
        return self.tensor

    def make_again(self, made: "Made") -> bool:
        """Give the tensor up, if it is as it was made, and all that it was made of is kept."""
        if self.tensor is None or self.tensor._version != self.version:
            return True
        again = _again(made, View.of(self.tensor), self.version)
        if again is not None:
            self.again, self.tensor = again, None
        return again is not None


class View(NamedTuple):
    """Where a tensor lies in its storage."""

    dtype: torch.dtype
    shape: torch.Size
    stride: tuple[int, ...]
    offset: Any

    @classmethod
    def of(cls, x: Tensor) -> "View":
        return cls(x.dtype, x.shape, x.stride(), x.storage_offset())

    def on(self, whole: Tensor) -> Tensor:
        """The tensor of that place in the storage of another, of its dtype."""
        if View.of(whole) == self:
            return whole
        return whole.as_strided(self.shape, self.stride, self.offset)


@dataclass(eq=False, slots=True)
class Made:
    """How the content of a storage was made: a function of tensors and other arguments; and as which tensor.

    arguments: `Source` in place of each tensor. calls: how many functions have to be called to make it of what was made
    by none. saved: what autograd got in its place.
    """

    function: Callable[..., Tensor]
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]
    view: View
    version: int
    calls: int
    device: str
    saved: "list[weakref.ref[Again]]" = field(default_factory=list)


class Source(NamedTuple):
    """A tensor that something was made of: where it was, in which version, and how it was made. It is not held."""

    storage: "weakref.ref[Any]"
    view: View
    version: int
    made: Made | None

    @classmethod
    def of(cls, x: Tensor) -> "Source":
        storage = x.untyped_storage()
        note: Note | None = getattr(storage, NOTE, None)
        made = note.made if note is not None else None
        if made is not None and made.version != x._version:
            made = None
        return cls(weakref.ref(storage), View.of(x), x._version, made)


class Note:
    """What is known of a storage."""

    __slots__ = ("kept", "made", "waiting")

    def __init__(self) -> None:
        self.made: Made | None = None
        self.kept: weakref.ref[Kept] | None = None
        self.waiting: list[tuple[weakref.ref[Kept], Made]] = []  # what can be made again once this storage is kept


class Part:
    """A tensor in the storage of one that is kept."""

    __slots__ = ("kept", "view")

    def __init__(self, kept: Kept, view: View) -> None:
        self.kept, self.view = kept, view

    def get(self) -> Tensor:
        """The tensor. Raises as `Kept.get` does."""
        return self.view.on(self.kept.get())


class Again:
    """A tensor that is made again when backward asks for it. view: where it lies in what is made.

    On the way to it others are made, which backward asks for next: they wait in `found` until then. So GELU written out
    takes 8 calls in backward, not 20.
    """

    __slots__ = ("__weakref__", "arguments", "asked", "found", "made", "view")

    def __init__(self, made: Made, arguments: tuple[Any, ...], view: View) -> None:
        self.made, self.arguments, self.view = made, arguments, view
        self.asked = False  # whether backward had it
        self.found: tuple[Tensor, int] | None = None  # what waits for it, in which version

    def take(self) -> Tensor:
        """The tensor, for backward. Raises RuntimeError where it does not come out as it was."""
        self.asked = True
        y, self.found = _unchanged(self.found), None
        return self.view.on(self._make() if y is None else y)

    def get(self) -> Tensor:
        """The tensor, on the way to another. Raises as `take` does."""
        saved = [one for one in (ref() for ref in self.made.saved) if one is not None and not one.asked]
        y = next((y for y in (_unchanged(one.found) for one in saved) if y is not None), None)
        if y is None:
            y = self._make()
            for one in saved:
                one.found = y, y._version
        return self.view.on(y)

    def _make(self) -> Tensor:
        given = [one.get() if isinstance(one, Part | Again) else one for one in self.arguments]
        y = self.made.function(*given, **self.made.named)
        if View.of(y) != self.made.view:
            raise RuntimeError(f"lean: {self.made.function} gave {View.of(y)}, and {self.made.view} before")
        return y


def _unchanged(found: tuple[Tensor, int] | None) -> Tensor | None:
    """What waits, unless another consumer wrote over it."""
    return found[0] if found is not None and found[0]._version == found[1] else None


def _note(x: Tensor) -> Note:
    return _of(x.untyped_storage())


def _of(storage: Any) -> Note:
    found: Note | None = getattr(storage, NOTE, None)
    if found is None:
        found = Note()
        setattr(storage, NOTE, found)
    return found


def is_whole(x: Tensor) -> bool:
    """Whether a tensor fills its storage."""
    return x.storage_offset() == 0 and x.untyped_storage().nbytes() == x.numel() * x.element_size()


def remember(y: Tensor, function: Callable[..., Tensor], given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Note that y is function(*given, **named), which must give the same bits each time."""
    if not is_whole(y):
        return
    sources = tuple([Source.of(x) if isinstance(x, Tensor) else x for x in given])
    calls = 1 + sum([one.made.calls for one in sources if isinstance(one, Source) and one.made is not None])
    if calls > MOST_CALLS:
        sources = tuple([one._replace(made=None) if isinstance(one, Source) else one for one in sources])
        calls = 1
    _note(y).made = Made(function, sources, named, View.of(y), y._version, calls, y.device.type)


def forget(x: Tensor) -> None:
    """Drop what is noted of a storage, whose content may be changed where no version tells of it."""
    note: Note | None = getattr(x.untyped_storage(), NOTE, None)
    if note is not None:
        note.made = None


def pack(x: Tensor) -> Kept | Again:
    """What autograd gets in place of a tensor that it saves."""
    if type(x) not in (Tensor, nn.Parameter) or x.layout is not torch.strided or not is_real(x):
        return Kept(x)
    note = _note(x)
    made = note.made
    if made is not None and _is_as_made(made, View.of(x), x._version):
        again = _again(made, View.of(x), x._version)
        if again is not None:
            made.saved = [*(ref for ref in made.saved if ref() is not None), weakref.ref(again)]
            return again
    kept = Kept(x)
    note.kept = weakref.ref(kept)
    if made is not None:
        for storage in _missing(made):
            other = _of(storage)  # a buffer that nothing ever keeps lives on: what waited for it in vain goes
            other.waiting = [*(one for one in other.waiting if one[0]() is not None), (note.kept, made)]
    waiting, note.waiting = note.waiting, []
    for ref, made in waiting:
        waits = ref()
        if waits is not None and not waits.make_again(made):
            note.waiting.append((ref, made))
    return kept


def is_real(x: Tensor) -> bool:
    """Whether a tensor holds real numbers as they are: a complex one may share its storage with its conjugate."""
    return not x.is_complex() and not x.is_neg()


def _missing(made: Made) -> list[Any]:
    """The storages that would have to be kept for it to be made again; none where one is gone."""
    found: list[Any] = []
    for one in made.arguments:
        if isinstance(one, Source) and _kept(one) is None:
            storage = one.storage()
            if one.made is not None:
                found += _missing(one.made)
            elif storage is None:
                return []
            else:
                found.append(storage)
    return found


def unpack(saved: Kept | Again) -> Tensor:
    """The tensor that was saved."""
    again: Again | None = saved.again if isinstance(saved, Kept) else saved
    if again is None:
        return saved.get()
    with torch.no_grad(), torch._C.DisableTorchFunction(), _without_autocast(again):
        return again.take()


def _without_autocast(saved: Again) -> Any:
    """Arguments were cast as they were; another scope may be entered now."""
    device = saved.made.device
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else contextlib.nullcontext()


def _again(made: Made, view: View, version: int) -> Again | None:
    """How to make what lies there, of what is kept; None where something of it is not."""
    if not _is_as_made(made, view, version):
        return None
    arguments = []
    for one in made.arguments:
        held = _kept(one) if isinstance(one, Source) else one
        if held is None and isinstance(one, Source):
            return None
        arguments.append(held)
    return Again(made, tuple(arguments), view)


def _is_as_made(made: Made, view: View, version: int) -> bool:
    """Whether a storage still has what was made, which what lies there is part of."""
    return made.version == version and made.view.dtype is view.dtype


def _kept(source: Source) -> Part | Again | None:
    """What gives a source again, if something does."""
    note: Note | None = getattr(source.storage(), NOTE, None)
    kept = note.kept() if note is not None and note.kept is not None else None
    if kept is not None and kept.tensor is not None and kept.version == source.version:
        if kept.tensor.dtype is source.view.dtype:
            return Part(kept, source.view)
    return None if source.made is None else _again(source.made, source.view, source.version)
