"""What the registry states of each activation, held against its values; with a planted falsehood for every law."""

import dataclasses
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ELEMENTWISE

from actfun._backends import torch as torch_ops
from actfun._catalogue import facts
from actfun._catalogue.formulas import NAMES
from actfun._catalogue.registry import Activation, Parameter, spec
from actfun._report import show as report

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


@law
@given(x=numbers)
@quick
def test_values_lie_in_the_range(activation, x):
    assert holds_range(activation, x)


def found(activation: Activation) -> dict[str, object]:
    """Facts that trying numbers finds otherwise than they are stated."""
    numbers = tuple(p.default for p in activation.parameters.values() if isinstance(p, Parameter))
    tried = facts.find(activation.formula, activation.derivatives["x"], numbers)
    return {
        fact: value
        for fact, value in tried.items()
        if getattr(activation, fact) != (pytest.approx(value, abs=1e-12) if fact == "range" else value)
    }


@law
def test_all_facts_are_found_as_they_are_stated(activation):
    assert found(activation) == {}


@law
@given(x=numbers, y=numbers)
@quick
def test_monotonic_and_convex_where_stated(activation, x, y):
    assert not activation.monotonic or holds_monotonic(activation, x, y)
    assert not activation.convex or holds_convex(activation, x, y)


@law
@given(x=numbers)
@quick
def test_zero_centred_means_odd(activation, x):
    assert not activation.zero_centred or holds_odd(activation, x)


@law
def test_it_says_what_it_is(activation):
    assert activation.summary.endswith(".") or ":" in activation.summary
    assert activation.latex
    assert activation.reference


def untold(activation: Activation) -> list[str]:
    """What an activation of the package leaves unsaid: its summary in Chinese, and who uses it."""
    chinese = re.search(r"[\u4e00-\u9fff].*。$", activation.chinese)
    return ["chinese"] * (not chinese) + ["used_in"] * (not activation.used_in)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_so_in_chinese_and_who_uses_it(name):
    activation = spec(name)
    assert untold(activation) == []
    assert report.facts(name)["used in"] == activation.used_in
    assert untold(dataclasses.replace(activation, chinese=activation.summary, used_in="")) == ["chinese", "used_in"]


def test_the_laws_catch_falsehoods():
    spec = {activation.name: activation for activation in ELEMENTWISE}
    assert not holds_range(dataclasses.replace(spec["tanh"], range=(-0.5, 0.5)), 2.0)
    assert not holds_monotonic(spec["gelu"], -3.0, -0.75)
    assert not holds_convex(spec["tanh"], 0.0, 4.0)
    assert not holds_odd(spec["sigmoid"], 1.0)
    wrong = {
        "saturates": ("left", "right"),
        "kinks": (),
        "monotonic": False,
        "convex": False,
        "range": (-0.1, math.inf),
    }
    assert found(dataclasses.replace(spec["relu"], **wrong)).keys() == wrong.keys()
    assert found(dataclasses.replace(spec["tanh"], zero_centred=False, domain=(0.0, 1.0))) == {
        "zero_centred": True,
        "domain": (-math.inf, math.inf),
    }
