"""What the registry states of each activation, held against its values; with a planted falsehood for every law."""

import dataclasses
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ELEMENTWISE

from actfun._backends import torch as torch_ops
from actfun._catalogue.registry import Activation, Parameter

numbers = st.floats(-50.0, 50.0, allow_nan=False)
law = pytest.mark.parametrize("activation", ELEMENTWISE, ids=lambda activation: activation.name)
quick = settings(max_examples=60, deadline=None)


def values(activation: Activation, *x: float, of: str | None = None) -> list[float]:
    parameters = [p.default for p in activation.parameters.values() if isinstance(p, Parameter)]
    formula = activation.derivatives[of] if of else activation.formula
    return torch_ops.evaluate(formula, torch.tensor(x, dtype=torch.float64), *parameters).tolist()


def holds_range(activation: Activation, x: float) -> bool:
    low, high = activation.range
    return low - 1e-15 <= values(activation, x)[0] <= high + 1e-15


def holds_monotonic(activation: Activation, x: float, y: float) -> bool:
    a, b = values(activation, min(x, y), max(x, y))
    return a <= b + 1e-12 * abs(b)


def holds_convex(activation: Activation, x: float, y: float) -> bool:
    a, middle, b = values(activation, x, (x + y) / 2, y)
    return middle <= (a + b) / 2 + 1e-12 * (1 + abs(a) + abs(b))


def holds_odd(activation: Activation, x: float) -> bool:
    a, b = values(activation, x, -x)
    return a == -b


def tends_to_flat(activation: Activation, side: str) -> bool:
    return abs(values(activation, {"left": -1e6, "right": 1e6}[side], of="x")[0]) < 1e-9  # far, for slow tails


def jump(activation: Activation, x: float) -> float:
    below, above = values(activation, x - 1e-9, x + 1e-9, of="x")
    return abs(above - below)


@law
@given(x=numbers)
@quick
def test_values_lie_in_the_range(activation, x):
    assert holds_range(activation, x)


@law
def test_the_range_is_no_wider_than_it_has_to_be(activation):
    coarse, fine = torch.linspace(-60.0, 1e4, 10_001), torch.linspace(-2.0, 0.0, 20_001)
    reached = torch.tensor(values(activation, -1e8, 1e8, *torch.cat([coarse, fine]).tolist()), dtype=torch.float64)
    low, high = activation.range
    assert reached.min() < (low + 1e-6 if math.isfinite(low) else -1e4)
    assert reached.max() > (high - 1e-6 if math.isfinite(high) else 1e4)


@law
@given(x=numbers, y=numbers)
@quick
def test_monotonic_and_convex_where_stated(activation, x, y):
    assert not activation.monotonic or holds_monotonic(activation, x, y)
    assert not activation.convex or holds_convex(activation, x, y)


@law
def test_neither_monotonic_nor_convex_where_that_is_stated(activation):
    grid = torch.linspace(-6.0, 6.0, 121, dtype=torch.float64).tolist()
    neighbours = list(itertools.pairwise(grid))
    assert activation.monotonic or not all(holds_monotonic(activation, x, y) for x, y in neighbours)
    assert activation.convex or not all(holds_convex(activation, x, y) for x, y in neighbours)


@law
@given(x=numbers)
@quick
def test_zero_centred_means_odd(activation, x):
    assert not activation.zero_centred or holds_odd(activation, x)


@law
def test_it_saturates_where_stated_and_nowhere_else(activation):
    assert {side for side in ("left", "right") if tends_to_flat(activation, side)} == set(activation.saturates)


@law
def test_the_slope_jumps_at_the_kinks_and_nowhere_else(activation):
    grid = [k / 4 for k in range(-16, 17)]
    assert {x for x in grid if jump(activation, x) > 1e-6} == set(activation.kinks)


@law
def test_every_number_may_be_learned_only_with_a_derivative(activation):
    assert "x" in activation.derivatives
    for argument, parameter in activation.parameters.items():
        learnable = isinstance(parameter, Parameter) and parameter.learnable
        assert learnable == (argument in activation.derivatives)


@law
def test_it_says_what_it_is(activation):
    assert activation.summary.endswith(".") or ":" in activation.summary
    assert activation.latex
    assert activation.reference


def test_the_laws_catch_falsehoods():
    spec = {activation.name: activation for activation in ELEMENTWISE}
    assert not holds_range(dataclasses.replace(spec["tanh"], range=(-0.5, 0.5)), 2.0)
    assert not holds_monotonic(spec["gelu"], -3.0, -0.75)
    assert not holds_convex(spec["tanh"], 0.0, 4.0)
    assert not holds_odd(spec["sigmoid"], 1.0)
    assert not tends_to_flat(spec["relu"], "right")
    assert jump(spec["relu"], 0.0) > 0.5
