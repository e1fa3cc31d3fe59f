"""Kernels' polynomials for common numbers, the formula in float64 for the rare ones, and the tool that fits them."""

import dataclasses
import itertools
import json

import fit_polynomials as tool
import numpy
import pytest
import torch
from polynomials.fits import Subintervals
from polynomials.sample import ALLOWED, Sample
from support import CAREFUL, ELEMENTWISE, others_slow

from actfun import names
from actfun._accuracy.error import TARGETS
from actfun._backends import cpu
from actfun._backends.cpu import kernels, polynomials
from actfun._backends.cpu.polynomials import ENTRIES, FILE, Polynomials

SINGLE = TARGETS[torch.float32]
EVERY = {tool.key(*function[:2]): function for function in tool.functions(names())}
FUNCTIONS = {name: function for name, function in EVERY.items() if polynomials.of(*function[:2]) is not None}
each = pytest.mark.parametrize("name", FUNCTIONS)
PRECISE = 0.55  # ulp: what float64, rounded once, is off at most; measured 0.51, of the slopes of phish and serf 0.54


def shipped(name: str) -> Polynomials:
    formula, numbers, _ = FUNCTIONS[name]
    found = polynomials.of(formula, numbers)
    assert found is not None
    return found


def worst(name: str, common: Polynomials | None) -> float:
    """In what the targets allow. The tool objects to more than `ALLOWED`, which lies a little below."""
    *_, slope = FUNCTIONS[name]
    target = SINGLE.derivative if slope else SINGLE.forward
    return Sample(*FUNCTIONS[name]).worst(common) * ALLOWED[slope] / target


@each
def test_values_are_within_the_target(name):
    assert worst(name, shipped(name)) <= 1.0


@each
def test_a_changed_coefficient_is_caught(name):
    """The largest constant term, by 2⁻²⁰ of itself."""
    right = shipped(name)
    last = list(right.coefficients[-1])
    k = max(range(ENTRIES), key=lambda k: abs(last[k]))
    last[k] = float(numpy.float32(last[k] * (1.0 + 2.0**-20)))
    changed = dataclasses.replace(right, coefficients=[*right.coefficients[:-1], last])
    assert not worst(name, changed) <= 1.0


@each
def test_common_numbers_are_within_reach(name):
    common = numpy.abs(numpy.random.default_rng(0).standard_normal(10**6))
    assert (common > shipped(name).radius).mean() < 1e-4


@pytest.mark.parametrize("case", others_slow(CAREFUL), ids=str)
def test_float64_is_half_a_unit_off_at_most(case):
    """At other values of the parameters too, where there are no polynomials."""
    if str(case) == "acon_c-dx":
        pytest.skip("ends in + 0, so that zeros of both signs are right")
    for factor in (1.0, 0.3) if case.parameters else (1.0,):
        sample = Sample(case.formula, [factor * value for value in case.rounded], case.argument is not None)
        sample.numbers = tuple(float(numpy.float32(value)) for value in sample.numbers)
        assert sample.worst(None) * ALLOWED[sample.derivative] <= PRECISE


def test_the_file_holds_what_the_tool_writes():
    entries = json.loads(FILE.read_text())
    assert entries.keys() == FUNCTIONS.keys()
    torchs = {tool.key(*f[:2]) for f in tool.functions([a.name for a in ELEMENTWISE if a.torch])}
    # selu's right is a multiple of x, and tanh_shrink's left goes on as x + 1: the search knows neither.
    assert torchs - entries.keys() == {"selu", "selu_dx", "tanh_shrink", "tanh_shrink_dx"}
    assert FILE.read_text() == tool.text_of(entries)


def test_what_the_tool_finds_is_within_the_target():
    found = tool.fitted(Sample(*FUNCTIONS["elu(1.0)"]))
    assert found is not None
    assert worst("elu(1.0)", found) <= 1.0


def test_a_formula_of_somebody_else_has_no_polynomials():
    def gelu(x):
        return x

    assert polynomials.of(gelu, ()) is None


def test_no_piece_is_found_from_both_ends():
    for skew, radius in itertools.product((1.0, 3.0, 8.0), (4.5, 7.0, 8.0)):
        subintervals = Subintervals.made(False, radius, skew)
        low, high = (round(x * (subintervals.slope + subintervals.curvature * x)) for x in (-radius, radius))
        assert high - low < ENTRIES


GELU = next(case for case in CAREFUL if str(case) == "gelu")


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
