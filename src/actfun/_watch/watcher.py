"""The statistics of a model's activations during training: which steps, over all ranks, and what is wrong."""

import dataclasses
import math
import sys
import time
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from actfun._operators.torch_private import is_called_by_compiler
from actfun._surgery.sites import unseen_modules
from actfun._watch import origin, ranks
from actfun._watch.diagnosis import Case, Cause, causes
from actfun._watch.history import History, Record, Window
from actfun._watch.observer import Key, Observer, Place
from actfun._watch.rules import ENGLISH, Finding, Rules
from actfun._watch.schedule import Schedule
from actfun._watch.tally import Tally
from actfun._watch.weights import Updates, sample

SPOILERS = ("div", "sqrt", "log", "exp")  # in the name of a call: what can be done is known
LIMIT = 2**18  # numbers of one call that are counted, which takes about a millisecond
TWICE = r"Using `torch\.compile\(module\)` when there are global hooks"  # ours pay no heed to the module that wraps it
SMALL = 4_096  # numbers of a gradient that is asked in every step whether it is finite


class Watcher:
    """What activations do while a model trains; a context around training. See `actfun.watch`."""

    def __init__(self, model: nn.Module, every: int | str = "auto", budget: float = 0.03) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"watch: model must be a torch.nn.Module, got {type(model).__name__}")
        if every != "auto" and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
            raise ValueError(f'watch: every must be "auto" or a whole number of at least 1, got {every!r}')
        if not isinstance(budget, int | float) or not 0.0 < budget < math.inf:
            raise ValueError(f"watch: budget must be a positive share of the time, such as 0.03, got {budget!r}")
        self.model: nn.Module = getattr(model, "_orig_mod", model)
        self.every = every
        self.step = 0
        self.listeners: list[Callable[[Watcher, Window, list[Finding]], None]] = []
        self.trained = False  # whether an optimizer of its parameters made a step
        self.counts: Counter[str] = Counter()
        self._observer = Observer([self.model], LIMIT, bins=True, accept=self._accept)
        self._observer.on_gradient = self._on_gradient
        self._schedule, self._history, self._rules = Schedule(every, budget), History(), Rules()
        self._updates = Updates()
        self._parameters: dict[int, nn.Parameter] = {}
        self._owned: weakref.WeakKeyDictionary[Optimizer, bool] = weakref.WeakKeyDictionary()
        self._cycle: list[int] = []  # ids of the optimizers that have stepped since the last boundary
        self._leader: int | None = None  # that whose step ends a step
        self._armed = self._gradients = self._shared = self._remembers = False
        self._passes = 0
        self._stepped = False  # whether an optimizer has, in the step that is watched
        self._rate: float | None = None  # of the optimizer's last step
        self._lowest: nn.Parameter | None = None
        self._hooks: list[Any] = []
        self._stance: Any = None
        self._inputs: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._broken = False
        self._start = 0

    # The context.

    def __enter__(self) -> "Watcher":
        if self._hooks:
            raise RuntimeError("watch: this one is entered already")
        self._hooks = [
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]
        self._schedule.goes_on()
        if self._schedule.chooses(self.step):
            self._arm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, or pause it; what was seen of a step that did not end counts too."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        if self._armed and self._observer.tallies and not ranks.is_shared(self.model):
            self._close_window()
        self._disarm()
        self._inputs = self._lowest = None
        self._remembers = False

    def _arm(self) -> None:
        """Observe what comes; what torch.compile made is run eagerly, for its graphs have no places to look into."""
        if self._armed:
            return
        self._armed, self._passes, self._observer.passes = True, 0, 0
        if "torch._dynamo" in sys.modules:
            self._stance = torch.compiler.set_stance("force_eager")
            warnings.filterwarnings("ignore", TWICE)
        self._observer.start()

    def _disarm(self) -> None:
        self._armed = False
        self._observer.stop()
        self._observer.tallies.clear()
        if self._stance is not None:
            self._stance.__exit__(None, None, None)
            self._stance = None
            warnings.filters[:] = [kept for kept in warnings.filters if getattr(kept[1], "pattern", "") != TWICE]  # type: ignore[index]

    # Steps.

    def _accept(self, module: nn.Module, inputs: tuple[Any, ...]) -> bool:
        """Whether a pass is watched; without an optimizer every pass is a step of its own."""
        if not self._remembers:  # a hook would be a reason to compile again
            self._remembers = True
            if not is_called_by_compiler():
                self._inputs = (inputs, {}) if module is self.model else None
                self._hooks.append(self.model.register_forward_pre_hook(_Remember(self), with_kwargs=True))
        self._shared = ranks.is_shared(self.model)
        if self.trained:
            if torch.is_grad_enabled():
                return True
            self._disarm()  # validation; the next step will do
            self.counts["postponed"] += 1
            return False
        gradients = torch.is_grad_enabled() and any(p.requires_grad for p in module.parameters())
        if gradients and not self._gradients:
            self._gradients = True
            self._forget()  # what was run before training
        elif self._gradients and not gradients:
            return False
        if self._passes and not self._shared:
            self._boundary(optimizer=False)
        self._passes += 1
        return self._schedule.chooses(self.step)

    def _forget(self) -> None:
        self._history.clear()
        self._history.lives.clear()
        self._rules.clear()
        self._observer.take()
        self.step = self._passes = 0
        self._schedule.began()

    def _owns(self, optimizer: Optimizer) -> bool:
        """Whether an optimizer moves parameters of the model."""
        known = self._owned.get(optimizer)
        if known is None:
            self._parameters = {id(p): p for p in self.model.parameters()}
            known = any(id(p) in self._parameters for group in optimizer.param_groups for p in group["params"])
            self._owned[optimizer] = known
        return known

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_compiling() or not self._owns(optimizer):
            return
        begun = time.perf_counter()
        if not self._broken and not self._is_finite():
            self._find_origin(optimizer)
        if not self._armed:
            self._schedule.spent += time.perf_counter() - begun
        else:
            moved = {id(p) for group in optimizer.param_groups for p in group["params"]}
            weights = {place.key: place.weight for place in self._observer.places.values() if place.weight}
            self._updates.before(weights.values(), moved)
            if self._leader in (None, id(optimizer)):
                self._rate = max(float(group.get("lr", 0.0)) for group in optimizer.param_groups)

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_compiling() or not self._owns(optimizer):
            return
        begun, armed = time.perf_counter(), self._armed
        if not self.trained:
            self.trained = True
            if self.step:  # passes that were taken for steps
                tallies = self._observer.take()
                self._forget()
                self._observer.tallies = tallies
        if self._armed:
            self._updates.after()
            self._stepped = True
        if id(optimizer) in self._cycle:
            self._leader, self._cycle = self._cycle[-1], []
        self._cycle.append(id(optimizer))
        if self._leader == id(optimizer) or (self._leader is None and len(self._cycle) == 1):
            self._boundary()
        if not armed:
            self._schedule.spent += time.perf_counter() - begun

    def _boundary(self, optimizer: bool = True) -> None:
        """A step has ended: count it, and choose whether the next one is watched."""
        interval = None
        if watched := self._armed and bool(self._observer.passes):
            interval = self._close_window()
        self._schedule.ended(self.step, watched, interval)
        self.step += 1
        if not optimizer:
            return
        if self._schedule.chooses(self.step):
            self._arm()
        elif self._armed:
            self._disarm()

    def _close_window(self) -> int | None:
        """Make records of what was counted, and judge them; the interval that all ranks agreed on."""
        places, found = self._observer.places, self._observer.take()
        self._observer.passes = 0
        interval = None
        updates = self._updates_of(places, found)
        if self._shared:
            keys = sorted(found, key=dataclasses.astuple)
            others = [part for key in keys for part in updates.get(key) or ()]
            interval = ranks.total(
                [str(key) for key in keys], [found[key] for key in keys], others, self._schedule.interval
            )
        self._updates.clear()
        if not found:
            return interval
        records = self._history.record(self.step, found, places, updates)
        bins = {
            places[key].name: [int(n) for n in tally.bins.tolist()]
            for key, tally in found.items()
            if tally.bins is not None
        }
        facts = {"input": dict(self._observer.input), "rate": self._rate, "stepped": self._stepped}
        self._stepped = False
        window = Window(self.step, records, bins, facts)
        if not self._history.windows:
            self._start = self.step
        self._history.add(window)
        new = self._rules.look(window, {place.name: place for place in places.values()}, self._start)
        for listener in self.listeners:
            listener(self, window, new)
        return interval

    def _updates_of(
        self, places: Mapping[Key, Place], found: Mapping[Key, Tally]
    ) -> dict[Key, tuple[Tensor, Tensor] | None]:
        return {key: self._updates.of(places[key].weight) for key in found}

    # What is asked of gradients.

    def _on_gradient(self) -> None:
        """The first gradient of a window: those of earlier steps should be gone by now."""
        if self.counts["backward"] == self.step + 1:
            return
        self.counts["backward"] = self.step + 1
        if self._lowest is not None and self.trained:
            self.counts["windows with gradients"] += 1
            gradient = self._lowest.grad
            self.counts["gradients kept"] += gradient is not None and bool(sample(gradient).any())

    def _is_finite(self) -> bool:
        """Whether the gradient of a first layer's parameter is finite: NaN and infinity come back that far."""
        if self._lowest is None or self._lowest.grad is None:
            having = [p for p in self._parameters.values() if p.grad is not None and not p.grad.is_sparse]
            small = [p for p in having[: len(having) // 2 + 1] if p.numel() <= SMALL]
            self._lowest = next(iter(small), min(having, key=torch.numel, default=None))
            if self._lowest is None:
                return True
        gradient: Any = self._lowest.grad
        if not gradient.is_cpu and not self._armed:
            return True  # to ask would make the host wait
        part = gradient if type(gradient) is Tensor and gradient.numel() <= SMALL else sample(gradient)
        return math.isfinite(part.sum().item())

    def _find_origin(self, optimizer: Optimizer) -> None:
        """Numbers are not finite any more, and weights still are: say where it began."""
        if getattr(optimizer, "found_inf", None) is not None:
            return  # a scaler will skip this step
        self._broken = True
        names = self._observer.names
        place = None
        if self._inputs is not None and not ranks.is_shared(self.model):
            self._observer.stop()
            place = origin.find(self.model, *self._inputs, names)
            if self._armed:
                self._observer.start()
        where = self._spoilt_backward(place == "") if not place else (place, place)
        values = {"where": where, "since": self.step, "site": place or where[ENGLISH], "old": "", "value": 1.0}
        values["advice"] = next(
            (f"non_finite_{word}" for word in SPOILERS if word in (place or "").partition(" in ")[0]), "non_finite"
        )
        found = Finding(where[ENGLISH], "non_finite", 1.0, 0.0, "", "", self.step, rule="non_finite", values=values)
        found.advice, found.source = found.text("advice"), found.text("sources")
        self._rules.broken = found

    def _spoilt_backward(self, finite: bool) -> tuple[str, str]:
        """By the gradients alone: where all are spoilt, in the loss, else before the last parameter that has one.

        finite: whether the forward pass is known to be.
        """
        spoilt = [
            (name, not bool(torch.isfinite(sample(p.grad)).all()))
            for name, p in self.model.named_parameters()
            if p.grad is not None
        ]
        if all(bad for _, bad in spoilt):
            if finite:
                return "the loss, for the model's output is finite", "损失，因为模型的输出是有限的"
            return "the loss, or the pass before it", "损失，或其之前的前向计算"
        last = [name for name, bad in spoilt if bad][-1]
        return f"the backward pass, behind {last}", f"反向传播，{last} 之后"

    # What there is to read.

    @property
    def windows(self) -> list[Window]:
        """The windows that are kept."""
        return self._history.windows

    @property
    def last(self) -> Window | None:
        """The last window in which all numbers were finite; the last one, if that is none."""
        finite = [w for w in self.windows if not any(record["non_finite"] for record in w.records)]
        return (finite or self.windows or [None])[-1]

    @property
    def overhead(self) -> float | None:
        """The share of the time that watching took so far; None where that is not known yet."""
        return self._schedule.overhead

    @property
    def steps(self) -> int:
        """How many steps there were."""
        return self._schedule.steps

    @property
    def places(self) -> list[Place]:
        """The activations that were seen, in the order of the network."""
        return sorted(self._observer.places.values(), key=lambda place: place.order)

    @property
    def watched_steps(self) -> int:
        """How many steps were watched."""
        return self._schedule.count

    def records(self) -> list[Record]:
        """A dictionary of numbers and words for each place and window, in order of time; of many windows some go."""
        return [dict(record) for window in self.windows for record in window.records]

    def findings(self) -> list[Finding]:
        """What was wrong in three windows in a row, the gravest first."""
        return self._rules.findings

    def diagnose(self) -> list[Cause]:
        """Why the model did not learn: causes, the likeliest first, each with its evidence and the next experiment."""
        kept = self.counts["gradients kept"], self.counts["windows with gradients"]
        return causes(Case(self.windows, self.findings(), self.trained, kept))

    def coverage(self, language: int = ENGLISH) -> str:
        """How many of the nonlinearities that are known were seen, and which were not."""
        seen = self._observer.places
        owners = {key.owner for key in seen}
        idle = [site.name for site in self._observer.held.values() if site.name not in owners]
        hidden = [f"{name} ({kind})" for name, kind in unseen_modules(self.model).items()]
        other = [*self._observer.failed, *self._observer.others]
        missed = {"not called": idle, "hidden inside an operation": hidden, "not measured": other}
        chinese = {"not called": "未被调用", "hidden inside an operation": "藏在算子内部", "not measured": "未被测量"}
        count = len(seen) + sum(map(len, missed.values()))
        parts = [
            f"{(why, chinese[why])[language]}: {', '.join(names[:4])}{' …' if len(names) > 4 else ''}"
            for why, names in missed.items()
            if names
        ]
        whole = (f"{len(seen)} of {count} nonlinearities watched", f"{count} 处非线性中观察了 {len(seen)} 处")[language]
        return "; ".join([whole, *parts])


def _value(x: Any) -> Any:
    """An argument without the graph that made it, which would stay in memory."""
    return x.detach() if isinstance(x, Tensor) and x.grad_fn is not None else x


class _Remember:
    """A hook that remembers what a model was called with last; a copy of the model has one that does nothing."""

    def __init__(self, watch: Watcher | None = None) -> None:
        self._watch = None if watch is None else weakref.ref(watch)

    def __call__(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_compiling() or self._watch is None:
            return
        watch = self._watch()
        if watch is not None and torch.is_grad_enabled():
            watch._inputs = tuple(map(_value, args)), {name: _value(x) for name, x in kwargs.items()}

    def __reduce__(self) -> Any:
        return _Remember, ()
