"""`af.atlas`: all activations and their facts, on one page."""

import functools
import json
from pathlib import Path
from typing import Any

from actfun._catalogue.registry import names
from actfun._report import atlas as report
from actfun._report.tables import Section, fit_columns
from actfun._runs.host import threads
from actfun._studies.results import Result


class Atlas(Result):
    """All activations: their facts, and the page that draws them. accuracy, bench: what was measured, if anything."""

    def __init__(self, accuracy: dict[str, Any] | None, bench: dict[str, Any] | None) -> None:
        self.accuracy, self.bench = accuracy, bench
        with threads(1):
            rows = [report.facts(name, accuracy, bench) for name in names()]
        columns = {fact.replace("_", " "): [report.in_words(row[fact]) for row in rows] for fact in rows[0]}
        super().__init__(
            title="Activations",
            verdict=f"{len(rows)} activations.",
            data={"activations": rows},
            rows=rows,
            sections=[Section("Facts", "", columns)],
            drawn=functools.partial(fit_columns, "", columns, left=("name", "kind", "range", "saturates", "learned")),
        )

    def html(self, path: Path | str) -> None:
        """Write the page, which needs no network, to `path`, all or nothing."""
        report.write_atlas(Path(path), self.accuracy, self.bench)


def atlas(
    *, accuracy: Path | str | None = None, bench: Path | str | None = None, out: Path | str | None = None
) -> Atlas:
    """All activations and their facts; its page draws any of them, and their derivatives, over one another.

    accuracy, bench: folders in which `actfun accuracy` and `actfun bench` have left results, which the page then shows
    too. out: a folder for atlas.html (default: nothing is written; `.html(path)` does it later).
    Raises ValueError where a folder has no such results; OSError where the folder cannot be used.
    """
    found = Atlas(_measured("accuracy", accuracy), _measured("bench", bench))
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        found.html(Path(out) / "atlas.html")
    return found


PARTS = {"accuracy": "findings", "bench": "cells"}  # command -> what its results have


def _measured(command: str, folder: Path | str | None) -> dict[str, Any] | None:
    """What a command has left in a folder."""
    if folder is None:
        return None
    path = Path(folder) / f"{command}.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        made = f"`actfun {command} --out {folder}` writes it"
        raise ValueError(f"`{command}`: there is no {path.name} in {folder}; {made}") from None
    except ValueError as error:
        raise ValueError(f"`{command}`: {path} is no JSON: {error}") from None
    if not isinstance(data, dict) or not {PARTS[command], "command", "machine"} <= data.keys():
        raise ValueError(f"`{command}`: {path} is not what `actfun {command}` writes")
    return data
