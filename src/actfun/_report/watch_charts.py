"""The pictures of what `watch` saw, as Vega-Lite specifications without words, so that they serve both languages."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import torch

from actfun._report.charts import COLOURS, INK, TICKS, finish, inline, tooltips
from actfun._report.watch import number, percent
from actfun._watch.history import Record, Window
from actfun._watch.observer import Place
from actfun._watch.tally import FLAT, OCTAVES, PER_OCTAVE, edges
from actfun._watch.watcher import Watcher

Row = dict[str, Any]

MOST_STEPS, MOST_PLACES = 60, 120  # in a heatmap
CURVES = 40  # places whose curve is in the page
REACH, POINTS = 4.0, 161  # of a curve: at least so far, or as far as the pre-activations go
USUAL = 1e-3  # |update|/|weight|: Karpathy's rule of thumb
WARM = ["#f6f3ec", "#f2c178", "#d55e00", "#7a2a00"]
BOTH = ["#1a78b8", "#eef1f3", "#d55e00"]

Measure = tuple[Callable[[Record], float | None], Callable[[Any], str], list[float], list[str]]
MEASURES: dict[str, Measure] = {  # what it is of a record, how it is written, the ends of its colours, the colours
    "dead": (lambda r: r["dead"] / r["units"] if r["units"] else None, percent, [0.0, 1.0], WARM),
    "flat": (lambda r: r["flat"], percent, [0.0, 1.0], WARM),
    "centre": (lambda r: r["mean"] / r["std"] if r["std"] else None, lambda v: number(v, ".2f"), [-3.0, 3.0], BOTH),
    "gradient": (lambda r: r["log10_gradient_ratio"], lambda v: f"10^{number(v, '.1f')}", [-4.0, 4.0], BOTH),
}


def thinned(windows: Sequence[Window], most: int) -> list[Window]:
    """At most so many windows, evenly spread, the first and the last among them."""
    if len(windows) <= most:
        return list(windows)
    places = {round(k * (len(windows) - 1) / (most - 1)) for k in range(most)}
    return [windows[k] for k in sorted(places)]


def telling(watcher: Watcher) -> str:
    """The measure that shows what is wrong, or else that says most."""
    shown = {
        "dead": "dead",
        "saturated": "flat",
        "off_centre": "centre",
        "vanishing": "gradient",
        "exploding": "gradient",
    }
    return next((shown[finding.kind] for finding in watcher.findings() if finding.kind in shown), "flat")


def heatmap(watcher: Watcher, measure: str) -> Row | None:
    """Places by steps: the colour is one of `MEASURES`; the first layer is on top."""
    value, written, ends, colours = MEASURES[measure]
    windows = thinned(watcher.windows, MOST_STEPS)
    names = [place.name for place in watcher.places][:MOST_PLACES]
    rows = [
        {"step": w.step, "place": r["site"], "value": round(v, 4), "text": written(v)}
        for w in windows
        for r in w.records
        if r["site"] in names and not r["non_finite"] and (v := value(r)) is not None and math.isfinite(v)
    ]
    if not rows:
        return None
    steps = [window.step for window in windows]
    scale = alt.Scale(domain=_between(ends, len(colours)), range=colours, clamp=True, interpolate="rgb")
    axis = alt.Axis(values=_some(steps), labelFlush=True, labelOverlap=True, ticks=False, domain=False, format=",d")
    chart = (
        inline(rows)
        .mark_rect()
        .encode(
            x=alt.X("step:O", title=None, axis=axis, scale=alt.Scale(domain=steps, padding=0)),
            y=alt.Y("place:N", title=None, scale=alt.Scale(domain=names), axis=_names_axis()),
            color=alt.Color("value:Q", scale=scale, legend=_legend(ends)),
            tooltip=tooltips(layer="place", step="step", value="text"),
        )
        .properties(height=max(18 * len(names), 60))
    )
    return finish(chart, f"{measure} by layer and step")


def _between(ends: list[float], count: int) -> list[float]:
    return [ends[0] + (ends[1] - ends[0]) * k / (count - 1) for k in range(count)]


def _some(steps: list[int]) -> list[int]:
    """A few of the steps, to be written below."""
    return steps[:: -(-len(steps) // 6)]


def _names_axis() -> alt.Axis:
    return alt.Axis(labelLimit=190, ticks=False, domain=False)


def _legend(ends: list[float]) -> alt.Legend:
    form = ".0%" if ends[0] == 0.0 else "+.0f"
    return alt.Legend(title=None, orient="top", direction="horizontal", gradientLength=140, format=form, labelColor=INK)


def gradient_chart(watcher: Watcher) -> Row | None:
    """The gradient's size by depth, in the first window and in the last."""
    windows = [w for w in watcher.windows if any(r["gradient_rms"] for r in w.records)]
    if not windows:
        return None
    ends = windows[:1] if len(windows) == 1 else [windows[0], windows[-1]]
    rows = [
        {
            "place": r["site"],
            "depth": k,
            "rms": r["gradient_rms"],
            "text": number(r["gradient_rms"], ".1e"),
            "step": w.step,
        }
        for w in ends
        for k, r in enumerate(w.records)
        if r["gradient_rms"] and math.isfinite(r["gradient_rms"])
    ]
    names = [r["site"] for r in windows[-1].records]
    steps = sorted({row["step"] for row in rows})
    scale = alt.Scale(domain=steps, range=COLOURS[1::-1][: len(steps)])
    base = inline(rows).encode(
        x=alt.X("rms:Q", title=None, scale=alt.Scale(type="log"), axis=alt.Axis(format=".0e", tickCount=TICKS)),
        y=alt.Y("place:N", title=None, scale=alt.Scale(domain=names), axis=_names_axis()),
        color=alt.Color("step:N", scale=scale, legend=alt.Legend(title=None, orient="top", labelColor=INK)),
        tooltip=tooltips(layer="place", step="step", RMS="text"),
    )
    line = base.mark_line(strokeWidth=2).encode(order="depth:Q")
    figure = alt.layer(line, base.mark_point(filled=True, size=50, opacity=1.0))
    return finish(figure.properties(height=max(20 * len(names), 80)), "Gradient RMS by depth")


