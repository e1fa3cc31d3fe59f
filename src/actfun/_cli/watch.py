"""`actfun watch`."""

import runpy
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from actfun._cli.common import app, console, user_input


@app.command(context_settings={"allow_interspersed_args": False})
def watch(
    script: Annotated[
        str, typer.Argument(metavar="SCRIPT.py", help="a training script; with --module a module's name")
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGS]...", help="what the script takes", show_default=False)
    ] = None,
    html: Annotated[Path | None, typer.Option(help="file for the page", show_default=False)] = None,
    every: Annotated[
        int | None, typer.Option(help="one step in so many [default: as the budget allows]", min=1, show_default=False)
    ] = None,
    budget: Annotated[float, typer.Option(help="share of the time that watching may take")] = 0.03,
    module: Annotated[bool, typer.Option("--module", "-m", help="run a module, as python -m does")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no live table, only what it came to")] = False,
) -> None:
    """Run a training script as it is, and watch the activations of every model that an optimizer gets.

    At the end: the last table, what is wrong, and, if nothing was learned, the likeliest causes.
    """
    from actfun._studies.watch_script import Script

    with user_input():
        if html is not None and not html.resolve().parent.is_dir():
            raise ValueError(f"`html`: there is no folder {html.resolve().parent}")
        live = False if quiet else None
        ran = Script(script, arguments or (), module, every=every or "auto", budget=budget, live=live)
    ran.run()
    if isinstance(ran.error, Exception):
        shown = traceback.TracebackException.from_exception(ran.error)
        shown.stack = traceback.StackSummary.from_list([frame for frame in shown.stack if not _is_ours(frame.filename)])
        typer.echo("".join(shown.format()), err=True, nl=False)
    elif isinstance(ran.error, SystemExit) and isinstance(ran.error.code, str):
        typer.echo(ran.error.code, err=True)
    screen, drawn = console(140), sys.stdout.isatty() and not quiet  # the live table is there already
    if not ran.watches:
        typer.echo("actfun: no optimizer was made that has a model's parameters, so nothing was watched", err=True)
    for k, one in enumerate(ran.watches):
        if not drawn or k > 0:
            screen.print(one.table(screen.width))
        causes = [cause for cause in one.diagnose() if cause.key != "nothing"] if one.windows else []
        if causes:
            screen.print("If it did not learn, the likeliest causes:")
        for place, cause in enumerate(causes, 1):
            screen.print(f"{place}. {cause}", markup=False)
        if html is not None:
            one.html(path := html if k == 0 else html.with_stem(f"{html.stem}-{k + 1}"))
            screen.print(f"The page is {path}.")
    if ran.code:
        raise typer.Exit(ran.code)


def _is_ours(path: str) -> bool:
    """Whether a frame is of this package or of what runs scripts."""
    return Path(__file__).parents[1] in Path(path).parents or path in (runpy.__file__, "<frozen runpy>")
