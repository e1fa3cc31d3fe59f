"""The short way to a kernel in C++ (`calls.cpp`), where it has been built: `actfun build`, once a machine and version.

With it a call for a small tensor takes about half the time. Without it all works as well, in Python.
"""

import functools
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from actfun.backends import disk

SOURCE = Path(__file__).with_name("calls.cpp")
BUILD = """
import sys
from torch.utils import cpp_extension
name, source, folder = sys.argv[1:]
cpp_extension.load(name, [source], extra_cflags=["-O2"], build_directory=folder, is_python_module=False)
"""


def _file() -> Path | None:
    """What is built of this source with this torch and Python, be it there or not; None where nothing is kept."""
    source, machine = SOURCE.read_text(encoding="utf-8"), platform.machine()
    key = disk.digest(source, torch.__version__, *platform.python_build(), platform.python_version(), machine)
    folder = disk.folder()
    return None if folder is None else folder / f"actfun_calls_{key}.so"


@functools.cache
def module() -> Any:
    """What was built, or None."""
    path = _file()
    if path is None or not path.exists():
        return None
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def build() -> Path:
    """Build it with torch's own means, in a process of its own, and put it in place whole; where it lies.

    Raises OSError where nothing can be kept, RuntimeError where ninja or the compiler is missing or fails.
    """
    path = _file()
    if path is None:
        raise OSError(f"nothing is kept, for {disk.SETTING} is set and empty")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = [sys.executable, "-c", BUILD, path.stem, str(SOURCE), folder]
        beside = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])  # ninja, in a venv
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": beside})
        if done.returncode:
            lines = (done.stderr + done.stdout).strip().splitlines()
            reason = next((line for line in lines if "error:" in line), lines[-1])
            raise RuntimeError(f"building failed: {reason.strip()}")
        os.replace(Path(folder) / path.name, path)
    module.cache_clear()
    return path
