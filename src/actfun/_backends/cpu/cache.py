"""Machine code kept on disk, so that a kernel is worked out once a machine and not once a process.

An entry is named by a digest of all that it rests on: two formulas never share one, and a new version of the package,
of LLVM, or another processor never finds an old one. It is written to one side and put in place by renaming, so that
processes that fill the cache at once do no harm; its contents bear a checksum, so that a broken one is made anew.

Entries run as the user, so only the user may have written them: a folder or a file that belongs to another, or that
others may write to, or that is a link, is not read.
"""

import functools
import hashlib
import os
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from actfun._version import __version__

SETTING = "ACTFUN_CACHE"  # another folder; nothing at all is kept if it is set and empty
SUM = 32  # bytes of a checksum

_warned: set[Path | None] = set()


def digest(*parts: str) -> str:
    """A name for what some texts describe together."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(f"{len(part)}:{part}".encode())
    return whole.hexdigest()[:40]


@functools.cache
def fingerprint() -> str:
    """Of the code that kernels come from."""
    package = Path(__file__).parents[2]
    parts = ("_catalogue/primitives.py", "_backends/*.py", "_backends/cpu/*.*")
    files = sorted(path for part in parts for path in package.glob(part))
    return digest(*(path.read_text(encoding="utf-8") for path in files))


def folder() -> Path | None:
    """Where entries are kept, if anywhere: the folder for caches that the system has for its user."""
    if (setting := os.environ.get(SETTING)) is not None:
        return Path(setting) if setting else None
    try:
        return _of_the_system() / "actfun"
    except RuntimeError as error:  # no home folder is known
        _warn(None, error)
        return None


def _of_the_system() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def get_or_create(name: str, make: Callable[[], bytes]) -> bytes:
    """What the cache has under a name that says what it is; else it is made, and kept if that can be."""
    place = folder()
    if place is None:
        return make()
    path = place / digest(fingerprint(), __version__) / name
    try:
        found = _read(path)
    except FileNotFoundError:
        found = b""
    except OSError as error:
        _warn(place, error)
        return make()
    if found and hashlib.sha256(found[SUM:]).digest() == found[:SUM]:
        return found[SUM:]
    made = make()
    try:
        _write(path, hashlib.sha256(made).digest() + made)
    except OSError as error:
        _warn(place, error)
    return made


def _read(path: Path) -> bytes:
    """A file, if the user alone could have written it; nothing, if it could be another's.

    Raises FileNotFoundError where there is no folder or file, PermissionError where others may write to the folder.
    """
    if not hasattr(os, "getuid"):  # Windows: the folder for caches is the user's own
        return path.read_bytes()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if not _is_own(folder):
            raise PermissionError(f"{path.parent} belongs to another user, or others may write to it")
        try:
            file = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
        except OSError:  # there is none, or it is a link
            return b""
        with os.fdopen(file, "rb") as opened:
            return opened.read() if _is_own(file) else b""
    finally:
        os.close(folder)


def _is_own(opened: int) -> bool:
    """Whether an open folder or file belongs to the user, or to root, and nobody else may write to it."""
    status = os.fstat(opened)
    return status.st_uid in (0, os.getuid()) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _write(path: Path, contents: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(contents)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _warn(place: Path | None, error: Exception) -> None:
    if place not in _warned:
        _warned.add(place)
        warnings.warn(
            f"kernels cannot be kept in {place or 'a folder'} ({error}), so each process works them out anew; "
            f"{SETTING} names another folder",
            RuntimeWarning,
            stacklevel=2,
        )
