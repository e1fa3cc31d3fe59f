"""The statistics of a model's activations during training: which steps, over all ranks, and what is wrong."""

import dataclasses
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from actfun._surgery.sites import unseen_modules
from actfun._watch import ranks
from actfun._watch.diagnosis import Case, Cause, causes
from actfun._watch.history import History, Record, Window
from actfun._watch.observer import Key, Observer, Place
from actfun._watch.rules import Finding, Rules
from actfun._watch.schedule import Schedule
from actfun._watch.sentinel import Sentinel, is_skipped
from actfun._watch.tally import Tally
from actfun._watch.weights import Updates

LIMIT = 2**18  # numbers of one call that are counted, which takes about a millisecond
MOST_PASSES = 64  # that are kept apart until it is known what ends a step; more are not accumulated for a first one
MOST_PLAIN = 3  # passes without gradients in a step of a compiled model, until it is left to run compiled
TWICE = r"Using `torch\.compile\(module\)` when there are global hooks"  # ours pay no heed to the module that wraps it


class Eager:
    """torch.compile's stance while someone watches: the first sets it, the last one restores what was before."""

    def __init__(self) -> None:
        self._watching: set[int] = set()
        self._stance: Any = None
        self._lock = threading.Lock()

    def enter(self, who: object) -> None:
        """Run eagerly what was compiled."""
        with self._lock:
            if not self._watching:
                self._stance = torch.compiler.set_stance("force_eager")
            self._watching.add(id(who))

    def leave(self, who: object) -> None:
        """Run it as before, unless others watch."""
        with self._lock:
            if id(who) in self._watching:
                self._watching.discard(id(who))
                if not self._watching:
                    self._stance.__exit__(None, None, None)


EAGER = Eager()


