"""`actfun bench`."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from actfun._cli.common import app, console, count, user_input, words

T = TypeVar("T")


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
    memory: Annotated[
        bool,
        typer.Option("--memory", help="what blocks and models keep for backward, and the most they need"),
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="what `actfun watch` costs training steps")] = False,
    sizes: Annotated[str | None, _option("numbers of elements [default: 16,4096,65536,1048576,16777216]")] = None,
    dtypes: Annotated[str | None, _option("float32, bfloat16, float16 [default: all; two compiled]")] = None,
    against: Annotated[str | None, _option("compile, jax, onnxruntime beside torch [default: those installed]")] = None,
    spreads: Annotated[str | None, _option("standard deviations of eager calls' normal inputs [default: 1,3]")] = None,
    seconds: Annotated[float, typer.Option(help="time for an eager call; others in proportion", min=0.0)] = 1.0,
    threads: Annotated[
        int | None, typer.Option(help="threads [default: one a core]", min=1, show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for bench.json, speed.md, speed.svg; others likewise")] = Path(
        "actfun-bench"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="go on with what is in the folder")] = False,
) -> None:
    """Time training steps, compiled calls and eager calls, or those named, side by side with torch and others."""
    if name := "memory" if memory else "watch" if watch else None:
        if activations or steps or sizes or dtypes or against or spreads or (memory and watch):
            with user_input():
                others = "--eager, --compiled, --seconds, --threads, --out and --resume"
                raise ValueError(f"--{name} goes with {others} alone")
        modes = [mode for mode, asked in (("eager", eager), ("compiled", compiled)) if asked]
        _measure(name, modes, seconds, threads, out, resume)
        return
    from actfun._studies.bench import PARTS, BenchRun

    parts = [part for part, asked in zip(PARTS, (steps, compiled, eager), strict=True) if asked]
    with user_input():
        given = (
            _parse_list(sizes, _size),
            _parse_list(dtypes, str),
            _parse_list(against, str),
            _parse_list(spreads, _spread),
        )
        study = BenchRun(activations, parts, *given, seconds, threads, out, resume)
    screen = console(160)
    screen.print(
        f"Timing {count(len(study.jobs), 'cell')}, on {count(study.threads, 'thread')}. Nothing else should run. "
        f"Each cell is kept in {out} as it ends; after an interruption --resume goes on there."
    )
    result = study.run()
    screen.print(result.table(screen.width))
    for sentence in (result.verdict, *result.closing):
        screen.print(sentence, markup=False)
    screen.print(f"Also in {out / 'speed.md'} and {out / 'bench.json'}.")


def _measure(name: str, modes: list[str], seconds: float, threads: int | None, out: Path, resume: bool) -> None:
    from actfun._studies.bench_pages import PageRun

    with user_input():
        study = PageRun(name, modes, seconds, threads, out, resume)
    screen = console(160)
    screen.print(
        f"Measuring {count(len(study.jobs), 'cell')}. Nothing else should run. Each is kept in {out} as it ends."
    )
    result = study.run()
    screen.print(result.table(screen.width))
    for sentence in (result.verdict, *result.closing):
        screen.print(sentence, markup=False)
    screen.print(f"Also in {out / f'{name}.md'} and {out / f'{name}.json'}.")


def _parse_list(text: str | None, of: Callable[[str], T]) -> list[T] | None:
    return None if text is None else [of(word) for word in words(text)]


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
