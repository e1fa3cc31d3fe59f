"""`af.bench`: how long activations take, beside torch and others."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Group

from actfun._accuracy.implementation import library_function
from actfun._bench import cells, compiled, steps
from actfun._bench.libraries import EAGER, LIBRARIES, PEERS, has_compiler, version
from actfun._bench.networks import networks
from actfun._bench.timing import Timing
from actfun._catalogue.kinds import ELEMENTWISE
from actfun._report import bench as report
from actfun._report.speed import known_limits
from actfun._report.speed_tables import sections
from actfun._runs import host
from actfun._runs.executors import Executor, Inline
from actfun._runs.job import Record
from actfun._runs.loop import Loop, all_done
from actfun._runs.store import Store
from actfun._studies.arguments import Names, as_tuple, command, folder, of_kinds, one_of
from actfun._studies.results import Result

PARTS = ("steps", "compiled", "eager")
SPREADS, SECONDS = (1.0, 3.0), 1.0


class BenchRun:
    """Timings that are ready to run. See `bench` for the arguments, and for the errors raised."""

    def __init__(
        self,
        activations: Names,
        parts: Sequence[str],
        sizes: Iterable[int] | None,
        dtypes: Iterable[str] | None,
        against: Iterable[str] | None,
        spreads: Iterable[float] | None,
        seconds: float,
        threads: int | None,
        out: Path | str | None,
        resume: bool,
    ) -> None:
        given = {"sizes": sizes, "dtypes": dtypes, "against": against, "spreads": spreads}
        lists = {name: None if values is None else tuple(dict.fromkeys(values)) for name, values in given.items()}
        _check(lists, seconds, threads)
        self.threads, self.limits = threads or host.cores(), known_limits()
        self.jobs = _jobs(as_tuple(activations), parts or PARTS, lists, seconds)
        others = {"seconds": float(seconds) if seconds != SECONDS else None, "threads": threads}
        self.command = command("bench", as_tuple(activations), {**dict.fromkeys(parts, True), **lists, **others})
        self.folder = folder(out, resume)
        self.store = Store(self.folder, resume, "bench")

    def run(self, executor: Executor | None = None) -> Result:
        """Time what is missing, with nothing beside it; the timings, written to the folder if there is one."""
        with host.threads(self.threads), Loop(self.store, "cells", self.jobs) as loop:
            records = all_done(self.jobs, loop.do(self.jobs, executor or Inline()))
        packages = dict.fromkeys([*(library.package for library in LIBRARIES.values()), "transformers"])
        facts = {
            "command": self.command,
            "machine": host.machine(1, self.threads),
            "vectors": torch.backends.cpu.get_cpu_capability(),
            "versions": {package: version(package) for package in packages},
        }
        self._write(records, facts)
        return Result(
            title="Speed",
            verdict="\n".join(report.summary(records)),
            data=facts | {"cells": records},
            rows=records,
            sections=sections(records),
            drawn=lambda width: Group(*report.tables(records, width)),
            about=[report.machine_words(facts), report.ABOUT],
            closing=["What falls short:", *report.shortfalls(records, self.limits)],
        )

    def _write(self, records: list[Record], facts: dict[str, Any]) -> None:
        if self.folder is None:
            return
        picture = report.chart(records)
        if picture is not None:
            (self.folder / "speed.svg").write_text(picture, encoding="utf-8")
        page = report.markdown(records, facts, "speed.svg" if picture else None, self.limits)
        (self.folder / "speed.md").write_text(page, encoding="utf-8")
        text = json.dumps(facts | {"cells": records}, indent=1) + "\n"
        (self.folder / "bench.json").write_text(text, encoding="utf-8")


def _check(given: dict[str, tuple[Any, ...] | None], seconds: float, threads: int | None) -> None:
    for name, values in given.items():
        if values == ():
            raise ValueError(f"`{name}` names nothing")
    for size in given["sizes"] or ():
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"`sizes`: {size!r} is not a number of elements; give whole numbers, such as 4096")
    for spread in given["spreads"] or ():
        if not 0.0 < spread < math.inf:
            raise ValueError(f"`spreads`: {spread!r} is not a standard deviation; give positive numbers, such as 3.0")
    if not 0.0 <= seconds < math.inf:
        raise ValueError(f"`seconds` must be a number of at least 0, got {seconds}")
    if threads is not None and threads < 1:
        raise ValueError(f"`threads` must be at least 1, got {threads}")


def _jobs(
    asked: tuple[str, ...], parts: Sequence[str], given: dict[str, tuple[Any, ...] | None], seconds: float
) -> list[Timing]:
    """What is to be timed, in the order of the page. Raises ValueError where something given cannot be right."""
    names, peers = of_kinds(asked, ELEMENTWISE), _peers(given["against"])
    dtypes = given["dtypes"] and tuple(one_of("dtypes", dtype, cells.DTYPES) for dtype in given["dtypes"])
    sizes = given["sizes"]
    both = [name for name in names if library_function(EAGER, name) is not None]
    usual = [name for name in both if asked or name in steps.ACTIVATIONS]
    compiles = has_compiler()
    if tuple(parts) == ("compiled",) and not compiles:
        raise ValueError("`compiled`: torch.compile needs a C++ compiler, such as g++")
    if "eager" not in parts and not both:
        raise ValueError(f"torch has no {' nor '.join(names)} to compare with")
    work: list[Timing] = []
    if "steps" in parts:
        work += steps.steps(usual, networks(), (False, True) if compiles else (False,), seconds)
    if "compiled" in parts and compiles:
        work += compiled.compiled(both, usual, dtypes or compiled.DTYPES, sizes or compiled.SIZES, seconds)
    if "eager" in parts:
        spreads = given["spreads"] or SPREADS
        work += cells.cells(names, dtypes or cells.DTYPES, sizes or cells.SIZES, spreads, peers, seconds)
    return work


def _peers(asked: tuple[str, ...] | None) -> tuple[str, ...]:
    """The libraries beside which eager calls are timed: torch, and those asked for."""
    if asked is None:
        return tuple(name for name in PEERS if LIBRARIES[name].version)
    found = tuple(dict.fromkeys([EAGER, *(one_of("against", name, PEERS) for name in asked)]))
    for name in found:
        if not LIBRARIES[name].version:
            raise ValueError(f"`against`: {name} is not there; {LIBRARIES[name].remedy}")
    return found


def bench(
    activations: Names = None,
    *,
    steps: bool = False,
    compiled: bool = False,
    eager: bool = False,
    memory: bool = False,
    watch: bool = False,
    sizes: Iterable[int] | None = None,
    dtypes: Iterable[str] | None = None,
    against: Iterable[str] | None = None,
    spreads: Iterable[float] | None = None,
    seconds: float = SECONDS,
    threads: int | None = None,
    out: Path | str | None = None,
    resume: bool = False,
) -> Result:
    """Time training steps, compiled calls and eager calls, or those named, side by side with torch and others.

    activations: names of element-wise ones (default: all; relu, gelu, silu, tanh, elu in steps). steps: training steps
    of whole networks. compiled: calls through torch.compile. eager: calls without it. sizes: numbers of elements.
    dtypes: "float32", "bfloat16", "float16". against: "compile", "jax", "onnxruntime" beside torch (default: those
    installed). spreads: standard deviations of eager calls' normal inputs (default: 1, 3). seconds: for an eager call;
    others in proportion. threads: of torch (default: one a core). out: a folder for bench.jsonl, bench.json, speed.md
    and speed.svg (default: nothing is written). resume: go on with what is in the folder.

    memory: in place of these, what blocks and models keep for backward, and the most that they need at a time; also
    `eager` or `compiled` alone. watch: likewise, what `actfun.watch` costs in time and memory. They take `seconds`,
    `threads`, `out` (for memory.json, memory.md and memory.svg, or watch.json and watch.md) and `resume` beside.

    It runs in this process, and nothing else should run then. Raises ValueError for what cannot be right, naming the
    argument; OSError where the folder cannot be used; JobsFailedError, a RuntimeError, where a timing broke.
    """
    parts = [part for part, asked in zip(PARTS, (steps, compiled, eager), strict=True) if asked]
    if name := "memory" if memory else "watch" if watch else None:
        from actfun._studies.bench_pages import PageRun

        others = (activations, sizes, dtypes, against, spreads)
        if steps or (memory and watch) or any(one is not None for one in others):
            raise ValueError(f"`{name}` goes with `eager`, `compiled`, `seconds`, `threads`, `out` and `resume` alone")
        return PageRun(name, parts, seconds, threads, out, resume).run()
    return BenchRun(activations, parts, sizes, dtypes, against, spreads, seconds, threads, out, resume).run()
