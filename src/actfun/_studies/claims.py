"""`af.claims`: what the overview article says about activations, run."""

import contextlib
import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from actfun._claims import statements, verdicts
from actfun._claims.experiment import Scale
from actfun._claims.references import references
from actfun._compare.images import find
from actfun._report import claims as report
from actfun._report.claims_page import write_claims
from actfun._runs.executors import Executor, Processes
from actfun._runs.host import machine
from actfun._runs.job import Record
from actfun._runs.loop import Loop
from actfun._runs.store import Store
from actfun._studies.arguments import command, folder, worker_count
from actfun._studies.results import Result

SEEDS, QUICK_SEEDS = 10, 3  # on two cores about eleven minutes, and one


class Verdicts(Result):
    """The claims with their verdicts. facts: the command, the seeds and the machine.

    rows: as claims.json has them; references: numbers of the literature and of theory, as references.json has them;
    records: of the runs that they rest on.
    """

    def __init__(
        self, rows: list[Record], references: list[Record], records: list[Record], facts: dict[str, Any]
    ) -> None:
        super().__init__(
            title="The article's claims",
            verdict=report.summary(rows),
            data={**facts, "claims": rows, "references": references},
            rows=rows,
            sections=[report.section(rows)],
            drawn=functools.partial(report.table, rows),
        )
        self.references, self.records, self.facts = references, records, facts

    @property
    def failures(self) -> list[Record]:
        """The records of failed runs."""
        return [record for record in self.records if record["failed"]]

    @property
    def failed(self) -> bool:
        """Whether there were runs, and each failed."""
        return bool(self.records) and len(self.failures) == len(self.records)

    def html(self, path: Path | str) -> None:
        """Write the page to `path`, all or nothing: offline, in English and Chinese."""
        write_claims(Path(path), self.rows, self.references, self.facts["machine"])


def scale(quick: bool, full: bool, data: Path | str | None, seeds: int | None, first_seed: int) -> Scale:
    """How much is done. Raises ValueError where the arguments cannot be right."""
    if quick and full:
        raise ValueError("`quick` and `full` exclude each other")
    if data is not None and not full:
        raise ValueError("`data` is for `full`, which takes hours")
    count = seeds if seeds is not None else QUICK_SEEDS if quick else SEEDS
    if count < 1:
        raise ValueError(f"`seeds` must be at least 1, got {count}")
    if first_seed < 0:
        raise ValueError(f"`first_seed` must be at least 0, got {first_seed}")
    images = () if data is None else tuple((name, str(Path(data).resolve())) for name in find(Path(data)))
    return Scale(tuple(range(first_seed, first_seed + count)), quick, full, images)


class ClaimsRun:
    """The claims, ready to run. See `claims` for the arguments, and for the errors raised."""

    def __init__(
        self,
        only: Iterable[int | str] | None,
        quick: bool,
        full: bool,
        data: Path | str | None,
        seeds: int | None,
        first_seed: int,
        workers: int | None,
        out: Path | str | None,
        resume: bool,
    ) -> None:
        asked = None if only is None else list(only)
        self.claims = statements.select(asked)
        self.scale = scale(quick, full, data, seeds, first_seed)
        self.jobs = verdicts.jobs(self.claims, self.scale)
        options = {"quick": quick, "full": full, "only": asked, "seeds": seeds, "first-seed": first_seed or None}
        self.command = command("claims", [], {**options, "data": data and "FOLDER"})
        self.workers = worker_count(workers)
        self.folder = folder(out, resume)
        self.store = Store(self.folder, resume)

    def run(self, executor: Executor | None = None) -> Verdicts:
        """Run what is missing, what times last and with nothing beside it; the verdicts, written to the folder."""
        alone = {job for job in self.jobs if verdicts.EXPERIMENTS[job.experiment].alone}
        with Loop(self.store, "runs", self.jobs) as loop:
            together = contextlib.nullcontext(executor) if executor else Processes(self.workers)
            with together as several:
                loop.do([job for job in self.jobs if job not in alone], several)
                facts = machine(several.workers, several.threads)
            with contextlib.nullcontext(executor) if executor else Processes(1, several.threads) as one:
                loop.do([job for job in self.jobs if job in alone], one)
        records = [self.store.finished[job.id] for job in self.jobs]
        rows = [row | {"machine": facts} for row in verdicts.judge(self.claims, records)]
        run: dict[str, Any] = {"command": self.command, "seeds": self.scale.seeds, "machine": facts}
        result = Verdicts(rows, references(records), records, run)
        if self.folder is not None:
            for name, part in (("claims", rows), ("references", result.references)):
                text = json.dumps(part, indent=1, ensure_ascii=False) + "\n"
                (self.folder / f"{name}.json").write_text(text, encoding="utf-8")
            result.html(self.folder / "claims.html")
            page = report.markdown(rows, result.references, **run)
            (self.folder / "claims.md").write_text(page, encoding="utf-8")
        return result


def claims(
    only: Iterable[int | str] | None = None,
    *,
    quick: bool = False,
    full: bool = False,
    data: Path | str | None = None,
    seeds: int | None = None,
    first_seed: int = 0,
    workers: int | None = None,
    out: Path | str | None = None,
    resume: bool = False,
) -> Verdicts:
    """Run what the overview article says about activations: 51 claims, each with a verdict and its measurements.

    only: numbers of claims (default: all). quick: 3 seeds and smaller grids, about a minute. full: deeper Transformers
    too, and the images in `data`, a folder with your MNIST or CIFAR-10 as torchvision keeps them; hours. seeds: of each
    arm (default: 10; quick: 3), from first_seed on. workers: processes (default: one a core). out: a folder for
    results.jsonl, claims.json, references.json, claims.html and claims.md (default: nothing is written). resume: go on
    with what is in the folder.

    A script needs `if __name__ == "__main__":` around the call: each worker process imports the script.
    Raises ValueError for what cannot be right, naming the argument, OSError where the folder cannot be used.
    """
    return ClaimsRun(only, quick, full, data, seeds, first_seed, workers, out, resume).run()
