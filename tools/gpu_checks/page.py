"""The page: what a run's record says, for a reader."""

from collections.abc import Sequence
from typing import Any

# The targets: torch's time over ours. relu, which is torch's own kernel, is found between 0.96 and 1.02 of itself.
COMPILED, EAGER = 0.95, 0.97
MANY = 5  # activations are counted beyond so many


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A Markdown table, and an empty line."""
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    return [*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows), ""]


def page(record: dict[str, Any]) -> str:
    """The whole page."""
    sections = {name: section for name, section in record["sections"].items() if section["rows"]}
    machine = ", ".join(f"{key} {value}" for key, value in record["machine"].items() if key != "device")
    lines = ["# On a GPU", "", "Written by `tools/gpu_check.py`: do not edit.", ""]
    lines += [f"Machine: {record['machine']['device']}; {machine}.", "", "## What falls short", ""]
    lines += [f"- {line}" for line in problems(record) + shortfalls(record)] or ["Nothing."]
    lines += ["", "## What was done", "", *_overview(record["sections"])]
    for name in ("values and gradients", "compiled values and gradients"):
        if name in sections:
            lines += [f"## {_capital(name)}", "", ERRORS, "", *_errors(sections[name]["rows"])]
    if "memory" in sections:
        lines += ["## Bytes kept for backward", "", MEMORY, "", *_memory(sections["memory"]["rows"])]
    if "memory of steps" in sections:
        lines += ["## Memory of training steps", "", STEPS, "", *_steps(sections["memory of steps"]["rows"])]
    if "GPT block" in sections:
        lines += ["## Training steps of a GPT block", "", BLOCK, "", *_blocks(sections["GPT block"]["rows"])]
    if "launch shapes" in sections:
        lines += ["## Other launch shapes", "", SHAPES, "", *_shapes(sections["launch shapes"]["rows"])]
    for name in ("eager", "compiled"):
        if name in sections:
            lines += [f"## Time, {name}", "", TIMES, "", *_times(sections[name]["rows"])]
    return "\n".join(lines)


ERRORS = """\
The largest errors in units in the last place, where |x| ≤ 3, where |x| ≤ 20, and anywhere, but for what is smaller
than a normal number. *g · gradient*: with a random incoming gradient. *inf · 0*: an infinite gradient above a slope
of 0. The aim: 4 where |x| ≤ 3; a relative error of 1e-6 for |x| ≤ 6 and 1e-5 beyond; 0.51 for 16 bits. Up to 1 from a
root, a gradient's unit is that of 1/4."""
MEMORY = "What the forward pass of Linear-activation-Linear leaves allocated, in bytes for each hidden element."
STEPS = """\
Linear, the activation, Linear; the feed-forward block; Maxout and a linear layer; in bfloat16. Bytes for each hidden
element: kept after a forward pass, and at most during a step; its time, and that of actfun's way as a unit."""
BLOCK = "bfloat16, forward, backward and SGD, in milliseconds as called."
SHAPES = "Microseconds of a forward kernel over 2^26 elements, with so many elements and warps to a block."
TIMES = """\
torch's time / actfun's, as called from Python, and in brackets on the device alone (a CUDA graph of the same calls).
Above 1 actfun is faster."""


def problems(record: dict[str, Any]) -> list[str]:
    """What is wrong, was not reached or ended in an error, a line each; of many alike the first ten."""
    lines = []
    for name, section in record["sections"].items():
        failures, unreached = section["failures"], section["unreached"]
        lines += [f"WRONG in {name}: {failure}" for failure in failures[:10]]
        lines += [f"WRONG in {name}: {len(failures) - 10} more, see gpu.json"] if len(failures) > 10 else []
        lines += [f"No time was left in {name} for {len(unreached)}, from {unreached[0]} on"] if unreached else []
        if section["error"]:
            lines.append(f"{_capital(name)} ended by {section['error'].strip().splitlines()[-1]}")
    return lines


