"""The command line. Exit codes: 0 done; 1 ran and failed; 2 wrong usage or bad input; 130 interrupted."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.exceptions import TyperException

from actfun import names, spec
from actfun.registry import nearest

if TYPE_CHECKING:
    from actfun.compare.protocol import Plan
    from actfun.compare.store import Store
    from actfun.compare.trial import Trial

app = typer.Typer(
    name="actfun",
    help="Activation functions: compare them on real data, and see which there are.",
    add_completion=False,
    rich_markup_mode=None,
)

ARTICLE = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "maxout")  # the seven of the overview article


class BadInputError(Exception):
    """Something that the user wrote cannot be right; the message names it and the nearest right thing."""


@contextlib.contextmanager
def _input() -> Iterator[None]:
    """Errors raised in here are about what the user wrote."""
    try:
        yield
    except OSError as error:
        raise BadInputError(f"cannot use {error.filename}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise BadInputError(str(error)) from error


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
    from actfun.compare import protocol, store, tasks

    with _input():
        labels = protocol.contenders(_words(activations))
        plan = protocol.plan(tasks.task(task), labels, seeds, _rates(lrs), init, quick)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        workers = cores if workers is None else workers
        if workers < 1:
            raise ValueError(f"--workers must be at least 1, got {workers}")
        folder = out or Path(f"actfun-compare-{task}")
        results = store.Store(folder, resume)
    _announce(plan, results, workers, folder)
    summary, trials = _execute(plan, results, workers, max(1, cores // workers))
    _report(summary, trials, folder)
    if all(row["failures"] == row["seeds"] for row in summary["activations"]):
        raise typer.Exit(1)


def _announce(plan: "Plan", results: "Store", workers: int, folder: Path) -> None:
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    kept = sum(trial.id in results.finished for trial in plan.trials())
    console.print(f"[bold]Comparing {len(plan.labels)} activations on {plan.task.name}[/]: {plan.task.description}.")
    rates, tuning = _count(len(plan.learning_rates), "learning rate"), _count(len(plan.tuning_seeds), "seed")
    console.print(
        f"Each is tuned on {rates} x {tuning}, then confirmed on {_count(len(plan.seeds), 'fresh seed')}: {plan.size} "
        f"trials of {plan.steps} steps on {_count(workers, 'worker process', 'es')}"
        + (f"; {kept} are done already." if kept else ".")
    )
    if results.kept_as:
        console.print(f"Earlier results are kept as {results.kept_as}.")
    console.print(f"Results go to {folder}, each as it ends; after an interruption --resume goes on there.\n")


def _execute(plan: "Plan", results: "Store", workers: int, threads: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run what is missing; the summary, and the records that it rests on."""
    from actfun.compare import protocol, summary
    from actfun.compare.pool import Pool
    from actfun.report.progress import TrialProgress
    from actfun.report.verdict import verdict

    done = sum(trial.id in results.finished for trial in plan.trials())
    with TrialProgress(plan.size, done) as progress, Pool(workers, threads) as pool:

        def finished(record: dict[str, Any]) -> None:
            results.append(record)
            progress.finished(record)

        def run(trials: "Sequence[Trial]") -> None:
            progress.grow(sum(t.stage == "tune" and t.learning_rate not in plan.learning_rates for t in trials))
            pool.run(trials, progress.started, finished)

        outcome = protocol.execute(plan, results.finished, run)
    found = summary.summarise(plan, outcome.chosen, results.finished)
    found |= {"verdict": verdict(found), "machine": summary.machine(workers, threads)}
    return found, [results.finished[trial.id] for trial in outcome.trials]


def _report(summary: dict[str, Any], trials: list[dict[str, Any]], folder: Path) -> None:
    from actfun.report.page import write_compare
    from actfun.report.verdict import table

    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    write_compare(folder / "report.html", summary, trials)
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 160)
    console.print(table(summary, console.width))
    console.print(f"\n[bold]{summary['verdict']}[/]")
    console.print(f"Report: {folder / 'report.html'}")


@app.command("list")
def list_activations() -> None:
    """Every activation on a line: its parameters and their defaults, its range, its module, what it is."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    shown = ("name", "parameters", "range", "module", "what it is") if console.width >= 140 else ("name", "what it is")
    table = Table(box=None, pad_edge=False)
    for heading in shown:
        table.add_column(heading, no_wrap=heading != "what it is")
    for name in names():
        facts = spec(name)
        cells = {
            "name": name,
            "parameters": ", ".join(f"{argument}={p.default}" for argument, p in facts.parameters.items()),
            "range": f"{facts.range[0]:.4g} .. {facts.range[1]:.4g}",
            "module": facts.module,
            "what it is": facts.summary,
        }
        table.add_row(*(cells[heading] for heading in shown))
    console.print(table)


def _count(number: int, thing: str, plural: str = "s") -> str:
    return f"{number} {thing}{plural if number != 1 else ''}"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _rates(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(word) for word in _words(text)]
    except ValueError:
        raise ValueError(f"--lrs must be numbers separated by commas, got {text!r}") from None


def main(arguments: Sequence[str]) -> int:
    """Run a command; its exit code. Whatever the user got wrong becomes one line on standard error."""
    commands = tuple(
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    )
    try:
        if not arguments:
            arguments = ["--help"]
        if not arguments[0].startswith("-") and arguments[0] not in commands:
            raise BadInputError(f"unknown command {arguments[0]!r}; {nearest(arguments[0], commands)}")
        code: Any = app(list(arguments), standalone_mode=False)
    except TyperException as error:
        print(f"actfun: {getattr(error, 'format_message', error.__str__)()}", file=sys.stderr)
        return 2
    except BadInputError as error:
        print(f"actfun: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        code = 130
    if code == 130:
        print("actfun: interrupted; every finished trial is kept, --resume goes on", file=sys.stderr)
    return code if isinstance(code, int) else 0
