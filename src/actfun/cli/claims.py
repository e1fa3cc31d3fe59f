"""`actfun claims`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actfun.cli.common import app, console, cores, counted, user_input, worker_count

if TYPE_CHECKING:
    from actfun._claims.experiment import Job, Scale
    from actfun.runs.store import Store

SEEDS, QUICK_SEEDS = 10, 3  # on two cores about eleven minutes, and one


@app.command()
def claims(
    quick: Annotated[bool, typer.Option("--quick", help="3 seeds, smaller grids: about a minute")] = False,
    full: Annotated[bool, typer.Option("--full", help="deeper Transformers too, and your images: hours")] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="folder with your MNIST or CIFAR-10, as torchvision keeps them", show_default=False),
    ] = None,
    only: Annotated[str | None, typer.Option(help="numbers of claims, separated by commas")] = None,
    seeds: Annotated[
        int | None, typer.Option(help="seeds of each arm [default: 10; quick: 3]", show_default=False)
    ] = None,
    first_seed: Annotated[int, typer.Option(help="the first seed; another number tries other draws")] = 0,
    workers: Annotated[
        int | None, typer.Option(help="worker processes [default: one a core]", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for the results")] = Path("actfun-claims"),
    resume: Annotated[bool, typer.Option("--resume", help="go on with what is in the folder")] = False,
) -> None:
    """Run what the overview article says about activations: 51 claims, each with a verdict and its figures."""
    from actfun._claims import catalogue, verdicts
    from actfun.runs.store import Store

    with user_input():
        chosen = catalogue.chosen(only)
        scale = _scale(quick, full, data, seeds, first_seed)
        workers = worker_count(workers)
        store = Store(out, resume)
    jobs = verdicts.jobs(chosen, scale)
    _announce(len(chosen), jobs, store, workers, out)
    try:
        _run(jobs, store, workers)
    finally:
        store.close()
    records = [store.finished[job.id] for job in jobs]
    rows = verdicts.judged(chosen, records)
    asked = {"--only": only, "--seeds": seeds, "--first-seed": first_seed or None, "--data": data and "FOLDER"}
    options = [f"{option} {value}" for option, value in asked.items() if value is not None]
    command = " ".join(["actfun claims", *["--quick"] * quick, *["--full"] * full, *options])
    _report(rows, records, {"command": command, "seeds": scale.seeds}, workers, out)
    if records and all(record["failed"] for record in records):
        raise typer.Exit(1)


def _scale(quick: bool, full: bool, data: Path | None, seeds: int | None, first_seed: int) -> "Scale":
    from actfun._claims.experiment import Scale
    from actfun._compare.images import found

    if quick and full:
        raise ValueError("--quick and --full exclude each other")
    if data is not None and not full:
        raise ValueError("--data is for --full, which takes hours")
    count = seeds if seeds is not None else QUICK_SEEDS if quick else SEEDS
    if count < 1:
        raise ValueError(f"--seeds must be at least 1, got {count}")
    if first_seed < 0:
        raise ValueError(f"--first-seed must be at least 0, got {first_seed}")
    images = tuple((name, str(data.resolve())) for name in found(data)) if data is not None else ()
    return Scale(tuple(range(first_seed, first_seed + count)), quick, full, images)


def _announce(claims: int, jobs: "Sequence[Job]", store: "Store", workers: int, out: Path) -> None:
    screen = console(160)
    kept = sum(_done(job, store) for job in jobs)
    screen.print(
        f"{counted(claims, 'claim')} of the article: {counted(len(jobs), 'run')} on "
        f"{counted(workers, 'worker process', 'es')}" + (f"; {kept} are done already." if kept else ".")
    )
    if store.kept_as:
        screen.print(f"Earlier results are kept as {store.kept_as}.")
    screen.print(f"Results go to {out}, each as it ends; after an interruption --resume goes on there.\n")


def _done(job: "Job", store: "Store") -> bool:
    """Whether a job has a result; one that failed is tried again."""
    return job.id in store.finished and not store.finished[job.id]["failed"]


def _run(jobs: "Sequence[Job]", store: "Store", workers: int) -> None:
    """Do what is missing: what times comes last, with nothing beside it."""
    from actfun._claims import verdicts
    from actfun.report.progress import ClaimProgress
    from actfun.runs.pool import Pool

    missing = [job for job in jobs if not _done(job, store)]
    together = [job for job in missing if not verdicts.EXPERIMENTS[job.experiment].alone]
    alone = [job for job in missing if verdicts.EXPERIMENTS[job.experiment].alone]
    threads = max(1, cores() // workers)
    with ClaimProgress(len(jobs), len(jobs) - len(missing)) as progress:

        def finished(record: dict[str, Any]) -> None:
            store.append(record)
            progress.finished(record)

        for several, count in ((together, workers), (alone, 1)):
            if several:
                with Pool(count, threads, verdicts.run, verdicts.lost) as pool:
                    pool.run(several, progress.started, finished)


def _report(
    rows: list[dict[str, Any]], records: list[dict[str, Any]], asked: dict[str, Any], workers: int, out: Path
) -> None:
    from actfun._claims.references import references
    from actfun.report.claims import agreement, markdown, summary, table
    from actfun.report.claims_page import write_claims
    from actfun.runs.machine import machine

    facts = machine(workers, max(1, cores() // workers))
    for row in rows:
        row["machine"] = facts
    (out / "claims.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    expected = references(records)
    (out / "references.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_claims(out / "claims.html", rows, expected, facts)
    (out / "claims.md").write_text(markdown(rows, expected, facts, **asked), encoding="utf-8")
    screen = console(160)
    screen.print(table(rows, screen.width))
    screen.print(f"[bold]{summary(rows)}[/]")
    for record in records:
        if record["failed"]:
            screen.print(f"Failed: {record['experiment']}, seed {record['seed']}: {record['error']}", markup=False)
    for line in agreement(expected):
        screen.print(line, markup=False)
    screen.print(f"The page: {out / 'claims.html'}; also claims.md, claims.json and references.json beside it.")
