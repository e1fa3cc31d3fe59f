"""Timings as tables for the terminal, as Markdown for the documentation with a chart, and as JSON."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt
import vl_convert
from rich.table import Table

from actfun.bench.contestants import CONTESTANTS, COPY, EAGER, OURS, PEERS
from actfun.report.charts import COLOURS
from actfun.report.formatting import markdown_table
from actfun.report.verdict import fitted

Record = dict[str, Any]

SMALLEST = 4096  # elements from which on the ratios count; below, it is the call that is timed
# What a cell is bound by: by calls, if a call for 16 elements takes more than this of its time; else by memory, if a
# copy of the same size takes more than this of it; else by arithmetic.
CALLS, MEMORY = 0.5, 0.6
WAYS = {False: "forward", True: "forward + backward"}


def median(record: Record, name: str) -> float:
    """The seconds that a contestant takes."""
    return float(record["seconds"][name][1])


def ratio(record: Record, name: str) -> float:
    """How many times as long as this library a contestant takes."""
    return median(record, name) / median(record, OURS)


def best(record: Record) -> str | None:
    """The fastest of the peers, if any has such a function."""
    return min((n for n in PEERS if n in record["seconds"]), key=lambda n: median(record, n), default=None)


def counted_cells(records: Iterable[Record]) -> list[Record]:
    """Those that the targets speak of: with peers, from `SMALLEST` elements on."""
    return [r for r in records if "size" in r and r["size"] >= SMALLEST and best(r)]


def bound(record: Record, records: Iterable[Record]) -> str:
    """What takes most of a cell's time: calls, memory or arithmetic."""
    alike = ("activation", "dtype", "backward")
    small = [r for r in records if r.get("size") == 16 and all(r[key] == record[key] for key in alike)]
    if small and median(small[0], OURS) > CALLS * median(record, OURS):
        return "calls"
    return "memory" if median(record, COPY) > MEMORY * median(record, OURS) else "arithmetic"


def summary(records: Sequence[Record]) -> list[str]:
    """What it comes to, in a few sentences."""
    cells = counted_cells(records)
    eager = [ratio(r, EAGER) for r in cells if EAGER in r["seconds"]]
    if not eager:
        return []
    behind = [r for r in cells if ratio(r, best(r) or "") < 1.0]
    sentences = [
        f"From {SMALLEST:,} elements on, torch takes {statistics.median(eager):.2f} times as long as actfun "
        f"in the median of {len(eager)} cells.",
        f"The fastest peer of each cell is slower than actfun in {len(cells) - len(behind)} of {len(cells)}.",
    ]
    for dtype in dict.fromkeys(r["dtype"] for r in cells):
        for backward, way in WAYS.items():
            for size in sorted({r["size"] for r in cells}):
                here = [r for r in cells if (r["dtype"], r["backward"], r["size"]) == (dtype, backward, size)]
                slower = [f"{r['activation']} {ratio(r, best(r) or ''):.2f}" for r in here if r in behind]
                if slower:
                    sentences.append(f"Behind in {dtype}, {way}, {size:,}: {', '.join(slower)}.")
    return sentences


def _groups(records: Sequence[Record]) -> dict[tuple[str, bool, int], list[Record]]:
    groups: dict[tuple[str, bool, int], list[Record]] = {}
    for r in records:
        if "size" in r:
            groups.setdefault((r["dtype"], r["backward"], r["size"]), []).append(r)
    return groups


def _columns(group: Sequence[Record], records: Sequence[Record]) -> dict[str, list[str]]:
    def time(r: Record, name: str) -> str:
        if name not in r["seconds"]:
            return ""
        taken = median(r, name)
        return f"{taken * 1e6:.2f}" if r["size"] < SMALLEST else f"{taken / r['size'] * 1e9:.3f}"

    unit = "µs" if group[0]["size"] < SMALLEST else "ns"
    present = [name for name in CONTESTANTS if any(name in r["seconds"] for r in group)]
    columns = {"": [r["activation"] for r in group]}
    columns |= {f"{name} {unit}": [time(r, name) for r in group] for name in present}
    columns["torch / actfun"] = [f"{ratio(r, EAGER):.2f}" if EAGER in r["seconds"] else "" for r in group]
    columns["best / actfun"] = [f"{ratio(r, name):.2f} {name}" if (name := best(r)) else "" for r in group]
    if group[0]["size"] >= SMALLEST:
        columns["bound by"] = [bound(r, records) for r in group]
    return columns


