"""One line of JSON for each finished job of a run, on disk before anyone is told that it finished."""

import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from actfun._runs.job import Job, Record, is_settled

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

J = TypeVar("J", bound=Job)


class Store:
    """The finished jobs of a folder, by id, in NAME.jsonl; it holds the folder for itself until it is closed.

    folder: None keeps them in memory alone. resume: keep what is there; otherwise an earlier NAME.jsonl is kept as
    NAME.1.jsonl, NAME.2.jsonl, … Raises ValueError where another process holds the folder, or its results are damaged.
    """

    def __init__(self, folder: Path | None, resume: bool, name: str = "results") -> None:
        self.folder = folder
        self.kept_as: Path | None = None
        self._lock: int | None = None
        self.finished: dict[str, Record] = {}
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT)
        self.path = folder / f"{name}.jsonl"
        try:
            if fcntl is not None:  # the system drops this lock when the process ends, however it ends
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.kept_as = None if resume else self._set_aside()
            self.finished = {record["id"]: record for record in read(self.path)}
            self._cut_torn_end()
        except BlockingIOError:
            self.close()
            raise ValueError(f"another run is writing to {folder}; wait for it, or name another folder") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let others use the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def missing(self, jobs: Iterable[J]) -> list[J]:
        """Those of some jobs that have no record which may be used again."""
        return [job for job in jobs if not is_settled(self.finished.get(job.id))]

    def _set_aside(self) -> Path | None:
        if not self.path.exists() or not self.path.stat().st_size:
            return None
        numbered = (self.path.with_suffix(f".{k}.jsonl") for k in itertools.count(1))
        kept_as = next(path for path in numbered if not path.exists())
        return self.path.replace(kept_as)

    def append(self, record: Record) -> None:
        """Add a finished job: written, flushed and synced before this returns."""
        if self.folder is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
        self.finished[record["id"]] = record

    def _cut_torn_end(self) -> None:
        """Cut off a last line without an end, so that the next append starts on a line of its own."""
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        if data and not data.endswith(b"\n"):
            with self.path.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)


def read(path: Path) -> list[Record]:
    """The records of a results file. A last line that was torn by a crash is dropped.

    Raises ValueError, with the line's number, where any other line is not a result.
    """
    records: list[Record] = []
    if not path.exists():
        return records
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            record = json.loads(line)
            record["id"]
        except (ValueError, KeyError, TypeError):
            if number == len(lines):
                break
            raise ValueError(f"{path}: line {number} is not a result; repair or remove it") from None
        records.append(record)
    return records
