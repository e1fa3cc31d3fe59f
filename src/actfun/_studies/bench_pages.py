"""`af.bench(memory=True)` and `af.bench(watch=True)`: a page each, of cells that are measured one after another."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from rich.console import Group

from actfun._bench import memory, watching
from actfun._bench.libraries import has_compiler, version
from actfun._report import bench_watch as report_watch
from actfun._report import memory as report_memory
from actfun._report.tables import drawn
from actfun._runs import host
from actfun._runs.executors import Executor, Inline
from actfun._runs.loop import Loop, all_done
from actfun._runs.store import Store
from actfun._studies.arguments import command, folder
from actfun._studies.results import Result


class Page(NamedTuple):
    """What is measured, eager or compiled, for so many seconds; and the module that writes of it."""

    title: str
    jobs: Callable[[Sequence[bool], float], Sequence[Any]]
    report: ModuleType


PAGES = {
    "memory": Page("Memory", memory.jobs, report_memory),
    "watch": Page("What watching costs", watching.jobs, report_watch),
}


class PageRun:
    """Measurements that are ready to run. See `bench` for the arguments, and for the errors raised."""

    def __init__(
        self,
        name: str,
        modes: Iterable[str],
        seconds: float,
        threads: int | None,
        out: Path | str | None,
        resume: bool,
    ) -> None:
        self.name, self.page, self.threads = name, PAGES[name], threads or host.cores()
        modes = tuple(modes)
        wanted = modes or ("eager", "compiled")
        if wanted == ("compiled",) and not has_compiler():
            raise ValueError("`compiled`: torch.compile needs a C++ compiler, such as g++")
        compiled = [mode == "compiled" for mode in wanted if mode == "eager" or has_compiler()]
        self.jobs = self.page.jobs(compiled, seconds)
        others = {"seconds": float(seconds) if seconds != 1.0 else None, "threads": threads}
        self.command = command("bench", (), {name: True, **dict.fromkeys(modes, True), **others})
        self.folder = folder(out, resume)
        self.store = Store(self.folder, resume, name)

    def run(self, executor: Executor | None = None) -> Result:
        """Measure what is missing, with nothing beside it; what was found, written to the folder if there is one."""
        with host.threads(self.threads), Loop(self.store, "cells", self.jobs) as loop:
            records = all_done(self.jobs, loop.do(self.jobs, executor or Inline()))
        facts = {
            "command": self.command,
            "machine": host.machine(1, self.threads),
            "vectors": torch.backends.cpu.get_cpu_capability(),
            "versions": {package: version(package) for package in ("torch", "transformers")},
        }
        report = self.page.report
        if self.folder is not None:
            picture = report.chart(records)
            if picture is not None:
                (self.folder / f"{self.name}.svg").write_text(picture, encoding="utf-8")
            page = report.markdown(records, facts, f"{self.name}.svg" if picture else None)
            (self.folder / f"{self.name}.md").write_text(page, encoding="utf-8")
            text = json.dumps(facts | {"cells": records}, indent=1) + "\n"
            (self.folder / f"{self.name}.json").write_text(text, encoding="utf-8")
        sections = report.sections(records)
        return Result(
            title=self.page.title,
            verdict="\n".join(report.summary(records)),
            data=facts | {"cells": records},
            rows=records,
            sections=sections,
            drawn=lambda width: Group(*drawn(sections, width)),
            about=[report.ABOUT],
            closing=["What falls short:", *report.shortfalls(records)],
        )
