"""Callbacks that watch a training of Lightning or of transformers: `actfun.watch` in their trainers.

`from actfun.callbacks import WatchLightning` needs lightning (or pytorch_lightning), `WatchTrainer` transformers: each
is made when it is first asked for.
"""

import functools
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from actfun._studies.watch import Watch, watch

__all__ = ["WatchLightning", "WatchTrainer"]  # noqa: F822  (see __getattr__)


_TAKES = """Takes what `actfun.watch` takes beside the model, and html: a file for the page, which is written when the
training ends. `watch` has what was seen; it is None before the training begins. Where a training is broken off,
Lightning tells its callbacks, and the page is written too; transformers does not: call `end()`."""


class _Watching:
    """What the callbacks have in common."""

    def __init__(self, html: Path | str | None = None, **options: Any) -> None:
        super().__init__()
        self.watch: Watch | None = None
        self._page, self._options, self._open = html, options, False

    def _begin(self, model: torch.nn.Module, loggers: Sequence[Any] = ()) -> None:
        self.end()  # of a training that was broken off
        if self.watch is None or self.watch.model is not model:
            self.watch = watch(model, **{"log": loggers, **self._options})
        self.watch.__enter__()
        self._open = True

    def end(self) -> None:
        """End the watching, and write the page."""
        if self.watch is None or not self._open:
            return
        self._open = False
        self.watch.__exit__(None, None, None)
        if self._page is not None:
            self.watch.html(self._page)


@functools.cache
def _lightning() -> Any:
    try:
        base: Any = importlib.import_module("lightning.pytorch").Callback
    except ModuleNotFoundError:
        base = importlib.import_module("pytorch_lightning").Callback

    class WatchLightning(_Watching, base):  # type: ignore[misc]
        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            """Watch the module; its trainer's loggers get the numbers, where no other log was given."""
            loggers = [logger for logger in trainer.loggers if hasattr(logger, "log_metrics")]
            self._begin(pl_module, loggers)

        def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
            """End it."""
            self.end()

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            """End it, with what was seen."""
            self.end()

    return _named(WatchLightning, "A callback of a Lightning trainer that watches its module.")


@functools.cache
def _trainer() -> Any:
    from transformers import TrainerCallback

    class WatchTrainer(_Watching, TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            """Watch the model."""
            self._begin(model)

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """End it."""
            self.end()

    return _named(WatchTrainer, "A callback of a trainer of transformers that watches its model.")


def _named(made: Any, summary: str) -> Any:
    made.__doc__ = f"{summary}\n\n{_TAKES}"
    made.__module__, made.__qualname__ = __name__, made.__name__
    return made


_MADE = {"WatchLightning": _lightning, "WatchTrainer": _trainer}


def __getattr__(name: str) -> Any:
    if name not in _MADE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return _MADE[name]()
    except ModuleNotFoundError as error:
        raise ImportError(f"actfun.callbacks.{name} needs {error.name}: pip install {error.name}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
