"""The facts of a machine that measured results depend on."""

import contextlib
import os
import platform
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import torch

from actfun._version import __version__


def machine(workers: int, threads: int) -> dict[str, Any]:
    """The facts of this machine, and how many processes and threads a run uses."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "workers": workers,
        "threads": threads,
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__.partition("+")[0],
        "actfun": __version__,
        "date": date.today().isoformat(),
    }


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> int:
    """How many GPUs torch can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads within."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
