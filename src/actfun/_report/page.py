"""The report of a comparison as one HTML file that needs no network."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

from actfun._report import charts, data_charts, formatting, html, verdict
from actfun._report.formatting import Metric, is_number

Row = dict[str, Any]

PROTOCOL = {
    "train": "Training examples", "validation": "Validation examples", "test": "Test examples",
    "optimizer": "Optimizer", "init": "Initialization", "batch_size": "Batch size", "steps": "Training steps",
    "learning_rates": "Learning rates tried", "tuning_seeds": "Seeds for tuning",
    "seeds": "Seeds for the scores",
}  # fmt: skip
DATA = {"columns": "Columns beside it", "missing": "Empty cells", "deviation": "Standard deviation"}
MACHINE = {
    "processor": "Processor", "cores": "Cores", "workers": "Worker processes", "threads": "Threads a worker",
    "platform": "Platform", "python": "Python", "torch": "PyTorch", "actfun": "actfun", "date": "Date",
}  # fmt: skip


def write_compare(path: Path, summary: dict[str, Any], trials: list[dict[str, Any]]) -> None:
    """Write the report of a comparison to `path`, all or nothing."""
    html.save(path, compare_page(summary, trials))


def compare_page(summary: dict[str, Any], trials: list[dict[str, Any]]) -> str:
    """The report of a comparison as HTML text."""
    metric = formatting.metric_of(summary)
    activations = sorted(summary["activations"], key=functools.partial(_rank, metric))
    batch_size = summary["protocol"].get("batch_size")
    others = verdict.other_metrics(summary)
    drawn = {
        "seeds": charts.seed_chart(metric, activations, trials),
        "differences": charts.difference_chart(metric, activations, trials, summary["same_within"]),
        "curves": charts.curve_chart(metric, activations, trials, batch_size),
        "tuning": charts.tuning_chart(metric, activations, trials),
        **data_charts.drawn(metric, activations, trials),
    }
    return html.environment().get_template("compare.html.j2").render(
        summary=summary,
        metric=metric,
        rows=[_table_row(metric, a, place, summary["same_within"]) for place, a in enumerate(activations)],
        charts=drawn,
        specs={name: chart.spec for name, chart in drawn.items() if chart},
        same_within=metric.difference(summary["same_within"]).lstrip("+"),
        protocol=_facts(PROTOCOL, summary["protocol"]),
        machine=_facts(MACHINE, summary["machine"]),
        data=_data(summary.get("data", {})),
        warnings=summary.get("data", {}).get("warnings", []),
        advice=summary.get("advice", ""),
        others=others,
        other_rows=[*zip(*others.values(), strict=True)],
        library=html.library(),
    )  # fmt: skip


def _rank(metric: Metric, activation: Row) -> tuple[bool, float]:
    mean = activation.get("mean")
    score = mean if is_number(mean) else math.nan
    worst_last = math.inf if math.isnan(score) else -score if metric.higher_is_better else score
    return activation["standing"] != "best", worst_last


def _table_row(metric: Metric, activation: Row, place: int, same_within: float) -> Row:
    """An activation's cells as text."""
    colour, dash = charts.style(place)
    best = place == 0
    return {
        "name": activation["name"],
        "colour": colour,
        "dash": " ".join(str(part) for part in dash),
        "score": metric.score(activation.get("mean")),
        "score_interval": metric.interval(activation.get("low"), activation.get("high")),
        "difference": "reference" if best else metric.difference(activation.get("difference")),
        "difference_interval": "" if best else metric.interval(
            activation.get("difference_low"), activation.get("difference_high"), signed=True
        ),
        "p": formatting.MISSING if best else formatting.p_value(activation.get("p_holm")),
        "standing": activation["standing"],
        "standing_text": formatting.standing(activation, same_within),
        "more_seeds": activation.get("more_seeds"),
        "learning_rate": formatting.learning_rate(activation.get("learning_rate")),
        "failed": activation["failures"] > 0,
        "failures": f"{activation['failures']} of {activation['seeds']}",
        "step": formatting.milliseconds(activation.get("step_milliseconds")),
        "dead": formatting.share(activation.get("dead_share")),
        "saturated": formatting.share(activation.get("saturated_share")),
        "parameters": formatting.count(activation.get("parameters")),
    }  # fmt: skip


def _data(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """What is known of the data, in words."""
    said = []
    for key, value in facts.items():
        if key == "classes":
            said.append(("Classes", ", ".join(f"{name} {share:.1%}" for name, share in value.items())))
        elif key != "warnings":
            written = f"{value:.1%}" if key == "missing" else f"{value:,.4g}" if isinstance(value, float) else None
            word = DATA.get(key, key.capitalize())
            said.append((word, written or (formatting.count(value) if isinstance(value, int) else str(value))))
    return said


def _facts(labels: dict[str, str], values: dict[str, Any]) -> list[tuple[str, str]]:
    return [(label, _fact(key, values[key])) for key, label in labels.items() if values.get(key) is not None]


def _fact(key: str, value: Any) -> str:
    if key == "learning_rates":
        return ", ".join(formatting.learning_rate(rate) for rate in value)
    if isinstance(value, list):
        return formatting.numbers(value)
    return formatting.count(value) if isinstance(value, int) else str(value)
