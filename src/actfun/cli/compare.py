"""`actfun compare`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actfun.cli.common import app, console, cores, counted, user_input, words, worker_count

if TYPE_CHECKING:
    from actfun._compare.protocol import Plan
    from actfun._compare.trial import Trial
    from actfun.runs.store import Store

ARTICLE = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "maxout")  # the seven of the overview article


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
    from actfun._compare import protocol, tasks
    from actfun.runs.store import Store

    with user_input():
        labels = protocol.contenders(words(activations))
        plan = protocol.plan(tasks.task(task), labels, seeds, _rates(lrs), init, quick)
        workers = worker_count(workers)
        folder = out or Path(f"actfun-compare-{task}")
        results = Store(folder, resume)
    _announce(plan, results, workers, folder)
    summary, trials = _execute(plan, results, workers, max(1, cores() // workers))
    _report(summary, trials, folder)
    if all(row["failures"] == row["seeds"] for row in summary["activations"]):
        raise typer.Exit(1)


def _announce(plan: "Plan", results: "Store", workers: int, folder: Path) -> None:
    out = console(160)
    kept = sum(trial.id in results.finished for trial in plan.trials())
    out.print(f"[bold]Comparing {len(plan.labels)} activations on {plan.task.name}[/]: {plan.task.description}.")
    rates, tuning = counted(len(plan.learning_rates), "learning rate"), counted(len(plan.tuning_seeds), "seed")
    out.print(
        f"Each is tuned on {rates} x {tuning}, then confirmed on {counted(len(plan.seeds), 'fresh seed')}: {plan.size} "
        f"trials of {plan.steps} steps on {counted(workers, 'worker process', 'es')}"
        + (f"; {kept} are done already." if kept else ".")
    )
    if results.kept_as:
        out.print(f"Earlier results are kept as {results.kept_as}.")
    out.print(f"Results go to {folder}, each as it ends; after an interruption --resume goes on there.\n")


def _execute(plan: "Plan", results: "Store", workers: int, threads: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run what is missing; the summary, and the records that it rests on."""
    from actfun._compare import protocol, summary, trial
    from actfun.report.progress import TrialProgress
    from actfun.report.verdict import verdict
    from actfun.runs.machine import machine
    from actfun.runs.pool import Pool

    done = sum(trial.id in results.finished for trial in plan.trials())
    with TrialProgress(plan.size, done) as progress, Pool(workers, threads, trial.run, trial.lost) as pool:

        def finished(record: dict[str, Any]) -> None:
            results.append(record)
            progress.finished(record)

        def run(trials: "Sequence[Trial]") -> None:
            progress.grow(sum(t.stage == "tune" and t.learning_rate not in plan.learning_rates for t in trials))
            pool.run(trials, progress.started, finished)

        outcome = protocol.execute(plan, results.finished, run)
    found = summary.summarise(plan, outcome.chosen, results.finished)
    found |= {"verdict": verdict(found), "machine": machine(workers, threads)}
    return found, [results.finished[trial.id] for trial in outcome.trials]


def _report(summary: dict[str, Any], trials: list[dict[str, Any]], folder: Path) -> None:
    from actfun.report.page import write_compare
    from actfun.report.verdict import table

    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    write_compare(folder / "report.html", summary, trials)
    out = console(160)
    out.print(table(summary, out.width))
    out.print(f"\n[bold]{summary['verdict']}[/]")
    out.print(f"Report: {folder / 'report.html'}")


def _rates(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(word) for word in words(text)]
    except ValueError:
        raise ValueError(f"--lrs must be numbers separated by commas, got {text!r}") from None
