"""`actfun accuracy`."""

from pathlib import Path
from typing import Annotated

import typer

from actfun._cli.common import app, console, count, user_input


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
    from actfun._studies.accuracy import AccuracyRun

    with user_input():
        study = AccuracyRun(activations, dtype, exhaustive, compiled, lib, workers, out, resume)
    screen = console(160)
    if not compiled:
        screen.print(
            f"Measuring {count(len(study.activations), 'activation')} in {', '.join(study.dtypes)}: "
            f"{count(len(study.portions), 'portion')} on {count(study.workers, 'worker process', 'es')}. Each is "
            f"kept in {out} as it ends; after an interruption --resume goes on there."
        )
    result = study.run()
    screen.print(result.table(screen.width))
    screen.print(f"[bold]{result.verdict}[/]")
    written = ("compiled.md",) if compiled else ("accuracy.md", "accuracy.json")
    screen.print(f"Also in {' and '.join(str(out / name) for name in written)}.")
