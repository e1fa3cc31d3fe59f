"""`actfun accuracy`."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
import typer

from actfun._accuracy.error import TARGETS
from actfun.cli.common import app, console, cores, counted, elementwise, user_input, worker_count
from actfun.registry import nearest

if TYPE_CHECKING:
    from actfun._accuracy.survey import Job
    from actfun.runs.store import Store


@app.command()
def accuracy(
    activations: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="activations [default: all]", show_default=False)
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32, bfloat16, float16 or float64 [default: all]", show_default=False)
    ] = None,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="all 2^32 inputs of float32 rather than a million")
    ] = False,
    compiled: Annotated[bool, typer.Option("--compiled", help="calls through torch.compile instead")] = False,
    lib: Annotated[str, typer.Option(help="torch measures torch's functions too, beside these")] = "actfun",
    workers: Annotated[
        int | None, typer.Option(help="worker processes [default: one a core]", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for accuracy.json and accuracy.md")] = Path("actfun-accuracy"),
    resume: Annotated[bool, typer.Option("--resume", help="go on with what is in the folder")] = False,
) -> None:
    """Measure the worst error of activations and their derivatives, in units in the last place, and where it is."""
    from actfun._accuracy import subject, survey
    from actfun.runs.store import Store

    with user_input():
        chosen = elementwise(activations or [])
        dtypes = tuple(TARGETS) if dtype is None else (_dtype(dtype),)
        libraries = _libraries(lib, subject.LIBRARIES)
        workers = worker_count(workers)
        if compiled and (exhaustive or lib != "actfun"):
            raise ValueError("--compiled goes with neither --exhaustive nor --lib")
        results = Store(out, resume, "accuracy")
    if compiled:
        _compiled(activations or [], chosen, dtype, results, out)
        return
    subjects = subject.subjects(chosen, dtypes, libraries)
    work = survey.jobs(subjects, exhaustive)
    console(160).print(
        f"Measuring {counted(len(chosen), 'activation')} in {', '.join(map(_name, dtypes))}: "
        f"{counted(len(work), 'portion')} on {counted(workers, 'worker process', 'es')}. Each is kept in {out} as it "
        "ends; after an interruption --resume goes on there."
    )
    _execute(work, results, workers)
    findings = [(s, survey.outcome(s, work, results.finished)) for s in subjects]
    options = [*(activations or []), *(["--dtype", dtype] if dtype else []), *(["--exhaustive"] if exhaustive else [])]
    command = " ".join(["actfun accuracy", *options, *(["--lib", lib] if lib != "actfun" else [])])
    seconds = sum(results.finished[job.id]["seconds"] for job in work)
    _report(findings, {"command": command, "seconds": seconds}, workers, out)


def _compiled(asked: list[str], chosen: tuple[str, ...], dtype: str | None, results: "Store", folder: Path) -> None:
    """Measure compiled calls, one activation and dtype after another."""
    from actfun._accuracy import compiled as measured
    from actfun._accuracy import survey
    from actfun.report import accuracy_compiled as report
    from actfun.report.progress import RunProgress
    from actfun.runs.machine import machine

    dtypes = [d for d in measured.DTYPES if dtype is None or _name(d) == dtype]
    work = [(f"{name} {_name(d)} compiled, {survey.fingerprint()}", name, d) for name in chosen for d in dtypes]
    missing = [job for job in work if job[0] not in results.finished]
    with RunProgress(len(work), len(work) - len(missing), "functions") as progress:
        for id, name, d in missing:
            progress.show([id])
            found = [dataclasses.asdict(deviation) for deviation in measured.measure(name, d)]
            record = {"id": id, "found": found}
            results.append(record)
            progress.finished(record)
    deviations = [measured.Deviation(**row) for id, *_ in work for row in results.finished[id]["found"]]
    command = " ".join(["actfun accuracy", *asked, *(["--dtype", dtype] if dtype else []), "--compiled"])
    (folder / "compiled.md").write_text(report.section(deviations, command, machine(1, cores())), encoding="utf-8")
    screen = console(160)
    screen.print(report.table(deviations, screen.width))
    missed = report.missed(deviations)
    screen.print(f"[bold]Targets missed: {', '.join(missed)}[/]" if missed else "[bold]Every target is met.[/]")
    screen.print(f"Also in {folder / 'compiled.md'}.")


def _execute(work: "list[Job]", results: "Store", workers: int) -> None:
    """Do the jobs that have no result yet."""
    from actfun._accuracy import survey
    from actfun.report.progress import SurveyProgress
    from actfun.runs.pool import Pool

    missing = [job for job in work if job.id not in results.finished]
    with (
        SurveyProgress(len(work), len(work) - len(missing)) as progress,
        Pool(workers, max(1, cores() // workers), survey.run, survey.lost) as pool,
    ):

        def finished(record: dict[str, Any]) -> None:
            results.append(record)
            progress.finished(record)

        pool.run(missing, progress.started, finished)


def _report(findings: Any, facts: dict[str, Any], workers: int, folder: Path) -> None:
    from actfun.report import accuracy as report
    from actfun.runs.machine import machine

    facts |= {"machine": machine(workers, max(1, cores() // workers))}
    (folder / "accuracy.json").write_text(json.dumps(report.as_json(findings, facts), indent=1) + "\n")
    (folder / "accuracy.md").write_text(report.markdown(findings, facts, facts["command"]), encoding="utf-8")
    screen = console(160)
    screen.print(report.table(findings, screen.width))
    missed = report.missed(findings)
    screen.print(f"[bold]Targets missed: {', '.join(missed)}[/]" if missed else "[bold]Every target is met.[/]")
    screen.print(f"Also in {folder / 'accuracy.md'} and {folder / 'accuracy.json'}.")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _dtype(asked: str) -> torch.dtype:
    known = {_name(dtype): dtype for dtype in TARGETS}
    if asked not in known:
        raise ValueError(f"--dtype: {asked!r} is not known; {nearest(asked, tuple(known))}")
    return known[asked]


def _libraries(asked: str, known: tuple[str, ...]) -> tuple[str, ...]:
    if asked not in known:
        raise ValueError(f"--lib: {asked!r} is not known; {nearest(asked, known)}")
    return tuple(dict.fromkeys(("actfun", asked)))
