"""Every formula, on every backend that this machine runs, against mpmath."""

import math

import mpmath
import numpy
import pytest
import torch
from support import CASES, DERIVATIVES, SPECIAL, VALUES, Case, assert_close, points

from actfun.backends import mpmath as oracle
from actfun.backends import numba
from actfun.backends import torch as torch_ops
from actfun.primitives import CONTRACTS, copysign, where

# Where a derivative crosses 0 (gelu, silu, mish) no relative bound can hold in float32: an absolute one does.
NEAR_ROOT = 2.0**-21


def exact(case: Case, x: torch.Tensor, parameters: tuple[float, ...]) -> list[mpmath.mpf]:
    return [oracle.evaluate(case.formula, value, *parameters) for value in x.double().tolist()]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32_kernels_agree_with_mpmath(case):
    x = points(count=400)
    bound = 4.0 if case.argument is None else 7.0  # measured: 3.8 (gelu) and 6.4 (gelu_tanh's derivative)
    absolute = 0.0 if case.argument is None else NEAR_ROOT
    assert_close(numba.evaluate(case.formula, x, *case.parameters), exact(case, x, case.rounded), bound, absolute)


@pytest.mark.parametrize("case", VALUES, ids=str)
def test_float32_kernels_stay_within_4_ulp_on_a_dense_sample(case):
    x = points(count=400_001)
    assert_close(
        numba.evaluate(case.formula, x, *case.parameters),
        torch_ops.evaluate(case.formula, x.double(), *case.rounded),
        4.0,
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_torch_ops_form_agrees_with_mpmath_in_float64(case):
    x = points(count=400).double()
    assert_close(torch_ops.evaluate(case.formula, x, *case.parameters), exact(case, x, case.parameters), 16.0, 2.0**-50)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_torch_ops_form_agrees_with_the_kernel_in_float32(case):
    x = points(count=2_000)
    wide = torch_ops.evaluate(case.formula, x.double(), *case.rounded)
    assert_close(torch_ops.evaluate(case.formula, x, *case.parameters), wide, 7.0, NEAR_ROOT)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_16_bit_kernels_round_once(case, dtype):
    """All 65,536 values: what a float32 result, off by a few ulp, gives when it is rounded once."""
    x = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype)
    x = x[x.isfinite() & (x.abs() <= 200.0)]  # the square of more overflows float16
    wide = torch_ops.evaluate(case.formula, x.double(), *case.rounded)
    assert_close(numba.evaluate(case.formula, x, *case.parameters), wide, 0.51, NEAR_ROOT)


@pytest.mark.parametrize("case", [case for case in VALUES if case.activation.torch], ids=str)
def test_the_formula_is_the_function_that_torch_has_under_that_name(case):
    x = torch.linspace(-5.0, 5.0, 2_001, dtype=torch.float64)
    theirs = getattr(torch.nn.functional, case.activation.torch)(x)
    torch.testing.assert_close(torch_ops.evaluate(case.formula, x, *case.parameters), theirs, rtol=1e-9, atol=1e-15)


def test_gelu_tanh_is_torchs_tanh_form():
    x = torch.linspace(-3.0, 3.0, 2_001, dtype=torch.float64)
    theirs = torch.nn.functional.gelu(x, approximate="tanh")
    case = next(case for case in VALUES if case.activation.name == "gelu_tanh")
    torch.testing.assert_close(torch_ops.evaluate(case.formula, x), theirs, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("case", DERIVATIVES, ids=str)
def test_derivatives_are_the_slopes_of_their_formulas(case):
    """Numerically, in 60 digits, away from kinks."""
    arguments = case.activation.formula.__code__.co_varnames
    place = arguments.index(case.argument)
    for value in (-7.3, -2.1, -0.4, 0.3, 1.9, 6.2):
        with mpmath.workdps(60):
            at = [mpmath.mpf(value), *(mpmath.mpf(p) for p in case.parameters)]
            formula = oracle.lower(case.activation.formula)
            slope = mpmath.diff(lambda v: formula(*at[:place], v, *at[place + 1 :]), at[place])  # noqa: B023
            ours = oracle.lower(case.formula)(*at)
            assert mpmath.almosteq(ours, slope, 1e-15, 1e-15)  # constants such as 1/√(2π) stand as doubles


@pytest.mark.parametrize("backend", [numba, torch_ops], ids=["numba", "torch"])
@pytest.mark.parametrize("primitive", [p for p in CONTRACTS if p is not where], ids=lambda function: function.__name__)
def test_primitives_keep_their_contracts(primitive, backend):
    low, high = CONTRACTS[primitive].domain
    x = points(-100.0, 88.0, 3_000)
    x = x[(x >= low) & (x <= high)]
    arguments = (1.0,) * (primitive.__code__.co_argcount - 1)
    exact = [oracle.evaluate(primitive, value, *arguments) for value in x.tolist()]
    stream = () if primitive is not copysign else (torch.ones_like(x),)
    assert_close(backend.evaluate(primitive, x, *(stream or arguments)), exact, CONTRACTS[primitive].ulp)


@pytest.mark.parametrize("backend", [numba, torch_ops], ids=["numba", "torch"])
def test_where_chooses_and_lets_nan_be(backend):
    def chosen(x):
        return where(x > 0.0, x, 2.0)

    y = backend.evaluate(chosen, torch.tensor([-1.0, 3.0, math.nan, -0.0]))
    assert y.tolist() == [2.0, 3.0, 2.0, 2.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("case", VALUES, ids=str)
def test_special_values_give_the_limit(case, dtype):
    x = torch.tensor([*SPECIAL, math.nan]).to(dtype)
    for backend in (torch_ops,) if dtype is torch.float64 else (torch_ops, numba):
        y = backend.evaluate(case.formula, x, *case.parameters)
        assert not y[:-1].isnan().any(), "NaN for a number"
        assert y[-1].isnan(), "a number for NaN"
        low, high = case.activation.range
        assert bool(((y[:-1] >= low) & (y[:-1] <= high)).all())


def test_signed_zeros_stay():
    for name in ("gelu", "silu", "tanh", "elu", "mish", "relu", "leaky_relu"):
        case = next(case for case in VALUES if case.activation.name == name)
        y = numba.evaluate(case.formula, torch.tensor([0.0, -0.0]), *case.parameters)
        assert y.signbit().tolist() == [False, True], name


def test_the_measure_of_error_catches_an_error_of_five_ulp():
    exact_values = torch.linspace(0.5, 30.0, 100, dtype=torch.float64)
    assert_close(exact_values.float(), exact_values, 0.5)
    off = torch.from_numpy(exact_values.float().numpy() + 5 * numpy.spacing(exact_values.float().numpy()))
    with pytest.raises(AssertionError, match="ulp"):
        assert_close(off, exact_values, 4.0)
    with pytest.raises(AssertionError, match="ulp"):
        assert_close(torch.tensor([math.nan]), torch.tensor([1.0]), 4.0)
