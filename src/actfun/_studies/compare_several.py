"""`af.compare` on several data sets: each compared, then all put together."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actfun._compare.several import together
from actfun._report import verdict
from actfun._report.data_charts import gains_picture
from actfun._report.formatting import STANDINGS, Metric
from actfun._report.tables import Section, fit_columns
from actfun._runs.executors import Executor
from actfun._studies.compare import Comparison, ComparisonRun
from actfun._studies.results import Result

GAIN = Metric("gain", higher_is_better=True, decimals=2)


class Comparisons(Comparison):
    """The outcome over several data sets. parts: those of each. best: the activation with the largest gain.

    links: where the page of each is, relative to that of all.
    """

    def __init__(self, parts: Sequence[Comparison], links: Sequence[str]) -> None:
        self.parts = list(parts)
        data = together([part.data for part in parts])
        rows = data["activations"]
        data["parts"] = [part.data for part in parts]
        columns = {
            "activation": [row["name"] for row in rows],
            "gain": [GAIN.difference(row["gain"]) for row in rows],
            "95% interval": [GAIN.interval(row["low"], row["high"], signed=True) for row in rows],
            "": [STANDINGS[row["standing"]] for row in rows],
            "mean rank": [f"{row['rank']:.1f}" for row in rows],
            "first on": [str(row["first_on"]) for row in rows],
            **{name: [GAIN.difference(row["by_data"][name]) for row in rows] for name in data["data_sets"]},
        }
        words = (
            "Gains over the mean of all activations with the same seed, in bands of what nobody would mind on each "
            "data set: the mean of the middle half of all runs, its 95% interval by a bootstrap of seeds within data "
            "sets, and the mean on each."
        )
        title = f"{len(parts)} data sets together"
        data["verdict"] = _verdict(data)
        self.trials = [trial for part in parts for trial in part.trials]
        Result.__init__(
            self,
            title=f"Activations on {', '.join(data['data_sets'])}",
            verdict=data["verdict"],
            data=data,
            rows=rows,
            sections=[
                Section(title, words, columns),
                *(
                    Section(f"{part.data['task']}: {part.data['metric']}", part.verdict, _cells(part), link=link)
                    for part, link in zip(parts, links, strict=True)
                ),
            ],
            drawn=lambda width: fit_columns(title, columns, width, left=("activation", "")),
            picture=gains_picture(rows),
        )

    def html(self, path: Path | str) -> None:
        """Write the page to `path`, all or nothing: one file that works offline."""
        Result.html(self, path)

    @property
    def failed(self) -> bool:
        """Whether each run of each activation failed on some data set."""
        return any(part.failed for part in self.parts)


def _cells(part: Comparison) -> dict[str, list[str]]:
    return verdict.section(part.data).columns


def _verdict(data: dict[str, Any]) -> str:
    rows = data["activations"]
    best = rows[0]
    sentences = [
        f"Over {len(data['data_sets'])} data sets, {best['name']} did best: first on {best['first_on']}, mean rank "
        f"{best['rank']:.1f}."
    ]
    for standing, words in (("same", "Practically the same"), ("worse", "Worse"), ("unclear", "Can’t tell")):
        if names := [row["name"] for row in rows if row["standing"] == standing]:
            sentences.append(f"{words}: {', '.join(names)}.")
    return " ".join(sentences)


class SeveralRun:
    """Comparisons that are ready to run, one after another. The folder of each is in that of all."""

    def __init__(self, runs: Sequence[ComparisonRun], folder: Path | None) -> None:
        if len({run.plan.problem.name for run in runs}) < len(runs):
            raise ValueError("a data set is named twice")
        self.runs, self.folder = list(runs), folder

    def run(self, executor: Executor | str | None = None) -> Comparisons:
        """Run all; the outcome, written to the folder if there is one."""
        links = [f"{run.folder.name}/report.html" if run.folder else "" for run in self.runs]
        result = Comparisons([run.run(executor) for run in self.runs], links)
        if self.folder is not None:
            text = json.dumps(result.to_dict(), indent=1) + "\n"
            (self.folder / "summary.json").write_text(text, encoding="utf-8")
            result.html(self.folder / "report.html")
        return result
