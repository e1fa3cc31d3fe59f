"""A run: its size, its clock, and its record, which is on disk after every section."""

import json
import math
import platform
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch

from actfun._version import __version__


@dataclass(frozen=True)
class Size:
    """How much is tried.

    patterns: float32 bit patterns, evenly spaced over all of them. elements: the sizes that are timed; those from
    `large` on count for the targets. compiled: the sizes that are timed compiled. seconds: what one timing may take.
    block: batch, length, width and heads of the GPT block.
    """

    patterns: int
    elements: tuple[int, ...]
    large: int
    compiled: tuple[int, ...]
    seconds: float
    block: tuple[int, int, int, int]


FULL = Size(2**24, tuple(2**k for k in range(12, 29, 2)), 2**20, (2**24, 2**20), 0.004, (8, 1024, 1024, 16))
SMALL = Size(2**12, (2**8, 2**10), 2**10, (2**10,), 0.0005, (2, 16, 32, 2))


@dataclass
class Section:
    """What a part of the run found.

    rows: results. failures: what is wrong, in words. unreached: what there was no time for. seconds: what it took.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    unreached: list[str] = field(default_factory=list)
    error: str | None = None
    seconds: float = 0.0


class Run:
    """The sections of a run on a device, within a budget of seconds from `begun` on; written to `out` as they end."""

    def __init__(self, device: str, names: tuple[str, ...], size: Size, budget: float, begun: float, out: Path) -> None:
        self.device, self.names, self.size, self.out = torch.device(device), names, size, out
        self.end = begun + budget
        self.begun, self.until = begun, self.end
        self.sections: dict[str, Section] = {}
        self.machine = machine(self.device)

    @property
    def left(self) -> float:
        """The seconds that the section at work has left."""
        return self.until - time.perf_counter()

    def say(self, words: str) -> None:
        """A line on progress."""
        print(f"[{time.perf_counter() - self.begun:6.1f} s] {words}", flush=True)

    def each(self, section: Section, items: Any, named: Callable[[Any], str] = str) -> Any:
        """The items one after another, as long as there is time; the others are written down."""
        for item in items:
            if self.left > 0.0:
                yield item
            else:
                section.unreached.append(named(item))

    def do(self, name: str, seconds: float, work: Callable[["Run", Section], None]) -> None:
        """Do a section within so many seconds; an exception ends the section alone."""
        begun = time.perf_counter()
        self.until = min(begun + seconds, self.end)
        section = self.sections[name] = Section()
        try:
            work(self, section)
        except Exception:  # whatever it is, the other sections are worth having
            section.error = traceback.format_exc(limit=-6)
        section.seconds = time.perf_counter() - begun
        self.say(f"{name}: {_outcome(section)}, {section.seconds:.1f} s")
        self.write()

    def record(self) -> dict[str, Any]:
        """All that is known so far."""
        sections = {name: vars(section) for name, section in self.sections.items()}
        return {"machine": self.machine, "sections": sections, "large": self.size.large}

    def write(self) -> None:
        """The record as JSON: whole, for it is put in place at once."""
        part = self.out / "gpu.json.part"
        part.write_text(json.dumps(_plain(self.record()), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        part.replace(self.out / "gpu.json")


def _plain(value: Any) -> Any:
    """A record with words for the numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _outcome(section: Section) -> str:
    words = [f"{len(section.rows)} results"]
    words += [f"{len(section.failures)} WRONG, the first: {section.failures[0]}"] if section.failures else []
    words += [f"{len(section.unreached)} not reached"] if section.unreached else []
    words += [f"ended by {section.error.strip().splitlines()[-1]}"] if section.error else []
    return ", ".join(words)


def machine(device: torch.device) -> dict[str, Any]:
    """The facts that results depend on."""
    try:
        import triton

        version = triton.__version__
    except ImportError:
        version = None
    facts = {
        "date": date.today().isoformat(),
        "actfun": __version__,
        "torch": torch.__version__,
        "triton": version,
        "python": platform.python_version(),
    }
    if device.type != "cuda":
        return {"device": "CPU (a dry run)", **facts}
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name,
        "memory": f"{properties.total_memory / 2**30:.0f} GiB",
        "multiprocessors": properties.multi_processor_count,
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
        **facts,
    }
