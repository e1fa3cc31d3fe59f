"""The charts of a comparison on data of one's own: calibration, classes, residuals, cost against score."""

from __future__ import annotations

from typing import Any

import altair as alt
import vl_convert

from actfun._report import charts, formatting
from actfun._report.charts import INK, Chart, Row, finish
from actfun._report.formatting import Metric, is_number

FEW = 20  # rows in a tenth below which what came true says little


def calibration_chart(activations: list[Row], trials: list[Row]) -> Chart | None:
    """Of rows that were given a share, how many came true: on the diagonal where shares can be taken at their word."""
    rows, names = [], [a["name"] for a in activations]
    for name in names:
        tenths = [t["details"]["calibration"] for t in _confirmed(trials, name) if "calibration" in t["details"]]
        for seeds in zip(*tenths, strict=True):
            many, given, came = (sum(tenth[k] for tenth in seeds) for k in range(3))
            if many >= FEW:
                text = {"given": formatting.share(given / many), "true": formatting.share(came / many)}
                rows.append({"activation": name, "x": given / many, "y": came / many, "rows": f"{many:,}", **text})
    if not rows:
        return None
    line = charts.inline([{"x": 0.0, "y": 0.0}, {"x": 1.0, "y": 1.0}]).mark_line(color=INK, strokeWidth=1, opacity=0.5)
    base = charts.inline(rows).encode(
        x=alt.X("x:Q", title="Share that was given", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("y:Q", title="Share that came true", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
        color=charts.colour(names),
        tooltip=charts.tooltips(**{"activation": "activation", "given": "given", "came true": "true", "rows": "rows"}),
    )
    drawn = base.mark_line(strokeWidth=2).encode(opacity=charts.emphasis(1.0, 0.12))
    dots = base.mark_point(filled=True, size=50).encode(opacity=charts.emphasis(1.0, 0.12))
    figure = alt.layer(line.encode(x="x:Q", y="y:Q"), drawn, dots).properties(height=340)
    return Chart(finish(figure, "Calibration"), f"Tenths with fewer than {FEW} rows over all seeds are left out.")


def groups_chart(metric: Metric, activations: list[Row], trials: list[Row]) -> Chart | None:
    """Where candidates differ: the share of each class that was found, or the error in each fifth of the target."""
    rows, names = [], [a["name"] for a in activations]
    order: list[str] = []
    of_classes = any("recall" in t["details"] for t in trials if t.get("details"))
    for name in names:
        found: dict[str, list[float]] = {}
        for trial in _confirmed(trials, name):
            for group, value in _groups(trial["details"]).items():
                found.setdefault(group, []).append(value)
        order = order or list(found)
        for group, values in found.items():
            mean = sum(values) / len(values)
            text = formatting.share(mean) if of_classes else metric.score(mean)
            rows.append({"activation": name, "group": group, "x": mean, "text": text})
    if len({row["group"] for row in rows}) < 2:
        return None
    title = "Share of the class that was found" if of_classes else "Root mean square error"
    axis = alt.Axis(format="%") if of_classes else alt.Axis()
    base = charts.inline(rows).encode(
        x=alt.X("x:Q", title=title, axis=axis, scale=alt.Scale(zero=False, nice=True)),
        y=alt.Y("group:N", title=None, sort=order, axis=alt.Axis(labelLimit=140, grid=True)),
        color=charts.colour(names),
        tooltip=charts.tooltips(activation="activation", group="group", mean="text"),
    )
    figure = base.mark_point(filled=True, size=90).encode(opacity=charts.emphasis(0.85, 0.08))
    return Chart(finish(figure, "Where candidates differ"), "")


def _groups(details: Row) -> dict[str, float]:
    if "recall" in details:
        return dict(details["recall"])
    fifths = details.get("by_fifth", [])
    names = ["smallest fifth", "second", "third", "fourth", "largest fifth"]
    return {name: value for name, value in zip(names, fifths, strict=False) if value is not None}


def residual_chart(activations: list[Row], trials: list[Row]) -> Chart | None:
    """Of each activation how far predictions are off: the middle half and nine tenths, the median marked."""
    rows, names = [], [a["name"] for a in activations]
    for name in names:
        found = [t["details"]["residuals"] for t in _confirmed(trials, name) if "residuals" in t["details"]]
        if found:
            low, q1, median, q3, high = (sum(q) / len(q) for q in zip(*found, strict=True))
            text = f"{median:.3g}, half within {q1:.3g} to {q3:.3g}"
            rows.append({"activation": name, "low": low, "q1": q1, "x": median, "q3": q3, "high": high, "text": text})
    if not rows:
        return None
    tooltip = charts.tooltips(activation="activation", median="text")
    base = charts.inline(rows).encode(
        y=alt.Y("activation:N", title=None, sort=names, axis=alt.Axis(labelLimit=140)),
        color=charts.colour(names),
        tooltip=tooltip,
    )
    zero = charts.inline([{"x": 0.0}]).mark_rule(color=INK, strokeWidth=1.2).encode(x="x:Q")
    wide = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title="Predicted minus true"), x2="high:Q")
    half = base.mark_bar(height=12, opacity=0.6).encode(x="q1:Q", x2="q3:Q")
    middle = base.mark_tick(thickness=3, height=18).encode(x="x:Q")
    return Chart(finish(alt.layer(zero, wide, half, middle), "Residuals"), "")


