"""`af.accuracy`: the worst errors of activations and of their derivatives."""

import contextlib
import dataclasses
import functools
import json
from dataclasses import dataclass, field
from pathlib import Path

from actfun._accuracy import compiled as calls
from actfun._accuracy import implementation, survey
from actfun._accuracy.error import TARGETS
from actfun._catalogue.kinds import ELEMENTWISE, GATED
from actfun._report import accuracy as report
from actfun._report import accuracy_compiled as report_compiled
from actfun._runs.executors import Executor, Inline, Processes
from actfun._runs.host import cores, machine
from actfun._runs.loop import Loop, all_done
from actfun._runs.store import Store
from actfun._studies.arguments import Names, as_tuple, command, folder, of_kinds, one_of, worker_count
from actfun._studies.results import Result, paragraphs


@dataclass(repr=False)
class Accuracy(Result):
    """The worst errors. missed: what of this library misses its target."""

    missed: list[str] = field(default_factory=list)


def _verdict(missed: list[str]) -> str:
    return f"Targets missed: {', '.join(missed)}" if missed else "Every target is met."


class AccuracyRun:
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
        self.activations = of_kinds(activations, ELEMENTWISE, *([] if compiled else [GATED]))
        known = {report.dtype_name(dtype): dtype for dtype in TARGETS}
        asked = known if dtype is None else [one_of("dtype", dtype, tuple(known))]
        libraries = tuple(dict.fromkeys(("actfun", one_of("lib", lib, implementation.LIBRARIES))))
        self.workers = worker_count(workers)
        if compiled and (exhaustive or lib != "actfun"):
            raise ValueError("`compiled` goes with neither `exhaustive` nor `lib`")
        self.dtypes = [name for name in asked if not compiled or known[name] in calls.DTYPES]
        options = {"dtype": dtype, "exhaustive": exhaustive, "lib": None if lib == "actfun" else lib}
        self.command = command("accuracy", as_tuple(activations), {**options, "compiled": compiled})
        self.compiled = compiled
        self.implementations = implementation.implementations(
            self.activations, tuple(known[name] for name in self.dtypes), libraries
        )
        self.portions = survey.portions(self.implementations, exhaustive)
        self.folder = folder(out, resume)
        self.store = Store(self.folder, resume, "accuracy")

    def run(self, executor: Executor | None = None) -> Accuracy:
        """Measure what is missing; the errors, written to the folder if there is one."""
        return self._run_compiled(executor or Inline()) if self.compiled else self._run(executor)

    def _run(self, executor: Executor | None) -> Accuracy:
        within = contextlib.nullcontext(executor) if executor else Processes(self.workers)
        with Loop(self.store, "portions", self.portions) as loop, within as executor:
            records = all_done(self.portions, loop.do(self.portions, executor))
            where = machine(executor.workers, executor.threads)
        findings = [(s, survey.outcome(s, records)) for s in self.implementations]
        seconds = sum(record["seconds"] for record in records)
        facts = {"command": self.command, "seconds": seconds, "machine": where}
        data, missed = report.as_json(findings, facts), report.misses(findings)
        self._write("accuracy.json", json.dumps(data, indent=1) + "\n")
        self._write("accuracy.md", report.markdown(findings, facts))
        return Accuracy(
            title="Accuracy",
            verdict=_verdict(missed),
            data=data,
            rows=data["findings"],
            sections=report.sections(findings),
            drawn=functools.partial(report.table, findings),
            about=paragraphs(report.about(facts)),
            missed=missed,
        )

    def _run_compiled(self, executor: Executor) -> Accuracy:
        """One activation and dtype after another, for the compiler has processes of its own."""
        jobs = [calls.CompiledCall(name, dtype) for name in self.activations for dtype in self.dtypes]
        with Loop(self.store, "functions", jobs) as loop:
            records = all_done(jobs, loop.do(jobs, executor))
        deviations = [calls.Deviation(**row) for record in records for row in record["found"]]
        where, missed = machine(1, cores()), report_compiled.misses(deviations)
        self._write("compiled.md", report_compiled.markdown(deviations, self.command, where))
        rows = [dataclasses.asdict(deviation) | {"met": deviation.met} for deviation in deviations]
        return Accuracy(
            title="Accuracy of compiled calls",
            verdict=_verdict(missed),
            data={"command": self.command, "machine": where, "findings": rows},
            rows=rows,
            sections=[report_compiled.table_section(deviations)],
            drawn=functools.partial(report_compiled.table, deviations),
            about=paragraphs(report_compiled.about(where)),
            missed=missed,
        )

    def _write(self, name: str, text: str) -> None:
        if self.folder is not None:
            (self.folder / name).write_text(text, encoding="utf-8")


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

    activations: names of element-wise or gated ones (default: all; compiled: element-wise ones). dtype: "float32",
    "bfloat16", "float16" or "float64" (default: all). exhaustive: all 2^32 inputs of float32 rather than a million.
    compiled: calls through torch.compile instead. lib: "torch" measures torch's functions too, of gated ones its gate
    times the value. workers: processes (default: one a core). out: a folder for
    accuracy.jsonl, accuracy.json and accuracy.md (default: nothing is written). resume: go on with what is there.

    A script needs `if __name__ == "__main__":` around the call: each worker process imports the script.
    Raises ValueError for what cannot be right, naming the argument; OSError where the folder cannot be used;
    JobsFailedError, a RuntimeError, where a measurement broke.
    """
    return AccuracyRun(activations, dtype, exhaustive, compiled, lib, workers, out, resume).run()
