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


@app.command()
def bench(
    activations: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="activations [default: all; in steps and fused relu, gelu, silu, tanh, elu]",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[bool, typer.Option("--steps", help="training steps of networks, and what else is named")] = False,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="calls through torch.compile, and what else is named")
    ] = False,
    eager: Annotated[bool, typer.Option("--eager", help="calls without it, and what else is named")] = False,
    sizes: Annotated[
        str | None,
        typer.Option(
            help="numbers of elements [default: 4096,65536,1048576,16777216, eager 16 too]", show_default=False
        ),
    ] = None,
    dtypes: Annotated[
        str | None,
        typer.Option(help="float32, bfloat16, float16 [default: all eager, two compiled]", show_default=False),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="beside torch compile, jax, onnxruntime [default: those installed]", show_default=False),
    ] = None,
    spreads: Annotated[str, typer.Option(help="standard deviations of eager calls' normal inputs")] = "1,3",
    seconds: Annotated[
        float, typer.Option(help="time to spend on each eager call; others in proportion", min=0.0)
    ] = 1.0,
    threads: Annotated[
        int | None, typer.Option(help="threads of each library [default: one a core]", min=1, show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for bench.json, speed.md and speed.svg")] = Path("actfun-bench"),
    resume: Annotated[bool, typer.Option("--resume", help="go on with what is in the folder")] = False,
) -> None:
    """Time training steps, compiled calls and eager calls, side by side with torch and what else is installed."""
    from actfun.report.speed import known_limits
    from actfun.runs.store import Store

    named = {"steps": steps, "compiled": compiled, "eager": eager}
    parts = [part for part, asked in named.items() if asked] or list(named)
    given = {"sizes": sizes, "dtypes": dtypes, "against": against, "spreads": spreads, "seconds": f"{seconds:g}"}
    torch.set_num_threads(threads or cores())
    with user_input():
        limits = known_limits()
        work = _work(activations or [], parts, given, seconds)
        results = Store(out, resume, "bench")
    _announce(f"{counted(len(work), 'cell')}", out)
    _execute(work, results)
    flags = [f"--{part}" for part, asked in named.items() if asked]
    usual = {"spreads": "1,3", "seconds": "1"}
    options = [f"--{option} {value}" for option, value in given.items() if value not in (None, usual.get(option))]
    command = " ".join(["actfun bench", *(activations or []), *flags, *options])
    _report([results.finished[job.id] for job in work], command, limits, out)


def _work(asked: list[str], parts: list[str], given: dict[str, str | None], seconds: float) -> list[Any]:
    """What is to be timed, in the order of the page. Raises ValueError where something given cannot be right."""
    from actfun.accuracy.subject import library_function
    from actfun.bench import cells, compiled, steps
    from actfun.bench.contestants import EAGER, has_compiler
    from actfun.bench.networks import networks

    def chosen(option: str, usual: Sequence[Any], of: Callable[[str], Any]) -> list[Any]:
        text = given[option]
        return list(usual) if text is None else list(dict.fromkeys(map(of, words(text))))

    names = elementwise(asked)
    spreads, peers = chosen("spreads", (), _spread), _peers(given["against"])
    dtype = functools.partial(_one_of, "--dtypes", known=cells.DTYPES)
    both = [name for name in names if library_function(EAGER, name) is not None]
    usual = [name for name in both if asked or name in steps.ACTIVATIONS]
    work: list[Any] = []
    if "compiled" in parts and not has_compiler() and len(parts) == 1:
        raise ValueError("--compiled: torch.compile needs a C++ compiler, such as g++")
    if "steps" in parts:
        work += steps.steps(usual, networks(), (False, True)[: 1 + has_compiler()], seconds)
    if "compiled" in parts and has_compiler():
        kinds, sizes = chosen("dtypes", compiled.DTYPES, dtype), chosen("sizes", compiled.SIZES, _size)
        work += compiled.compiled(both, usual, kinds, sizes, seconds)
    if "eager" in parts:
        kinds, sizes = chosen("dtypes", cells.DTYPES, dtype), chosen("sizes", cells.SIZES, _size)
        work += cells.cells(names, kinds, sizes, spreads, peers, seconds)
    if not work:
        raise ValueError(f"torch has no {' nor '.join(names)} to compare with")
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
    from actfun.bench.contestants import CONTESTANTS, version
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
    from actfun.bench.contestants import CONTESTANTS, EAGER, PEERS

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