def cost_chart(metric: Metric, activations: list[Row]) -> Chart | None:
    """Time of a training step against the score."""
    rows = [
        {
            "activation": a["name"],
            "x": a["step_milliseconds"],
            "y": metric.shown(a["mean"]),
            "step": f"{formatting.milliseconds(a['step_milliseconds'])} ms",
            "text": metric.score(a["mean"]),
        }
        for a in activations
        if is_number(a.get("step_milliseconds")) and is_number(a.get("mean")) and not a["failures"]
    ]
    if len(rows) < 2:
        return None
    names = [a["name"] for a in activations]
    base = charts.inline(rows).encode(
        x=alt.X("x:Q", title="Training step, ms", scale=alt.Scale(zero=False, nice=True)),
        y=alt.Y("y:Q", title=metric.axis_title("Test"), scale=alt.Scale(zero=False, nice=True)),
        color=charts.colour(names),
        tooltip=charts.tooltips(activation="activation", step="step", score="text"),
    )
    dots = base.mark_point(filled=True, size=110).encode(opacity=charts.emphasis(1.0, 0.12))
    words = base.mark_text(align="left", dx=9, fontSize=11).encode(
        text="activation:N", opacity=charts.emphasis(1.0, 0.12)
    )
    return Chart(finish(alt.layer(dots, words).properties(height=300), "Cost against score"), "")


def _confirmed(trials: list[Row], name: str) -> list[Row]:
    return [t for t in trials if t["activation"] == name and t["stage"] == "confirm" and t.get("details")]


def drawn(metric: Metric, activations: list[Row], trials: list[Row]) -> dict[str, Any]:
    """All of them by name; None where there is nothing to show."""
    return {
        "cost": cost_chart(metric, activations),
        "groups": groups_chart(metric, activations, trials),
        "calibration": calibration_chart(activations, trials),
        "residuals": residual_chart(activations, trials),
    }


def gains_picture(rows: list[Row]) -> str:
    """Gains over several data sets with their intervals, and each data set as a small dot, as an SVG."""
    names = [row["name"] for row in rows]
    means = [{"activation": row["name"], **{key: row[key] for key in ("gain", "low", "high")}} for row in rows]
    dots = [{"activation": row["name"], "gain": gain} for row in rows for gain in row["by_data"].values()]
    y = alt.Y("activation:N", sort=names, title=None, axis=alt.Axis(labelLimit=180))
    x = alt.X("gain:Q", title="Gain over the mean of all, in bands of what nobody would mind")
    base = charts.inline(means).encode(y=y, color=charts.colour(names))
    figure = alt.layer(
        charts.inline(dots).mark_point(filled=True, size=35, opacity=0.45).encode(y=y, x=x, color=charts.colour(names)),
        base.mark_rule(strokeWidth=3).encode(x="low:Q", x2="high:Q"),
        base.mark_point(filled=True, size=120, opacity=1).encode(x=x),
    ).properties(width=640, background="white")
    return vl_convert.vegalite_to_svg(figure.configure_view(stroke=None).to_dict())
