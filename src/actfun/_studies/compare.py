"""`af.compare`: activations on a task, each tuned on the same grid and confirmed on fresh seeds."""

import contextlib
import functools
import json
import tempfile
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from actfun._compare import ARTICLE, protocol, sources
from actfun._compare.own import Task, task_of, with_model
from actfun._compare.problem import Problem
from actfun._compare.references import Reference
from actfun._compare.summary import of_references, summarise
from actfun._compare.trial import Trial
from actfun._report import verdict
from actfun._report.page import write_compare
from actfun._runs.cluster import Cluster
from actfun._runs.executors import Executor, Inline, Processes
from actfun._runs.host import gpus, machine, threads
from actfun._runs.job import Record
from actfun._runs.logs import open_log
from actfun._runs.loop import Loop
from actfun._runs.store import Store
from actfun._studies.arguments import Names, as_tuple, folder, worker_count
from actfun._studies.results import Result


class Comparison(Result):
    """The outcome of a comparison. trials: the records that it rests on."""

    def __init__(self, summary: dict[str, Any], trials: list[Record]) -> None:
        super().__init__(
            title=f"Activations on {summary['task']}",
            verdict=summary["verdict"],
            data=summary,
            rows=summary["activations"],
            sections=[verdict.section(summary)],
            drawn=functools.partial(verdict.table, summary),
        )
        self.trials = trials

    @property
    def best(self) -> str:
        """The activation with the best mean score."""
        return str(self.rows[0]["name"])

    @property
    def failed(self) -> bool:
        """Whether each run of each activation failed."""
        return all(row["failures"] == row["seeds"] for row in self.rows)

    def html(self, path: Path | str) -> None:
        """Write the report to `path`, all or nothing: one file that works offline."""
        write_compare(Path(path), self.data, self.trials)


