"""Timings as tables, with the words that belong to them: steps first, then compiled calls, then eager ones."""

from collections.abc import Iterable, Sequence

from actfun._bench.cells import SMALLEST
from actfun._bench.libraries import EAGER, OURS, PEERS
from actfun._report.speed import (
    COMPILING,
    MODES,
    WAYS,
    Record,
    best,
    compiling,
    is_short,
    median,
    normal,
    of_kind,
    pivot,
    ratio,
    seconds,
)
from actfun._report.tables import Section

STEPS = """\
Forward, loss, backward and SGD of a whole network in float32, with the same weights and data: how many times as long a
step takes with torch's activations as with actfun's, and in brackets an interval that holds the true median with 95%
confidence. Compiled means that the network went through torch.compile."""
COMPILED = """\
torch.compile of actfun's function against torch.compile of torch's own: alone, and fused with a bias, f(x + b), with
dropout, dropout(f(x), 0.1), a residual, x + f(x), or a gate, f(x) · z; both ways with the gradients of x, b and z. How
many times as long torch's takes: the median, and in brackets the lowest, of activations and places."""
PLACES = "The same by activation and place: the median and the lowest of the sizes."
TO_COMPILE = """\
The time of the first call, with nothing left from calls before, the median over cells. Graphs that a sequence of calls
needs (three sizes, two dtypes, with gradients and without), and breaks in them."""
EAGER_CALLS = """\
Calls without torch.compile: how many times as long torch takes, the median and in brackets the lowest of the
activations."""
PEERS_TOO = """\
How many times as long each library takes, the median of the activations. *torch* is torch as it is called every day,
*compile* torch.compile of its function; onnxruntime has neither gradients nor 16 bits here, and for large results
memory that it has mapped before."""
BY_SPREAD = "How many times as long torch takes, by the number of elements; inputs are "
TIMES = "Nanoseconds an element, torch / actfun."


def _row(r: Record) -> str:
    return f"{r['network']}, {MODES[r['compiled']]}"


def _activation(r: Record) -> str:
    return str(r["activation"])


def _size(r: Record) -> str:
    return f"{r['size']:,}"


def _work(r: Record) -> str:
    return f"{r['dtype']}, {WAYS[r['backward']]}"


def _mark(text: str, short: bool) -> str:
    return f"**{text}**" if short else text


def _span(records: Sequence[Record]) -> str:
    """The median and the lowest of some ratios."""
    lowest = min(records, key=ratio)
    return f"{median(records):.2f} ({_mark(f'{ratio(lowest):.2f}', is_short(lowest))})"


def _steps(records: Iterable[Record]) -> list[Section]:
    steps = of_kind(records, "step")
    if not steps:
        return []

    def estimate(alike: list[Record]) -> str:
        low, _, high = alike[0]["ratios"][EAGER]
        return _mark(f"{ratio(alike[0]):.2f}", is_short(alike[0])) + f" ({low:.2f} to {high:.2f})"

    def kept(alike: list[Record]) -> str:
        theirs, ours = (alike[0]["kept"][library] / 1e6 for library in (EAGER, OURS))
        return f"{theirs:.1f} / {ours:.1f}"

    def times(alike: list[Record]) -> str:
        return f"{seconds(alike[0], EAGER) * 1e3:.1f} / {seconds(alike[0], OURS) * 1e3:.1f}"

    of = "of a step, torch / actfun"
    return [
        Section("Training steps: torch / actfun", STEPS, pivot(steps, _row, _activation, estimate), "Training steps"),
        Section(f"Milliseconds {of}", f"Milliseconds {of}.", pivot(steps, _row, _activation, times)),
        Section(
            f"MB kept for backward {of}",
            "Memory that is kept for backward, without weights and inputs, in MB, torch / actfun.",
            pivot(steps, _row, _activation, kept),
        ),
    ]


