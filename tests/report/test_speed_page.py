"""The page of `actfun bench`: what it makes of timings, and that what misses a target stands on it."""

from typing import Any

import pytest

from actfun._bench.libraries import EAGER, OURS
from actfun._report import bench as report
from actfun._report import speed

FACTS = {
    "command": "actfun bench",
    "machine": {"processor": "some", "cores": 2, "threads": 2, "platform": "any", "python": "3", "date": "today"},
    "vectors": "wide",
    "versions": {"torch": "2", "jax": None},
}


def timed(kind: str, **facts: Any) -> dict[str, Any]:
    """A record in which each library takes as many seconds as is said."""
    libraries = {name: facts.pop(name) for name in (OURS, EAGER, "jax", "copy") if name in facts}
    seconds = {name: [0.9 * taken, taken, 1.1 * taken] for name, taken in libraries.items()}
    times = {name: taken / libraries[OURS] for name, taken in libraries.items() if name != OURS}
    ratios = {name: [0.9 * value, value, 1.1 * value] for name, value in times.items()}
    return {"kind": kind, "seconds": seconds, "ratios": ratios, **facts}


def step(activation: str, times: float, network: str = "MLP", compiled: bool = False) -> dict[str, Any]:
    facts = {"network": network, "compiled": compiled, "kept": {OURS: 2e6, EAGER: 1e6}}
    return timed("step", activation=activation, actfun=1e-3, torch=times * 1e-3, **facts)


def eager(size: int, activation: str = "gelu", spread: float = 1.0, **seconds: float) -> dict[str, Any]:
    facts = {"activation": activation, "dtype": "float32", "size": size, "backward": False, "spread": spread}
    return timed("eager", **facts, **seconds)


def compiled(activation: str, times: float, place: str = "alone", compiling: float = 1.0) -> dict[str, Any]:
    facts = {"activation": activation, "dtype": "float32", "size": 4096, "backward": True, "place": place}
    return timed("compiled", actfun=1.0, torch=times, compiling={OURS: compiling, EAGER: 1.0}, **facts)


def graphs(activation: str, ours: int = 6, breaks: int = 0) -> dict[str, Any]:
    counts = {"graphs": {OURS: ours, EAGER: 6}, "breaks": {OURS: breaks, EAGER: 0}}
    return {"kind": "graphs", "activation": activation, **counts}


CALL = eager(16, actfun=2.0, torch=1.0, copy=1.0)
GOOD = [
    step("relu", 1.0),
    step("relu", 1.04, compiled=True),
    *map(graphs, ("relu", "gelu")),
    compiled("relu", 1.0),
    compiled("gelu", 0.92, "gate"),
    compiled("gelu", 1.1),
    CALL,
    eager(4096, actfun=1.0, torch=0.9, jax=0.5, copy=0.2),
    eager(4096, spread=3.0, actfun=1.0, torch=1.5, copy=0.2),
]
# name: (what is added, the row that it makes, its figure)
PLANTED = {
    "step": (step("slow", 0.93), "eager step: MLP, slow", "0.93"),
    "median of steps": (step("slow", 0.95, compiled=True), "compiled steps:", None),
    "compiled": (compiled("slow", 0.89, "bias"), "compiled slow: bias, float32, forward + backward, 4,096", "0.89"),
    "compile time": (compiled("slow", 1.0, compiling=1.25), "compile time of slow:", "1.25"),
    "graphs": (graphs("gelu", ours=7), "graphs of gelu:", "7 against 6, 0 breaks"),
    "breaks": (graphs("gelu", breaks=2), "graphs of gelu:", "6 against 6, 2 breaks"),
    "eager": (eager(4096, "slow", actfun=1.0, torch=0.89, copy=0.2), "eager slow: float32, forward, 4,096", "0.89"),
    "spread": (
        eager(4096, "slow", 3.0, actfun=1.0, torch=0.5, copy=0.2),
        "eager slow: float32, forward, 4,096",
        "0.50",
    ),
}


def page(records: list[dict[str, Any]], limits: dict[str, str] | None = None) -> str:
    return report.markdown(records, FACTS, "speed.svg", limits or {})


def test_where_all_is_well_nothing_falls_short():
    assert speed.misses(GOOD, {}) == []
    text = page(GOOD)
    assert "- No results miss a target." in text
    assert text.endswith("## What falls short\n\nNothing.\n")
    assert "**" not in text


