"""`actfun swap`."""

import re
from pathlib import Path
from typing import Annotated

import typer

from actfun._cli.common import app, console, user_input


@app.command()
def swap(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="(timm|torchvision):NAME, transformers:FOLDER or FILE.py:NAME")
    ],
    pairs: Annotated[list[str], typer.Argument(metavar="OLD=NEW...", help="relu=gelu, 'gelu*=silu'")],
    where: Annotated[str, typer.Option(help="a pattern of the places: 'layer4.*'")] = "*",
    pretrained: Annotated[
        Path | None, typer.Option(help="weights of the model as it was, .safetensors or torch's", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="file for the changed model's weights, or a folder", show_default=False)
    ] = None,
    html: Annotated[Path | None, typer.Option(help="file for a page of it", show_default=False)] = None,
) -> None:
    """Exchange activations of a model, check that it took, and write its weights.

    NAME in FILE.py is a pair (model, example of its input), or a function without arguments that gives one.
    """
    from actfun._studies.swap import swap as exchange

    with user_input():
        mapping: dict[str, str] = {}
        for pair in pairs:
            old, _, new = [*re.split(r"(=)(?![^()]*\))", pair, maxsplit=1), "", ""][:3]  # none in parentheses
            if not (old and new):
                raise ValueError(f"OLD=NEW, as in relu=gelu; got {pair!r}")
            if old in mapping:
                raise ValueError(f"OLD=NEW: {old} is given twice")
            mapping[old] = new
        try:
            found = exchange(model, mapping, where=where, pretrained=pretrained, out=out)
        except RuntimeError as error:
            typer.echo(f"actfun: {error}", err=True)
            raise typer.Exit(1) from None
        if html is not None:
            found.html(html)
    screen = console(160)
    screen.print(found.table(screen.width))
    for line in (f"[bold]{found.verdict}[/]", *found.about):
        screen.print(line)