def deaths_chart(watcher: Watcher) -> Row | None:
    """How many units are dead, over all places, and the learning rate, both over steps."""
    rows = [
        {"step": w.step, "dead": sum(r["dead"] for r in w.records), "units": sum(r["units"] for r in w.records)}
        for w in thinned(watcher.windows, MOST_STEPS * 4)
    ]
    if not any(row["dead"] for row in rows):
        return None
    for row in rows:
        row["text"] = f"{row['dead']:,} of {row['units']:,}"
    x = alt.X("step:Q", title=None, axis=alt.Axis(tickCount=TICKS, format=",d"))
    left = alt.Axis(tickMinStep=1, labelColor=COLOURS[1])
    dead = (
        inline(rows)
        .mark_area(line={"color": COLOURS[1]}, color=COLOURS[1], opacity=0.25, interpolate="step-after")
        .encode(x=x, y=alt.Y("dead:Q", title=None, axis=left), tooltip=tooltips(step="step", dead="text"))
    )
    known = [(w.step, w.facts["rate"]) for w in watcher.windows if w.facts["rate"] is not None]
    rates = [{"step": step, "rate": rate, "text": f"{rate:g}"} for step, rate in known]
    if not rates:
        return finish(dead.properties(height=200), "Dead units")
    right = alt.Axis(orient="right", grid=False, format="~e", labelColor=COLOURS[0], tickCount=3)
    scale = alt.Scale(domain=[0.0, max(row["rate"] for row in rates) * 1.05 or 1.0])
    rate = (
        inline(rates)
        .mark_line(color=COLOURS[0], strokeDash=[5, 3])
        .encode(x=x, y=alt.Y("rate:Q", title=None, axis=right, scale=scale), tooltip=tooltips(step="step", rate="text"))
    )
    figure = alt.layer(dead, rate).resolve_scale(y="independent").properties(height=200)
    return finish(figure, "Dead units and the learning rate")


def update_chart(watcher: Watcher) -> Row | None:
    """|update|/|weight| of the layers before the activations, over steps, and the line of what is usual."""
    rows = [
        {"step": w.step, "place": r["site"], "ratio": r["update_ratio"], "text": number(r["update_ratio"], ".1e")}
        for w in thinned(watcher.windows, MOST_STEPS)
        for r in w.records
        if r["update_ratio"] and math.isfinite(r["update_ratio"])
    ]
    if not rows:
        return None
    names = [place.name for place in watcher.places]
    colours = alt.Scale(domain=names, scheme="viridis")
    legend = (
        alt.Legend(title=None, orient="bottom", columns=4, labelLimit=140, labelColor=INK) if len(names) <= 12 else None
    )
    y = alt.Y("ratio:Q", title=None, scale=alt.Scale(type="log"), axis=alt.Axis(format=".0e", tickCount=5))
    base = inline(rows).encode(
        x=alt.X("step:Q", title=None, axis=alt.Axis(tickCount=TICKS, format=",d")), y=y,
        color=alt.Color("place:N", scale=colours, legend=legend),
        tooltip=tooltips(layer="place", step="step", ratio="text"),
    )  # fmt: skip
    usual = inline([{"ratio": USUAL}]).mark_rule(color=INK, strokeDash=[4, 3], opacity=0.7).encode(y=y)
    lines = base.mark_line(strokeWidth=1.6)
    figure = alt.layer(usual, lines, base.mark_circle(size=30)).properties(height=260)
    return finish(figure, "Update over weight")


