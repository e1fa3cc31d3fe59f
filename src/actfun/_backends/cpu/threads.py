"""Calls a kernel over a range of elements, from one thread or several.

It knows nothing of formulas, so results cannot depend on the number of threads. The threads are those of torch itself:
a portion for each in a team of the OpenMP library that torch has loaded, so that two pools never fight for the cores.
Where that is another library than GNU's, or none, Python's own threads do it, which takes longer to start.
"""

import ctypes
import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from actfun._backends.cpu import jit, loops
from actfun._once import Once

# Below this many elements a second thread costs more than it brings (about 3 µs to wake it, measured on two cores).
SERIAL_BELOW = 32_768
BUILTIN_BELOW = 2**18  # a call of the team that holds Python's lock takes 2.5 µs less, and the lock for 20 µs at most
CACHE_LINES = 64  # elements: no two threads write to one line


@Once
def _team() -> Any:
    """What calls a kernel from a team of threads, or None where there is no GNU OpenMP."""
    library = ctypes.CDLL(None) if os.name == "posix" else None
    if not all(hasattr(library, name) for name in ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")):
        return None
    return jit.function("team", loops.parallel_loop, 8)


def team_address() -> int:
    """Where the code of the team's call starts, or 0 where there is none."""
    team = _team()
    return 0 if team is None else team.address


@functools.lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="actfun")


def _by_python(threads: int, kernel: Any, arguments: tuple[int, ...], n: int, chunk: int) -> None:
    portions = [(start, min(start + chunk, n)) for start in range(0, n, chunk)]
    others = [_pool(threads - 1).submit(kernel, *arguments, *portion) for portion in portions[1:]]
    kernel(*arguments, *portions[0])
    for other in others:
        other.result()


# One parallel kernel at a time: a second would fight for the cores.
_parallel_free = threading.Lock()
_forked = False  # in a forked child the parent's threads are gone, and waiting for them would never end


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_after_fork)


def run(kernel: jit.Function, x: int, g: int, y: int, block: int, n: int) -> None:
    """Call a kernel for n elements: of arrays without gaps, or of one layout, by their addresses."""
    if n < SERIAL_BELOW:
        kernel.builtin(x, g, y, block, 0, n)
        return
    threads = torch.get_num_threads()
    if threads > 1 and not _forked and _parallel_free.acquire(blocking=False):
        chunk = -(-n // threads // CACHE_LINES) * CACHE_LINES
        try:
            if (team := _team()) is not None:
                call = team.builtin if n < BUILTIN_BELOW else team
                call(kernel.address, x, g, y, block, n, chunk, threads)
            else:
                _by_python(threads, kernel, (x, g, y, block), n, chunk)
        finally:
            _parallel_free.release()
    else:
        kernel(x, g, y, block, 0, n)
