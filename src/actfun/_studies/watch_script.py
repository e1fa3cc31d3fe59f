"""`actfun watch SCRIPT.py`: a training script that is not changed, and every module whose parameters it optimizes."""

import gc
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from actfun._studies.watch import Watch, watch


class Script:
    """A script, or a module with `module`, that is run as `python` would run it, and what was watched in it.

    watches: one for each model, in the order in which optimizers were made. error: what ended it early.
    """

    def __init__(self, script: str, arguments: Sequence[str] = (), module: bool = False, **options: Any) -> None:
        if not module and not Path(script).is_file():
            raise ValueError(f"SCRIPT: there is no file {script}")
        watch(nn.Identity(), **options)  # says now what is wrong with them
        self.watches: list[Watch] = []
        self.error: BaseException | None = None
        self._script, self._arguments, self._module, self._options = script, list(arguments), module, options

    def run(self) -> None:
        """Run it; whatever it raises is kept in `error`."""
        before = sys.argv, list(sys.path)
        sys.argv = [self._script, *self._arguments]
        try:
            with _optimizers(self._begin):
                if self._module:
                    sys.path.insert(0, "")
                    runpy.run_module(self._script, run_name="__main__", alter_sys=True)
                else:
                    sys.path.insert(0, str(Path(self._script).resolve().parent))
                    runpy.run_path(self._script, run_name="__main__")
        except BaseException as error:
            self.error = error
        finally:
            sys.argv, sys.path[:] = before
            for one in self.watches:
                try:
                    one.close()
                except Exception as error:  # the others are to be closed too
                    self.error = self.error or error

    @property
    def code(self) -> int:
        """The exit code that the script asked for; 1 where it raised, 130 where it was interrupted."""
        if isinstance(self.error, SystemExit):
            asked = self.error.code
            return asked if isinstance(asked, int) else int(asked is not None)
        return 0 if self.error is None else 130 if isinstance(self.error, KeyboardInterrupt) else 1

    def _begin(self, optimizer: Optimizer) -> None:
        """Watch the models whose parameters an optimizer was given; leave those that no other one has any more."""
        others = [one for one in gc.get_objects() if issubclass(type(one), Optimizer) and one is not optimizer]
        moved = {id(p) for one in others for group in getattr(one, "param_groups", ()) for p in group["params"]}
        for one in self.watches:
            if not any(id(p) in moved for p in one.model.parameters()):
                one.close()
        wanted = {id(p) for group in optimizer.param_groups for p in group["params"]}
        known = {id(module) for one in self.watches for module in one.model.modules()}
        for root in roots(wanted):
            if id(getattr(root, "_orig_mod", root)) not in known:
                made = watch(root, **self._options)
                self.watches.append(made.__enter__())


def roots(parameters: set[int]) -> Iterator[nn.Module]:
    """The modules that hold some parameters, by id, and that no other module holds."""
    alive = [found for found in gc.get_objects() if issubclass(type(found), nn.Module) and "_modules" in vars(found)]
    held = {id(child) for module in alive for child in module._modules.values()}
    for module in alive:
        if id(module) not in held and any(id(p) in parameters for p in module.parameters()):
            yield module


@contextmanager
def _optimizers(made: Callable[[Optimizer], None]) -> Iterator[None]:
    """Call a function with each optimizer that is made within."""
    original: Any = Optimizer.__init__

    def initialise(self: Optimizer, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        made(self)

    Optimizer.__init__ = initialise  # type: ignore[method-assign]
    try:
        yield
    finally:
        Optimizer.__init__ = original  # type: ignore[method-assign]
