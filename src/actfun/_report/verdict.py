"""The outcome of a comparison in a sentence or two, and as a table for the terminal."""

import statistics
from typing import Any

from rich.table import Table

from actfun._report import formatting
from actfun._report.formatting import metric_of
from actfun._report.tables import Section, fit_columns


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
    usual = statistics.median(row["parameters"] or 0 for row in rows)
    if (best["parameters"] or 0) > 1.1 * usual > 0:
        sentences.append(f"It has {best['parameters']:,} parameters where the median is {usual:,.0f}.")
    groups = {
        f"Practically the same (within {band})": [row["name"] for row in rows if row["standing"] == "same"],
        f"Worse{', in points' if metric.percent else ''}": [
            f"{row['name']} {metric.difference(row['difference'])}" for row in rows if row["standing"] == "worse"
        ],
        "Can’t tell from these seeds": [_open(row) for row in rows if row["standing"] == "unclear"],
        "Failed runs, counted with the worst score": [
            f"{row['name']} {row['failures']} of {row['seeds']}" for row in rows if row["failures"]
        ],
    }
    sentences += [f"{heading}: {_enumerate(names)}." for heading, names in groups.items() if names]
    return " ".join(sentences)


def _open(row: dict[str, Any]) -> str:
    return f"{row['name']} (about {row['more_seeds']} more may)" if row["more_seeds"] else str(row["name"])


def _enumerate(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def section(summary: dict[str, Any]) -> Section:
    """The rows of a summary as a table."""
    metric, rows = metric_of(summary), summary["activations"]
    columns = {
        "activation": [row["name"] for row in rows],
        "score": [metric.score(row["mean"]) for row in rows],
        "to best": ["" if row is rows[0] else metric.difference(row["difference"]) for row in rows],
        "": [formatting.standing(row, summary["same_within"]) for row in rows],
        "95% interval": [metric.interval(row["low"], row["high"]) for row in rows],
        "p (Holm)": ["" if row is rows[0] else formatting.p_value(row["p_holm"]) for row in rows],
        "lr": [formatting.learning_rate(row["learning_rate"]) for row in rows],
        "ms/step": [formatting.milliseconds(row["step_milliseconds"]) for row in rows],
        "dead": [formatting.share(row["dead_share"]) for row in rows],
        "saturated": [formatting.share(row["saturated_share"]) for row in rows],
    }
    return Section(f"{summary['task']}: test {metric.name}, {metric.direction}", "", columns)


def table(summary: dict[str, Any], width: int) -> Table:
    """The same for a terminal of that many characters; a narrow one gets the first columns only."""
    shown = section(summary)
    result = fit_columns(shown.title, shown.columns, width, left=("activation", ""))
    result.rows[0].style = "bold"
    return result