@pytest.mark.parametrize("planted", PLANTED)
def test_what_misses_its_target_is_marked_and_listed(planted):
    record, row, figure = PLANTED[planted]
    records = [r for r in GOOD if (r["kind"], r["activation"]) != (record["kind"], record["activation"])]
    if planted == "median of steps":
        records.remove(GOOD[1])
    if planted == "compile time":
        records.append(graphs("slow"))
    if planted == "compiled":
        records += [graphs("slow"), compiled("slow", 1.5), compiled("slow", 1.5)]
    text = page([*records, record])
    before, listed = text.split("## What falls short")
    line = next(line for line in listed.splitlines() if row in line)
    assert f"**{figure or '0.95'}" in line
    marked = planted in ("step", "compiled", "compile time", "eager", "spread")
    assert (f"**{figure}**" in before) == marked
    assert "What limit stops these is not known." in listed


def test_the_limit_of_what_falls_short_stands_beside_it():
    slow, other = step("slow", 0.9), step("other", 0.8, "ResNet")
    text = page([*GOOD, step("quick", 2.0), step("quick", 2.0), slow, other], {"eager step, *, slow": "It is planted."})
    assert "at least 0.95. It is planted.\n  - eager step: MLP, slow **0.90**\n" in text
    assert "at least 0.95. What limit stops these is not known.\n  - eager step: ResNet, other **0.80**\n" in text


def test_the_page_goes_from_steps_to_kernels_and_names_install_and_machine():
    text = page(GOOD)
    places = [text.index(f"## {title}") for title in ("Training steps", "Compiled calls", "Eager calls", "What falls")]
    assert places == sorted(places)
    assert "Machine: some, wide vectors, 2 cores, threads used: 2" in text
    assert "torch 2, jax not installed" in text


def test_a_row_of_steps_has_ratio_interval_times_and_memory():
    lines = page([step("relu", 1.5), step("gelu", 1.25)]).splitlines()
    assert "|  | relu | gelu |" in lines
    assert "| MLP, eager | 1.50 (1.35 to 1.65) | 1.25 (1.12 to 1.38) |" in lines
    assert "| MLP, eager | 1.5 / 1.0 | 1.2 / 1.0 |" in lines
    assert "| MLP, eager | 1.0 / 2.0 | 1.0 / 2.0 |" in lines


def test_medians_are_given_by_size_and_way_and_other_libraries_ahead_are_named():
    cells = [
        CALL,
        eager(4096, actfun=1.0, torch=4.0, jax=0.5, copy=0.2),
        eager(4096, "silu", actfun=1.0, torch=3.0, jax=3.0, copy=0.2),
        eager(65_536, actfun=1.0, torch=2.0, jax=3.0, copy=0.2),
    ]
    text = page(cells)
    assert "| float32, forward, N(0, 1²) | 3.50 (3.00) | 2.00 (2.00) |" in text
    assert "| float32, forward, 4,096 | 3.50 | 1.75 |" in text
    assert "Another than torch is faster than actfun in gelu, float32, forward, 4,096: jax 0.50." in text
    assert "| gelu | 0.50 | 4.00 | 2.00 |" in text  # what a call costs is told, and is no target


def test_what_torch_lacks_is_timed_without_a_ratio():
    text = page([eager(4096, "own", actfun=4.096e-6, copy=2e-6)])
    assert "| own | 1.000 |" in text
    assert "- No results miss a target." in text


@pytest.mark.parametrize(
    ("cell", "bound"),
    [
        (eager(4096, actfun=3.0, torch=2.0, copy=1.0), "calls"),
        (eager(4096, actfun=30.0, torch=60.0, copy=20.0), "memory"),
        (eager(4096, actfun=30.0, torch=60.0, copy=10.0), "arithmetic"),
    ],
    ids=["calls", "memory", "arithmetic"],
)
def test_what_binds_a_cell_is_told(cell, bound):
    assert speed.bound(cell, [CALL, cell]) == bound


def test_steps_are_drawn():
    picture = report.chart([step("relu", 1.5), step("gelu", 1.25, compiled=True)])
    assert picture is not None
    assert all(word in picture for word in ("relu", "gelu", "eager", "compiled", "MLP"))
    assert report.chart([CALL]) is None
