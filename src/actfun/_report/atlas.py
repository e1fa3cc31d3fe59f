"""The atlas: all activations on one page, whose curves the page computes itself; English and Chinese."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup

from actfun._catalogue import names as naming
from actfun._catalogue.kinds import AXIS, ELEMENTWISE, GATED, RANDOM, REDUCTION
from actfun._catalogue.registry import Activation, Parameter, names, spec
from actfun._operators.behaviours.base import POSITIONS, Slider, behaviour_of
from actfun._operators.gains import gain
from actfun._report import curves, html, javascript, show
from actfun._report.accuracy import dtype_name
from actfun._report.charts import COLOURS
from actfun._report.formatting import MINUS
from actfun._report.speed import WAYS, median, of_kind
from actfun._runs.host import threads

Row = dict[str, Any]

KINDS = {ELEMENTWISE: "逐元素", RANDOM: "随机", REDUCTION: "归约", GATED: "门控", AXIS: "沿轴"}
SIDES = {(): ("–", "–"), ("left",): ("left", "左"), ("right",): ("right", "右"), ("left", "right"): ("both", "两侧")}
FACTS = {  # what can be asked for: key -> English, Chinese
    "monotonic": ("monotonic", "单调"),
    "convex": ("convex", "凸"),
    "zero_centred": ("zero-centred", "零中心"),
    "saturates": ("saturates", "饱和"),
    "kinked": ("kinked", "有折点"),
    "learned": ("learned", "可学习参数"),
    "bounded": ("bounded", "有界"),
}
SINGLE = dtype_name(torch.float32)
FAR, STEP = 10.0, 0.125  # of points: up to where, and how far apart


def write_atlas(path: Path, accuracy: Row | None = None, bench: Row | None = None) -> None:
    """Write the page to `path`, all or nothing. accuracy, bench: as accuracy.json and bench.json have them."""
    html.save(path, atlas_page(accuracy, bench))


def atlas_page(accuracy: Row | None = None, bench: Row | None = None) -> str:
    """The page as HTML text."""
    with threads(1):  # which wait for one another where other programs take the cores
        entries = [_entry(spec(name), accuracy, bench) for name in names()]
    return html.environment().get_template("atlas.html.j2").render(
        entries=entries,
        kinds={kind.name: chinese for kind, chinese in KINDS.items()},
        facts=FACTS,
        colours=COLOURS,
        dashes=curves.DASHES,
        curves={entry["name"]: {"sliders": entry["sliders"], **_points(entry["name"])} for entry in entries},
        formulas=Markup(",\n".join(_formulas(name) for name in names() if spec(name).kind in (ELEMENTWISE, GATED))),
        accuracy=accuracy,
        bench=bench,
        ways=list(WAYS.values()),
    )  # fmt: skip


def facts(name: str, accuracy: Row | None = None, bench: Row | None = None) -> Row:
    """What the table has of an activation; what was measured only where it was."""
    activation = spec(name)
    learned = [a for a, p in activation.parameters.items() if isinstance(p, Parameter) and p.learnable]
    found = {
        "name": name,
        "kind": activation.kind.name,
        "range": show.values(activation),
        "monotonic": activation.monotonic,
        "convex": activation.convex,
        "zero_centred": activation.zero_centred,
        "saturates": list(activation.saturates),
        "kinks": list(activation.kinks),
        "learned": learned,
        "bounded": all(map(math.isfinite, activation.range)),
        **{key: _finite(gain(name, way)) for key, way in (("gain", "forward"), ("gain_backward", "backward"))},
    }
    if accuracy:
        ours = _errors(name, accuracy).get(SINGLE, {}).get("actfun", [None, None])
        found |= dict(zip(("error", "error_of_derivative"), ours, strict=True))
    if bench:
        ratios = _speeds(name, bench).get(SINGLE, [None, None])
        found |= dict(zip(("torchs_time", "torchs_time_with_gradient"), ratios, strict=True))
    return found


def _finite(number: float) -> float | None:
    """A number, or None, as JSON has it, where it is none: log1mexp has values on one side only."""
    return number if math.isfinite(number) else None


def _entry(activation: Activation, accuracy: Row | None, bench: Row | None) -> Row:
    """All that the page says of an activation."""
    name = activation.name
    return {
        **facts(name, accuracy, bench),
        "low": activation.range[0],
        "kinked": bool(activation.kinks),
        "formula": html.formula(activation.latex),
        "summary": (activation.summary, activation.chinese or activation.summary),
        "used_in": activation.used_in,
        "kind_text": (activation.kind.name, KINDS.get(activation.kind, activation.kind.name)),
        "saturates_text": SIDES[tuple(activation.saturates)],
        "kinks_text": ", ".join(f"{kink:g}" for kink in activation.kinks).replace("-", MINUS),
        "found": [FACTS[fact] for fact in activation.found if fact in FACTS],
        "source": activation.reference,
        "function": show.function_call(activation),
        "module": show.class_call(activation),
        "aliases": _aliases(name),
        "sliders": _sliders(activation),
        "conventions": _conventions(name),
        "notes": naming.other_differences(naming.rows_of(name)),
        "errors": _errors(name, accuracy),
        "speeds": _speeds(name, bench),
    }


def _aliases(name: str) -> dict[str, str]:
    """The other names that need no framework -> what each means, empty where it is just the same."""
    meant = {alias: meaning for alias, meaning in naming.aliases().items() if meaning.canonical == name}
    return {alias: "" if str(m) == name else str(m) for alias, m in sorted(meant.items()) if alias != name}


def _conventions(name: str) -> list[Row]:
    """A row for each meaning of the name, and of the names of the same function."""
    found = []
    for ours, rows in naming.by_meaning(naming.rows_of(name)):
        row: Row = {"called": [one.asked for one in rows], "means": f"({rows[0].canonical})", "off": None, "slopes": ""}
        if rows[0].known:
            meaning = rows[0].meaning
            off = meaning.difference(naming.Meaning(ours))
            slopes = ", ".join(f"f′({x:g}) = {slope:.4g}" for x, slope in meaning.slopes().items())
            row |= {"means": str(meaning), "off": None if off is None else f"{off:.2g}", "slopes": slopes}
        found.append({key: value.replace("-", MINUS) if key == "slopes" else value for key, value in row.items()})
    return found


def _sliders(activation: Activation) -> list[Row]:
    """What the reader may move: parameters of a formula, and the value that a gate lets pass."""
    if activation.kind not in (ELEMENTWISE, GATED):
        slider = behaviour_of(activation).slider()
        return [{"name": slider.name, "start": slider.start, "values": _shown(slider)}] if slider.name else []
    numbers = {name: p for name, p in activation.parameters.items() if isinstance(p, Parameter)}
    up = {"up": Parameter(1.0)} if activation.kind is GATED else {}
    return [{"name": name, "start": p.default, **_span(p)} for name, p in {**up, **numbers}.items()]


def _span(parameter: Parameter) -> Row:
    """From where to where a parameter is moved: from its bound or 0 to three times its default; of a 0 both ways."""
    default = parameter.default
    low, high = min(3.0 * default, -0.5), max(3.0 * default, 0.5)
    low, high = (0.0, high) if default > 0.0 else (low, 0.0) if default < 0.0 else (-2.0, 2.0)
    if parameter.nonzero:
        low, high = (low or high / 100.0, high or low / 100.0)
    return {"low": max(low, parameter.low), "high": high}


def _shown(slider: Slider) -> list[float]:
    """The positions of a slider that the page has points for: of many every second one, the first shown among them."""
    first, step = curves.first(slider), 1 if len(slider.values) < POSITIONS else 2
    return list(slider.values[first % step :: step])


def _formulas(name: str) -> str:
    """An activation and its derivative, in JavaScript."""
    activation = spec(name)
    value, slope = (javascript.function(f) for f in (activation.formula, activation.derivatives["x"]))
    return f'"{name}": [{value}, {slope}]'


def _points(name: str) -> Row:
    """Points of an activation that has no formula of one number; empty for others."""
    activation = spec(name)
    if activation.kind in (ELEMENTWISE, GATED):
        return {}
    slider = behaviour_of(activation).slider()
    x, found = torch.arange(-FAR, FAR + STEP, STEP, dtype=torch.float64), []
    for value in _shown(slider):
        lines = curves.values_and_slopes(slider, value, x)
        found.append([[round(number, 4) for number in line.tolist()] for line in lines])
    return {"points": found, "far": FAR}


def _errors(name: str, accuracy: Row | None) -> dict[str, Row]:
    """dtype -> library -> the worst errors in ulp, of the value and of the derivative."""
    found: dict[str, Row] = {}
    for row in (accuracy or {}).get("findings", ()):
        if row["name"] == name:
            of_it = found.setdefault(row["dtype"], {}).setdefault(row["library"], [None, None])
            of_it[row["derivative"]] = float(row["ulp"])  # "inf" and "nan" are text
    return found


def _speeds(name: str, bench: Row | None) -> dict[str, list[float]]:
    """dtype -> how many times as long torch takes, eagerly: the medians forward, and forward and backward."""
    cells = [r for r in of_kind((bench or {}).get("cells", ()), "eager") if r["activation"] == name]
    return {
        dtype: [median(r for r in cells if (r["dtype"], r["backward"]) == (dtype, backward)) for backward in WAYS]
        for dtype in dict.fromkeys(r["dtype"] for r in cells)
    }


def in_words(value: Any) -> str:
    """A cell of the table, as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(one if isinstance(one, str) else f"{one:g}" for one in value)
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
