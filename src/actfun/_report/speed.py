"""What timings come to: how many times as long torch takes, by what, and what misses its target."""

import statistics
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from actfun._bench.cells import SMALLEST
from actfun._bench.libraries import COPY, EAGER, OURS, PEERS
from actfun._report.tables import Columns

Record = dict[str, Any]

# Targets, of ratios to two decimals, as they are written: none below its kind's, and for steps and compiled calls
# medians of at least 1. To compile may take this many times as long as it takes with torch's function.
FLOORS = {"step": 0.95, "compiled": 0.9, "eager": 0.9}
MEDIANS = ("step", "compiled")
COMPILING = 1.2
# What an eager cell is bound by: by calls, if a call for 16 elements takes more than this of its time; else by memory,
# if a copy of the same size takes more than this of it; else by arithmetic.
CALLS, MEMORY = 0.5, 0.6
WAYS = {False: "forward", True: "forward + backward"}
MODES = {False: "eager", True: "compiled"}
LIMITS = Path(__file__).with_name("limits.toml")


@dataclass(frozen=True)
class Miss:
    """A result that is short of its target, and why, where that is known."""

    target: str
    name: str
    result: str
    limit: str | None


def of_kind(records: Iterable[Record], kind: str) -> list[Record]:
    """The records of a kind; of eager calls those that the target speaks of: large enough, with torch's beside."""
    of_it = [r for r in records if r["kind"] == kind]
    return [r for r in of_it if r["size"] >= SMALLEST and EAGER in r["ratios"]] if kind == "eager" else of_it


def seconds(record: Record, library: str) -> float:
    """The median of what a library takes."""
    return float(record["seconds"][library][1])


def ratio(record: Record, library: str = EAGER) -> float:
    """How many times as long as this library another takes: the median over rounds, to two decimals."""
    return round(float(record["ratios"][library][1]), 2)


def is_short(record: Record) -> bool:
    """Whether a record misses its target."""
    return ratio(record) < FLOORS[record["kind"]] and record.get("size", SMALLEST) >= SMALLEST


def best(record: Record) -> str:
    """The fastest of the peers."""
    return min((n for n in PEERS if n in record["seconds"]), key=lambda n: ratio(record, n))


def bound(record: Record, records: Iterable[Record]) -> str:
    """What takes most of an eager cell's time: calls, memory or arithmetic."""
    alike = ("kind", "activation", "dtype", "backward")
    small = [r for r in records if r.get("size") == 16 and all(r[key] == record[key] for key in alike)]
    if small and seconds(small[0], OURS) > CALLS * seconds(record, OURS):
        return "calls"
    return "memory" if seconds(record, COPY) > MEMORY * seconds(record, OURS) else "arithmetic"


def group(record: Record) -> str:
    """What a median is taken over, in words: the steps of a mode, or the activations at one size and way."""
    if record["kind"] == "step":
        return f"{MODES[record['compiled']]} steps"
    where = f"{record['kind']} calls, {record['dtype']}, {WAYS[record['backward']]}, {record['size']:,}"
    return where + (f", {normal(record)}" if record["kind"] == "eager" else "")


def normal(record: Record) -> str:
    """The distribution of the inputs."""
    return f"N(0, {record['spread']:g}²)"


def name(record: Record) -> str:
    """A row's name, by which `limits.toml` finds it too."""
    if record["kind"] == "step":
        return f"{MODES[record['compiled']]} step, {record['network']}, {record['activation']}"
    place = f", {record['place']}" if record["kind"] == "compiled" else ""
    call, at = group(record).split(" calls, ")
    return f"{call} {record['activation']}{place}, {at}"


def pivot(
    records: Iterable[Record],
    rows: Callable[[Record], str],
    columns: Callable[[Record], str],
    cell: Callable[[list[Record]], str],
    corner: str = "",
) -> Columns:
    """A table with what `cell` says of the records of each row and column, in the order in which they come."""
    found: dict[str, dict[str, list[Record]]] = {}
    for r in records:
        found.setdefault(columns(r), {}).setdefault(rows(r), []).append(r)
    names = list(dict.fromkeys(row for column in found.values() for row in column))
    cells = {head: [cell(column[row]) if row in column else "" for row in names] for head, column in found.items()}
    return {corner: names} | cells


def median(records: Iterable[Record], library: str = EAGER) -> float:
    """The median of ratios, to two decimals."""
    return round(statistics.median(ratio(r, library) for r in records), 2)


def compiling(records: Iterable[Record]) -> dict[str, tuple[float, float, float]]:
    """By activation: the median seconds that the first call takes with torch's function, with ours, and their ratio.

    The ratio is the median of ratios within cells, ours to torch's.
    """
    found: dict[str, list[tuple[float, float, float]]] = {}
    for r in of_kind(records, "compiled"):
        theirs, ours = (r["compiling"][library] for library in (EAGER, OURS))
        found.setdefault(r["activation"], []).append((theirs, ours, ours / theirs))
    medians = {key: [statistics.median(column) for column in zip(*rows, strict=True)] for key, rows in found.items()}
    return {key: (theirs, ours, round(times, 2)) for key, (theirs, ours, times) in medians.items()}


def misses(records: Sequence[Record], limits: Mapping[str, str]) -> list[Miss]:
    """Every result that is short of its target, one target after another. limits: reasons, by pattern of names."""

    def miss(target: str, of: str, result: str) -> Miss:
        return Miss(target, of, result, next((why for pattern, why in limits.items() if fnmatch(of, pattern)), None))

    return [miss(*found) for found in _find(records)]


def _find(records: Sequence[Record]) -> Iterator[tuple[str, str, str]]:
    for kind, floor in FLOORS.items():
        of_it = of_kind(records, kind)
        grouped: dict[str, list[Record]] = {}
        for r in of_it:
            grouped.setdefault(group(r), []).append(r)
        what = {"step": "training steps", "compiled": "compiled calls", "eager": "eager calls"}[kind]
        if kind in MEDIANS:
            for label, alike in grouped.items():
                if median(alike) < 1.0:
                    yield f"Medians of {what}: at least 1.00", label, f"{median(alike):.2f}"
        for r in filter(is_short, of_it):
            note = f" ({bound(r, records)})" if kind == "eager" else ""
            yield f"Each of the {what}: at least {floor:.2f}", name(r), f"{ratio(r):.2f}{note}"
    for activation, (_, _, times) in compiling(records).items():
        if times > COMPILING:
            yield f"Compile time: at most {COMPILING:g} times torch's", f"compile time of {activation}", f"{times:.2f}"
    for r in of_kind(records, "graphs"):
        if r["breaks"][OURS] or r["graphs"][OURS] > r["graphs"][EAGER]:
            result = f"{r['graphs'][OURS]} against {r['graphs'][EAGER]}, {r['breaks'][OURS]} breaks"
            yield "Graphs: no more than torch's, without breaks", f"graphs of {r['activation']}", result


def known_limits() -> dict[str, str]:
    """The reasons that are written down, by pattern of names."""
    return tomllib.loads(LIMITS.read_text(encoding="utf-8"))
