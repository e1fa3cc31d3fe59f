"""What training keeps and needs at a time, as a page for the documentation with a chart, and as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert

from actfun._bench.libraries import EAGER, OURS
from actfun._bench.memory import AMAX, BATCHES, BLOCKS, CHECKPOINT, HIDDEN, LEAN, ROWS, TOLD, WIDTH
from actfun._report.bench import machine_words
from actfun._report.charts import COLOURS
from actfun._report.formatting import markdown_table
from actfun._report.tables import Section

Record = dict[str, Any]
MIB, SPACE = 2**20, 4 * 2**30
SLOWEST = 1.05  # times as long as torch's that a step may take
NEAR = 1.03  # times the minimum that may be kept
ABOUT = f"""\
Bytes are what torch's allocator gave and did not get back: *kept* after a forward pass, without its output; *peak* the
most at a time during a step, gradients included. Blocks have {ROWS:,} rows, {WIDTH} inputs and {HIDDEN} hidden
elements, in float32, and figures are bytes a hidden element. Ratios are medians of torch's time by actfun's, in turn in
one process: above 1 actfun is faster. *checkpoint* computes the activation and the last layer again; *told to
recompute* is Inductor's `aggressive_recomputation`; *Liger's way* keeps gate and value, and writes their gradients over
them."""


def of(records: Sequence[Record], group: str, compiled: bool) -> dict[str, Record]:
    """The records of a group by subject, those of models with the larger batch."""
    batch = {"model": BATCHES[-1]}.get(group, ROWS)
    chosen = [r for r in records if r["group"] == group and r["compiled"] is compiled and r["batch"] == batch]
    return {r["subject"]: r for r in chosen}


def kept(record: Record | None, way: str, what: str = "kept") -> float | None:
    """Bytes a hidden element; of models bytes."""
    if record is None or way not in record["memory"]:
        return None
    return float(record["memory"][way][what] / (record["elements"] or 1))


def _cell(value: float | None, decimals: int = 2) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def _time(record: Record | None, way: str = EAGER) -> str:
    """How many times as long as ours a way takes; bold where ours takes too long."""
    if record is None or way not in record.get("ratios", {}):
        return ""
    ratio = record["ratios"][way][1]
    return f"**{ratio:.2f}**" if ratio < 1.0 / SLOWEST else f"{ratio:.2f}"


def sections(records: Sequence[Record]) -> list[Section]:
    """The tables: blocks, feed-forward blocks, Maxout, models."""
    found = [_blocks(records), _block_times(records), _feed_forward(records), _maxout(records), _models(records)]
    return [section for section in found if section is not None]


def _table(rows: Sequence[str], columns: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The columns that are not empty, behind the names of rows."""
    return {"": list(rows)} | {name: list(cells) for name, cells in columns.items() if any(cells)}


def _blocks(records: Sequence[Record]) -> Section | None:
    eager, compiled = of(records, "block", False), of(records, "block", True)
    names = [name for name in BLOCKS if name in {**eager, **compiled}]
    if not names:
        return None

    def column(of_it: Mapping[str, Record], way: str) -> list[str]:
        return [_cell(kept(of_it.get(name), way)) for name in names]

    columns = {
        "fewest": [str(BLOCKS[name][2]) for name in names],
        "torch": column(eager, EAGER),
        "checkpoint": column(eager, CHECKPOINT),
        "**lean**": column(eager, OURS),
        "compiled torch": column(compiled, EAGER),
        "told to recompute": column(compiled, TOLD),
        "**compiled lean**": column(compiled, OURS),
    }
    words = "Linear, what the row says, Linear, of unmodified torch code. Bytes kept for each hidden element."
    return Section("Blocks under lean()", words, _table(names, columns))


def _block_times(records: Sequence[Record]) -> Section | None:
    eager, compiled = of(records, "block", False), of(records, "block", True)
    names = [name for name in BLOCKS if "ratios" in {**compiled, **eager}.get(name, {})]
    if not names:
        return None
    columns = {
        "torch": [_time(eager.get(name)) for name in names],
        "checkpoint": [_time(eager.get(name), CHECKPOINT) for name in names],
        "compiled torch": [_time(compiled.get(name)) for name in names],
        "told to recompute": [_time(compiled.get(name), TOLD) for name in names],
    }
    words = f"How many times as long as under lean() a step takes; bold where it is below {1.0 / SLOWEST:.2f}."
    return Section("Time of blocks", words, _table(names, columns))


