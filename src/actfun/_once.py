"""What is worked out at the first call, whichever thread makes it."""

import os
import threading
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# Held by the one thread that works something out: machine code, an operator, a class. Two threads at once would make
# two operators of one name, two classes of one activation, and code in an engine that goes. A fork waits for it, lest
# the child find half of that.
working = threading.RLock()
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(before=working.acquire, after_in_parent=working.release, after_in_child=working.release)


class Once(Generic[P, R]):
    """`functools.cache`, but one thread works at a time, and threads that ask together get the same object."""

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = function
        self.made: dict[object, R] = {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """function(*args), which takes no keywords."""
        if args not in self.made:
            with working:
                if args not in self.made:
                    self.made[args] = self.function(*args, **kwargs)
        return self.made[args]
