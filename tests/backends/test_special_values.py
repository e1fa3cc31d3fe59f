"""±0, ±inf, NaN, subnormals, both sides of kinks, overflow edges: the mathematical limit, in every dtype and order."""

import math

import mpmath
import pytest
import torch
from support import ALL, WIDER, Case
from torch import Tensor

import actfun as af
from actfun._accuracy.error import TARGETS, nearest, ulps
from actfun._accuracy.implementation import library_function
from actfun._backends import cpu
from actfun._backends import mpmath as oracle
from actfun._backends import torch as torch_ops
from actfun._catalogue.registry import Activation
from actfun._operators import functional

FAR = 1e9  # where every activation is as it is at infinity, or still grows

each = pytest.mark.parametrize("activation", ALL, ids=lambda activation: activation.name)
in_each_dtype = pytest.mark.parametrize("dtype", list(TARGETS), ids=str)


def special(activation: Activation, dtype: torch.dtype) -> Tensor:
    """The special inputs of an activation, NaN not among them."""
    facts = torch.finfo(dtype)
    sizes = torch.tensor([0.0, facts.smallest_normal, 1.0, 88.0, facts.max, math.inf], dtype=dtype)
    sizes = torch.cat([sizes, torch.tensor([facts.smallest_normal * facts.eps], dtype=dtype)])  # the smallest of all
    up, down = (torch.tensor(side, dtype=dtype) for side in (math.inf, -math.inf))
    # 1/6, rounded to float64, moves the ends of hard_sigmoid away from ±3.
    kinks = torch.tensor(() if activation.name == "hard_sigmoid" else activation.kinks, dtype=dtype)
    beside = [torch.nextafter(point, side) for point in (kinks, sizes) for side in (up, down)]
    points = torch.cat([sizes, *beside, kinks])
    return torch.cat([points, -points])


def limit(case: Case, x: float, numbers: tuple[float, ...]) -> mpmath.mpf:
    """The value at x; at infinity, what it tends to, or NaN where it tends to nothing."""
    if math.isfinite(x):
        return oracle.evaluate(case.formula, x, *numbers)
    sizes = [FAR * 1.37**k for k in range(8)]
    places = [math.copysign(size, x) for size in (*sizes, FAR * FAR)]
    near, *others, far = (oracle.evaluate(case.formula, place, *numbers) for place in places)
    if any((b - a) * (c - b) < 0 for a, b, c in zip([near, *others], others, others[1:], strict=False)):
        return mpmath.nan  # it oscillates
    if abs(far) > 2 * abs(near):
        return far * mpmath.inf if abs(far) > 1 else far
    return far * mpmath.mpf("1e-100000") if abs(far) < abs(near) / 2 else far


def as_float64(value: mpmath.mpf) -> float:
    """With the sign of a number that is too small for float64."""
    return math.copysign(float(value), -1.0 if value < 0 else 1.0)


def numbers_of(case: Case, dtype: torch.dtype) -> tuple[float, ...]:
    return case.parameters if dtype is torch.float64 else case.rounded


@in_each_dtype
@pytest.mark.parametrize("argument", [None, "x"], ids=["value", "derivative"])
@each
def test_values_and_derivatives_are_the_limits(activation, argument, dtype):
    case, x = Case(activation, argument), special(activation, dtype)
    numbers = numbers_of(case, dtype)
    exact = torch.tensor([as_float64(limit(case, value, numbers)) for value in x.tolist()], dtype=torch.float64)
    right, bound = nearest(exact, dtype), TARGETS[dtype].bound(argument is not None).ulp
    if dtype is torch.float64:
        bound = max(bound, WIDER.get(str(case), 0.0))
    one = None if argument is None else torch.ones_like(x)
    for backend in (torch_ops,) if dtype is torch.float64 else (torch_ops, cpu):
        y = backend.evaluate(case.formula, x, *case.parameters, times=one)
        twice = dtype.itemsize == 2 and backend is torch_ops  # torch rounds float64 to float32 on its way to 16 bits
        wrong = ~(ulps(y, exact) <= (0.501 if twice else bound))
        if dtype is torch.float64 and argument:
            wrong &= ~((y - exact).abs() <= 2.0**-53)  # beside a root
        assert not wrong.any(), (backend.__name__, x[wrong], y[wrong], right[wrong])
        lost = (right == 0.0) & (y == 0.0) & (x.abs() >= torch.finfo(dtype).tiny) & (y.signbit() != right.signbit())
        lost &= str(case) != "acon_c-dx"  # a slope of -0 and a p2 of +0
        assert not lost.any(), ("the sign of zero", backend.__name__, x[lost], y[lost])


