"""Every private name of PyTorch that the package uses, each with what happens where a version lacks it.

Tried with PyTorch 2.11 and 2.13. Nothing here decides how an activation is computed: `actfun._operators.op` does.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.checkpoint import CheckpointFunction

# Without these no tensor is known to be plain, and all take torch operations: right, but slower.
_keys_of: Callable[[Tensor], Any] | None = getattr(torch._C, "_dispatch_keys", None)
_modes: Callable[[], int] | None = getattr(torch._C, "_len_torch_dispatch_stack", None)


def _usual_keys(device: str) -> set[int]:
    """The dispatch keys of a plain tensor, in usual and in inference mode."""
    found = set()
    for inference in (False, True):
        with torch.inference_mode(inference):
            found.add(_keys_of(torch.empty(0, device=device)).raw_repr())  # type: ignore[misc]
    return found


_devices: dict[int, str | None] = dict.fromkeys(_usual_keys("cpu"), "cpu") if _keys_of else {}


def is_watched() -> bool:
    """Whether a mode sees the operations of this thread: one that traces, fakes, counts or logs them."""
    return _modes is None or _modes() > 0


def plain_device(x: Tensor) -> str | None:
    """The device, "cpu" or "cuda", of a tensor whose memory is what it seems; None for any other tensor.

    Subclasses that dispatch, wrappers of functorch, fake, nested, sparse and zero tensors, and those that are yet to be
    negated all have further dispatch keys, so one comparison tells them.
    """
    if _modes is None or _keys_of is None or _modes() > 0:  # every call asks this: 0.4 µs
        return None
    keys = _keys_of(x).raw_repr()
    try:
        return _devices[keys]
    except KeyError:
        device = x.device.type
        _devices[keys] = device if device == "cuda" and keys in _usual_keys(device) else None
        return _devices[keys]


def in_dual_level() -> bool:
    """Whether forward-mode differentiation is on; where PyTorch does not tell, it counts as on, which is slower."""
    return getattr(forward_ad, "_current_level", 0) >= 0


def functorch_cannot_follow() -> bool:
    """Whether functorch does what an autograd.Function cannot follow: functionalize, or forward mode in forward mode.

    In the latter PyTorch would take a Function's tangent for a constant, and second derivatives for 0. Where PyTorch
    does not tell, it is so: then PyTorch differentiates the formula's operations, which costs accuracy in far tails.
    """
    try:
        kinds = [level.key() for level in torch._C._functorch.get_interpreter_stack() or []]
        transform = torch._C._functorch.TransformType
        return kinds.count(transform.Jvp) > 1 or transform.Functionalize in kinds
    except AttributeError:
        return True


def apply_of(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """The apply of a Function that no transformation of functorch meets: without its look for one, which takes 2 µs."""
    base = getattr(torch._C, "_FunctionBase", None)
    return super(torch.autograd.Function, function).apply if base else function.apply  # type: ignore[misc]


def remove(library: torch.library.Library) -> None:
    """Take back a library's operators, so that they can be defined anew; without the name the earlier ones stay."""
    if hasattr(library, "_destroy"):
        library._destroy()  # type: ignore[no-untyped-call]


def empty_compiler_cache() -> AbstractContextManager[None]:
    """A context in which Inductor finds nothing that was compiled before; where PyTorch lacks it, it may."""
    from torch._inductor import utils

    return utils.fresh_cache() if hasattr(utils, "fresh_cache") else nullcontext()


def allocations(work: Callable[[], Any]) -> tuple[Any, list[int]]:
    """What a function gives, and the bytes that torch took (or gave back, below 0) on the CPU while it ran, in order.

    There is no version without: where PyTorch changes its profiler, this raises.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # some builds say on standard error that they start and stop
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        found = work()
    results: Any = profile.profiler
    events = [event for event in results.kineto_results.events() if event.name() == "[memory]"]
    return found, [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]


def compiler_counts() -> Mapping[str, Mapping[str, int]]:
    """Dynamo's counts, which go on until they are cleared: "stats" has "unique_graphs", "graph_break" the reasons.

    Dynamo itself needs them, so there is no version without.
    """
    from torch._dynamo.utils import counters

    return counters


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def has_hooks(*modules: torch.nn.Module) -> bool:
    """Whether a call of one of these modules runs other things than its class's forward: hooks, or one of its own."""
    every = torch.nn.modules.module
    if any(getattr(every, f"_global{kind}", None) for kind in _HOOKS):
        return True
    return any(vars(module).get(kind) for module in modules for kind in (*_HOOKS, "forward"))


