"""Every primitive, on every backend that this machine runs, against mpmath and its contract."""

import math
from fractions import Fraction

import mpmath
import pytest
import torch
from support import COMPILES, assert_close, points
from torch import Tensor

from actfun._backends import cpu, torch32
from actfun._backends import mpmath as oracle
from actfun._backends import torch as torch_ops
from actfun._catalogue import primitives
from actfun._catalogue.primitives import CONTRACTS, copysign, where

BACKENDS = {"cpu": cpu, "torch": torch_ops, "torch32": torch32}
PRIMITIVES = [primitive for primitive in CONTRACTS if primitive is not where]
# What these are in float32 torch operations is held through formulas: each rounds, so that a contract would be wider.
THROUGH_FORMULAS = [getattr(primitives, name) for name in ("expm1", "ndtr_scaled", "gaussian_decay", "cubic_decay")]
NAMES = ["sqrt", "log", "log1p", "sin", "cos", "erf"]
each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_name = pytest.mark.parametrize("name", NAMES)


def beside_roots() -> list[float]:
    """The float32 numbers of every size that come closest to multiples of π/2: denominators of convergents.

    m·2ᵉ is next to a multiple where m·2ᵉ⁺¹/π is next to a whole number; that is closest with the denominators m < 2²⁴
    of the continued fraction.
    """
    found = []
    for power in range(-22, 104):
        with mpmath.workdps(100):
            number = mpmath.mpf(2) ** (power + 1) / mpmath.pi
            rest, before, m = Fraction(int(mpmath.nint(number * 2**200)), 2**200), 0, 1
        while m < 2**24:
            found.append(math.ldexp(m, power))
            rest -= rest.numerator // rest.denominator
            rest = 1 / rest
            before, m = m, m * (rest.numerator // rest.denominator) + before
    return found


def inside(primitive) -> Tensor:
    """Numbers of a primitive's domain."""
    facts = torch.finfo(torch.float32)
    sizes = [facts.smallest_normal * facts.eps, facts.smallest_normal, 1e-20, 1e38, facts.max, *beside_roots()]
    sizes += [math.ldexp(1.0, power) * beside for power in range(-20, 21) for beside in (1.0, 1.0 - 2.0**-24)]
    low, high = CONTRACTS[primitive].domain
    x = torch.cat([points(-100.0, 88.0, 3_000), torch.tensor(sizes), -torch.tensor(sizes)])
    return x[(x >= low) & (x <= high)]


def check(primitive, x: Tensor, got: Tensor, ulp: float) -> None:
    others = (1.0,) * (primitive.__code__.co_argcount - 1)
    exact = [oracle.evaluate(primitive, value, *others) for value in x.tolist()]
    wide = torch.tensor([float(value) for value in exact], dtype=torch.float64)
    assert_close(got, exact if got.dtype is torch.float64 else wide, ulp)


@each_backend
@pytest.mark.parametrize("primitive", PRIMITIVES, ids=lambda function: function.__name__)
def test_primitives_keep_their_contracts(primitive, backend):
    if backend == "torch32" and primitive in THROUGH_FORMULAS:
        return
    x = inside(primitive)
    other = torch.ones_like(x) if primitive is copysign else 1.0
    others = (other,) * (primitive.__code__.co_argcount - 1)
    check(primitive, x, BACKENDS[backend].evaluate(primitive, x, *others), CONTRACTS[primitive].ulp)


@each_name
def test_kernels_round_to_the_next_number_but_for_a_hundredth(name):
    primitive = getattr(primitives, name)
    x = inside(primitive)
    check(primitive, x, cpu.evaluate(primitive, x), 0.51)


@each_name
def test_float64_is_within_an_ulp(name):
    primitive = getattr(primitives, name)
    x = inside(primitive).double() * (1.0 + 2.0**-40)
    low, high = CONTRACTS[primitive].domain
    x = x[(x >= low) & (x <= high)]
    check(primitive, x, torch_ops.evaluate(primitive, x), 1.0)


@COMPILES
def test_inductor_keeps_the_contracts():
    """All in one graph."""
    functions = [getattr(primitives, name) for name in NAMES]
    x = [inside(function) for function in functions]
    lowered = [torch32.lower(function) for function in functions]
    torch.compiler.reset()
    got = torch.compile(lambda *x: [f(value) for f, value in zip(lowered, x, strict=True)], fullgraph=True)(*x)
    for function, value, y in zip(functions, x, got, strict=True):
        check(function, value, y, CONTRACTS[function].ulp)


def test_a_coarse_reduction_is_caught():
    """By π as a float64, which near the root at 16367173·2⁷² leaves nothing right."""
    x = inside(primitives.sin)
    coarse = torch.sin(torch.remainder(x.double(), 2.0 * math.pi)).float()
    with pytest.raises(AssertionError, match="values are off"):
        check(primitives.sin, x, coarse, CONTRACTS[primitives.sin].ulp)


@each_backend
@each_name
def test_infinities_zeros_nan_and_what_lies_below_the_domain(name, backend):
    """As the primitive's own body has it, with the sign of zero."""
    primitive = getattr(primitives, name)
    values = [0.0, -0.0, math.nan]
    if name != "log1p":
        values += [math.inf, -math.inf]
    if name in ("sqrt", "log"):
        values += [-1.0, -1e-45, -1e38]
    for dtype in (torch.float32, torch.float64) if backend == "torch" else (torch.float32,):
        x = torch.tensor(values * 8, dtype=dtype)  # as many as a vector holds, and more
        got = BACKENDS[backend].evaluate(primitive, x)
        right = torch.tensor([primitive(value) for value in values] * 8, dtype=dtype)
        torch.testing.assert_close(got, right, rtol=0.0, atol=0.0, equal_nan=True)
        assert torch.equal(got.signbit() | got.isnan(), right.signbit() | right.isnan())


@each_name
def test_the_torch_ops_form_differentiates_twice(name):
    primitive = getattr(primitives, name)
    low, high = CONTRACTS[primitive].domain
    x = torch.linspace(max(low, -3.0) + 0.01, min(high, 3.0) - 0.01, 40, dtype=torch.float64, requires_grad=True)
    lowered = torch_ops.lower(primitive)
    assert torch.autograd.gradcheck(lowered, x)
    assert torch.autograd.gradgradcheck(lowered, x)


def test_a_gradient_of_0_stays_0_at_the_root_of_0():
    """As in √(x²) at 0, where torch's own is NaN; any other gradient meets the steepest slope."""
    x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    root = torch_ops.lower(primitives.sqrt)
    assert torch.autograd.grad(root(x * x).sum(), x)[0].tolist() == [0.0, 0.0]
    steep = torch.autograd.grad(root(x), x, torch.tensor([1.0, 0.0], dtype=torch.float64))[0]
    assert steep.tolist() == [torch.finfo(torch.float64).max, 0.0]


@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_where_chooses_and_lets_nan_be(backend):
    def chosen(x):
        return where(x > 0.0, x, 2.0)

    y = BACKENDS[backend].evaluate(chosen, torch.tensor([-1.0, 3.0, math.nan, -0.0]))
    assert y.tolist() == [2.0, 3.0, 2.0, 2.0]
