"""`actfun bench`."""

import functools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
import typer

from actfun.cli.common import app, console, cores, counted, elementwise, user_input, words
from actfun.registry import nearest

if TYPE_CHECKING:
    from actfun.runs.store import Store


PARTS = ("steps", "compiled", "eager")
USUAL = {"spreads": "1,3", "seconds": "1"}


def _option(help: str) -> Any:
    return typer.Option(help=help, show_default=False)


@app.command()
def bench(
    activations: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="activations [default: all; relu, gelu, silu, tanh, elu in steps]",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[bool, typer.Option("--steps", help="training steps of whole networks")] = False,
    compiled: Annotated[bool, typer.Option("--compiled", help="calls through torch.compile")] = False,
    eager: Annotated[bool, typer.Option("--eager", help="calls without it")] = False,
    sizes: Annotated[str | None, _option("numbers of elements [default: 16,4096,65536,1048576,16777216]")] = None,
    dtypes: Annotated[str | None, _option("float32, bfloat16, float16 [default: all; two compiled]")] = None,
    against: Annotated[str | None, _option("compile, jax, onnxruntime beside torch [default: those installed]")] = None,
    spreads: Annotated[str, typer.Option(help="standard deviations of eager calls' normal inputs")] = USUAL["spreads"],
    seconds: Annotated[float, typer.Option(help="time for an eager call; others in proportion", min=0.0)] = 1.0,
    threads: Annotated[
        int | None, typer.Option(help="threads [default: one a core]", min=1, show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for bench.json, speed.md and speed.svg")] = Path("actfun-bench"),
    resume: Annotated[bool, typer.Option("--resume", help="go on with what is in the folder")] = False,
) -> None:
    """Time training steps, compiled calls and eager calls, or those named, side by side with torch and others."""
    from actfun.report.speed import known_limits
    from actfun.runs.store import Store

    named = [part for part, asked in zip(PARTS, (steps, compiled, eager), strict=True) if asked]
    given = {"sizes": sizes, "dtypes": dtypes, "against": against, "spreads": spreads, "seconds": f"{seconds:g}"}
    given["threads"] = None if threads is None else str(threads)
    torch.set_num_threads(threads or cores())
    with user_input():
        limits = known_limits()
        work = _work(activations or [], named or PARTS, given, seconds)
        results = Store(out, resume, "bench")
    _announce(f"{counted(len(work), 'cell')}", out)
    _execute(work, results)
    options = [f"--{option} {value}" for option, value in given.items() if value not in (None, USUAL.get(option))]
    command = " ".join(["actfun bench", *(activations or []), *(f"--{part}" for part in named), *options])
    _report([results.finished[job.id] for job in work], command, limits, out)


def _work(asked: list[str], parts: Sequence[str], given: dict[str, str | None], seconds: float) -> list[Any]:
    """What is to be timed, in the order of the page. Raises ValueError where something given cannot be right."""
    from actfun._accuracy.subject import library_function
    from actfun._bench import cells, compiled, steps
    from actfun._bench.contestants import EAGER, has_compiler
    from actfun._bench.networks import networks

    def chosen(option: str, of: Callable[[str], Any]) -> Any:
        text = given[option]
        if text is not None and not words(text):
            raise ValueError(f"--{option} names nothing")
        return None if text is None else tuple(dict.fromkeys(map(of, words(text))))

    names, peers = elementwise(asked), _peers(given["against"])
    sizes, spreads = chosen("sizes", _size), chosen("spreads", _spread)
    dtypes = chosen("dtypes", functools.partial(_one_of, "--dtypes", known=cells.DTYPES))
    both = [name for name in names if library_function(EAGER, name) is not None]
    usual = [name for name in both if asked or name in steps.ACTIVATIONS]
    compiles = has_compiler()
    if tuple(parts) == ("compiled",) and not compiles:
        raise ValueError("--compiled: torch.compile needs a C++ compiler, such as g++")
    if "eager" not in parts and not both:
        raise ValueError(f"torch has no {' nor '.join(names)} to compare with")
    work: list[Any] = []
    if "steps" in parts:
        work += steps.steps(usual, networks(), (False, True) if compiles else (False,), seconds)
    if "compiled" in parts and compiles:
        work += compiled.compiled(both, usual, dtypes or compiled.DTYPES, sizes or compiled.SIZES, seconds)
    if "eager" in parts:
        work += cells.cells(names, dtypes or cells.DTYPES, sizes or cells.SIZES, spreads, peers, seconds)
    return work


def _announce(what: str, folder: Path) -> None:
    console(160).print(
        f"Timing {what}, on {counted(torch.get_num_threads(), 'thread')}. Nothing else should run. Each cell is kept "
        f"in {folder} as it ends; after an interruption --resume goes on there."
    )


def _execute(work: list[Any], results: "Store") -> None:
    """Do the cells that have no result yet."""
    from actfun.report.progress import RunProgress

    missing = [job for job in work if job.id not in results.finished]
    with RunProgress(len(work), len(work) - len(missing), "cells") as progress:
        for job in missing:
            progress.show([job.id])
            record = job.run()
            results.append(record)
            progress.finished(record)


def _report(records: list[dict[str, Any]], command: str, limits: dict[str, str], folder: Path) -> None:
    from actfun._bench.contestants import CONTESTANTS, version
    from actfun.report import bench as report
    from actfun.runs.machine import machine

    packages = [contestant.package for contestant in CONTESTANTS.values()]
    facts = {
        "command": command,
        "machine": machine(1, torch.get_num_threads()),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "versions": {package: version(package) for package in dict.fromkeys([*packages, "transformers"])},
    }
    (folder / "bench.json").write_text(json.dumps(facts | {"cells": records}, indent=1) + "\n")
    picture = report.chart(records)
    if picture is not None:
        (folder / "speed.svg").write_text(picture, encoding="utf-8")
    page = report.markdown(records, facts, "speed.svg" if picture else None, limits)
    (folder / "speed.md").write_text(page, encoding="utf-8")
    screen = console(160)
    for table in report.tables(records, screen.width):
        screen.print(table)
    for sentence in [*report.summary(records), *report.shortfalls(records, limits)]:
        screen.print(sentence, markup=False)
    screen.print(f"Also in {folder / 'speed.md'} and {folder / 'bench.json'}.")


def _peers(asked: str | None) -> tuple[str, ...]:
    """The libraries beside which eager calls are timed: torch, and those asked for."""
    from actfun._bench.contestants import CONTESTANTS, EAGER, PEERS

    if asked is None:
        return tuple(name for name in PEERS if CONTESTANTS[name].version)
    found = tuple(dict.fromkeys([EAGER, *(_one_of("--against", word, PEERS) for word in words(asked))]))
    for name in found:
        if not CONTESTANTS[name].version:
            raise ValueError(f"--against: {name} is not there; {CONTESTANTS[name].remedy}")
    return found


def _one_of(option: str, asked: str, known: tuple[str, ...]) -> str:
    if asked not in known:
        raise ValueError(f"{option}: {asked!r} is not known; {nearest(asked, known)}")
    return asked


def _size(asked: str) -> int:
    if not asked.isdigit() or not int(asked):
        raise ValueError(f"--sizes: {asked!r} is not a number of elements; write whole numbers, such as 4096,65536")
    return int(asked)


def _spread(asked: str) -> float:
    try:
        spread = float(asked)
    except ValueError:
        spread = math.nan
    if not 0.0 < spread < math.inf:
        raise ValueError(f"--spreads: {asked!r} is not a standard deviation; write positive numbers, such as 1,3")
    return spread
