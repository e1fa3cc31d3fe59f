"""Curves of activations and their derivatives, as Vega-Lite specifications; a slider moves the parameter."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy
import torch

from actfun._catalogue.names import resolve
from actfun._operators.behaviours.base import POSITIONS, Slider, behaviour_of
from actfun._operators.functional import function_of
from actfun._operators.modules import module_named
from actfun._report.charts import COLOURS, INK, finish

END, POINTS = 4.0, 161
TICKS = [float(x) for x in range(-4, 5)]
SHOWN = {"function": "f(x)", "derivative": "f′(x)"}


def _slider(name: str) -> Slider:
    """The activation's own; of GELU its normal's deviation. At parameters that are stated there is nothing to move."""
    meaning = resolve(name)
    activation = meaning.activation
    if meaning.changed:
        return Slider.fixed(module_named(name).eval())
    if name == "gelu":
        deviations = tuple(numpy.linspace(0.1, 2.1, POSITIONS).round(2).tolist())
        return Slider("σ", deviations, 1.0, lambda x, s: s * function_of(activation)(x / s))
    return behaviour_of(activation).slider()


def rows(name: str) -> tuple[list[dict[str, Any]], Slider]:
    """The points of function and derivative at each position of the slider."""
    slider, found = _slider(name), []
    for position, value in enumerate(slider.values):
        x = torch.linspace(-END, END, POINTS, dtype=torch.float64, requires_grad=True)
        y = slider.function(x, value)
        (slope,) = torch.autograd.grad(y.sum(), x)
        for line, values in (("function", y.detach()), ("derivative", slope)):
            points = zip(x.tolist(), values.tolist(), strict=True)
            found += [{"x": round(a, 3), "y": round(b, 4), "line": SHOWN[line], "at": position} for a, b in points]
    return found, slider


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
    slider = _slider(name)
    return {"name": slider.name, "values": slider.values if slider.name else (), "start": first(slider)}