class ComparisonRun:
    """A comparison that is ready to run. See `compare` for its arguments, and for the errors raised."""

    def __init__(
        self,
        data: Any,
        activations: Names | None = None,
        seeds: int | None = None,
        learning_rates: Iterable[float] | None = None,
        init: str = "matched",
        workers: int | None = None,
        out: Path | str | None = None,
        resume: bool = False,
        quick: bool = False,
        device: str = "cpu",
        until_decided: bool = False,
        per_gpu: int | None = None,
        tune: bool = False,
        log: str | None = None,
        model: Any = None,
        **options: str | None,
    ) -> None:
        self.inline = False
        self.folder, self.resume = folder(out, resume), resume
        self._kept = contextlib.ExitStack()
        text = self._text(data, options) if model is None else self._with_model(data, model, options)
        problem = sources.problem(text)
        wanted = ARTICLE if activations is None else as_tuple(activations)
        if activations is None and problem.element_wise:
            wanted = tuple(name for name in ARTICLE if name != "maxout")
        labels = protocol.candidates(wanted, problem.element_wise)
        rates = None if learning_rates is None else tuple(learning_rates)
        self.plan = protocol.plan(problem, labels, seeds, rates, init, quick, text, device, until_decided, tune)
        self.log = None if log is None else open_log(log, self.folder, problem.name)
        self.per_gpu = _per_gpu(device, per_gpu)
        self.workers = worker_count(workers if workers or not self.per_gpu else self.per_gpu * gpus())
        self.store = Store(self.folder, resume)

    def _text(self, data: Any, options: dict[str, str | None]) -> str:
        """What trials know the data by. A frame is written where worker processes find it; a task stays here."""
        if isinstance(data, Task):
            if odd := [name for name, value in options.items() if value is not None]:
                raise ValueError(f"`{odd[0]}` is for tables; a Task says all itself")
            return self._held(data.problem())
        if hasattr(data, "columns") and hasattr(data, "to_pickle"):
            place = self.folder
            if place is None:
                place = Path(self._kept.enter_context(tempfile.TemporaryDirectory(prefix="actfun-")))
            place.mkdir(parents=True, exist_ok=True)
            data.to_pickle(place / "table.pickle")
            return sources.describe(str(place / "table.pickle"), options)
        if not isinstance(data, str | Path):
            raise TypeError(
                f"`data` must be a task's name, a path, a frame of pandas or an actfun.Task, "
                f"or, with `model`, tensors, a Dataset or a DataLoader, got {type(data).__name__}"
            )
        return sources.describe(str(data), options)

    def _held(self, problem: Problem) -> str:
        """The text for a problem that only this process has."""
        if self.resume:
            raise ValueError("`resume` needs a task of a file, FILE.py:NAME: another one here may look the same")
        self.inline = True
        text = json.dumps({"own": problem.name, "at": uuid.uuid4().hex})
        sources.HELD[text] = problem
        return text

    def _with_model(self, data: Any, model: Any, options: dict[str, str | None]) -> str:
        """The text for data with a model of one's own, an object: it stays in this process."""
        if isinstance(data, Task):
            raise ValueError("`model`: a Task has its own")
        if isinstance(data, str | Path) or hasattr(data, "columns"):
            return self._held(with_model(sources.problem(self._text(data, options)), model))
        if odd := [name for name in ("target", "group", "time") if options.get(name) is not None]:
            raise ValueError(f"`{odd[0]}` is for tables")
        return self._held(task_of(data, model, options.get("kind"), options.get("metric")).problem())

    def _executor(self, asked: Executor | str | None) -> Any:
        """What runs trials, as a context; with one thread each, for scores hang on the number of threads."""
        if self.inline and not isinstance(asked, Inline | None):
            raise ValueError("`executor`: what is an object here runs in this process; other ones take FILE.py:NAME")
        if isinstance(asked, str):
            return Cluster(None if asked == "ray" else asked, gpus=1.0 / self.per_gpu if self.per_gpu else 0.0)
        if asked is not None:
            return contextlib.nullcontext(asked)
        if self.inline:
            self._kept.enter_context(threads(1))
            return contextlib.nullcontext(Inline())
        return Processes(self.workers, 1, self.per_gpu)

    def run(self, executor: Executor | str | None = None) -> Comparison:
        """Train what is missing; the outcome, written to the folder if there is one."""
        plan = self.plan
        within = self._executor(executor)
        references = [Reference(plan.task, name, seed) for name in plan.problem.references for seed in plan.seeds[:10]]
        with (
            self._kept,
            Loop(self.store, "trials", plan.trials(), plan.size + len(references), self.log) as loop,
            within as doing,
        ):

            def records(trials: Sequence[Trial]) -> list[Record]:
                tuning = (t for t in self.store.missing(trials) if t.stage == "tune")
                loop.progress.grow(sum(t.learning_rate not in plan.learning_rates for t in tuning))
                return loop.do(trials, doing)

            others = loop.do(references, doing)
            outcome = protocol.execute(plan, records)
            facts = machine(doing.workers, doing.threads)
        summary = summarise(plan, outcome) | {"references": of_references(plan, others)}
        words = {"verdict": verdict.verdict(summary), "advice": verdict.advice(summary)}
        result = Comparison(summary | words | {"machine": facts}, outcome.records)
        if self.folder is not None:
            text = json.dumps(result.to_dict(), indent=1) + "\n"
            (self.folder / "summary.json").write_text(text, encoding="utf-8")
            result.html(self.folder / "report.html")
        return result


