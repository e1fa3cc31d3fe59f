"""Polynomials on pieces of the line, which kernels use for common numbers, and the way of the rare ones."""

import itertools

import numpy
import pytest
import torch
from support import CAREFUL, Case, Shipped, trial_of

from actfun.backends import cpu, kernels
from actfun.carried import economy
from actfun.carried.fits import ENTRIES, Pieces
from actfun.carried.graph import Node, computed, constant, node, ordered
from actfun.carried.trial import Trial

BENT = [case for case in CAREFUL if case.activation.name == "elu"]  # at 0, where no polynomial fits it
PIECED = [case for case in CAREFUL if case not in BENT]
GELU = next(case for case in PIECED if str(case) == "gelu")


def trial(case: Case) -> Trial:
    return trial_of(Shipped(case, case.parameters or 0))


def graph(case: Case) -> Node:
    return Shipped(case, case.parameters or 0).graph()


@pytest.mark.parametrize("case", PIECED, ids=str)
def test_common_numbers_take_less_than_half_of_the_operations(case):
    far, careful, fast = graph(case).args
    assert economy.cost(fast) < 0.5 * economy.cost(careful)
    common = numpy.random.default_rng(0).standard_normal(10**6)
    assert (numpy.abs(common) > abs(far.args[1].value)).mean() < 1e-4


@pytest.mark.parametrize("case", BENT, ids=str)
def test_a_function_that_bends_has_no_pieces(case):
    assert graph(case).op != "rarely"


def edges(output: Node) -> numpy.ndarray:
    """Numbers on both sides of where one piece ends and another begins, and of the reach."""
    far, _, fast = output.args
    index = next(n.args[0] for n in ordered(fast) if n.op == "lookup")
    reach = abs(far.args[1].value)
    x = numpy.linspace(-reach, reach, 2**20).astype(numpy.float32)
    piece = computed(ordered(index), {"x": x})[index]
    ends = numpy.append(x[1:][piece[1:] != piece[:-1]], numpy.float32([-reach, reach]))
    beside = numpy.arange(-64, 65, dtype=numpy.int32)
    return (ends.view(numpy.int32)[:, None] + beside).flatten().view(numpy.float32)


@pytest.mark.parametrize("case", PIECED, ids=str)
def test_values_are_right_where_pieces_meet(case):
    output = graph(case)
    x = edges(output)
    assert len(x) >= 129 * ENTRIES
    assert trial(case)._at(x).errors(output).max() <= 1.0


@pytest.mark.parametrize("case", PIECED, ids=str)
def test_a_last_bit_of_one_coefficient_is_seen(case):
    """That of the constant term of one piece, which is where a last bit shows."""
    output, held = graph(case), trial(case)
    assert held.wrong(output) is None
    lookup = [n for n in ordered(output.args[2]) if n.op == "lookup"][-1]
    k = max(range(1, len(lookup.args)), key=lambda k: abs(lookup.args[k].value))
    changed = list(lookup.args)
    changed[k] = constant(float(numpy.nextafter(numpy.float32(changed[k].value), numpy.float32(0.0))))
    assert held.wrong(economy._replaced(output, lookup, node("lookup", *changed))[output]) is not None


def test_no_piece_is_found_from_both_ends():
    for skew, reach in itertools.product((1.0, 3.0, 8.0), (4.5, 7.0, 8.0)):
        pieces = Pieces.made(False, reach, skew)
        low, high = (round(x * (pieces.slope + pieces.bend * x)) for x in (-reach, reach))
        assert high - low < ENTRIES


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("n", [1, 15, 16, 17, kernels.BLOCK, 3 * kernels.BLOCK + 5])
def test_rare_numbers_are_done_as_if_each_were_alone(n, share):
    random = numpy.random.default_rng(1)
    x = random.uniform(-1.0, 1.0, n).astype(numpy.float32)
    x[random.random(n) < share] -= 6.0
    x, g = torch.from_numpy(x), torch.linspace(-2.0, 2.0, n)
    formula, derivative = GELU.formula, GELU.activation.derivatives["x"]
    assert torch.equal(cpu.evaluate(formula, x), torch.cat([cpu.evaluate(formula, one) for one in x.split(1)]))
    alone = [cpu.evaluate(derivative, a, times=b) for a, b in zip(x.split(1), g.split(1), strict=True)]
    assert torch.equal(cpu.evaluate(derivative, x, times=g), torch.cat(alone))
