"""`af.accuracy`: the worst errors of activations and of their derivatives."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

from rich.table import Table

from actfun._accuracy import compiled as calls
from actfun._accuracy import subject, survey
from actfun._accuracy.error import TARGETS
from actfun._api.arguments import Names, command, elementwise, folder, listed, one_of, worker_count
from actfun._api.results import WIDTH, Result, paragraphs
from actfun.report import accuracy as report
from actfun.report import accuracy_compiled as report_compiled
from actfun.report.tables import Section
from actfun.runs.executors import Executor, Inline, Processes
from actfun.runs.loop import Loop, all_done
from actfun.runs.machine import cores, machine
from actfun.runs.store import Store


class Accuracy(Result):
    """The worst errors. facts: the command, the machine, and how long it took."""

    missed: list[str]  # what of this library misses its target

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts

    @property
    def verdict(self) -> str:
        """Whether targets are missed, and which."""
        return f"Targets missed: {', '.join(self.missed)}" if self.missed else "Every target is met."

    def sentences(self) -> list[str]:
        """The verdict."""
        return [self.verdict]

    def save(self, place: Path) -> None:
        """Write the files of the command to a folder."""
        raise NotImplementedError


class EagerAccuracy(Accuracy):
    """Of usual calls. findings: what was measured, and its worst error."""

    def __init__(self, findings: list[report.Finding], facts: dict[str, Any]) -> None:
        super().__init__(facts)
        self.findings, self.missed = findings, report.missed(findings)

    @property
    def title(self) -> str:
        """What was measured."""
        return "Accuracy"

    def table(self, width: int = WIDTH) -> Table:
        """The findings, a line each, misses in bold, for rich to print on a terminal of that many characters."""
        return report.table(self.findings, width)

    def to_dict(self) -> dict[str, Any]:
        """The findings and the facts of the run."""
        return report.as_json(self.findings, self.facts)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each finding."""
        rows: list[dict[str, Any]] = self.to_dict()["findings"]
        return rows

    def about(self) -> list[str]:
        """What the figures mean, and the machine."""
        return paragraphs(report.about(self.facts))

    def sections(self) -> list[Section]:
        """A table for each dtype."""
        return report.sections(self.findings)

    def save(self, place: Path) -> None:
        """Write accuracy.md and accuracy.json to a folder."""
        page, data = place / "accuracy.md", place / "accuracy.json"
        data.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")
        page.write_text(report.markdown(self.findings, self.facts), encoding="utf-8")


class CompiledAccuracy(Accuracy):
    """Of calls through torch.compile. deviations: the worst errors by stretches of the line."""

    def __init__(self, deviations: list[calls.Deviation], facts: dict[str, Any]) -> None:
        super().__init__(facts)
        self.deviations, self.missed = deviations, report_compiled.missed(deviations)

    @property
    def title(self) -> str:
        """What was measured."""
        return "Accuracy of compiled calls"

    def table(self, width: int = WIDTH) -> Table:
        """The deviations, a line each, misses in bold, for rich to print on a terminal of that many characters."""
        return report_compiled.table(self.deviations, width)

    def to_dict(self) -> dict[str, Any]:
        """The deviations and the facts of the run."""
        return self.facts | {"findings": self.rows()}

    def rows(self) -> list[dict[str, Any]]:
        """A row for each deviation."""
        return [dataclasses.asdict(deviation) | {"met": deviation.met} for deviation in self.deviations]

    def about(self) -> list[str]:
        """What the figures mean, and the machine."""
        return paragraphs(report_compiled.about(self.facts["machine"]))

    def sections(self) -> list[Section]:
        """The table."""
        return [report_compiled.table_section(self.deviations)]

    def save(self, place: Path) -> None:
        """Write compiled.md to a folder."""
        page = place / "compiled.md"
        page.write_text(report_compiled.markdown(self.deviations, **self.facts), encoding="utf-8")


