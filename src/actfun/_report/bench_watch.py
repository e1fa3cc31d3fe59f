"""What watching costs, as a page for the documentation and as a table."""

import math
from collections.abc import Sequence
from typing import Any

from actfun._compare.tasks import task
from actfun._report.bench import machine_words
from actfun._report.formatting import markdown_table
from actfun._report.tables import Section

Record = dict[str, Any]
MIB = 2**20
MOST, MOST_IDLE, MOST_MEMORY = 1.03, 1.005, 1.01  # of a step's time, of one that is not watched, of the peak
ABOUT = """\
Blocks of a second of training steps (AdamW, float32), with `af.watch(model, live=False)` and without, in turn, in one
process. *watched* is the median ratio of a block's time with it to the block's beside it, with its 95% interval. *not
chosen* compares steps that are not watched with steps without. *says* is the overhead that it states itself. The peak
is the most that a step allocates at a time, watched or not chosen, beside that without."""


def label(record: Record) -> str:
    """The network, and whether it was compiled."""
    return f"{record['network']}{', compiled' * record['compiled']}"


def _ratio(value: Sequence[float] | None, limit: float, decimals: int = 3) -> str:
    if value is None:
        return ""
    text = f"{value[1]:.{decimals}f}"
    return f"**{text}**" if value[1] > limit else text


def of(records: Sequence[Record], kind: str) -> list[Record]:
    """The records of costs, "watch", or of trainings, "alarm"."""
    return [record for record in records if record["kind"] == kind]


def sections(records: Sequence[Record]) -> list[Section]:
    """The tables; bold is what misses its target."""
    return [*_costs(of(records, "watch")), *_alarms(of(records, "alarm"))]


def tuned(records: Sequence[Record], name: str) -> list[Record]:
    """Of the trainings of a task each activation's best, as tuning would choose it."""
    better = 1.0 if task(name).decides.higher_is_better else -1.0
    best: dict[str, Record] = {}
    for record in records:
        if record["task"] == name and math.isfinite(record["score"]):
            before = best.get(record["activation"])
            if before is None or better * record["score"] > better * before["score"]:
                best[record["activation"]] = record
    return list(best.values())


def _alarms(records: Sequence[Record]) -> list[Section]:
    rows = []
    for name in dict.fromkeys(r["task"] for r in records):
        known, well = [r for r in records if r["task"] == name], tuned(records, name)
        wrong = [r for r in well if r["findings"]]
        said = "; ".join(
            f"{r['activation']} at {r['rate']:g}: {', '.join(sorted({f[0] for f in r['findings']}))}" for r in wrong
        )
        others = [r for r in known if r not in well]
        found = sum(bool(r["findings"]) for r in others)
        rows.append(
            [
                name,
                len(known),
                len(well),
                f"{len(wrong)} ({len(wrong) / len(well):.1%})",
                said,
                f"{found} of {len(others)}",
            ]
        )
    if not rows:
        return []
    heads = ("task", "trainings", "tuned", "of these with a finding", "which", "others with a finding")
    words = (
        "Trainings of compare's tasks, each activation at three learning rates, watched every fifth step. Tuned are "
        "those at an activation's best rate, by the score on validation data."
    )
    columns = dict(zip(heads, ([str(cell) for cell in column] for column in zip(*rows, strict=True)), strict=True))
    return [Section("False alarms", words, columns)]


def _costs(records: Sequence[Record]) -> list[Section]:
    if not records:
        return []
    columns = {
        "": [label(r) for r in records],
        "step, ms": [f"{r['milliseconds']:.2f}" for r in records],
        "places": [str(r["places"]) for r in records],
        "steps chosen": [f"{r['share']:.1%}" for r in records],
        "watched": [_ratio(r["ratio"], MOST) for r in records],
        "interval": [f"{r['ratio'][0]:.3f} … {r['ratio'][2]:.3f}" for r in records],
        "not chosen": [_ratio(r["idle"], MOST_IDLE) for r in records],
        "says": ["" if r["said"] is None else f"{r['said']:.1%}" for r in records],
        "peak, not chosen": [_ratio([0, r["peak_idle"] / r["peak"], 0], MOST_MEMORY, 2) for r in records],
        "peak, watched": [_ratio([0, r["peak_watched"] / r["peak"], 0], MOST_MEMORY, 2) for r in records],
        "peak, MiB": [f"{r['peak'] / MIB:.1f}" for r in records],
    }
    return [Section("Time and memory", "", columns)]


def shortfalls(records: Sequence[Record]) -> list[str]:
    """The lines of a list of what misses its target."""
    lines, records = [], of(records, "watch")
    slow = [f"{label(r)} **{r['ratio'][1]:.3f}**" for r in records if r["ratio"][1] > MOST]
    idle = [f"{label(r)} **{r['idle'][1]:.3f}**" for r in records if r["idle"] and r["idle"][1] > MOST_IDLE]
    more = [
        f"{label(r)} **{r['peak_watched'] / r['peak']:.2f}**"
        for r in records
        if r["peak_watched"] > MOST_MEMORY * r["peak"]
    ]
    if slow:
        lines.append(f"- Steps take more than {MOST} times as long: {'; '.join(slow)}.")
    if idle:
        lines.append(f"- Steps that are not watched take more than {MOST_IDLE} times as long: {'; '.join(idle)}.")
    if more:
        lines.append(
            f"- Steps that are watched need more than {MOST_MEMORY} times the memory: {'; '.join(more)}. What was "
            "compiled keeps in such a step what eager code keeps."
        )
    return lines or ["Nothing."]


def summary(records: Sequence[Record]) -> list[str]:
    """What it comes to."""
    alarms, said = of(records, "alarm"), []
    if alarms:
        best = [r for name in dict.fromkeys(r["task"] for r in alarms) for r in tuned(alarms, name)]
        wrong = sum(bool(r["findings"]) for r in best)
        said.append(f"Of {len(best)} trainings at the best of three rates {wrong} had a finding.")
    records = of(records, "watch")
    if not records:
        return said
    ratios = sorted((r["ratio"][1] - 1.0, label(r)) for r in records)
    (least, first), (most, last) = ratios[0], ratios[-1]
    return [f"Watching takes {least:.1%} ({first}) to {most:.1%} ({last}) of the time of training.", *said]


def chart(records: Sequence[Record]) -> str | None:
    """None: a table of few rows says it."""
    return None


def markdown(records: Sequence[Record], facts: dict[str, Any], picture: str | None) -> str:
    """The page."""
    lines = [
        "# What watching costs",
        "",
        f"Written by `{facts['command']}`: do not edit.",
        "",
        machine_words(facts),
        "",
    ]
    lines += [ABOUT, "", *(f"- {sentence}" for sentence in summary(records))]
    for section in sections(records):
        lines += ["", f"## {section.title}", "", section.words, "", *markdown_table(section.columns)]
    return "\n".join([*lines, "", "## What falls short", "", *shortfalls(records)]) + "\n"