def _feed_forward(records: Sequence[Record]) -> Section | None:
    rows, cells = [], []
    for compiled in (False, True):
        for name, record in of(records, "feed-forward", compiled).items():
            for way in record["memory"]:
                rows.append(f"{name}, {'compiled ' if compiled else ''}{'**nn.FeedForward**' if way == OURS else way}")
                time = "1.00" if way == OURS else _time(record, way)
                cells.append([_cell(kept(record, way)), _cell(kept(record, way, "peak")), time])
    if not rows:
        return None
    columns = dict(zip(("kept", "peak of a step", "time by ours"), zip(*cells, strict=True), strict=True))
    words = (
        f"Bytes for each hidden element. torch's layers one by one, also under {LEAN.split()[-1]}, and others' ways."
    )
    return Section("nn.FeedForward", words, _table(rows, columns))


def _maxout(records: Sequence[Record]) -> Section | None:
    eager, compiled = of(records, "maxout", False), of(records, "maxout", True)
    if not eager and not compiled:
        return None
    names = list({**eager, **compiled})
    columns = {
        "torch": [_cell(kept(eager.get(n), EAGER)) for n in names],
        "torch, amax": [_cell(kept(eager.get(n), AMAX)) for n in names],
        "**nn.Maxout**": [_cell(kept(eager.get(n), OURS)) for n in names],
        "compiled torch": [_cell(kept(compiled.get(n), EAGER)) for n in names],
        "**compiled**": [_cell(kept(compiled.get(n), OURS)) for n in names],
        "peak, torch": [_cell(kept(eager.get(n), EAGER, "peak")) for n in names],
        "**peak**": [_cell(kept(eager.get(n), OURS, "peak")) for n in names],
        "time": [_time(eager.get(n)) for n in names],
        "time to amax's": [_time(eager.get(n), AMAX) for n in names],
        "compiled time": [_time(compiled.get(n)) for n in names],
    }
    words = (
        "Bytes for each output: a linear layer, the largest of its pieces, and a linear layer that keeps it. torch's "
        "is `linear(x).unflatten(-1, (-1, pieces)).max(-1).values`."
    )
    return Section("nn.Maxout", words, _table(names, columns))