class Checkpoints:
    """The activation checkpoints that run where a context is entered: later ones are inside of it."""

    def __init__(self) -> None:
        self._hooks, self._reentrant = _top_hooks(), _reentrant()

    def enter(self, context: Callable[[], AbstractContextManager[Any]]) -> None:
        """Have the checkpoint that runs now, if one began since, enter a context when it computes again in backward.

        Raises RuntimeError in one with use_reentrant=True, and where PyTorch does not tell what a checkpoint will run.
        """
        if not torch.is_grad_enabled():
            if _reentrant() > self._reentrant:
                raise RuntimeError(
                    "a checkpoint with use_reentrant=True computes again without this context; take use_reentrant=False"
                )
            return
        top = _top_hooks()
        if top is None or top is self._hooks or not top.__qualname__.startswith("_checkpoint_hook."):
            return
        held = dict(zip(top.__code__.co_freevars, top.__closure__ or (), strict=True)).get("frame")
        if held is None:
            raise RuntimeError("this version of PyTorch does not tell what an activation checkpoint computes again")
        checkpoint = held.cell_contents
        if not isinstance(checkpoint.recompute_fn, _Within):
            checkpoint.recompute_fn = _Within(checkpoint.recompute_fn, context)


def _top_hooks() -> Any:
    """What packs saved tensors now; None where no hooks are set."""
    top = torch._C._autograd._top_saved_tensors_default_hooks(False)
    return None if top is None else top[0]


def _reentrant() -> int:
    """How many reentrant checkpoints run their first computation, which is without gradients."""
    if torch.is_grad_enabled():
        return 0
    count, frame = 0, sys._getframe()
    while frame is not None:
        count += frame.f_code is CheckpointFunction.forward.__code__
        frame = frame.f_back  # type: ignore[assignment]
    return count


_recomputing: list[bool] = []  # the setting as it was, once for each context of any thread
_counted = threading.Lock()


@contextmanager
def recomputing_compiler() -> Iterator[None]:
    """A context in which torch.compile may make in backward what a matrix product also read, which it bans itself.

    So a compiled Linear, GELU, Linear keeps 4 bytes an element, not 8. A version without the setting keeps 8. PyTorch
    2.11 has one setting for all threads, later ones one each: whoever leaves restores what the first one found.
    """
    from torch._functorch import config

    name = "ban_recompute_materialized_backward"
    if not hasattr(config, name):
        yield
        return
    with _counted:
        _recomputing.append(_recomputing[0] if _recomputing else getattr(config, name))
    setattr(config, name, False)
    try:
        yield
    finally:
        with _counted:
            setattr(config, name, _recomputing.pop())


class _Within:
    """A function that is run in a context."""

    def __init__(self, function: Callable[..., Any], context: Callable[[], AbstractContextManager[Any]]) -> None:
        self.function, self.within = function, context

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self.within():
            return self.function(*args, **kwargs)


def in_backward() -> bool:
    """Whether this runs within a backward pass, as what a checkpoint computes again does."""
    asked = getattr(torch._C, "_current_graph_task_id", None)
    return asked is not None and asked() != -1


def is_transformed(x: Tensor) -> bool:
    """Whether a tensor is a wrapper of functorch."""
    asked = getattr(getattr(torch._C, "_functorch", None), "is_functorch_wrapped_tensor", None)
    return asked is not None and bool(asked(x))


def is_within_ddp(model: torch.nn.Module) -> bool:
    """Whether this runs within the forward of a DistributedDataParallel that holds a model."""
    if not torch.distributed.is_available():
        return False
    active = getattr(torch.nn.parallel.DistributedDataParallel, "_active_ddp_module", None)
    return active is not None and active.module is model


def without_modes() -> AbstractContextManager[None]:
    """A context in which no TorchFunctionMode of this thread sees what is called; where PyTorch lacks it, all do."""
    found = getattr(torch._C, "DisableTorchFunction", None)
    return nullcontext() if found is None else found()


def is_called_by_compiler() -> bool:
    """Whether what runs now was called by what torch.compile made, be it eagerly."""
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") in ("torch._dynamo.eval_frame", "torch._dynamo.external_utils"):
            return True
        frame = frame.f_back
    return False


def call_arguments() -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the module's call whose global hooks run now; none where PyTorch keeps them elsewhere."""
    frame: Any = sys._getframe()
    for _ in range(8):
        frame = None if frame is None else frame.f_back
        if frame is not None and frame.f_globals.get("__name__") == "torch.nn.modules.module":
            found = frame.f_locals.get("args"), frame.f_locals.get("kwargs")
            if isinstance(found[0], tuple) and isinstance(found[1], dict):
                return found[0], found[1]
    return (), {}
