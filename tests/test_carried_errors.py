"""The graphs that CPU kernels are made of, and which of their rounding errors are carried."""

import io
import math
import sys

import numpy
import pytest
import torch
from support import CAREFUL, CASES, VALUES, Case, Shipped, points, trial_of

from actfun.backends import cpu, graphs
from actfun.carried import economy, trial
from actfun.carried.graph import ZERO, Node, computed, leaf, ordered
from actfun.carried.writing import read, written

SIGMOID = next(case for case in CAREFUL if str(case) == "sigmoid")
X = leaf("input", "x")
sigmoid = SIGMOID.formula


def twice_sigmoid(x):
    return 2.0 * sigmoid(x)


def names(case: Case) -> list[str]:
    return graphs.names(len(case.parameters))


def full(case: Case) -> Node:
    """The graph that carries every error."""
    return graphs.full(case.formula, len(case.parameters)).rounded()


def bare(output: Node) -> Node:
    """A graph without its errors."""
    while errors := [n for n in ordered(output) if n.error and n is not ZERO]:
        output = economy._replaced(output, errors[0], ZERO)[output]
    return output


def tried(case: Case) -> trial.Trial:
    return trial_of(Shipped(case, len(case.parameters)))


def careful(output: Node) -> Node:
    """What a graph does to every number, or to the rare ones."""
    return output.args[1] if output.op == "rarely" else output


@pytest.mark.parametrize("case", VALUES, ids=str)
def test_machine_code_does_what_the_graph_says(case):
    x = points(count=4_000).numpy()
    settled = case.parameters and graphs.comes_with(case.formula, case.parameters, False)
    output = graphs.graph(case.formula, False, case.parameters if settled else len(case.parameters), False)
    numbers = zip(names(case), case.rounded, strict=True)
    y = computed(ordered(output), {"x": x} | {name: numpy.full_like(x, value) for name, value in numbers})[output]
    assert torch.equal(torch.from_numpy(y), cpu.evaluate(case.formula, torch.from_numpy(x), *case.parameters))


@pytest.mark.parametrize("case", [case for case in CAREFUL if case in VALUES], ids=str)
def test_errors_are_left_out_but_not_all(case):
    kept, everything = graphs.graph(case.formula, False, len(case.parameters), False), full(case)
    nothing = bare(everything)
    assert economy.cost(nothing) < economy.cost(careful(kept)) < economy.cost(everything)
    at = tried(case).points
    assert at.errors(kept).max() <= 1.0 < at.errors(nothing).max()


def test_a_lower_bound_on_errors_keeps_more_of_them(monkeypatch):
    usual = careful(graphs.graph(SIGMOID.formula, False, 0, False))
    monkeypatch.setitem(trial.ALLOWED, False, 0.6)
    stricter = graphs.trial_of(SIGMOID.formula, 0, derivative=False)
    assert economy.cost(economy.thrifty(full(SIGMOID), stricter)) > economy.cost(usual)


OUTPUT = full(SIGMOID)


@pytest.mark.parametrize(
    ("planted", "wrong"),
    [
        ((X > 126.0).select(OUTPUT * (1.0 + 2.0**-22), OUTPUT), lambda x: x > 126.0),
        ((math.inf <= X).select(0.5, OUTPUT), lambda x: x == math.inf),
        ((X >= X).select(OUTPUT, 0.5), numpy.isnan),
    ],
    ids=["value", "infinity", "nan"],
)
def test_wrong_values_are_caught(planted, wrong):
    held = tried(SIGMOID).points
    x = held.inputs["x"]
    assert held.errors(OUTPUT).max() <= 1.0
    assert wrong(x).any()
    assert numpy.array_equal(held.errors(planted) > 1.0, wrong(x))


def test_a_zero_of_the_wrong_sign_is_caught():
    held = trial.Trial(-X, [], lambda inputs: -inputs["x"].astype(float), derivative=False).points
    assert held.errors(-X).max() == 0.0
    wrong = held.errors((X >= 0.0).select((X <= 0.0).select(0.0, -X), -X)) > 1.0
    assert wrong.any()
    assert numpy.array_equal(wrong, (held.inputs["x"] == 0.0) & ~numpy.signbit(held.inputs["x"]))


def test_numbers_are_looked_at_closely_where_the_pieces_of_a_formula_meet():
    x = tried(SIGMOID).points.inputs["x"]
    for n in (0.5, 3.5, 20.5):  # where exp(-x) is reduced by another power of 2
        seam = n * math.log(2.0)
        near = numpy.sum(numpy.abs(x - seam) < 1e-3 * seam)
        beside = numpy.sum(numpy.abs(x - 1.01 * seam) < 1e-3 * seam)
        assert near > 2 * beside + 100


def test_the_worst_numbers_get_neighbours():
    held = tried(SIGMOID)
    x = held.points.inputs["x"]
    errors = numpy.where(numpy.abs(x - 1.0) < 1e-3, 0.9, 0.1)
    closer = held.closely(held.points, errors)
    ours, before = (numpy.sum(numpy.abs(v - 1.0) < 1e-3) for v in (closer.inputs["x"], x))
    assert ours > 8 * before
    assert len(closer.inputs["x"]) < 1.1 * len(x)


def test_bounds_of_a_node_are_merged():
    size = X.magnitude()
    far = (size > 800.0).select(800.0, size)
    assert (far > 126.0).select(126.0, far) is (size > 126.0).select(126.0, size)
    assert (far > 900.0).select(900.0, far) is far
    assert far.magnitude() is far
    below = (size < 800.0).select(800.0, size)  # the larger one: no bound from above
    assert (below > 126.0).select(126.0, below).args[2] is below


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_graph_is_read_as_it_was_written(case):
    output = graphs.graph(case.formula, case.argument is not None, len(case.parameters), False)
    assert read(written(output)) is output
    assert written(full(case)) != written(-full(case))


def test_another_formula_is_searched_once_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("ACTFUN_CACHE", str(tmp_path))
    first = graphs._found(twice_sigmoid, 0, False)
    assert [path.suffix for path in tmp_path.glob("*/*")] == [".graph"]
    monkeypatch.setattr(graphs, "searched", None)
    assert graphs._found(twice_sigmoid, 0, False) is first


class Screen(io.StringIO):
    """A stderr that is a terminal, or is none."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.isatty = lambda: terminal


@pytest.mark.parametrize(("terminal", "patience", "lines"), [(True, 0.01, 1), (True, 3600.0, 0), (False, 0.01, 0)])
def test_a_long_search_is_announced_on_a_terminal(monkeypatch, terminal, patience, lines):
    monkeypatch.setenv("ACTFUN_CACHE", "")
    monkeypatch.setattr(graphs, "PATIENCE", patience)
    screen = Screen(terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    graphs._found(twice_sigmoid, 0, False)
    assert screen.getvalue().count("searching for a float32 kernel of twice_sigmoid") == lines
    assert screen.getvalue().count("\n") == lines
