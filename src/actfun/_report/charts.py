"""The charts of a comparison, as Vega-Lite specifications that adapt to the width of the page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import altair as alt

from actfun._report import data
from actfun._report.formatting import Metric, learning_rate

Row = dict[str, Any]

# Six colours of Okabe and Ito, slightly adapted to stand out on white and on black, and two more. A ninth takes the
# first colour again with the next dash pattern.
COLOURS = ["#1a78b8", "#d55e00", "#009e73", "#c26a9d", "#d99a00", "#56a9dd", "#7a5cc8", "#8a8a8a"]
DASHES = [[1, 0], [6, 3], [2, 2]]
INK = "currentColor"
TICKS = alt.ExprRef("clamp(width / 90, 3, 10)")
HIGHLIGHTED = "highlight.length == 0 || indexof(highlight, datum.activation) >= 0"
ROW_STEP = 46
# Long names such as "maxout (equal parameters)" take two lines.
LONG = "indexof(datum.label, ' (') > 0"
TWO_LINES = LONG + " ? split(replace(datum.label, ' (', '\\n('), '\\n') : datum.label"


@dataclass(frozen=True)
class Chart:
    """A chart's specification, and a note for the reader about what it does not show."""

    spec: dict[str, Any]
    note: str


def style(position: int) -> tuple[str, list[int]]:
    """The colour and the dash pattern of the activation at `position`."""
    return COLOURS[position % len(COLOURS)], DASHES[position // len(COLOURS) % len(DASHES)]


def seed_chart(metric: Metric, activations: list[Row], trials: list[Row]) -> Chart | None:
    """Every seed as a dot, with each activation's mean and its interval."""
    dots, means, shown = data.seed_rows(metric, activations, trials)
    if not dots:
        return None
    names = [a["name"] for a in activations]
    layers = _row_layers(dots, means, names, names, shown, [metric.axis_title("Test")])
    return Chart(finish(alt.layer(*layers), "Test score of every seed"), _clip_note(dots, means, "run"))


def difference_chart(metric: Metric, activations: list[Row], trials: list[Row], same_within: float) -> Chart | None:
    """Every seed's difference to the best activation, with mean, interval and the practically-the-same band."""
    dots, means, shown = data.difference_rows(metric, activations, trials, same_within)
    if not dots:
        return None
    names = [a["name"] for a in activations]
    unit = f" ({metric.difference_unit})" if metric.difference_unit else ""
    sides = ("worse", "better") if metric.higher_is_better else ("better", "worse")
    titles = [f"← {sides[0]}\u2003\u2003{sides[1]} →", f"Difference in {metric.name}{unit}"]
    band = metric.shown(same_within)
    ends = {"x": -band, "x2": band}
    x = alt.X("x:Q")
    shade = inline([ends]).mark_rect(color=INK, opacity=0.1).encode(x=x, x2="x2")
    zero = inline([{"x": 0}]).mark_rule(color=INK, strokeWidth=1.2).encode(x=x)
    layers = _row_layers(dots, means, names, names[1:], shown, titles)
    return Chart(finish(alt.layer(shade, zero, *layers), "Paired differences"), _clip_note(dots, means, "pair"))


def curve_chart(metric: Metric, activations: list[Row], trials: list[Row], batch_size: Any = None) -> Chart | None:
    """Validation score during training: the mean over the seeds and a band from the 10th to the 90th percentile."""
    names = [a["name"] for a in activations]
    rows, shown = data.curve_rows(metric, names, trials)
    if not rows:
        return None
    batches = f" (mini-batches of {batch_size})" if batch_size else ""
    steps = [row["step"] for row in rows]
    base = inline(rows).encode(
        x=alt.X(
            "step:Q",
            title=f"Training step{batches}",
            axis=alt.Axis(tickCount=TICKS),
            scale=alt.Scale(domain=[min(steps), max(steps)], nice=False),
        ),
        color=colour(names),
    )
    y_title = metric.axis_title("Validation")
    band = base.mark_area(clip=True).encode(y=_y("low", y_title, shown), y2="high:Q", opacity=emphasis(0.07, 0.0))
    line = base.mark_line(clip=True, strokeWidth=2).encode(
        y=_y("mean", y_title, shown), strokeDash=_dash(names), opacity=emphasis(1.0, 0.12)
    )
    # A line has one tooltip for all its points, so unseen points carry them.
    points = base.mark_circle(clip=True, size=90, opacity=0).encode(
        y=_y("mean", y_title, shown),
        tooltip=tooltips(
            activation="activation", step="step", mean="text", **{"10th to 90th": "interval"}, runs="runs"
        ),
    )
    figure = alt.layer(band, line, points).properties(height=340)
    return Chart(finish(figure, "Learning curves"), _curve_note(rows, shown, data.confirmations(trials, names)))


def tuning_chart(metric: Metric, activations: list[Row], trials: list[Row]) -> Chart | None:
    """Mean tuning score against the learning rate, the chosen rate of each activation marked."""
    names = [a["name"] for a in activations]
    rows, shown = data.tuning_rows(metric, activations, trials)
    if not rows:
        return None
    rates = sorted({row["rate"] for row in rows})
    labels = " : ".join(f"datum.value == {rate!r} ? '{learning_rate(rate)}'" for rate in rates) + " : ''"
    axis = alt.Axis(values=rates, labelExpr=labels, labelFlush=False)
    ends = [rates[0] / 1.15, rates[-1] * 1.15]
    base = inline(rows).encode(
        x=alt.X("rate:Q", title="Learning rate (log scale)", axis=axis, scale=alt.Scale(type="log", domain=ends)),
        y=_y("y", metric.axis_title("Validation"), shown),
        color=colour(names),
    )
    tooltip = tooltips(**{"activation": "activation", "learning rate": "rate_text", "mean": "text", "runs": "runs"})
    line = base.mark_line(strokeWidth=2).encode(strokeDash=_dash(names), opacity=emphasis(1.0, 0.12))
    shape = alt.Shape("shape:N", scale=None, legend=None)
    points = base.mark_point(filled=True, size=45).encode(shape=shape, opacity=emphasis(1.0, 0.12), tooltip=tooltip)
    chosen = base.mark_point(size=190, strokeWidth=2.5, filled=False).encode(
        opacity=emphasis(1.0, 0.12), tooltip=tooltip
    ).transform_filter("datum.chosen")  # fmt: skip
    figure = alt.layer(line, points, chosen).properties(height=320)
    return Chart(finish(figure, "Learning-rate sensitivity"), _clip_note(rows, [], "point"))


def _row_layers(
    dots: list[Row], means: list[Row], names: list[str], shown_names: list[str], shown: data.Domain, titles: list[str]
) -> list[alt.Chart]:
    """One row an activation: the mean with its interval above, the seeds below."""
    # The first of two lines stands on the middle of the row, a single line in it.
    baseline: Any = {"condition": {"test": LONG, "value": "bottom"}, "value": "middle"}
    axis = alt.Axis(
        labelExpr=TWO_LINES,
        labelBaseline=baseline,
        labelLimit=140,
        grid=True,
        tickBand="extent",
        ticks=False,
        domain=False,
    )
    channels: dict[str, Any] = {
        "x": alt.X(
            "x:Q",
            title=titles,
            axis=alt.Axis(tickCount=TICKS),
            scale=alt.Scale(domain=[shown.low, shown.high], nice=False, zero=False),
        ),
        "y": alt.Y("activation:N", title=None, axis=axis, scale=alt.Scale(domain=shown_names, padding=0)),
        "yOffset": alt.YOffset("offset:Q", scale=alt.Scale(domain=[0, 1])),
        "color": colour(names),
    }
    shape = alt.Shape("shape:N", scale=None, legend=None)
    seeds = inline(dots).mark_point(filled=True, size=46).encode(
        **channels, shape=shape, opacity=emphasis(0.6, 0.06),
        tooltip=tooltips(activation="activation", seed="seed", value="text", run="state"),
    )  # fmt: skip
    tooltip = tooltips(**{"activation": "activation", "mean": "text", "95% interval": "interval"})
    bars = inline([row for row in means if "low" in row]).mark_rule(strokeWidth=3).encode(
        **(channels | {"x": alt.X("low:Q")}), x2="high:Q", opacity=emphasis(1.0, 0.12), tooltip=tooltip
    )  # fmt: skip
    centres = inline(means).mark_point(filled=True, size=120, opacity=1).encode(
        **channels, shape=shape, opacity=emphasis(1.0, 0.12), tooltip=tooltip
    )  # fmt: skip
    return [seeds, bars, centres]


def inline(rows: list[Row]) -> alt.Chart:
    """A chart of rows that stand in the page."""
    data: Any = alt.InlineData  # Altair leaves this class without types.
    return alt.Chart(data(values=rows))


def _y(field: str, title: str, shown: data.Domain) -> alt.Y:
    scale = alt.Scale(domain=[shown.low, shown.high], nice=False, zero=False)
    return alt.Y(f"{field}:Q", title=title, scale=scale)


def colour(names: list[str]) -> alt.Color:
    """The colours of activations, in their order."""
    colours = [style(position)[0] for position in range(len(names))]
    return alt.Color("activation:N", scale=alt.Scale(domain=names, range=colours), legend=None)


def _dash(names: list[str]) -> alt.StrokeDash:
    dashes = [style(position)[1] for position in range(len(names))]
    return alt.StrokeDash("activation:N", scale=alt.Scale(domain=names, range=dashes), legend=None)


def emphasis(opacity: float, faded: float) -> Any:
    """An opacity; another one for what is not highlighted."""
    return alt.when(HIGHLIGHTED).then(alt.value(opacity)).otherwise(alt.value(faded))


def tooltips(**fields: str) -> list[alt.Tooltip]:
    """Tooltips: title -> field."""
    return [alt.Tooltip(field, type="nominal", title=title) for title, field in fields.items()]


def _clip_note(rows: list[Row], means: list[Row], what: str) -> str:
    counts = data.off_scale(rows)
    notes = []
    if total := sum(counts.values()):
        many = (
            f"1 {what} is off the scale and drawn as a triangle"
            if total == 1
            else (f"{total} {what}s are off the scale and drawn as triangles")
        )
        notes.append(f"{many} at its edge ({_listing(counts)}).")
    if any(mean.get("cut") for mean in means):
        notes.append("Bars that reach the edge go on beyond it.")
    if any(row["shape"] == "cross" for row in rows):
        notes.append("Crosses are failed runs.")
    return " ".join(notes)


def _curve_note(rows: list[Row], shown: data.Domain, runs: list[Row]) -> str:
    failed = Counter(run["activation"] for run in runs if run["failed"])
    last = {row["activation"]: row["mean"] for row in rows}
    outside = [name for name, mean in last.items() if not shown.low <= mean <= shown.high]
    notes = [f"Failed runs are left out ({_listing(failed)})."] if failed else []
    notes += [f"Off the scale to the end: {', '.join(outside)}."] if outside else []
    return " ".join(notes)


def _listing(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


def finish(chart: Any, description: str) -> dict[str, Any]:
    """A chart as a specification that fits its container, in the page's own colours."""
    text = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
    lines = {"gridColor": INK, "gridOpacity": 0.13, "domainColor": INK, "domainOpacity": 0.4, "tickColor": INK}
    figure = (
        chart.add_params(alt.param(name="highlight", value=[]))
        .properties(width="container", description=description, background="transparent")
        .configure(font="system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif")
        .configure_axis(**text, **lines, tickOpacity=0.4, titlePadding=10, labelPadding=6)
        .configure_view(stroke=None, step=ROW_STEP)
    )
    spec: dict[str, Any] = figure.to_dict()
    return spec
