"""`actfun claims`."""

from pathlib import Path
from typing import Annotated

import typer

from actfun._cli.common import app, console, count, print_folder, user_input, words


@app.command()
def claims(
    quick: Annotated[bool, typer.Option("--quick", help="3 seeds, smaller grids: about a minute")] = False,
    full: Annotated[bool, typer.Option("--full", help="deeper Transformers too, and your images: hours")] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="folder with your MNIST or CIFAR-10, as torchvision keeps them", show_default=False),
    ] = None,
    only: Annotated[str | None, typer.Option(help="numbers of claims, separated by commas")] = None,
    seeds: Annotated[
        int | None, typer.Option(help="seeds of each arm [default: 10; quick: 3]", show_default=False)
    ] = None,
    first_seed: Annotated[int, typer.Option(help="the first seed; another number tries other draws")] = 0,
    workers: Annotated[
        int | None, typer.Option(help="worker processes [default: one a core]", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for the results")] = Path("actfun-claims"),
    resume: Annotated[bool, typer.Option("--resume", help="go on with what is in the folder")] = False,
) -> None:
    """Run what the overview article says about activations: 51 claims, each with a verdict and its measurements."""
    from actfun._report.claims import agreement
    from actfun._studies.claims import ClaimsRun

    with user_input():
        numbers = None if only is None else words(only)
        study = ClaimsRun(numbers, quick, full, data, seeds, first_seed, workers, out, resume)
    screen = console(160)
    kept = len(study.jobs) - len(study.store.missing(study.jobs))
    screen.print(
        f"{count(len(study.claims), 'claim')} of the article: {count(len(study.jobs), 'run')} on "
        f"{count(study.workers, 'worker process', 'es')}" + (f"; {kept} are done already." if kept else ".")
    )
    print_folder(screen, study.store)
    result = study.run()
    screen.print(result.table(screen.width))
    screen.print(f"[bold]{result.verdict}[/]")
    for record in result.failures:
        screen.print(f"Failed: {record['experiment']}, seed {record['seed']}: {record['error']}", markup=False)
    for line in agreement(result.references):
        screen.print(line, markup=False)
    screen.print(f"The page: {out / 'claims.html'}; also claims.md, claims.json and references.json beside it.")
    if result.failed:
        raise typer.Exit(1)
