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
    if all(row["failures"] == row["seeds"] for row in rows):
        return f"On {summary['task']}, every run failed: {best.get('error')}."
    interval = metric.interval(best["low"], best["high"])
    extent = f" (95% interval {interval}, {best['seeds']} seeds)" if interval else " (one seed, so nothing is settled)"
    sentences = [
        f"On {summary['task']}, {best['name']} scored best: {metric.name} {metric.score(best['mean'])}{extent}."
    ]
    band = f"{summary['same_within'] * 100:g} points" if metric.percent else f"{summary['same_within']:.3g}"
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
    if beside := [f"{row['name']} {metric.score(row['mean'])}" for row in summary.get("references", [])]:
        sentences.append(f"Models of other kinds: {_enumerate(beside)}.")
    if summary.get("until_decided"):
        used, most = sum(row["seeds"] for row in rows), len(summary["protocol"]["seeds"]) * len(rows)
        open_ = any(row["standing"] == "unclear" for row in rows)
        said = "Not all is decided, and the seeds are used up" if open_ else "Seeds were added until it was decided"
        sentences.append(f"{said}: {used} confirming runs, of {most} at most.")
    return " ".join(sentences)


def advice(summary: dict[str, Any]) -> str:
    """What to use, and what to try next, in two sentences."""
    metric, rows = metric_of(summary), summary["activations"]
    if all(row["failures"] == row["seeds"] for row in rows):
        return "Mend that first; results.jsonl has what each run said."
    alike = [row for row in rows if row["standing"] in ("best", "same") and not row["failures"]]
    unclear = [row["name"] for row in rows if row["standing"] == "unclear"]
    quick = min(alike or rows[:1], key=lambda row: row["step_milliseconds"] or 0.0)
    if len(rows) > 1 and len(alike) == len(rows):
        use = f"Which activation you use does not matter here; {quick['name']} is the fastest."
    elif len(alike) > 1:
        use = f"Use {quick['name']}, the fastest of those that are as good as the best."
    elif unclear:
        use = f"Use {rows[0]['name']} for now: {_enumerate(unclear)} may be as good or better."
    else:
        use = f"Use {rows[0]['name']}."
    better = next(
        (r for r in summary.get("references", []) if _gain(metric, r, rows[0]) > summary["same_within"]), None
    )
    equal = next(
        (r for r in summary.get("references", []) if _gain(metric, r, rows[0]) >= -summary["same_within"]), None
    )
    if better is not None:
        difference = metric.difference(better["mean"] - rows[0]["mean"])
        next_ = (
            f"But {better['name']} does better than any of these networks ({difference}): try it, or another network."
        )
    elif unclear:
        more = max((row["more_seeds"] or 0 for row in rows), default=0)
        how = "more data" if summary.get("until_decided") or more > 200 else "more seeds (--until-decided)"
        next_ = f"Next, try {how} to tell them apart."
    elif equal is not None:
        next_ = f"Next, mind that a model of another kind, {equal['name']}, does as well on the same splits."
    elif rows[0]["learning_rate"] in (e := summary["protocol"]["learning_rates"])[:1] + e[-1:] and len(e) > 1:
        next_ = "Next, try learning rates beyond the grid: the best is at its edge."
    else:
        next_ = "Next, try it in the network that you will use, or on another split of the data."
    return f"{use} {next_}"


def _gain(metric: formatting.Metric, one: dict[str, Any], other: dict[str, Any]) -> float:
    return float(one["mean"] - other["mean"]) * (1.0 if metric.higher_is_better else -1.0)


def other_metrics(summary: dict[str, Any]) -> dict[str, list[str]]:
    """All metrics of all candidates, and of other kinds of models, as the cells of a table; none where there is one."""
    names = summary.get("metrics", [])
    rows = [*summary["activations"], *summary.get("references", [])]
    if len(names) < 2 and not summary.get("references"):
        return {}
    columns = {"": [row["name"] for row in rows]}
    for name in names:
        values = [row.get("other_scores", {}).get(name) for row in rows]
        metric = metric_of({"metric": name, "higher_is_better": True, "activations": [{"mean": v} for v in values]})
        columns[name] = [metric.score(value) for value in values]
    return columns


def _open(row: dict[str, Any]) -> str:
    return f"{row['name']} (about {row['more_seeds']} more may)" if row["more_seeds"] else str(row["name"])


def _enumerate(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _settings(row: dict[str, Any]) -> str:
    """Settings that tuning changed: "dropout 0.3"."""
    return ", ".join(f"{name} {value:g}" for name, value in row.get("settings", {}).items())


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
        **({"settings": settings} if any(settings := [_settings(row) for row in rows]) else {}),
        "ms/step": [formatting.milliseconds(row["step_milliseconds"]) for row in rows],
        "dead": [formatting.share(row["dead_share"]) for row in rows],
        "saturated": [formatting.share(row["saturated_share"]) for row in rows],
    }
    optional = {name: [cell for cell in columns[name] if cell] for name in ("p (Holm)", "dead", "saturated")}
    columns = {k: v for k, v in columns.items() if k not in optional or {*optional[k]} != {formatting.MISSING}}
    return Section(f"{summary['task']}: test {metric.name}, {metric.direction}", "", columns)


def table(summary: dict[str, Any], width: int) -> Table:
    """The same for a terminal of that many characters; a narrow one gets the first columns only."""
    shown = section(summary)
    result = fit_columns(shown.title, shown.columns, width, left=("activation", ""))
    result.rows[0].style = "bold"
    return result
