"""`actfun conventions`."""

from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table

from actfun._catalogue import names
from actfun._catalogue.names import Convention, Meaning
from actfun._cli.common import app, console, user_input

OFF = f"off by, |x| ≤ {names.END:g}"


@app.command()
def conventions(
    name: Annotated[
        str | None, typer.Argument(help="an activation's, as anybody calls it [default: all]", show_default=False)
    ] = None,
) -> None:
    """Who means what by a name: each meaning on a line, how far it is from ours, and who calls it what."""
    with user_input():
        rows = names.rows_of(name)
        if not rows:
            raise ValueError(f"no framework has {name}")
    out = console(200)
    out.print(_meanings(rows))
    if name is not None and (notes := _notes(rows)).row_count:
        out.print(notes)


def _meanings(rows: list[Convention]) -> Table:
    """A line for each meaning of each name of ours."""
    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ("means", "slope at kinks", OFF, "called so by"):
        table.add_column(heading, justify="right" if heading == OFF else "left", overflow="fold")
    for ours, group in names.by_meaning(rows):
        called = ", ".join(row.asked for row in group)
        if group[0].known:
            meaning, usual = group[0].meaning, Meaning(ours)
            off = meaning.difference(usual)
            slopes = ", ".join(f"{slope:.4g} at {x:g}" for x, slope in meaning.slopes().items())
            table.add_row(str(meaning), slopes, "" if off is None else f"{off:.2g}" if off else "0", called)
        else:
            table.add_row(f"(not in the catalogue) {group[0].canonical}", "", "", called)
    return table


def _notes(rows: list[Convention]) -> Table:
    """What else differs."""
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("name", overflow="fold")
    table.add_column("what else differs", overflow="fold")
    for differs, called in names.other_differences(rows).items():
        table.add_row(", ".join(called), differs)
    return table