def compare(
    data: Any,
    activations: Names | None = None,
    *,
    target: str | Iterable[str] | None = None,
    model: Any = None,
    kind: str | None = None,
    metric: str | None = None,
    group: str | None = None,
    time: str | None = None,
    seeds: int | None = None,
    until_decided: bool = False,
    learning_rates: Iterable[float] | None = None,
    tune: bool = False,
    init: str = "matched",
    device: str = "cpu",
    executor: Executor | str | None = None,
    per_gpu: int | None = None,
    workers: int | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    quick: bool = False,
    log: str | None = None,
) -> Comparison:
    """Compare activations fairly on a task: tune each on the same grid, confirm on fresh seeds, report intervals.

    data: a task's name ("digits", "breast_cancer", "text"), a data set of scikit-learn ("iris", "wine", "diabetes"), a
    table (.csv, .tsv, .parquet, .npz, or a frame of pandas), a text file, a folder with a sub-folder of images for each
    class, "FILE.py" or "FILE.py:NAME" with an `actfun.Task`, or such a task itself, which is run in this process; or a
    list of names and paths, which are compared one by one and then put together.
    model: of one's own, in place of the network that goes with the data, as `actfun.Task` takes one; or a function of
    the activation, the number of inputs and that of outputs. Then `data` may also be a pair of tensors (inputs,
    targets), a Dataset, a DataLoader or a dictionary of these with "train" and "test"; targets that are whole numbers
    are classes. It is run in this process.
    activations: names, by default the seven of the overview article; models of one's own and images take element-wise
    ones.
    Of tables: target: the column to predict; of several tables a list, in their order. kind: "two classes", "several
    classes", "regression" or "counts" (default: read off the target). metric: the one that decides. group: a column
    whose rows stay together in one part. time: a column by which the latest rows are held back.
    seeds: how many confirm (default: the task's, 10 to 40; quick: 10). until_decided: add seeds, up to `seeds` (default
    60), until each activation is worse than the best or the same, by a sequential test whose errors stay below 5% over
    all looks; what is worse gets no more. learning_rates: the grid (default: the task's). tune: of tables, weight decay
    and dropout too. init: weights "matched" to each activation's gain, or "shared" by all (tasks of the package and
    tables). device: where trials run, as torch names it; of "cuda" each GPU is shared by `per_gpu` worker processes
    (default: 1). executor: what runs trials (default: `workers` processes, one a core); "ray" for a Ray cluster of this
    machine, or the address of one. out: a folder for results.jsonl, summary.json and report.html (default: nothing is
    written). resume: go on with what is in the folder. quick: a smaller grid tuned on one seed, half the steps. log:
    "tensorboard" or "mlflow", where each run is written as it ends.

    Of a list it gives `Comparisons`, whose `parts` are those of each.
    A script needs `if __name__ == "__main__":` around the call: each worker process imports the script.
    Raises ValueError for what cannot be right, naming the argument, OSError where a file or folder cannot be used.
    """
    settings: dict[str, Any] = {
        "activations": activations,
        "seeds": seeds,
        "learning_rates": learning_rates,
        "init": init,
        "workers": workers,
        "out": out,
        "resume": resume,
        "quick": quick,
        "device": device,
        "until_decided": until_decided,
        "per_gpu": per_gpu,
        "tune": tune,
        "log": log,
        "model": model,
    }
    options = {"kind": kind, "metric": metric, "group": group, "time": time}
    found: Comparison = prepare(data, settings, target, options).run(executor)
    return found


def _per_gpu(device: str, asked: int | None) -> int:
    """How many worker processes share a GPU; 0 where none is used. Raises ValueError where there is none."""
    if device != "cuda":
        if asked is not None:
            raise ValueError("`per_gpu` goes with `device` cuda")
        return 0
    if not gpus():
        raise ValueError("`device`: there is no GPU that torch can use")
    if asked is not None and asked < 1:
        raise ValueError(f"`per_gpu` must be at least 1, got {asked}")
    return asked or 1


def prepare(data: Any, settings: dict[str, Any], target: Any, options: dict[str, Any]) -> Any:
    """A comparison, or several, ready to run. settings: `ComparisonRun`'s arguments; options: those of tables."""
    if settings.get("model") is not None or not isinstance(data, list | tuple):
        return ComparisonRun(data, **settings, target=target, **options)
    from actfun._studies.compare_several import SeveralRun

    if len(data) < 2 or settings["until_decided"]:
        raise ValueError("several data sets are at least two, and with the same seeds for all, not `until_decided`")
    targets, described = iter(as_tuple(target)), [str(one) for one in data]
    if settings["activations"] is None and any(sources.takes_element_wise(one) for one in described):
        settings = settings | {"activations": tuple(name for name in ARTICLE if name != "maxout")}
    where = None if settings["out"] is None else Path(settings["out"])
    runs = []
    for one in described:
        inside = None if where is None else where / Path(one.partition(".py:")[0]).stem
        own: dict[str, Any] = {**options, "target": next(targets, None)} if sources.is_file_of_table(one) else {}
        if sources.is_table(one) and not own:
            own = {**options}
        runs.append(ComparisonRun(one, **settings | {"out": inside}, **own))
    return SeveralRun(runs, where)
