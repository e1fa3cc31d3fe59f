"""The measure of error: planted faults are seen, and only beside the root of a derivative is an error excused."""

import math

import numpy
import pytest
import torch
from support import DERIVATIVES, ELEMENTWISE, assert_close

from actfun._accuracy.error import worst
from actfun._accuracy.implementation import Implementation, roots
from actfun._backends import mpmath as oracle
from actfun._backends.tables import arguments
from actfun._catalogue.formulas.gaussian import gelu_dx
from actfun._catalogue.primitives import where
from actfun._report.accuracy import met


def test_a_wrong_last_bit_of_one_value_is_caught():
    implementation = Implementation("actfun", "sigmoid", False, torch.bfloat16)
    x = arguments(torch.bfloat16)
    y, right = implementation.compute(x), implementation.exact(x)
    assert worst(x, y, right, implementation.bound).misrounded == 0
    place = int((x == 1.5).nonzero())
    y[place] = torch.nextafter(y[place], torch.tensor(0.0, dtype=torch.bfloat16))
    planted = worst(x, y, right, implementation.bound)
    assert (planted.misrounded, planted.x) == (1, 1.5)
    assert not met(implementation, planted)


@pytest.mark.parametrize("wrong", ["value", "nan", "overflow"])
def test_an_error_in_one_float32_is_caught(wrong):
    implementation = Implementation("actfun", "sigmoid", False, torch.float32)
    x = torch.linspace(-80.0, 80.0, 10_001)
    y, right = implementation.compute(x), implementation.exact(x)
    assert met(implementation, worst(x, y, right, implementation.bound))
    y[77] = {"value": y[77] * (1 + 2.0**-22), "nan": math.nan, "overflow": math.inf}[wrong]
    planted = worst(x, y, right, implementation.bound)
    assert not met(implementation, planted)
    assert planted.x == float(x[77])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_an_error_in_one_gated_value_is_caught(dtype):
    implementation = Implementation("actfun", "swiglu", False, dtype)
    x = torch.linspace(-20.0, 20.0, 10_001).to(dtype)
    (up,) = implementation.values(x)
    assert ((up.abs() >= 1.0) & (up.abs() <= 2.0)).all() and 0.4 < (up > 0.0).double().mean() < 0.6
    y, right = implementation.compute(x), implementation.exact(x)
    assert met(implementation, worst(x, y, right, implementation.bound))
    y[77] *= 1.0 + 4.0 * torch.finfo(dtype).eps
    planted = worst(x, y, right, implementation.bound)
    assert not met(implementation, planted) and planted.x == float(x[77])


@pytest.mark.parametrize("name", ["gelu", "mish", "silu", "tanh"])
def test_an_error_in_a_derivatives_tail_is_caught_though_it_is_tiny(name):
    implementation = Implementation("actfun", name, True, torch.float32)
    x = torch.linspace(-12.0, -6.0, 1_001)
    y, right = implementation.compute(x), implementation.exact(x)
    assert met(implementation, worst(x, y, right, implementation.bound))
    y[3] *= 1 + 2.0**-20
    assert 0.0 < abs(float(y[3].double() - right[3])) < 2.0**-30
    planted = worst(x, y, right, implementation.bound)
    assert not met(implementation, planted)
    assert (planted.x, planted.excused) == (float(x[3]), 0.0)


def test_the_gradient_that_torchs_sigmoid_loses_is_no_root():
    implementation = Implementation("torch", "sigmoid", True, torch.float32)
    x = torch.linspace(19.0, 40.0, 1_001)
    lost = worst(x, implementation.compute(x), implementation.exact(x), implementation.bound)
    assert (lost.got, lost.excused, met(implementation, lost)) == (0.0, 0.0, False)


@pytest.mark.parametrize(("off", "excused"), [(2.0**-27, True), (2.0**-25, False)])
def test_beside_a_root_of_gelus_derivative_only_the_absolute_error_counts(off, excused):
    implementation = Implementation("actfun", "gelu", True, torch.float32)
    x = torch.linspace(-0.752, -0.75, 1_001)
    y, right = implementation.compute(x), implementation.exact(x)
    place = int(right.abs().argmin())
    y[place] = right[place] + off
    planted = worst(x, y, right, implementation.bound)
    assert met(implementation, planted) == excused
    assert excused == (abs(planted.excused - off) < 2.0**-34)


def test_roots_are_found_from_the_formula_alone():
    found = {case.activation.name: roots(case.formula, case.parameters) for case in DERIVATIVES if case.argument == "x"}
    dips = {"gelu": -0.75, "gelu_tanh": -0.75, "mish": -1.19, "silu": -1.28, "swish": -1.28}
    dips |= {"aria": -0.46, "hard_mish": -1.0, "hard_swish": -1.5, "quick_gelu": -0.75, "telu": -1.08, "xielu": -0.98}
    assert {name: [round(root, 2) for root in found[name]] for name in dips} == {
        name: [at] for name, at in dips.items()
    }
    assert not any(found[a.name] for a in ELEMENTWISE if a.monotonic)
    assert abs(oracle.evaluate(gelu_dx, found["gelu"][0])) < 2.0**-52


def jump(x, low):
    return where(x > 0.3, 1.0, low)


def flat(x):
    return where(x > 1.0, x - 1.0, where(x < -1.0, x + 1.0, 0.0))


def line(x, at):
    return x - at


def noise(x):
    return where(x > 3.0, -1e-17, 1e-17)


def test_jumps_stretches_and_zero_are_no_roots():
    assert roots(jump, (-0.01,)) == roots(jump, (-1e-20,)) == roots(flat, ()) == roots(noise, ()) == ()
    assert roots(line, (0.0,)) == ()
    assert roots(line, (1.0,)) == (pytest.approx(1.0, abs=1e-14),)


def test_the_measure_of_error_catches_an_error_of_five_ulp():
    exact_values = torch.linspace(0.5, 30.0, 100, dtype=torch.float64)
    assert_close(exact_values.float(), exact_values, 0.5)
    off = torch.from_numpy(exact_values.float().numpy() + 5 * numpy.spacing(exact_values.float().numpy()))
    with pytest.raises(AssertionError, match="ulp"):
        assert_close(off, exact_values, 4.0)
    with pytest.raises(AssertionError, match="ulp"):
        assert_close(torch.tensor([math.nan]), torch.tensor([1.0]), 4.0)
