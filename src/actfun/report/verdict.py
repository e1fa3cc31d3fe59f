"""The outcome of a comparison in a sentence or two, and as a table for the terminal."""

from typing import Any

from rich.table import Table

from actfun.report import formatting
from actfun.report.formatting import Metric, metric_of


def verdict(summary: dict[str, Any]) -> str:
    """Who scored best, who is as good, who is worse, and for whom the seeds did not suffice."""
    metric, rows = metric_of(summary), summary["activations"]
    best = rows[0]
    interval = metric.interval(best["low"], best["high"])
    extent = f" (95% interval {interval}, {best['seeds']} seeds)" if interval else " (one seed, so nothing is settled)"
    sentences = [
        f"On {summary['task']}, {best['name']} scored best: {metric.name} {metric.score(best['mean'])}{extent}."
    ]
    band = f"{summary['same_within'] * 100:g} points" if metric.percent else f"{summary['same_within']:g}"
    same = [row["name"] for row in rows if row["standing"] == "same"]
    worse = [f"{row['name']} ({metric.difference(row['difference'])})" for row in rows if row["standing"] == "worse"]
    unclear = [row for row in rows if row["standing"] == "unclear"]
    if same:
        sentences.append(f"Practically the same (within {band}): {_listed(same)}.")
    if worse:
        sentences.append(f"Worse: {_listed(worse)}.")
    if unclear:
        sentences.append(f"Can’t tell from these seeds: {_listed([_open(row) for row in unclear])}.")
    failures = [f"{row['name']} {row['failures']} of {row['seeds']}" for row in rows if row["failures"]]
    if failures:
        sentences.append(f"Failed runs, counted with the worst score: {_listed(failures)}.")
    return " ".join(sentences)


def _open(row: dict[str, Any]) -> str:
    return f"{row['name']} (about {row['more_seeds']} more would)" if row["more_seeds"] else str(row["name"])


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def table(summary: dict[str, Any]) -> Table:
    """The rows of a summary for a terminal."""
    metric = metric_of(summary)
    result = Table(title=f"{summary['task']}: test {metric.name}, {metric.direction}", title_justify="left")
    for heading in (
        "activation",
        metric.name,
        "95% interval",
        "to best",
        "p (Holm)",
        "",
        "lr",
        "ms/step",
        "dead",
        "flat",
    ):
        result.add_column(heading, justify="left" if heading in ("activation", "") else "right", no_wrap=True)
    for row in summary["activations"]:
        result.add_row(*_cells(row, metric), style="bold" if row["standing"] == "best" else "")
    return result


def _cells(row: dict[str, Any], metric: Metric) -> list[str]:
    return [
        row["name"],
        metric.score(row["mean"]),
        metric.interval(row["low"], row["high"]),
        "" if row["standing"] == "best" else metric.difference(row["difference"]),
        "" if row["standing"] == "best" else formatting.p_value(row["p_holm"]),
        formatting.STANDINGS[row["standing"]],
        formatting.learning_rate(row["learning_rate"]),
        formatting.milliseconds(row["step_milliseconds"]),
        formatting.share(row["dead_share"]),
        formatting.share(row["flat_share"]),
    ]
