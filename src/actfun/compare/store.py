"""results.jsonl: one line for each finished trial, on disk before anyone is told that it finished."""

import json
import os
from pathlib import Path
from typing import Any

RESULTS = "results.jsonl"
PREVIOUS = "results.previous.jsonl"


class Store:
    """The finished trials of a folder, by trial id.

    resume: keep what is there; otherwise an earlier results.jsonl is moved aside, to results.previous.jsonl.
    """

    def __init__(self, folder: Path, resume: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / RESULTS
        if self.path.exists() and not resume:
            self.path.replace(folder / PREVIOUS)
        self.finished = {record["id"]: record for record in read(self.path)}
        self._rewrite_torn_end()

    def append(self, record: dict[str, Any]) -> None:
        """Add a finished trial: written, flushed and synced before this returns."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.finished[record["id"]] = record

    def _rewrite_torn_end(self) -> None:
        """Cut off a last line without an end, so that the next append starts on a line of its own."""
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        if data and not data.endswith(b"\n"):
            with self.path.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a results file. A last line that was torn by a crash is dropped.

    Raises ValueError, with the line's number, where any other line is not a trial.
    """
    records: list[dict[str, Any]] = []
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
            raise ValueError(f"{path}: line {number} is not a trial; repair or remove it") from None
        records.append(record)
    return records
