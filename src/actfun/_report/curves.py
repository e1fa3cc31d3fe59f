"""Curves of activations and their derivatives, as Vega-Lite specifications; a slider moves the parameter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import altair as alt
import numpy
import torch
from torch import Tensor

from actfun._catalogue.kinds import ELEMENTWISE, GATED, RANDOM
from actfun._catalogue.names import Meaning, resolve
from actfun._operators.behaviours.base import POSITIONS, Slider, behaviour_of
from actfun._operators.functional import function_of
from actfun._operators.modules import module_meant
from actfun._report.charts import COLOURS, INK, finish

END, POINTS = 4.0, 161
TICKS = [float(x) for x in range(-4, 5)]
SHOWN = {"function": "f(x)", "derivative": "f′(x)"}
Chart = alt.Chart
# Of functions and their derivatives; after the last colour the next pair is taken.
DASHES = [([1, 0], [6, 3]), ([14, 4], [2, 2]), ([12, 4, 2, 4], [7, 3, 2, 3, 2, 3])]


def slider_of(meaning: Meaning) -> Slider:
    """The activation's own; of GELU its normal's deviation. At parameters that are stated there is nothing to move.

    Raises ValueError or TypeError for parameters that a curve cannot show.
    """
    activation = meaning.activation
    if meaning.changed:
        return Slider.fixed(_curve(meaning))
    if activation.name == "gelu":
        deviations = tuple(numpy.linspace(0.1, 2.1, POSITIONS).round(2).tolist())
        return Slider("σ", deviations, 1.0, lambda x, s: s * function_of(activation)(x / s))
    return behaviour_of(activation).slider()


def _curve(meaning: Meaning) -> Callable[[Tensor], Tensor]:
    """The curve at parameters that are stated."""
    activation = meaning.activation
    if activation.kind in (ELEMENTWISE, GATED, RANDOM):
        module = module_meant(meaning, {}).eval()
        return (lambda x: module(x, torch.ones_like(x))) if activation.kind is GATED else module
    slider = behaviour_of(activation).slider()
    if others := meaning.changed.keys() - {slider.name, "dim"}:
        raise ValueError(f"{activation.name}: {min(others)} cannot be shown by a curve")
    return lambda x: slider.function(x, meaning.changed.get(slider.name, slider.start))


def values_and_slopes(slider: Slider, value: float, x: Tensor) -> tuple[Tensor, Tensor]:
    """The curve at points and its derivative there, for one of the slider's values."""
    at = x.clone().requires_grad_()
    y = slider.function(at, value)
    (slope,) = torch.autograd.grad(y.sum(), at)
    return y.detach(), slope


def rows(name: str) -> tuple[list[dict[str, Any]], Slider]:
    """The points of function and derivative at each position of the slider."""
    slider, x = slider_of(resolve(name)), torch.linspace(-END, END, POINTS, dtype=torch.float64)
    found = []
    for position, value in enumerate(slider.values):
        for line, values in zip(SHOWN.values(), values_and_slopes(slider, value, x), strict=True):
            found += [{**point, "at": position} for point in _points(x, values, line)]
    return found, slider


def _points(x: Tensor, values: Tensor, line: str) -> list[dict[str, Any]]:
    """The points of a line; where it has no finite value it has none."""
    points = zip(x.tolist(), values.tolist(), strict=True)
    return [{"x": round(a, 3), "y": round(b, 4), "line": line} for a, b in points if math.isfinite(b)]


def first(slider: Slider) -> int:
    """The position that is shown first."""
    return min(range(len(slider.values)), key=lambda k: abs(slider.values[k] - slider.start))


def _heights(points: list[dict[str, Any]]) -> list[float]:
    """The lowest and highest value to be shown, of all positions of the slider."""
    values = [point["y"] for point in points]
    return [max(min(values), -END / 2) - 0.2, min(max(values), END) + 0.2]


def curve_chart(name: str) -> dict[str, Any]:
    """An activation and its derivative; the slider's signal is called "at", and counts positions."""
    points, slider = rows(name)
    named: Any = alt.NamedData
    colours = alt.Scale(domain=list(SHOWN.values()), range=COLOURS[:2])
    dashes = alt.Scale(domain=list(SHOWN.values()), range=[[1, 0], [6, 3]])
    chart = (
        alt.Chart(named(name="points"))
        .transform_filter("datum.at == at")
        .mark_line(strokeWidth=2.2, clip=True)
        .encode(
            x=alt.X("x:Q", title="x", scale=alt.Scale(domain=[-END, END], nice=False), axis=alt.Axis(values=TICKS)),
            y=alt.Y("y:Q", title=None, scale=alt.Scale(domain=_heights(points), nice=False)),
            color=alt.Color("line:N", scale=colours, legend=alt.Legend(title=None, orient="top", labelColor=INK)),
            strokeDash=alt.StrokeDash("line:N", scale=dashes, legend=None),
        )
        .add_params(alt.param(name="at", value=first(slider)))
        .properties(height=260)
    )
    # Beside the specification, whose every value Altair would check, for seconds.
    return {**finish(chart, f"{name} and its derivative"), "datasets": {"points": points}}


def sliders(name: str) -> dict[str, Any]:
    """What the page's input element needs; no values where there is nothing to move."""
    slider = slider_of(resolve(name))
    return {"name": slider.name, "values": slider.values if slider.name else (), "start": first(slider)}


def overlay(meanings: Iterable[Meaning], derivative: bool) -> Chart:
    """The curves of activations over one another, and their derivatives too if asked for."""
    x = torch.linspace(-END, END, POINTS, dtype=torch.float64)
    points: list[dict[str, Any]] = []
    styles: dict[str, tuple[str, list[int]]] = {}
    for k, (name, meaning) in enumerate({str(meaning): meaning for meaning in meanings}.items()):
        colour, dashes = COLOURS[k % len(COLOURS)], DASHES[k // len(COLOURS) % len(DASHES)]
        slider = slider_of(meaning)
        lines = zip((name, f"{name}′"), values_and_slopes(slider, slider.start, x), dashes, strict=True)
        for line, values, dash in list(lines)[: 1 + derivative]:
            styles[line] = colour, dash
            points += _points(x, values, line)
    scales = [alt.Scale(domain=list(styles), range=list(of)) for of in zip(*styles.values(), strict=True)]
    title = "f(x), f′(x)" if derivative else "f(x)"
    chart: Chart = (
        alt.Chart(alt.InlineData(values=points))
        .mark_line(strokeWidth=2.2, clip=True)
        .encode(
            x=alt.X("x:Q", title="x", scale=alt.Scale(domain=[-END, END], nice=False)),
            y=alt.Y("y:Q", title=title, scale=alt.Scale(domain=_heights(points), nice=False)),
            color=alt.Color("line:N", title=None, scale=scales[0]),
            strokeDash=alt.StrokeDash("line:N", title=None, scale=scales[1]),
            tooltip=["line:N", "x:Q", "y:Q"],
        )
        .properties(width=480, height=320)
    )
    return chart
