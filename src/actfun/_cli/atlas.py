"""`actfun atlas`."""

from pathlib import Path
from typing import Annotated

import typer

from actfun._cli.common import app, console, user_input


@app.command()
def atlas(
    out: Annotated[Path, typer.Option(help="folder for the page")] = Path("actfun-atlas"),
    accuracy: Annotated[
        Path | None, typer.Option(help="folder with results of `actfun accuracy`", show_default=False)
    ] = None,
    bench: Annotated[
        Path | None, typer.Option(help="folder with results of `actfun bench`", show_default=False)
    ] = None,
) -> None:
    """All activations on one page that works offline: curves to compare, facts, names of frameworks, sources."""
    from actfun._studies.atlas import atlas as make

    with user_input():
        found = make(accuracy=accuracy, bench=bench, out=out)
    console(100).print(f"{found.verdict} The page: {out / 'atlas.html'}", markup=False)