def _step_columns(records: Sequence[Record]) -> dict[str, list[str]]:
    steps = [r for r in records if "network" in r]
    return {
        "network": [r["network"] for r in steps],
        "activation": [r["activation"] for r in steps],
        "torch ms": [f"{median(r, EAGER) * 1e3:.2f}" for r in steps],
        "actfun ms": [f"{median(r, OURS) * 1e3:.2f}" for r in steps],
        "torch / actfun": [f"{ratio(r, EAGER):.3f}" for r in steps],
    }


def _title(dtype: str, backward: bool, size: int) -> str:
    per = "per call" if size < SMALLEST else "per element"
    return f"{dtype}, {WAYS[backward]}, {size:,} elements, {per}"


def tables(records: Sequence[Record], width: int) -> list[Table]:
    """A table for each dtype, way and size, and one of training steps, for a terminal of that many characters."""
    words = ("", "best / actfun", "bound by", "network", "activation")
    made = [fitted(_title(*key), _columns(group, records), width, words) for key, group in _groups(records).items()]
    steps = _step_columns(records)
    return [*made, fitted("A training step", steps, width, words)] if steps["network"] else made


def markdown(records: Sequence[Record], facts: dict[str, Any], picture: str) -> str:
    """A page of the timings: the machine, what they come to, the chart, and the tables."""
    machine, versions = facts["machine"], facts["versions"]
    lines = [
        "# Speed",
        "",
        f"Written by `{facts['command']}`: do not edit.",
        "",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['threads']} threads; "
        f"{machine['platform']}, Python {machine['python']}; {machine['date']}. "
        + ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items())
        + ".",
        "",
        f"Inputs are normal, with standard deviation {facts['spread']:g}. The contestants take turns, in an order",
        "that changes from round to round, one call to warm up and one that counts; figures are medians. *torch* is",
        "torch as it is called every day, *compile* torch.compile, *copy* a copy of the input into fresh memory",
        "(forward + backward: and a product beside it), which is the least that memory takes. onnxruntime has",
        "neither gradients nor bfloat16 here, and for large results memory that it has mapped before. A cell is bound",
        f"by *calls* where a call for 16 elements takes more than {CALLS:.0%} of its time; else by *memory* where the",
        f"copy takes more than {MEMORY:.0%} of it; else by *arithmetic*. Ratios above 1 mean that actfun is faster.",
        "",
        "",
        *[f"- {sentence}" for sentence in summary(records)],
        "",
        f"![How many times as long as actfun each library takes]({picture})",
    ]
    for key, group in _groups(records).items():
        lines += ["", f"## {_title(*key)}", "", *markdown_table(_columns(group, records))]
    steps = _step_columns(records)
    if steps["network"]:
        lines += [
            "",
            "## A training step",
            "",
            "Forward, loss, backward and SGD, float32.",
            "",
            *markdown_table(steps),
        ]
    return "\n".join(lines) + "\n"


def chart(records: Sequence[Record]) -> str:
    """How many times as long as this library the others take, as an SVG picture."""
    rows = [
        {
            "activation": r["activation"],
            "library": name,
            "ratio": ratio(r, name),
            "size": f"{r['size']:,}",
            "kind": f"{r['dtype']}, {WAYS[r['backward']]}",
        }
        for r in counted_cells(records)
        for name in PEERS
        if name in r["seconds"]
    ]
    libraries = [name for name in PEERS if any(row["library"] == name for row in rows)]
    sizes, kinds = (list(dict.fromkeys(row[key] for row in rows)) for key in ("size", "kind"))
    axis = alt.Axis(values=[0.5, 1, 2, 5, 10], format="~g", title=None)
    base = alt.Chart().properties(width=170, height=alt.Step(13))
    dots = base.mark_point(filled=True, size=34, opacity=0.9).encode(
        x=alt.X("ratio:Q", scale=alt.Scale(type="log"), axis=axis),
        y=alt.Y("activation:N", title=None),
        color=alt.Color("library:N", scale=alt.Scale(domain=libraries, range=COLOURS[: len(libraries)]), title=None),
        shape=alt.Shape("library:N", scale=alt.Scale(domain=libraries), title=None),
    )
    line = base.mark_rule(strokeDash=[3, 3]).encode(x=alt.datum(1.0))
    figure = (
        alt.layer(line, dots, data=alt.InlineData(values=rows))
        .facet(column=alt.Column("size:N", sort=sizes, title="elements"), row=alt.Row("kind:N", sort=kinds, title=None))
        .properties(title="How many times as long as actfun: right of the line, actfun is faster", background="white")
        .configure_legend(orient="top")
    )
    svg: str = vl_convert.vegalite_to_svg(figure.to_dict())
    return svg