class Surveying:
    """A survey of accuracy that is ready to run. See `accuracy` for its arguments, and for the errors raised."""

    def __init__(
        self,
        activations: Names,
        dtype: str | None,
        exhaustive: bool,
        compiled: bool,
        lib: str,
        workers: int | None,
        out: Path | str | None,
        resume: bool,
    ) -> None:
        self.activations = elementwise(activations)
        known = {report.dtype_name(dtype): dtype for dtype in TARGETS}
        asked = known if dtype is None else [one_of("dtype", dtype, tuple(known))]
        libraries = tuple(dict.fromkeys(("actfun", one_of("lib", lib, subject.LIBRARIES))))
        self.workers = worker_count(workers)
        if compiled and (exhaustive or lib != "actfun"):
            raise ValueError("`compiled` goes with neither `exhaustive` nor `lib`")
        self.dtypes = [name for name in asked if not compiled or known[name] in calls.DTYPES]
        options = {"dtype": dtype, "exhaustive": exhaustive, "lib": None if lib == "actfun" else lib}
        self.command = command("accuracy", listed(activations), {**options, "compiled": compiled})
        self.compiled = compiled
        self.subjects = subject.subjects(self.activations, tuple(known[name] for name in self.dtypes), libraries)
        self.portions = survey.portions(self.subjects, exhaustive)
        self.folder = folder(out, resume)
        self.store = Store(self.folder, resume, "accuracy")

    def run(self, executor: Executor | None = None) -> Accuracy:
        """Measure what is missing; the errors, written to the folder if there is one."""
        result = self._run_compiled(executor or Inline()) if self.compiled else self._run(executor)
        if self.folder is not None:
            result.save(self.folder)
        return result

    def _run(self, executor: Executor | None) -> Accuracy:
        within = contextlib.nullcontext(executor) if executor else Processes(self.workers)
        with Loop(self.store, "portions", self.portions) as loop, within as executor:
            records = all_done(self.portions, loop.do(self.portions, executor))
            where = machine(executor.workers, executor.threads)
        findings = [(s, survey.outcome(s, records)) for s in self.subjects]
        seconds = sum(record["seconds"] for record in records)
        return EagerAccuracy(findings, {"command": self.command, "seconds": seconds, "machine": where})

    def _run_compiled(self, executor: Executor) -> Accuracy:
        """One activation and dtype after another, for the compiler has processes of its own."""
        jobs = [calls.CompiledCall(name, dtype) for name in self.activations for dtype in self.dtypes]
        with Loop(self.store, "functions", jobs) as loop:
            records = all_done(jobs, loop.do(jobs, executor))
        deviations = [calls.Deviation(**row) for record in records for row in record["found"]]
        return CompiledAccuracy(deviations, {"command": self.command, "machine": machine(1, cores())})


def accuracy(
    activations: Names = None,
    *,
    dtype: str | None = None,
    exhaustive: bool = False,
    compiled: bool = False,
    lib: str = "actfun",
    workers: int | None = None,
    out: Path | str | None = None,
    resume: bool = False,
) -> Accuracy:
    """Measure the worst error of activations and their derivatives, in units in the last place, and where it is.

    activations: names of element-wise ones (default: all). dtype: "float32", "bfloat16", "float16" or "float64"
    (default: all). exhaustive: all 2^32 inputs of float32 rather than a million. compiled: calls through torch.compile
    instead. lib: "torch" measures torch's functions too. workers: processes (default: one a core). out: a folder for
    accuracy.jsonl, accuracy.json and accuracy.md (default: nothing is written). resume: go on with what is there.

    A script needs `if __name__ == "__main__":` around the call: each worker process imports the script.
    Raises ValueError for what cannot be right, naming the argument; OSError where the folder cannot be used;
    JobsFailedError, a RuntimeError, where a measurement broke.
    """
    return Surveying(activations, dtype, exhaustive, compiled, lib, workers, out, resume).run()