def shortfalls(record: dict[str, Any]) -> list[str]:
    """What misses its target without being wrong: accuracies, then timings at the sizes that count."""
    lines = []
    for section in ("values and gradients", "compiled values and gradients"):
        short: dict[tuple[str, str], list[str]] = {}
        for row in record["sections"].get(section, {}).get("rows", ()):
            if row["short"] and not row["wrong"]:
                found = f"{row['short']} of the {row['kind']}s, up to {row['near']:.3g} ulp where |x| ≤ 3"
                short.setdefault((row["name"], row["dtype"]), []).append(found)
        lines += [f"{_capital(section)}, {' '.join(key)}: {'; '.join(found)}" for key, found in short.items()]
    for section, target in (("eager", EAGER), ("compiled", COMPILED)):
        groups: dict[tuple[str, str, str, int], dict[str, float]] = {}
        for row in record["sections"].get(section, {}).get("rows", ()):
            for clock in ("called", "device"):
                ratio = _ratio(row, clock)
                if ratio is not None and ratio < target and row["size"] >= record["large"]:
                    groups.setdefault((clock, row["dtype"], row["way"], row["size"]), {})[row["name"]] = ratio
        for (clock, dtype, way, size), ratios in sorted(groups.items()):
            each = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
            if len(ratios) > MANY:
                each = f"{len(ratios)} activations, {min(ratios.values()):.2f} to {max(ratios.values()):.2f}"
            words = f"{dtype} {way}, 2^{size.bit_length() - 1}, {clock}"
            lines.append(f"{_capital(section)}, {words}: {each}; target {target}")
    return lines


def _ratio(row: dict[str, Any], clock: str) -> float | None:
    mine, other = row["actfun"][clock], row["torch"][clock]
    return other / mine if mine and other else None


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _overview(sections: dict[str, Any]) -> list[str]:
    heads = ("part", "results", "wrong", "not reached", "seconds")
    rows = [
        (name, len(s["rows"]), len(s["failures"]), len(s["unreached"]), f"{s['seconds']:.0f}")
        for name, s in sections.items()
    ]
    return table(heads, rows)


def _errors(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for dtype in dict.fromkeys(row["dtype"] for row in rows):
        cells: dict[str, dict[str, str]] = {}
        for row in rows:
            if row["dtype"] == dtype:
                shown = " · ".join(f"{row[side]:.3g}" for side in ("near", "middle", "anywhere"))
                cells.setdefault(row["name"], {})[row["kind"]] = f"{row['wrong']} WRONG" if row["wrong"] else shown
        kinds = list(next(iter(cells.values())))
        lines += [f"{dtype}:", "", *table(("", *kinds), [(name, *cell.values()) for name, cell in cells.items()])]
    return lines


def _memory(rows: list[dict[str, Any]]) -> list[str]:
    shown = [(row["name"], row["dtype"], f"{row['torch']:.2f}", f"{row['actfun']:.2f}") for row in rows]
    return table(("", "dtype", "torch", "actfun"), shown)


def _steps(rows: list[dict[str, Any]]) -> list[str]:
    shown = [
        (
            f"{r['group']}: {r['name']}",
            r["way"],
            *(f"{r[key]:.2f}" for key in ("kept", "peak")),
            f"{r['seconds'] * 1e3:.3f}",
            f"{r['share']:.2f}",
        )
        for r in rows
    ]
    return table(("", "way", "kept", "peak", "ms", "time by actfun's"), shown)


def _blocks(rows: list[dict[str, Any]]) -> list[str]:
    shown = [
        (
            row["name"],
            "compiled" if row["compiled"] else "eager",
            *(f"{row[library] * 1e3:.3f}" for library in ("torch", "actfun")),
            f"{row['torch'] / row['actfun']:.2f}",
        )
        for row in rows
    ]
    return table(("", "", "torch ms", "actfun ms", "torch / actfun"), shown)


def _shapes(rows: list[dict[str, Any]]) -> list[str]:
    shown = [(r["name"], r["dtype"], r["block"], r["warps"], f"{r['seconds'] * 1e6:.1f}") for r in rows]
    return table(("", "dtype", "elements", "warps", "µs"), shown)


def _times(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    sizes = sorted({row["size"] for row in rows})
    for dtype in dict.fromkeys(row["dtype"] for row in rows):
        for way in dict.fromkeys(row["way"] for row in rows):
            cells: dict[str, dict[int, str]] = {}
            for row in rows:
                if (row["dtype"], row["way"]) == (dtype, way):
                    called, device = (_ratio(row, clock) for clock in ("called", "device"))
                    shown = f"{called:.2f}" + ("" if device is None else f" ({device:.2f})")
                    cells.setdefault(row["name"], {})[row["size"]] = shown
            heads = ("", *(f"2^{size.bit_length() - 1}" for size in sizes))
            body = [(name, *(cell.get(size, "") for size in sizes)) for name, cell in cells.items()]
            lines += [f"{dtype}, {way}:", "", *table(heads, body)]
    return lines