def _compiled(records: Sequence[Record]) -> list[Section]:
    cells = of_kind(records, "compiled")
    if not cells:
        return []
    by_size = pivot(cells, _work, _size, _span)
    sections = [Section("Compiled calls: torch / actfun, by size", COMPILED, by_size, "Compiled calls")]
    for work in dict.fromkeys(map(_work, cells)):
        by_place = pivot((r for r in cells if _work(r) == work), _activation, lambda r: str(r["place"]), _span)
        words = f"{PLACES if len(sections) == 1 else ''}\n\n{work}:".strip()
        sections.append(Section(f"Compiled calls: torch / actfun, {work}", words, by_place))
    graphs = {r["activation"]: r for r in of_kind(records, "graphs")}
    rows = compiling(records)
    columns = {"": list(rows), "torch s": [f"{theirs:.2f}" for theirs, _, _ in rows.values()]}
    columns["actfun s"] = [f"{ours:.2f}" for _, ours, _ in rows.values()]
    columns["actfun / torch"] = [_mark(f"{times:.2f}", times > COMPILING) for _, _, times in rows.values()]
    columns["graphs, torch / actfun"] = [f"{graphs[n]['graphs'][EAGER]} / {graphs[n]['graphs'][OURS]}" for n in rows]
    columns["breaks"] = [str(graphs[n]["breaks"][OURS]) for n in rows]
    return [*sections, Section("To compile", TO_COMPILE, columns)]


def _eager(records: Iterable[Record]) -> list[Section]:
    eager = [r for r in records if r["kind"] == "eager"]
    if not eager:
        return []
    first = [r for r in eager if r["spread"] == eager[0]["spread"] and r["dtype"] == eager[0]["dtype"]]
    ns = pivot(
        [r for r in first if r["size"] >= SMALLEST],
        _activation,
        lambda r: f"{WAYS[r['backward']]}, {_size(r)}",
        _nanoseconds,
    )
    return [*_ratios(eager), Section(f"Eager calls: ns an element, {eager[0]['dtype']}", TIMES, ns)]


def _ratios(eager: Sequence[Record]) -> list[Section]:
    cells = of_kind(eager, "eager")
    if not cells:
        return []
    spreads = list(dict.fromkeys(map(normal, cells)))
    first = [r for r in cells if normal(r) == spreads[0]]
    by_size = pivot(cells, lambda r: f"{_work(r)}, {normal(r)}", _size, _span)
    sections = [Section("Eager calls: torch / actfun, by size", EAGER_CALLS, by_size, "Eager calls")]
    there = [name for name in PEERS if any(name in r["ratios"] for r in first)]
    if len(there) > 1:
        timed = [{**r, "library": name} for name in there for r in first if name in r["ratios"]]
        libraries = pivot(
            timed,
            lambda r: f"{_work(r)}, {_size(r)}",
            lambda r: str(r["library"]),
            lambda alike: f"{median(alike, alike[0]['library']):.2f}",
        )
        sections.append(Section("Eager calls: library / actfun", f"{PEERS_TOO} {_ahead(first)}", libraries))
    for work in dict.fromkeys(map(_work, cells)):
        alike = [r for r in eager if _work(r) == work and EAGER in r["ratios"]]
        by_activation = pivot(alike, _activation, _size, _by_spread)
        words = BY_SPREAD + " / ".join(spreads) + ".\n\n" if work == _work(cells[0]) else ""
        sections.append(Section(f"Eager calls: torch / actfun, {work}", f"{words}{work}:", by_activation))
    return sections


def _by_spread(alike: list[Record]) -> str:
    return " / ".join(_mark(f"{ratio(r):.2f}", is_short(r)) for r in alike)


def _nanoseconds(alike: list[Record]) -> str:
    there = [library for library in (EAGER, OURS) if library in alike[0]["seconds"]]
    return " / ".join(f"{seconds(alike[0], library) / alike[0]['size'] * 1e9:.3f}" for library in there)


def _ahead(cells: Iterable[Record]) -> str:
    """Where another library than torch is the fastest, and faster than actfun."""
    faster = [(r, name) for r in cells if (name := best(r)) != EAGER and ratio(r, name) < 1.0]
    listed = [f"{r['activation']}, {_work(r)}, {_size(r)}: {name} {ratio(r, name):.2f}" for r, name in faster]
    return f"Another than torch is faster than actfun in {'; '.join(listed) or 'no cell'}."


def sections(records: Sequence[Record]) -> list[Section]:
    """Every table, in the order of the page; of what was not timed there is none."""
    return [*_steps(records), *_compiled(records), *_eager(records)]
