"""`actfun bench`."""

import json
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
        list[str] | None, typer.Argument(metavar="[NAME]...", help="activations [default: all]", show_default=False)
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(help="numbers of elements [default: 16,4096,65536,1048576,16777216]", show_default=False),
    ] = None,
    dtypes: Annotated[str, typer.Option(help="float32, bfloat16, float16")] = "float32,bfloat16",
    against: Annotated[
        str | None, typer.Option(help="torch, compile, jax, onnxruntime [default: those installed]", show_default=False)
    ] = None,
    spread: Annotated[float, typer.Option(help="standard deviation of the normal inputs", min=0.0)] = 1.0,
    seconds: Annotated[float, typer.Option(help="time to spend on each cell", min=0.0)] = 1.0,
    steps: Annotated[bool, typer.Option(help="time training steps of small networks too")] = True,
    threads: Annotated[
        int | None, typer.Option(help="threads of each library [default: one a core]", min=1, show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for bench.json, speed.md and speed.svg")] = Path("actfun-bench"),
    resume: Annotated[bool, typer.Option("--resume", help="go on with what is in the folder")] = False,
) -> None:
    """Time activations side by side with torch, torch.compile, JAX and ONNX Runtime, forward and backward."""
    from actfun.accuracy.subject import library_function
    from actfun.bench import cells as timed
    from actfun.bench.contestants import COPY, EAGER, OURS
    from actfun.runs.store import Store

    with user_input():
        chosen = elementwise(activations or [])
        peers = _peers(against)
        counts = timed.SIZES if sizes is None else tuple(map(_size, words(sizes)))
        kinds = tuple(_one_of("--dtypes", word, ("float32", "bfloat16", "float16")) for word in words(dtypes))
        results = Store(out, resume, "bench")
    torch.set_num_threads(threads or cores())
    work: list[Any] = list(timed.cells(chosen, kinds, counts, spread, (OURS, *peers, COPY), seconds))
    if steps and EAGER in peers:
        work += timed.steps([name for name in chosen if library_function(EAGER, name) is not None], seconds)
    _announce(f"{counted(len(chosen), 'activation')} in {counted(len(work), 'cell')}, {seconds:g} s each", out)
    _execute(work, results)
    given = {"sizes": sizes, "against": against, "dtypes": dtypes, "spread": f"{spread:g}"}
    facts = {"command": _command(activations or [], given), "spread": spread}
    _report([results.finished[job.id] for job in work], facts, out)


def _command(activations: list[str], given: dict[str, str | None]) -> str:
    """The command that was given, without what is so by itself."""
    usual = {"sizes": None, "against": None, "dtypes": "float32,bfloat16", "spread": "1"}
    options = [f"--{option} {value}" for option, value in given.items() if value != usual[option]]
    return " ".join(["actfun bench", *activations, *options])


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


def _report(records: list[dict[str, Any]], facts: dict[str, Any], folder: Path) -> None:
    from actfun.bench.contestants import CONTESTANTS, COPY
    from actfun.report import bench as report
    from actfun.runs.machine import machine

    versions = {name: CONTESTANTS[name].version for name in CONTESTANTS if name not in ("compile", COPY)}
    facts |= {
        "machine": machine(1, torch.get_num_threads()),
        "versions": versions,
    }
    (folder / "bench.json").write_text(json.dumps(facts | {"cells": records}, indent=1) + "\n")
    (folder / "speed.svg").write_text(report.chart(records), encoding="utf-8")
    (folder / "speed.md").write_text(report.markdown(records, facts, "speed.svg"), encoding="utf-8")
    screen = console(160)
    for table in report.tables(records, screen.width):
        screen.print(table)
    for sentence in report.summary(records):
        screen.print(sentence)
    screen.print(f"Also in {folder / 'speed.md'} and {folder / 'bench.json'}.")


def _peers(asked: str | None) -> tuple[str, ...]:
    from actfun.bench.contestants import CONTESTANTS, PEERS

    if asked is None:
        return tuple(name for name in PEERS if CONTESTANTS[name].version)
    found = tuple(dict.fromkeys(_one_of("--against", word, PEERS) for word in words(asked)))
    for name in found:
        if not CONTESTANTS[name].version:
            raise ValueError(f"--against: {name} is not installed; pip install {CONTESTANTS[name].package}")
    return found


def _one_of(option: str, asked: str, known: tuple[str, ...]) -> str:
    if asked not in known:
        raise ValueError(f"{option}: {asked!r} is not known; {nearest(asked, known)}")
    return asked


def _size(asked: str) -> int:
    if not asked.isdigit() or not int(asked):
        raise ValueError(f"--sizes: {asked!r} is not a number of elements; write whole numbers, such as 4096,65536")
    return int(asked)
