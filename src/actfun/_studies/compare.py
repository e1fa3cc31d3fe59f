"""`af.compare`: activations on a task, each tuned on the same grid and confirmed on fresh seeds."""

import contextlib
import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from actfun._compare import ARTICLE, protocol, tasks
from actfun._compare.summary import summarise
from actfun._compare.trial import Trial
from actfun._report import verdict
from actfun._report.page import write_compare
from actfun._runs.executors import Executor, Processes
from actfun._runs.host import machine
from actfun._runs.job import Record
from actfun._runs.loop import Loop
from actfun._runs.store import Store
from actfun._studies.arguments import Names, as_tuple, folder, worker_count
from actfun._studies.results import Result


class Comparison(Result):
    """The outcome of a comparison. trials: the records that it rests on."""

    def __init__(self, summary: dict[str, Any], trials: list[Record]) -> None:
        super().__init__(
            title=f"Activations on {summary['task']}",
            verdict=summary["verdict"],
            data=summary,
            rows=summary["activations"],
            sections=[verdict.section(summary)],
            drawn=functools.partial(verdict.table, summary),
        )
        self.trials = trials

    @property
    def best(self) -> str:
        """The activation with the best mean score."""
        return str(self.rows[0]["name"])

    @property
    def failed(self) -> bool:
        """Whether each run of each activation failed."""
        return all(row["failures"] == row["seeds"] for row in self.rows)

    def html(self, path: Path | str) -> None:
        """Write the report to `path`, all or nothing: one file that works offline."""
        write_compare(Path(path), self.data, self.trials)


class ComparisonRun:
    """A comparison that is ready to run. See `compare` for its arguments, and for the errors raised."""

    def __init__(
        self,
        task: str,
        activations: Names,
        seeds: int | None,
        learning_rates: Iterable[float] | None,
        init: str,
        workers: int | None,
        out: Path | str | None,
        resume: bool,
        quick: bool,
    ) -> None:
        labels = protocol.candidates(as_tuple(activations))
        rates = None if learning_rates is None else tuple(learning_rates)
        self.plan = protocol.plan(tasks.task(task), labels, seeds, rates, init, quick)
        self.workers = worker_count(workers)
        self.folder = folder(out, resume)
        self.store = Store(self.folder, resume)

    def run(self, executor: Executor | None = None) -> Comparison:
        """Train what is missing; the outcome, written to the folder if there is one."""
        plan = self.plan
        within = contextlib.nullcontext(executor) if executor else Processes(self.workers)
        with Loop(self.store, "trials", plan.trials(), plan.size) as loop, within as executor:

            def records(trials: Sequence[Trial]) -> list[Record]:
                tuning = (t for t in self.store.missing(trials) if t.stage == "tune")
                loop.progress.grow(sum(t.learning_rate not in plan.learning_rates for t in tuning))
                return loop.do(trials, executor)

            outcome = protocol.execute(plan, records)
            facts = machine(executor.workers, executor.threads)
        summary = summarise(plan, outcome)
        result = Comparison(summary | {"verdict": verdict.verdict(summary), "machine": facts}, outcome.records)
        if self.folder is not None:
            text = json.dumps(result.to_dict(), indent=1) + "\n"
            (self.folder / "summary.json").write_text(text, encoding="utf-8")
            result.html(self.folder / "report.html")
        return result


def compare(
    task: str,
    activations: Names = ARTICLE,
    *,
    seeds: int | None = None,
    learning_rates: Iterable[float] | None = None,
    init: str = "matched",
    workers: int | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    quick: bool = False,
) -> Comparison:
    """Compare activations fairly on a task: tune each on the same grid, confirm on fresh seeds, report intervals.

    task: "digits", "breast_cancer" or "text". activations: names, by default the seven of the overview article.
    seeds: how many confirm (default: the task's, 10 or 40; quick: 10). learning_rates: the grid (default: the task's).
    init: weights "matched" to each activation's gain, or "shared" by all. workers: processes (default: one a core).
    out: a folder for results.jsonl, summary.json and report.html (default: nothing is written). resume: go on with what
    is in the folder. quick: a smaller grid tuned on one seed, half the steps.

    A script needs `if __name__ == "__main__":` around the call: each worker process imports the script.
    Raises ValueError for what cannot be right, naming the argument, OSError where the folder cannot be used.
    """
    return ComparisonRun(task, activations, seeds, learning_rates, init, workers, out, resume, quick).run()
