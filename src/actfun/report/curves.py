"""Curves of activations and their derivatives, as Vega-Lite specifications; a slider moves the parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy
import torch
from torch import Tensor

from actfun.functional import function_of, maxout
from actfun.registry import Parameter, spec
from actfun.report.charts import COLOURS, INK, finished

END, POINTS, POSITIONS = 4.0, 161, 21
TICKS = [float(x) for x in range(-4, 5)]
SHOWN = {"function": "f(x)", "derivative": "f′(x)"}


@dataclass(frozen=True)
class Slider:
    """What a reader may change: name, the values it takes, the first shown, and the function of x and such a value."""

    name: str
    values: tuple[float, ...]
    start: float
    function: Callable[[Tensor, float], Tensor]


def _slider(name: str) -> Slider:
    """Of an activation's own parameter; of GELU its normal's deviation, of Maxout the number of tangents to x²/2."""
    activation = spec(name)
    if activation.kind == "reduction":
        return Slider("pieces", tuple(range(1, 9)), 4, _envelope)
    if name == "gelu":
        deviations = tuple(numpy.linspace(0.1, 2.1, POSITIONS).round(2).tolist())
        return Slider("σ", deviations, 1.0, lambda x, s: s * function_of(activation)(x / s))
    if activation.kind == "random":
        return Slider("", (0.0,), 0.0, lambda x, _: function_of(activation)(x, training=False))  # its mean
    free = [(argument, p) for argument, p in activation.parameters.items() if isinstance(p, Parameter)]
    if not free:
        return Slider("", (0.0,), 0.0, lambda x, _: function_of(activation)(x))
    argument, parameter = free[0]
    top = max(3.0 * parameter.default, 0.5)
    values = numpy.unique([*numpy.linspace(max(parameter.low, top / 20, 0.0), top, POSITIONS - 1), parameter.default])
    return Slider(
        argument, tuple(values.round(3).tolist()), parameter.default, lambda x, v: function_of(activation)(x, v)
    )


def _envelope(x: Tensor, pieces: float) -> Tensor:
    at = torch.linspace(-2.0, 2.0, int(pieces) + 2, dtype=x.dtype)[1:-1]
    return maxout(at * x[:, None] - 0.5 * at * at, int(pieces))[:, 0]


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
    return {**finished(chart, f"{name} and its derivative"), "datasets": {"points": points}}


def sliders(name: str) -> dict[str, Any]:
    """What the page's input element needs; no values where there is nothing to move."""
    slider = _slider(name)
    return {"name": slider.name, "values": slider.values if slider.name else (), "start": first(slider)}
