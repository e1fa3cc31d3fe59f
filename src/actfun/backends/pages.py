"""Huge pages for large results: their memory is fresh, and mapping it page by page takes longer than filling it."""

import ctypes
import functools
import mmap
import sys
from typing import Any

from torch import Tensor

LARGE = 2**25  # bytes: below, glibc hands out again what was freed, and asking takes 15 µs for nothing
HUGE = 2**21  # bytes of a huge page on x86 and ARM


@functools.cache
def _madvise() -> Any:
    """The system's function, or None where there is none that knows huge pages."""
    if sys.platform != "linux" or not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return function


def advise(y: Tensor) -> None:
    """Ask for huge pages under a tensor that nothing has been written to yet; a system that has none lets it be."""
    if y.nbytes < LARGE or (madvise := _madvise()) is None:
        return
    first = -(-y.data_ptr() // HUGE) * HUGE
    last = (y.data_ptr() + y.nbytes) // HUGE * HUGE
    madvise(first, last - first, mmap.MADV_HUGEPAGE)
