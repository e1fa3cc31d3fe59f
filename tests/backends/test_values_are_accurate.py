"""Every formula, on every backend that this machine runs, against mpmath."""

import math
from dataclasses import replace

import mpmath
import pytest
import torch
from support import CASES, DERIVATIVES, ELEMENTWISE, VALUES, WIDER, Case, forget, points, same

import actfun as af
from actfun._accuracy import survey
from actfun._accuracy.error import TARGETS, Bound, Worst, judge, nearest, ulps_in_digits
from actfun._accuracy.implementation import Implementation, implementations, library_function, roots
from actfun._backends import cpu
from actfun._backends import mpmath as oracle
from actfun._backends import torch as torch_ops
from actfun._backends.cpu import values
from actfun._backends.tables import arguments
from actfun._catalogue.kinds import GATED
from actfun._catalogue.primitives import where
from actfun._report.accuracy import met
from actfun._runs.job import attempt

SINGLE, DOUBLE = TARGETS[torch.float32], TARGETS[torch.float64]


def inside(case: Case, x: torch.Tensor) -> torch.Tensor:
    """The numbers at which an activation has a value."""
    low, high = case.activation.domain
    return x[(x >= low) & (x <= high)]


def off_by(case: Case, x: torch.Tensor, y: torch.Tensor, numbers: tuple[float, ...], bound: Bound) -> float:
    """The largest error of a formula's values y, in ulp, but for what is excused beside a root."""
    exact = [oracle.evaluate(case.formula, value, *numbers) for value in x.double().tolist()]
    bound = replace(bound, roots=roots(case.formula, numbers))
    rounded = torch.tensor([float(value) for value in exact], dtype=torch.float64)
    return judge(x, y, rounded, ulps_in_digits(y, exact), bound, 0, len(x)).ulp


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32_kernels_agree_with_mpmath(case):
    x, bound = points(count=400), SINGLE.bound(derivative=case.argument is not None)
    assert off_by(case, x, cpu.evaluate(case.formula, x, *case.parameters), case.rounded, bound) <= bound.ulp


def found(implementation: Implementation) -> Worst:
    work = survey.portions([implementation], exhaustive=False)
    return survey.outcome(implementation, [attempt(portion) for portion in work])


KERNELS = implementations(
    (*(a.name for a in ELEMENTWISE), *af.names(GATED)), (torch.float32, torch.bfloat16, torch.float16), ("actfun",)
)


@pytest.mark.parametrize("implementation", KERNELS, ids=lambda s: f"{s.name}{'-dx' * s.derivative}-{s.dtype}")
def test_targets_are_met(implementation):
    """A million float32 numbers of every size, all 65,536 of 16 bits: as `actfun accuracy` measures them."""
    worst = found(implementation)
    assert met(implementation, worst), worst
    assert worst.count >= 2**16


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_torch_ops_form_agrees_with_mpmath_in_float64(case):
    """Within 4 ulp, or beside roots 2⁻⁵⁴, but for what the rounding of torch's exp and erfc leaves no room for.

    Derivatives beside their roots were measured to miss the target by 0.7·2⁻⁵⁴; the others stand in WIDER.
    """
    x = points(count=400).double()
    ulp = WIDER.get(str(case), DOUBLE.forward)
    bound = Bound(ulp, 1.7 * DOUBLE.near_root if case.argument else 0.0)
    assert off_by(case, x, torch_ops.evaluate(case.formula, x, *case.parameters), case.parameters, bound) <= ulp


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_torch_ops_form_rounds_once_in_float32(case):
    x = inside(case, points(count=2_000))
    wide = torch_ops.evaluate(case.formula, x.double(), *case.rounded)
    assert torch.equal(torch_ops.evaluate(case.formula, x, *case.parameters), wide.float())


SIXTEEN = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)


def misrounded(dtype: torch.dtype, slope: float) -> tuple[int, int]:
    """How many of leaky_relu's values and derivatives, of all numbers of 16 bits, are not the nearest to x·slope."""
    x = arguments(dtype).requires_grad_()
    y = af.leaky_relu(x, slope)
    got = torch.autograd.grad(y, x, torch.ones_like(x))[0]
    wide, single = x.detach().double(), torch.tensor(slope).double()
    value = nearest(torch.where(wide > 0.0, wide, wide * single), dtype)  # 11 bits times 24: exact in float64
    derivative = nearest(torch.where(wide > 0.0, 1.0, single), dtype)
    return int((~same(y.detach(), value)).sum()), int((~same(got, derivative)).sum())


@SIXTEEN
@pytest.mark.parametrize("slope", [0.01, -0.01, 0.2, 1 / 3, 0.25, 5.5, 1e-3, 0.1, 3.7, 1e-30, 0.0])
def test_leaky_relu_of_16_bits_is_right_at_any_slope(dtype, slope):
    assert misrounded(dtype, slope) == (0, 0)


def test_a_slope_that_rounds_twice_is_caught(monkeypatch):
    """Where what a product loses is not scaled. float16 has no such slope: its subnormals are normal in float32."""
    monkeypatch.setenv("ACTFUN_CACHE", "")
    monkeypatch.setattr(values, "_rounding_error", lambda a, b, product: a.call("fma", b, -product).vector)
    forget()
    assert misrounded(torch.bfloat16, 0.01) == (2, 0)
    assert misrounded(torch.float16, 0.01) == (0, 0)
    forget()


def stepped(x, a):
    return where(a * x > 1.0, 1.0, 0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_condition_looks_at_what_is_not_rounded(dtype):
    """3 times the float32 next above 1/3 is more than 1, and rounds to 1."""
    x = torch.tensor([3.0, -3.0, 2.984375, math.nan], dtype=dtype)
    assert float(torch.tensor(1 / 3) * 3.0) == 1.0
    assert cpu.evaluate(stepped, x, 1 / 3).tolist() == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("case", [case for case in VALUES if case.activation.torch], ids=str)
def test_the_formula_is_the_function_that_torch_has_under_that_name(case):
    x = torch.linspace(-5.0, 5.0, 2_001, dtype=torch.float64)
    theirs = library_function("torch", case.activation.name)(x)
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
    for value in inside(case, torch.tensor([-7.3, -2.1, -0.4, 0.3, 1.9, 6.2], dtype=torch.float64)).tolist():
        with mpmath.workdps(60):
            at = [mpmath.mpf(value), *(mpmath.mpf(p) for p in case.parameters)]
            formula = oracle.lower(case.activation.formula)
            slope = mpmath.diff(lambda v: formula(*at[:place], v, *at[place + 1 :]), at[place])  # noqa: B023
            ours = oracle.lower(case.formula)(*at)
            assert mpmath.almosteq(ours, slope, 1e-15, 1e-15)  # constants such as 1/√(2π) stand as doubles