class Watcher:
    """What activations do while a model trains; a context around training. See `actfun.watch`.

    A step is an optimizer's. Passes with gradients are kept apart until the first one: they may be one step's, or,
    where no optimizer comes, each a step. Passes without gradients are left alone, unless there are no others.

    trained: whether an optimizer of the model's parameters made a step. step: the number of the one that runs.
    listeners: called with the watcher, each window, and the findings that are new.
    """

    def __init__(self, model: nn.Module, every: int | str = "auto", budget: float = 0.03) -> None:
        _check(model, every, budget)
        self.model: nn.Module = getattr(model, "_orig_mod", model)
        self.step, self.trained = 0, False
        self.listeners: list[Callable[[Watcher, Window, list[Finding]], None]] = []
        self._observer = Observer([self.model], LIMIT, bins=True, accept=self._accept)
        self._observer.on_gradient = self._on_gradient
        self._schedule, self._history, self._rules = Schedule(every, budget), History(), Rules()
        self._updates, self._sentinel, self._turns = Updates(), Sentinel(self.model), Turns()
        self._owned: weakref.WeakKeyDictionary[Optimizer, tuple[bool, int]] = weakref.WeakKeyDictionary()
        self._hooks: list[Any] = []
        self._filter: Any = None
        self._armed = False  # whether the step that runs is watched
        self._differentiates = False  # whether a pass with gradients was seen
        self._by_passes = False  # whether each pass with gradients is a step, for no optimizer came
        self._shared = False  # whether other processes train the same model in step
        self._stepped = False  # whether an optimizer has, in the step that is watched
        self._plain = 0  # passes without gradients in it
        self._turn = 0  # of the observer, when a gradient came last
        self._rate: float | None = None  # of the optimizer's last step
        self._kept = [0, 0]  # steps that began with gradients of earlier ones, and steps that were asked
        self._start = 0

    # The context.

    def __enter__(self) -> "Watcher":
        if self._hooks:
            raise RuntimeError("watch: this one is entered already")
        self._observer.look()
        self._hooks = [
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]
        self._schedule.goes_on()
        warnings.filterwarnings("ignore", TWICE)  # not in each step, for then warnings that were given come again
        self._filter = warnings.filters[0]
        if not self.trained or self._schedule.chooses(self.step):
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
        try:
            if self._armed and not self._shared:
                self._flush()
        finally:
            self._disarm()
            self._sentinel.close()
            if self._filter in warnings.filters:
                warnings.filters.remove(self._filter)  # type: ignore[attr-defined]

    def _flush(self) -> None:
        """Make windows of what was seen and belongs to no step that has ended."""
        if not self.trained and self._differentiates and not self._by_passes:
            for tallies in self._observer.take_each():
                self._end(tallies)
        elif self._observer.has_counted:
            self._end(self._observer.take())

    def _arm(self) -> None:
        """Observe what comes; what torch.compile made is run eagerly, for its graphs have no places to look into."""
        if self._armed:
            return
        self._armed, self._plain = True, 0
        if "torch._dynamo" in sys.modules:
            EAGER.enter(self)
        self._observer.start()

    def _disarm(self) -> None:
        self._armed = False
        self._observer.stop()
        self._observer.take()
        EAGER.leave(self)

    # Passes.

    def _accept(self, module: nn.Module) -> bool:
        """Whether the pass that begins is watched."""
        self._sentinel.remember(module)
        self._shared = self._shared or ranks.is_shared(self.model)
        gradients = torch.is_grad_enabled() and any(p.requires_grad for p in module.parameters())
        if not gradients and self._differentiates:  # validation, a target network
            self._plain += 1
            if self._sentinel.is_compiled and self._plain > MOST_PLAIN and not self._shared:
                self._disarm()
            return False
        if gradients and not self._differentiates:
            self._differentiates = True
            self._forget()  # what was run before training
        if self.trained or (gradients and not self._by_passes and self._observer.passes < MOST_PASSES):
            self._observer.next_pass()
            return True
        if gradients and not self._by_passes:  # no optimizer will come
            self._by_passes = True
            for tallies in self._observer.take_each():
                self._end(tallies)
        elif self._observer.seen:
            self._end(self._observer.take())
        return self._schedule.chooses(self.step)

    def _forget(self) -> None:
        """Begin anew."""
        self._history, self._rules = History(), Rules()
        self._observer.take()
        self._schedule.began()
        self.step = 0

    def _on_gradient(self) -> None:
        """The first gradient of a pass: those of earlier steps should be gone, those of accumulated passes be there."""
        if self._turn == self._observer.turn:
            return
        self._turn = self._observer.turn
        if self._sentinel.is_clean():
            self._observer.drop_earlier()  # a scaler has skipped their step
        elif self.trained and not self._observer.has_earlier:
            self._kept[0] += 1
        self._kept[1] += self.trained

    # Steps.

    def _owns(self, optimizer: Optimizer) -> bool:
        """Whether an optimizer moves parameters of the model."""
        known, groups = self._owned.get(optimizer, (False, 0))
        if not known and groups != len(optimizer.param_groups):
            ours = {id(p) for p in self.model.parameters()}
            known = any(id(p) in ours for group in optimizer.param_groups for p in group["params"])
            self._owned[optimizer] = known, len(optimizer.param_groups)
        return known

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_compiling() or not self._owns(optimizer):
            return
        begun = time.perf_counter()
        with self._observer.contained("the gradient"):
            if self._rules.broken is None and not self._sentinel.is_finite(self._armed) and not is_skipped(optimizer):
                self._observer.stop()
                self._rules.broken = self._sentinel.finding(self.step, self._observer.names, not self._shared)
                if self._armed:
                    self._observer.start()
            if self._armed:
                moved = {id(p) for group in optimizer.param_groups for p in group["params"]}
                places = self._observer.places.values()
                self._updates.before([place.weight for place in places if place.weight is not None], moved)
                self._rate = max(float(group.get("lr") or 0.0) for group in optimizer.param_groups)
        if not self._armed:
            self._schedule.spent += time.perf_counter() - begun

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_compiling() or not self._owns(optimizer):
            return
        begun, armed = time.perf_counter(), self._armed
        if self._by_passes:  # an optimizer came after all
            self._by_passes = False
            self._forget()
        self.trained = True
        if armed:
            self._updates.after()
            self._stepped = True
        if self._turns.ends(optimizer):
            watched = armed and (self._shared or self._observer.has_counted)
            with self._observer.contained("a step"):
                self._end(self._observer.take() if watched else None)
            if self._schedule.chooses(self.step):
                self._arm()
            else:
                self._disarm()
        if not armed:
            self._schedule.spent += time.perf_counter() - begun

    def _end(self, tallies: dict[Key, Tally] | None) -> None:
        """A step has ended. tallies: what was counted, None where it was not watched."""
        window, interval = (None, None) if tallies is None else self._window(tallies)
        self._schedule.ended(self.step, tallies is not None, interval)
        self.step += 1
        self._plain = 0
        if window is None:
            return
        if not self._history.windows:
            self._start = window.step
        self._history.add(window)
        new = self._rules.look(window, {place.name: place for place in self._observer.places.values()}, self._start)
        for listener in list(self.listeners):
            try:
                listener(self, window, new)
            except Exception as error:  # training goes on
                self.listeners.remove(listener)
                warnings.warn(f"actfun.watch: {type(error).__name__} in a log: {error}; it gets no more", stacklevel=2)

    def _window(self, tallies: dict[Key, Tally]) -> tuple[Window | None, int | None]:
        """What was counted in a step as records; the interval that all ranks agreed on."""
        places, interval = self._observer.places, None
        updates = {key: self._updates.of(places[key].weight) for key in tallies}
        if self._shared:
            keys = sorted(tallies, key=dataclasses.astuple)
            others = [part for key in keys for part in updates.get(key) or ()]
            device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
            names, counted = [str(key) for key in keys], [tallies[key] for key in keys]
            interval = ranks.total(names, counted, others, self._schedule.interval, device)
        self._updates.clear()
        stepped, self._stepped = self._stepped, False
        if not tallies:
            return None, interval
        records = self._history.record(self.step, tallies, places, updates)
        bins = {places[k].name: [int(n) for n in t.bins.tolist()] for k, t in tallies.items() if t.bins is not None}
        facts = {"input": dict(self._observer.input), "rate": self._rate, "stepped": stepped}
        return Window(self.step, records, bins, facts), interval

    # What there is to read.

    @property
    def windows(self) -> list[Window]:
        """The windows that are kept."""
        return self._history.windows

    @property
    def last(self) -> Window | None:
        """The last window in which all numbers were finite; the last one, if that is none."""
        found = self.windows
        finite = [window for window in found if not any(record["non_finite"] for record in window.records)]
        return finite[-1] if finite else found[-1] if found else None

    @property
    def overhead(self) -> float | None:
        """The share of the time that watching took so far; None where that is not known yet."""
        return self._schedule.overhead

    @property
    def steps(self) -> int:
        """How many steps there were."""
        return self._schedule.steps

    @property
    def watched_steps(self) -> int:
        """How many steps were watched."""
        return self._schedule.count

    @property
    def places(self) -> list[Place]:
        """The activations that were seen, in the order of the network."""
        return sorted(self._observer.places.values(), key=lambda place: place.order)

    def records(self) -> list[Record]:
        """A dictionary of numbers and words for each place and window, in order of time; of many windows some go.

        "step"; "site", "activation", "kind" and "shape", of the last call; "samples", "units"; "mean", "std" and
        "mean_std" (|mean|/std) of outputs, "z_mean" and "z_std" of pre-activations; "zero", "flat": shares of
        responses; "dead": units, "dead_bound": the share of the data that they respond to at most, "dead_since": a
        step; "silent": units without a sign of life in the last window, "silent_samples": for how many samples at most;
        "gradient_rms", "log10_gradient_ratio" to the last place; "update_ratio", "weighed" and "optimized", of the
        weights before it; "non_finite", "where_not_finite", "status". None where nothing is known.
        """
        return [dict(record) for window in self.windows for record in window.records]

    def findings(self) -> list[Finding]:
        """What was wrong in three windows in a row, the gravest first."""
        return self._rules.findings

    def diagnose(self) -> list[Cause]:
        """Why the model did not learn: causes, the likeliest first, each with its evidence and the next experiment."""
        return causes(Case(self.windows, self.findings(), self.trained, (self._kept[0], self._kept[1])))

    def unwatched(self) -> dict[str, list[str]]:
        """The nonlinearities that were not seen: "idle", "hidden" inside an operation, "unmeasured"."""
        owners = {key.owner for key in self._observer.places}
        return {
            "idle": [site.name for site in self._observer.held.values() if site.name not in owners],
            "hidden": [f"{name} ({kind})" for name, kind in unseen_modules(self.model).items()],
            "unmeasured": [*self._observer.failed, *self._observer.others],
        }


class Turns:
    """Tells whose step ends a step, where a model has several optimizers that take turns: that of the last of them."""

    def __init__(self) -> None:
        self._stepped: list[weakref.ref[Optimizer]] = []  # those that have, since one of them did so before
        self._last: weakref.ref[Optimizer] | None = None

    def ends(self, optimizer: Optimizer) -> bool:
        """Whether this optimizer's step ends a step."""
        if self._last is not None and self._last() is None:  # it is gone; another one has taken its place
            self._last, self._stepped = None, []
        if any(one() is optimizer for one in self._stepped):
            self._last, self._stepped = self._stepped[-1], []
        self._stepped.append(weakref.ref(optimizer))
        last = None if self._last is None else self._last()
        return last is optimizer or (last is None and len(self._stepped) == 1)


def _check(model: Any, every: Any, budget: Any) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"watch: model must be a torch.nn.Module, got {type(model).__name__}")
    if every != "auto" and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
        raise ValueError(f'watch: every must be "auto" or a whole number of at least 1, got {every!r}')
    if isinstance(budget, bool) or not isinstance(budget, int | float) or not 0.0 < budget <= 1.0:
        raise ValueError(f"watch: budget must be a share of the time, above 0 and at most 1, got {budget!r}")
