"""`actfun show`."""

from pathlib import Path
from typing import Annotated

import typer

from actfun._cli.common import app, console, user_input


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="an activation; `actfun list` has them all", show_default=False)],
    html: Annotated[Path | None, typer.Option(help="write a page to this file instead")] = None,
    png: Annotated[Path | None, typer.Option(help="write the plot to this file instead")] = None,
) -> None:
    """Everything about an activation: facts, formula, derivatives, gains, and a plot."""
    from actfun._studies.show import show as shown

    with user_input():
        result = shown(name)
        for path in (html, png):
            if path is not None and not path.parent.is_dir():
                raise ValueError(f"there is no folder {path.parent} to write {path.name} to")
    out = console(100)
    if html is not None:
        result.html(html)
    if png is not None:
        result.png(png)
    for path in (html, png):
        if path is not None:
            out.print(f"Written: {path}", markup=False)
    if html is None and png is None:
        out.print(result.table(out.width))
