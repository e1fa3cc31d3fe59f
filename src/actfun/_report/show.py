"""All about one activation: for the terminal, as a page, as a picture."""

from __future__ import annotations

import inspect
import json
import math
from pathlib import Path
from typing import Any

import vl_convert
from rich.console import Group, RenderableType
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text
from uniplot import plot_to_string

from actfun._catalogue.names import resolve, spec
from actfun._catalogue.registry import Activation, Parameter
from actfun._operators.functional import function_of
from actfun._operators.gains import gain
from actfun._operators.modules import module_of
from actfun._report import curves, html

PLOT_HEIGHT = 14


def facts(name: str) -> dict[str, str]:
    """What is known of an activation, by label. At parameters that are not the usual ones it is less."""
    meaning = resolve(name)
    activation = meaning.activation
    gains = {"gain, forward": f"{gain(name):.6f}", "gain, backward": f"{gain(name, 'backward'):.6f}"}
    origin = {"module": f"actfun.nn.{activation.module}", "source": activation.reference or "none stated"}
    if activation.used_in:
        origin["used in"] = activation.used_in
    if meaning.changed:
        return {
            "parameters": ", ".join(f"{a} = {value!r}" for a, value in meaning.changed.items()),
            **gains,
            **origin,
        }
    low, high = (str(end) if math.isinf(end) else f"{end:.6g}" for end in activation.range)
    saturates = " and ".join(activation.saturates)
    told = {
        "parameters": ", ".join(_parameter(argument, p) for argument, p in activation.parameters.items()) or "none",
        "range": f"{low} to {high}".replace("inf", "∞"),
        "monotonic": _yes(activation.monotonic),
        "convex": _yes(activation.convex),
        "zero-centred": _yes(activation.zero_centred),
        "saturates": f"on the {saturates}" if saturates else "no",
        "kinks": ", ".join(f"{kink:g}" for kink in activation.kinks) or "none",
        **gains,
        **origin,
    }
    found = {fact.replace("_", "-") for fact in activation.found}
    return {label: f"{value} (found)" if label in found else value for label, value in told.items()}


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _parameter(argument: str, parameter: Any) -> str:
    learnable = ", may be learned" if isinstance(parameter, Parameter) and parameter.learnable else ""
    return f"{argument} = {parameter.default!r}{learnable}"


def _plain(signature: inspect.Signature) -> str:
    """A signature without types, and without what all have, or torch keeps to itself; numbers with four digits."""
    shown = (p for p in signature.parameters.values() if p.name != "inplace" and p.name[0] != "_")
    shown = (p for p in shown if p.name != "dim" or p.kind is not p.KEYWORD_ONLY)
    bare = [
        p.replace(annotation=p.empty, default=round(p.default, 4) if type(p.default) is float else p.default)
        for p in shown
    ]
    return str(inspect.Signature(bare)).replace("'", '"')


def function_call(activation: Activation) -> str:
    """How the function is called, with its defaults."""
    function = function_of(activation)
    first = (function.__doc__ or "").partition("\n")[0].replace("'", '"')
    return first if first.startswith(f"{activation.name}(") else activation.name + _plain(inspect.signature(function))


def class_call(activation: Activation) -> str:
    """How the class is called, with its defaults."""
    return f"nn.{activation.module}{_plain(inspect.signature(module_of(activation)))}"


def values(activation: Activation) -> str:
    """The range, for a reader."""
    low, high = ("∞" if math.isinf(end) else f"{end:.4g}" for end in activation.range)
    return f"{'−' * (activation.range[0] == -math.inf)}{low} … {high}".replace("-", "−")


def code(activation: Activation) -> str:
    """The formula and its derivatives as they stand in the package, without their decorators."""
    parts = []
    for formula in (activation.formula, *activation.derivatives.values()):
        source = inspect.getsource(formula)
        parts.append(source[source.index("def ") :].rstrip())
    return "\n\n\n".join(parts)


def terminal(name: str, width: int) -> RenderableType:
    """Facts, formula, code and plot, for a terminal of so many characters."""
    activation = spec(name)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for label, value in facts(name).items():
        table.add_row(label, Text(value))
    title, formula = Text(f"{name}: {activation.summary}", style="bold"), Text(f"f(x) = {activation.latex}")
    listing = Syntax(code(activation), "python", theme="ansi_light", background_color="default", word_wrap=True)
    return Group(title, "", formula, "", table, "", Text.from_ansi(plot(name, width)), "", listing)


def plot(name: str, width: int) -> str:
    """The activation and its derivative in characters."""
    points, slider = curves.rows(name)
    start = curves.first(slider)
    lines = [[p for p in points if p["at"] == start and p["line"] == line] for line in curves.SHOWN.values()]
    drawn: str = plot_to_string(
        xs=[[p["x"] for p in line] for line in lines],
        ys=[[p["y"] for p in line] for line in lines],
        lines=True,
        width=min(max(width - 12, 20), 76),
        height=PLOT_HEIGHT,
        legend_labels=list(curves.SHOWN.values()),
        color=True,
    )
    return drawn


def _chart(name: str) -> str:
    chart = {**curves.curve_chart(name), "width": 640, "height": 400, "background": "white"}
    return json.dumps(chart).replace('"currentColor"', '"black"')


def write_png(path: Path, name: str) -> None:
    """The plot as a picture."""
    path.write_bytes(vl_convert.vegalite_to_png(_chart(name), scale=2))


def svg(name: str) -> str:
    """The plot as a part of a page."""
    drawn: str = vl_convert.vegalite_to_svg(_chart(name))
    return drawn


def write_html(path: Path, name: str) -> None:
    """A page that needs no network."""
    activation = spec(name)
    html.save(
        path,
        html.environment().get_template("show.html.j2").render(
            name=name,
            summary=activation.summary,
            formula=html.formula(activation.latex),
            facts=facts(name),
            code=code(activation),
            slider=curves.sliders(name),
            specs={name: curves.curve_chart(name)},
            library=html.library(),
        ),
    )  # fmt: skip