def fits(records: Sequence[Record], subject: str, compiled: bool, way: str) -> int:
    """How many texts fit into `SPACE` at a time, by the peaks of two batches."""
    peaks = {
        r["batch"]: r["memory"][way]["peak"]
        for r in records
        if r["group"] == "model" and r["subject"] == subject and r["compiled"] is compiled
    }
    (small, low), (large, high) = sorted(peaks.items())
    each = (high - low) / (large - small)
    return int((SPACE - (low - small * each)) // each)


def _models(records: Sequence[Record]) -> Section | None:
    rows, cells = [], []
    for compiled in (False, True):
        for name, record in of(records, "model", compiled).items():
            rows.append(f"{name}{', compiled' * compiled}")
            found = []
            for what in ("kept", "peak"):
                theirs, ours = (kept(record, way, what) or 0.0 for way in (EAGER, OURS))
                found += [f"{theirs / MIB:.1f}", f"{ours / MIB:.1f}", f"{1.0 - ours / theirs:.0%}"]
            fit = [f"{fits(records, name, compiled, way):,}" for way in (EAGER, OURS)]
            cells.append([*found, *fit, _time(record)])
    if not rows:
        return None
    heads: tuple[str, ...] = ("kept, torch", "**kept, lean**", "less", "peak, torch", "**peak, lean**", "peak, less")
    heads += ("texts that fit, torch", "**texts that fit, lean**", "time")
    words = (
        f"Models of transformers from configurations, unmodified: 4 layers, width {WIDTH}, {BATCHES[-1]} texts of 128 "
        f"characters. MiB; texts that fit at a time into {SPACE // 2**30} GiB beside the model, by the peaks of "
        f"{BATCHES[0]} and {BATCHES[-1]}. GPT-2 writes its GELU out, as its code has it."
    )
    return Section("Models under lean()", words, _table(rows, dict(zip(heads, zip(*cells, strict=True), strict=True))))


def summary(records: Sequence[Record]) -> list[str]:
    """What it comes to."""
    said = []
    models = of(records, "model", False)
    if models:
        shares = [
            f"{name} {1.0 - r['memory'][OURS]['kept'] / r['memory'][EAGER]['kept']:.0%}" for name, r in models.items()
        ]
        said.append(f"Under `lean()` unmodified models keep less for backward: {', '.join(shares)}.")
    maxout = of(records, "maxout", False)
    if maxout:
        ours, theirs = ([kept(r, way) or 0.0 for r in maxout.values()] for way in (OURS, EAGER))
        said.append(
            f"Maxout keeps {min(ours):.2f} to {max(ours):.2f} bytes an output, the output included; torch's way "
            f"{min(theirs):.0f}, by `amax` up to {max(kept(r, AMAX) or 0.0 for r in maxout.values()):.0f}."
        )
    return said


def shortfalls(records: Sequence[Record]) -> list[str]:
    """The lines of a list of what misses its target."""
    slow, much = [], []
    for r in records:
        name = f"{r['subject']} {'compiled' if r['compiled'] else 'eager'}" + (
            f", {r['batch']} texts" * (r["group"] == "model")
        )
        ratio = r.get("ratios", {}).get(EAGER)
        if ratio and ratio[1] < 1.0 / SLOWEST:
            slow.append(f"{name} **{ratio[1]:.2f}**")
        if r["group"] == "block" and (kept(r, OURS) or 0.0) > NEAR * BLOCKS[r["subject"]][2]:
            much.append(f"{name} **{kept(r, OURS):.2f}**")
    lines = []
    if much:
        lines.append(f"- More than {NEAR - 1.0:.0%} above the fewest bytes: {'; '.join(much)}.")
    if slow:
        lines.append(
            f"- A step takes more than {SLOWEST} times as long as torch's (below {1.0 / SLOWEST:.2f}): "
            f"{'; '.join(slow)}. What is not kept is computed again."
        )
    return lines or ["Nothing."]


def markdown(records: Sequence[Record], facts: dict[str, Any], picture: str | None) -> str:
    """The page."""
    lines = ["# Memory", "", f"Written by `{facts['command']}`: do not edit.", "", machine_words(facts), "", ABOUT, ""]
    lines += [f"- {sentence}" for sentence in summary(records)]
    if picture:
        lines += ["", f"![Bytes that a block keeps for each hidden element]({picture})"]
    for section in sections(records):
        lines += ["", f"## {section.title}", "", section.words, "", *markdown_table(section.columns)]
    return "\n".join([*lines, "", "## What falls short", "", *shortfalls(records)]) + "\n"


def chart(records: Sequence[Record]) -> str | None:
    """Bytes that blocks keep, by way, as an SVG; None without blocks."""
    rows = []
    for compiled, mode in ((False, "eager"), (True, "compiled")):
        for name, record in of(records, "block", compiled).items():
            for way, label in ((EAGER, "torch"), (OURS, "lean")):
                rows.append({"block": name, "mode": mode, "way": label, "bytes": kept(record, way)})
    if not rows:
        return None
    blocks, modes = (list(dict.fromkeys(str(row[key]) for row in rows)) for key in ("block", "mode"))
    scale = alt.Scale(domain=["torch", "lean"], range=[COLOURS[1], COLOURS[0]])
    figure = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            x=alt.X("bytes:Q", title="bytes a hidden element, float32"),
            y=alt.Y("block:N", sort=blocks, title=None, axis=alt.Axis(labelLimit=220)),
            yOffset=alt.YOffset("way:N", sort=["torch", "lean"]),
            color=alt.Color("way:N", scale=scale, title=None),
            column=alt.Column("mode:N", sort=modes, title=None),
        )
        .properties(width=260, height=alt.Step(9), title="What a block keeps for backward", background="white")
        .properties(padding={"left": 40, "right": 10, "top": 10, "bottom": 10})
        .configure_legend(orient="top")
    )
    svg: str = vl_convert.vegalite_to_svg(figure.to_dict())
    return svg