@in_each_dtype
@each
def test_nan_stays_nan_in_values_and_both_derivatives(activation, dtype):
    x = torch.full((3,), math.nan, dtype=dtype, requires_grad=True)
    y = functional.function_of(activation)(x)
    (slope,) = torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)
    assert y.isnan().all()
    line = activation.convex and activation.zero_centred
    kinked = line or bool(activation.kinks)  # piecewise linear: the slope is one of two numbers, as torch has it
    assert kinked or slope.isnan().all()


@in_each_dtype
@each
def test_second_derivatives_are_the_limits(activation, dtype):
    """Within eight units of the coarsest dtype's rounding of a sum of terms of size 1; never NaN."""
    case = Case(activation, "x")
    numbers = numbers_of(case, dtype)
    x = special(activation, dtype)
    settled = not any(mpmath.isnan(limit(case, side, numbers)) for side in (math.inf, -math.inf))
    inside = (x > activation.domain[0] + 1e-3) & ((x.double().abs() <= FAR * FAR) | settled)
    x = x[inside].requires_grad_()
    y = functional.function_of(activation)(x)
    (slope,) = torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)
    if not slope.requires_grad:  # the slope is constant between the kinks
        return
    (second,) = torch.autograd.grad(slope, x, torch.ones_like(slope))
    assert not second.isnan().any(), x[second.isnan()]
    for at, got in zip(x.tolist(), second.tolist(), strict=True):
        sides = slopes(case, at, numbers)
        facts = torch.finfo(dtype)
        near = [abs(got - side) <= 8 * facts.eps * max(1, abs(side)) for side in sides]
        near += [got == math.inf and side > facts.max for side in sides]
        assert any(near), (at, got, sides)


def slopes(case: Case, at: float, numbers: tuple[float, ...]) -> list[mpmath.mpf]:
    """The slopes of a formula on both sides of a point, in 60 digits; those of ±0 a little beside it."""
    size = min(max(abs(at), 1e-18), FAR * FAR)
    formula = oracle.lower(case.formula)
    with mpmath.workdps(60):
        return [
            mpmath.diff(lambda v: formula(v, *numbers), point, direction=side, h=size * mpmath.mpf(10) ** -20)
            for point in ([-size, size] if at == 0.0 else [math.copysign(size, at)])
            for side in (-1, 1)
        ]


@in_each_dtype
def test_swish_of_beta_0_is_half_of_x_at_infinity_too(dtype):
    x = torch.tensor([-math.inf, -2.0, 0.0, 3.0, math.inf], dtype=dtype, requires_grad=True)
    y = af.swish(x, 0.0)
    assert torch.equal(y, 0.5 * x)
    assert torch.autograd.grad(y.sum(), x)[0].tolist() == [0.5] * 5
    assert af.swish(torch.full_like(x, math.nan), 0.0).isnan().all()
    beta = torch.zeros(1, dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(af.swish(torch.full((1,), math.inf, dtype=dtype), beta).sum(), beta)
    assert slope.item() == math.inf


@each
def test_the_sign_of_zero_is_torchs(activation):
    """At ±0, and at ±inf where torch gives no NaN; two of torch's functions end in a difference, whose 0 is +0."""
    if activation.torch in (None, "logsigmoid", "tanhshrink"):
        return
    x = torch.tensor([0.0, -0.0, math.inf, -math.inf] * 8)
    theirs = library_function("torch", activation.name)(x)
    known = ~theirs.isnan()
    for backend in (torch_ops, cpu):
        y = backend.evaluate(activation.formula, x, *Case(activation, None).parameters)
        assert torch.equal(y[known], theirs[known])
        assert torch.equal(y.signbit()[known], theirs.signbit()[known])