def curve_chart(watcher: Watcher) -> Row | None:
    """An activation as it is called, the pre-activations that it gets, and where it is flat; "place" says which."""
    places = [place for place in worth_showing(watcher) if place.slope.draws]
    if not places:
        return None
    points: list[Row] = []
    bars: list[Row] = []
    for place in places:
        counts = watcher.last.bins.get(place.name) if watcher.last else None
        drawn = _bars(place.name, counts) if counts else []
        bars += drawn
        points += _curve(place, max([REACH, *(abs(bar[end]) for bar in drawn for end in ("x", "x2"))]))
    named: Any = alt.NamedData
    chosen = alt.param(name="place", value=places[0].name)
    x = alt.X("x:Q", title=None, axis=alt.Axis(tickCount=TICKS), scale=alt.Scale(nice=False, zero=False))
    right = alt.Axis(orient="right", grid=False, labels=False, ticks=False, domain=False)
    histogram = (
        alt.Chart(named(name="bars"))
        .transform_filter("datum.place == place")
        .mark_rect(color=COLOURS[0], opacity=0.35)
        .encode(
            x=x,
            x2="x2:Q",
            y=alt.Y("density:Q", title=None, axis=right),
            y2=alt.Y2(datum=0),
            tooltip=tooltips(z="range", share="share"),
        )
    )
    base = alt.Chart(named(name="points")).transform_filter("datum.place == place")
    y = alt.Y("y:Q", title=None)
    flat = base.transform_filter("datum.flat").mark_rule(color=INK, opacity=0.07, strokeWidth=4).encode(x=x)
    line = base.mark_line(color=COLOURS[1], strokeWidth=2.4, clip=True).encode(x=x, y=y)
    curve = alt.layer(flat, line)
    figure = alt.layer(histogram, curve).resolve_scale(y="independent").add_params(chosen).properties(height=260)
    return {**finish(figure, "The activation and its pre-activations"), "datasets": {"points": points, "bars": bars}}


def worth_showing(watcher: Watcher) -> list[Place]:
    """The places whose curves the page has: those with findings first, then in the order of the network."""
    wrong = {finding.site for finding in watcher.findings()}
    return sorted(watcher.places, key=lambda place: (place.name not in wrong, place.order))[:CURVES]


def _bars(name: str, counts: list[int]) -> list[Row]:
    """A histogram's bars as a density, without what lies beyond the outermost thousandths."""
    ends, total = edges(), sum(counts)
    bars, below = [], 0
    for k, count in enumerate(counts):
        low, high = ends[max(k - 1, 0)], ends[min(k, len(ends) - 1)]
        below += count
        if count and high > low and 0.001 * total < below and below - count < 0.999 * total:
            share = count / total
            text = f"{low:.3g} … {high:.3g}"
            bars.append(
                {
                    "place": name,
                    "x": low,
                    "x2": high,
                    "density": share / (high - low),
                    "share": f"{share:.1%}",
                    "range": text,
                }
            )
    return bars


def _curve(place: Place, reach: float) -> list[Row]:
    x = torch.linspace(-reach, reach, POINTS, dtype=torch.float32)
    y, slope, top = place.slope.drawn(x)
    flat = (slope.abs() < FLAT * top).tolist()
    found = zip(x.tolist(), y.tolist(), flat, strict=True)
    return [
        {"place": place.name, "x": round(a, 4), "y": round(b, 5), "flat": f} for a, b, f in found if math.isfinite(b)
    ]


def strips(watcher: Watcher) -> dict[str, Row]:
    """Of each place a picture of its histograms over time: a column a window, a row a bin; bytes, by logarithm.

    Bins are by size and sign, one an octave, the largest positive ones on top.
    """
    found = {}
    for place in worth_showing(watcher):
        finite = [w for w in watcher.windows if not any(record["non_finite"] for record in w.records)]
        windows = [w for w in thinned(finite, MOST_STEPS) if place.name in w.bins]
        if not windows:
            continue
        columns = [_octaves(window.bins[place.name]) for window in windows]
        most = max(max(column) for column in columns) or 1
        table = [[round(255 * math.log1p(c) / math.log1p(most)) for c in column[::-1]] for column in columns]
        picture = bytes(value for row in zip(*table, strict=True) for value in row)
        found[place.name] = {
            "width": len(columns),
            "height": len(table[0]),
            "data": base64.b64encode(picture).decode(),
            "steps": [windows[0].step, windows[-1].step],
        }
    return found


def _octaves(counts: list[int]) -> list[int]:
    """Counts of bins, of each octave together; those nearer to 0 than 2^-6 with 0."""
    side = 2 * OCTAVES * PER_OCTAVE + 1  # bins on one side of that around 0
    near = 6 * PER_OCTAVE
    left, right = counts[:side], counts[side + 1 :]
    middle = sum(left[side - near :]) + counts[side] + sum(right[:near])
    merged = [sum(right[k : k + PER_OCTAVE]) for k in range(near, side, PER_OCTAVE)]
    mirrored = [sum(left[::-1][k : k + PER_OCTAVE]) for k in range(near, side, PER_OCTAVE)]
    return [*mirrored[::-1], middle, *merged]
