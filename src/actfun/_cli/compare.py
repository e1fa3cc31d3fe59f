"""`actfun compare`."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from actfun._cli.common import app, console, count, print_folder, user_input, words
from actfun._compare import ARTICLE

TABLE = "Tables"


def _option(help: str, panel: str | None = None, **more: Any) -> Any:
    return typer.Option(help=help, show_default=False, rich_help_panel=panel, **more)


@app.command()
def compare(
    data: Annotated[
        list[str] | None,
        typer.Argument(
            help="digits, breast_cancer, text; iris, wine, diabetes; a table (.csv, .tsv, .parquet, .npz); a text; a "
            "folder of images, a sub-folder a class; FILE.py[:NAME] with an actfun.Task; several are put together",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        list[str] | None, _option("the column to predict; once for each table, in their order", TABLE)
    ] = None,
    kind: Annotated[
        str | None, _option("two classes, several classes, regression or counts [default: as the target is]", TABLE)
    ] = None,
    metric: Annotated[str | None, _option("the metric that decides", TABLE)] = None,
    group: Annotated[str | None, _option("a column whose rows stay together in one part", TABLE)] = None,
    time: Annotated[str | None, _option("a column by which the latest rows are held back", TABLE)] = None,
    activations: Annotated[str | None, _option(f"names, separated by commas [default: {','.join(ARTICLE)}]")] = None,
    seeds: Annotated[int | None, _option("confirmation seeds [default: the task's, 10 to 40; quick: 10]")] = None,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="add seeds until each is worse than the best, or the same")
    ] = False,
    most: Annotated[int | None, _option("seeds at most with --until-decided [default: 60]")] = None,
    lrs: Annotated[str | None, typer.Option(help="learning rates to tune over, separated by commas")] = None,
    tune: Annotated[bool, typer.Option("--tune", help="of tables, tune weight decay and dropout too")] = False,
    workers: Annotated[int | None, _option("worker processes [default: one a core]")] = None,
    per_gpu: Annotated[int | None, _option("worker processes that share a GPU [default: 1]")] = None,
    ray: Annotated[str | None, _option("run trials on a Ray cluster: of this machine, or at ADDRESS")] = None,
    device: Annotated[str, typer.Option(help="where trials run: cpu, cuda, cuda:1")] = "cpu",
    init: Annotated[str, typer.Option(help="matched to each activation's gain, or shared by all")] = "matched",
    out: Annotated[Path | None, typer.Option(help="folder for the results [default: actfun-compare-NAME]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with what is in the folder")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="a smaller grid tuned on one seed, 10 seeds, half the steps")
    ] = False,
    log: Annotated[str | None, _option("write each run to tensorboard (below --out) or mlflow as it ends")] = None,
    new: Annotated[Path | None, _option("write a file with a task to start from, and stop")] = None,
) -> None:
    """Compare activations fairly on your data: tune each on the same grid, confirm on fresh seeds, report intervals."""
    if new is not None:
        _write_new(new)
        return
    with user_input():
        if not data:
            raise ValueError("Missing argument 'DATA': a task, a table, a folder, a text or FILE.py")
        from actfun._studies.compare import prepare

        if most is not None and (seeds is not None or not until_decided):
            raise ValueError("`most` goes with `until_decided`, in place of `seeds`")
        if len(data) == 1 and len(target or []) > 1:
            raise ValueError("`target` is given twice, and there is one table")
        folder = out or Path(f"actfun-compare-{'-'.join(map(_name, data))}")
        settings = {
            "activations": None if activations is None else words(activations),
            "seeds": seeds if most is None else most,
            "learning_rates": _rates(lrs),
            "init": init,
            "workers": workers,
            "out": folder,
            "resume": resume,
            "quick": quick,
            "device": device,
            "until_decided": until_decided,
            "per_gpu": per_gpu,
            "tune": tune,
            "log": log,
        }
        options = {"kind": kind, "metric": metric, "group": group, "time": time}
        one = len(data) == 1
        of = target[0] if one and target else target
        study = prepare(data[0] if one else data, settings, of, options)
    screen = console(160)
    for run in getattr(study, "runs", [study]):
        _introduce(screen, run)
    print_folder(screen, getattr(study, "runs", [study])[0].store)
    with user_input():
        result = study.run(ray)
    screen.print(result.table(screen.width))
    screen.print(f"\n[bold]{result.verdict}[/]")
    if "advice" in result.data:
        screen.print(result.data["advice"])
    screen.print(f"Report: {folder / 'report.html'}")
    if result.failed:
        raise typer.Exit(1)


def with_values(words: Sequence[str]) -> list[str]:
    """Words with "ray" after a --ray that has no address: Typer has no options whose value may lack."""
    found: list[str] = []
    for word, after in itertools.zip_longest(words, words[1:]):
        found += [word, "ray"] if word == "--ray" and (after is None or after.startswith("-")) else [word]
    return found


def _introduce(screen: Any, run: Any) -> None:
    """Say what will be compared, on what, and how."""
    plan, kept = run.plan, len(run.plan.trials()) - len(run.store.missing(run.plan.trials()))
    problem, up_to = plan.problem, "up to " * plan.until_decided
    screen.print(f"[bold]Comparing {len(plan.labels)} activations on {problem.name}[/]: {problem.description}.")
    for line in about(problem.facts, problem.decides.name):
        screen.print(line)
    rates, tuning = count(len(plan.learning_rates), "learning rate"), count(len(plan.tuning_seeds), "seed")
    screen.print(
        f"Each is tuned on {rates} x {tuning}, then confirmed on {up_to}{count(len(plan.seeds), 'fresh seed')}: "
        f"{up_to}{plan.size} trials of {'up to ' * problem.early}{plan.steps} steps on "
        f"{count(run.workers, 'worker process', 'es')}" + (f"; {kept} are done already." if kept else ".")
    )


def about(facts: Any, metric: str) -> list[str]:
    """What a reader should know of the data before it is trained on."""
    if "rows" not in facts:
        return []
    missing = f", {facts['missing']:.1%} of the cells empty" if facts["missing"] else ""
    lines = [
        f"{facts['rows']:,} rows, {count(facts['columns'], 'column')} beside the target{missing}. {facts['target']} is "
        f"read as {facts['kind']}; {metric} decides. Split {facts['split']}."
    ]
    return lines + [f"[yellow]Look at this: {warning}.[/]" for warning in facts["warnings"]]


def _name(data: str) -> str:
    """What a folder of results is called after."""
    file, _, name = data.partition(".py:")
    return name or Path(file).stem or "data"


def _write_new(path: Path) -> None:
    from actfun._compare.own import NEW

    with user_input():
        if path.suffix != ".py":
            raise ValueError(f"`new` must end in .py, got {str(path)!r}")
        if path.exists():
            raise ValueError(f"`new`: {path} is there already")
        path.write_text(NEW.format(name=path), encoding="utf-8")
    typer.echo(f"Written. Now: actfun compare {path}")


def _rates(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(word) for word in words(text)]
    except ValueError:
        raise ValueError(f"--lrs must be numbers separated by commas, got {text!r}") from None
