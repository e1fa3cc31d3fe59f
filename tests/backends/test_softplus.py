"""softplus at any beta but 0: negative ones, and small ones, with which small numbers are small far left only."""

import re

import mpmath
import pytest
import torch
from torch import Tensor

import actfun as af
from actfun._accuracy.error import TARGETS, nearest, ulps, ulps_in_digits

BETAS = [1.0, -1.0, 3.0, -0.5, 0.1, 0.01, -0.001, 1e-6, -1e9]


def exact(x: Tensor, beta: float, derivative: bool = False) -> list[mpmath.mpf]:
    """In 60 digits, at the float32 that beta is rounded to beside anything but float64."""
    beta = beta if x.dtype is torch.float64 else float(torch.tensor(beta))
    with mpmath.workdps(60):
        z = [mpmath.mpf(value) * mpmath.mpf(beta) for value in x.tolist()]
        if derivative:
            return [1 / (1 + mpmath.exp(-value)) for value in z]
        return [mpmath.log1p(mpmath.exp(value)) / mpmath.mpf(beta) for value in z]


def points(beta: float, dtype: torch.dtype) -> Tensor:
    """Where beta·x goes from where float32 has no number so small to where softplus is straight, and around 0."""
    z = torch.cat([torch.linspace(-116.0, 30.0, 1_001), torch.tensor([-0.01, -1e-9, 1e-9, 0.01])]).double()
    x = (z / beta).to(dtype)
    return x[x.isfinite()]


@pytest.mark.parametrize("beta", BETAS)
def test_float32_is_within_the_targets(beta):
    x = points(beta, torch.float32).requires_grad_()
    y = af.softplus(x, beta)
    (slope,) = torch.autograd.grad(y.sum(), x)
    bound, x = TARGETS[torch.float32], x.detach()
    assert ulps_in_digits(y.detach(), exact(x, beta)).max() <= bound.forward
    assert ulps_in_digits(slope, exact(x, beta, derivative=True)).max() <= bound.derivative


@pytest.mark.parametrize("beta", BETAS)
def test_float64_is_within_the_target_but_for_what_the_product_loses(beta):
    """beta·x is rounded before it is an exponent, which costs up to |beta·x| units: 53 were measured at 116."""
    x = points(beta, torch.float64)
    lost = 0.0 if abs(beta) == 1.0 else (beta * x).abs().clamp(max=200.0)
    assert (ulps_in_digits(af.softplus(x, beta), exact(x, beta)) <= TARGETS[torch.float64].forward + lost).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("beta", BETAS)
def test_16_bits_are_rounded_right(beta, dtype):
    x = points(beta, dtype)
    right = torch.tensor([float(value) for value in exact(x, beta)], dtype=torch.float64)
    assert torch.equal(af.softplus(x, beta), nearest(right, dtype))
    assert ulps(af.softplus(x, beta), right).max() <= 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("beta", BETAS)
def test_the_ends_are_0_and_x(beta, dtype):
    x = torch.tensor([torch.inf, -torch.inf], dtype=dtype)
    y = af.softplus(x, beta)
    assert y.tolist() == ([torch.inf, 0.0] if beta > 0.0 else [0.0, -torch.inf])
    assert af.softplus(x * torch.nan, beta).isnan().all()


@pytest.mark.parametrize("zero", [0.0, -0.0, 0])
def test_a_beta_of_0_is_refused_wherever_it_is_given(zero):
    calls = [
        lambda: af.softplus(torch.ones(2), zero),
        lambda: af.softplus(torch.ones(2), beta=zero),
        lambda: af.nn.Softplus(zero),
        lambda: af.get("softplus", beta=zero),
        lambda: af.gain("softplus", beta=zero),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=re.escape(f"softplus: beta must not be 0, got {zero}")):
            call()


def test_a_negative_betas_gain_is_that_of_the_mirrored_function():
    mirrored = af.gain("softplus", beta=1.0)  # softplus(x, -β) = -softplus(-x, β), and z is symmetric
    assert af.gain("softplus", beta=-1.0) == pytest.approx(mirrored, rel=1e-9)
