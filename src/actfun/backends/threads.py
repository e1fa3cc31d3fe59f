"""Drivers that call a compiled kernel over a range of elements, from one thread or several, by its address.

They know nothing of formulas, so results cannot depend on the number of threads, and only two small functions are ever
compiled with Numba's parallel machinery.
"""

import os
import threading
from typing import Any

import torch
from llvmlite import ir
from numba import int64, njit, prange, void
from numba.extending import intrinsic
from torch import Tensor

from actfun.backends.llvm import INT64

# Below this many elements a second thread costs more than it brings (about 3 µs to wake it, measured on two cores).
SERIAL_BELOW = 32_768


def _typed_call(typing, kernel, x, g, y, block, start, stop):
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = ir.FunctionType(ir.VoidType(), [INT64] * 6).as_pointer()
        builder.call(builder.inttoptr(values[0], pointer), values[1:])
        return context.get_dummy_value()

    return void(*[int64] * 7), generate


_call: Any = intrinsic(_typed_call)


@njit(nogil=True)
def _serial(kernel, x, g, y, block, n):
    _call(kernel, x, g, y, block, 0, n)


@njit(nogil=True, parallel=True)
def _parallel(kernel, x, g, y, block, n, chunk):
    for c in prange((n + chunk - 1) // chunk):
        _call(kernel, x, g, y, block, c * chunk, min(n, (c + 1) * chunk))


# One parallel kernel at a time: Numba's fallback threading layer allows no more, and a second would fight for cores.
_parallel_free = threading.Lock()
_forked = False  # in a forked child the parent's OpenMP threads are gone, and a parallel kernel would end the process


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_after_fork)


def run(kernel: Any, x: Tensor, g: Tensor | None, y: Tensor, block: int) -> None:
    """Call a kernel for all elements of y: contiguous tensors, or tensors of one layout without gaps."""
    n, threads = x.numel(), torch.get_num_threads()
    addresses = (kernel.address, x.data_ptr(), 0 if g is None else g.data_ptr(), y.data_ptr(), block)
    if n >= SERIAL_BELOW and threads > 1 and not _forked and _parallel_free.acquire(blocking=False):
        try:
            _parallel(*addresses, n, -(-n // threads))
        finally:
            _parallel_free.release()
    else:
        _serial(*addresses, n)
