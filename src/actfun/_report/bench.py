"""Timings as a page for the documentation with a chart of training steps, and as tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert
from rich.table import Table

from actfun._bench.libraries import EAGER
from actfun._report.charts import COLOURS
from actfun._report.formatting import markdown_table
from actfun._report.speed import FLOORS, MODES, Record, median, misses, of_kind, ratio
from actfun._report.speed_tables import sections
from actfun._report.tables import drawn

ABOUT = """\
In each round both libraries do the same work, one right after the other, in an order that changes, one call to warm up
and one that counts; a ratio is the median over rounds. Ratios above 1 mean that actfun is faster; bold ones miss their
target, and are listed at the end."""


def summary(records: Sequence[Record]) -> list[str]:
    """What it comes to: the training steps, and how many results miss their targets."""
    sentences = []
    for compiled, mode in MODES.items():
        steps = [r for r in of_kind(records, "step") if r["compiled"] is compiled]
        if steps:
            low, high = (pick(map(ratio, steps)) for pick in (min, max))
            sentences.append(
                f"Training steps, {mode}: with torch's activations one takes {median(steps):.2f} times as long as with "
                f"actfun's in the median of {len(steps)}, {low:.2f} at least and {high:.2f} at most."
            )
    count = len(misses(records, {}))
    return [*sentences, f"{count or 'No'} result{'s' * (count != 1)} miss{'es' * (count == 1)} a target."]


def shortfalls(records: Sequence[Record], limits: Mapping[str, str]) -> list[str]:
    """The lines of a list of what misses its target, by target and limit."""
    found: dict[tuple[str, str | None], dict[str, list[str]]] = {}
    for miss in misses(records, limits):
        of, _, where = miss.name.partition(", ")
        rows = found.setdefault((miss.target, miss.limit), {}).setdefault(of, [])
        rows.append(f"{where} **{miss.result}**".strip())
    lines = []
    for (target, limit), rows_by_name in found.items():
        lines.append(f"- {target}. {limit or 'What limit stops these is not known.'}")
        lines += [f"  - {of}: {'; '.join(rows)}" for of, rows in rows_by_name.items()]
    return lines or ["Nothing."]


def tables(records: Sequence[Record], width: int) -> list[Table]:
    """The tables for a terminal of that many characters."""
    return drawn(sections(records), width)


def machine_words(facts: dict[str, Any]) -> str:
    """The machine and the versions."""
    machine = facts["machine"]
    versions = ", ".join(f"{name} {version or 'not installed'}" for name, version in facts["versions"].items())
    return (
        f"Machine: {machine['processor']}, {facts['vectors']} vectors, {machine['cores']} cores, threads used: "
        f"{machine['threads']}; {machine['platform']}, Python {machine['python']}; {machine['date']}. {versions}. "
        "The install is the usual one, as `pip install` leaves it."
    )


def markdown(records: Sequence[Record], facts: dict[str, Any], picture: str | None, limits: Mapping[str, str]) -> str:
    """A page of the timings: the machine, what they come to, the chart, the tables, and what falls short."""
    lines = [
        "# Speed",
        "",
        f"Written by `{facts['command']}`: do not edit.",
        "",
        machine_words(facts),
        "",
        ABOUT,
        "",
        *[f"- {sentence}" for sentence in summary(records)],
    ]
    for section in sections(records):
        if section.chapter:
            lines += ["", f"## {section.chapter}"]
            if section.chapter == "Training steps" and picture:
                lines += ["", f"![How many times as long a step takes with torch's activations]({picture})"]
        lines += ["", section.words, "", *markdown_table(section.columns)]
    lines += ["", "## What falls short", "", *shortfalls(records, limits)]
    return "\n".join(lines) + "\n"


def chart(records: Sequence[Record]) -> str | None:
    """How many times as long training steps take with torch's activations, with intervals, as an SVG; None without."""
    steps = of_kind(records, "step")
    if not steps:
        return None
    rows = [
        {key: r[key] for key in ("network", "activation")}
        | dict(zip(("low", "ratio", "high"), r["ratios"][EAGER], strict=True))
        | {"mode": MODES[r["compiled"]]}
        for r in steps
    ]
    networks, activations, modes = (
        list(dict.fromkeys(r[key] for r in rows)) for key in ("network", "activation", "mode")
    )
    scale = alt.Scale(domain=activations, range=[COLOURS[k % len(COLOURS)] for k in range(len(activations))])
    base = alt.Chart().properties(width=300, height=alt.Step(9))
    row = {
        "y": alt.Y("activation:N", sort=activations, axis=None),
        "color": alt.Color("activation:N", scale=scale, title=None),
    }
    x = alt.X("ratio:Q", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(format="~g", title=None))
    dots = base.mark_point(filled=True, size=40, opacity=1).encode(x=x, **row)
    bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q", **row)
    equal = base.mark_rule(strokeDash=[3, 3]).encode(x=alt.datum(1.0))
    least = base.mark_rule(strokeDash=[1, 3]).encode(x=alt.datum(FLOORS["step"]))
    title = ["Time of a training step with torch's activations / with actfun's", "right of the line, actfun is faster"]
    figure = (
        alt.layer(equal, least, bars, dots, data=alt.InlineData(values=rows))
        .facet(
            column=alt.Column("mode:N", sort=modes, title=None),
            row=alt.Row("network:N", sort=networks, title=None, header=alt.Header(labelAngle=0, labelAlign="left")),
        )
        .properties(title=title, background="white")
        .configure_legend(orient="top")
        .configure_facet(spacing=6)
    )
    svg: str = vl_convert.vegalite_to_svg(figure.to_dict())
    return svg
