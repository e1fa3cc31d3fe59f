"""`actfun compare`."""

from pathlib import Path
from typing import Annotated

import typer

from actfun._cli.common import app, console, count, print_folder, user_input, words
from actfun._compare import ARTICLE


@app.command()
def compare(
    task: Annotated[str, typer.Argument(help="digits, breast_cancer or text", show_default=False)],
    activations: Annotated[str, typer.Option(help="names, separated by commas")] = ",".join(ARTICLE),
    seeds: Annotated[
        int | None,
        typer.Option(help="confirmation seeds [default: the task's, 10 or 40; quick: 10]", show_default=False),
    ] = None,
    lrs: Annotated[str | None, typer.Option(help="learning rates to tune over, separated by commas")] = None,
    workers: Annotated[
        int | None, typer.Option(help="worker processes [default: one a core]", show_default=False)
    ] = None,
    init: Annotated[str, typer.Option(help="matched to each activation's gain, or shared by all")] = "matched",
    out: Annotated[Path | None, typer.Option(help="folder for the results [default: actfun-compare-TASK]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with what is in the folder")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="a smaller grid tuned on one seed, 10 seeds, half the steps")
    ] = False,
) -> None:
    """Compare activations fairly on a task: tune each on the same grid, confirm on fresh seeds, report intervals."""
    from actfun._studies.compare import ComparisonRun

    with user_input():
        folder = out or Path(f"actfun-compare-{task}")
        study = ComparisonRun(task, words(activations), seeds, _rates(lrs), init, workers, folder, resume, quick)
    screen = console(160)
    plan, kept = study.plan, len(study.plan.trials()) - len(study.store.missing(study.plan.trials()))
    screen.print(f"[bold]Comparing {len(plan.labels)} activations on {plan.task.name}[/]: {plan.task.description}.")
    rates, tuning = count(len(plan.learning_rates), "learning rate"), count(len(plan.tuning_seeds), "seed")
    screen.print(
        f"Each is tuned on {rates} x {tuning}, then confirmed on {count(len(plan.seeds), 'fresh seed')}: {plan.size} "
        f"trials of {plan.steps} steps on {count(study.workers, 'worker process', 'es')}"
        + (f"; {kept} are done already." if kept else ".")
    )
    print_folder(screen, study.store)
    result = study.run()
    screen.print(result.table(screen.width))
    screen.print(f"\n[bold]{result.verdict}[/]")
    screen.print(f"Report: {folder / 'report.html'}")
    if result.failed:
        raise typer.Exit(1)


def _rates(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(word) for word in words(text)]
    except ValueError:
        raise ValueError(f"--lrs must be numbers separated by commas, got {text!r}") from None
