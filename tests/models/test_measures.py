"""What is measured of activations inside a network: dead, saturated, zero, moments, gradients, pieces."""

import math

import pytest
import torch

import actfun as af
from actfun._models.measures import SATURATED, Meter, slopes
from actfun._operators.behaviours.elementwise import largest_slope


def test_flat_follows_the_rule_for_tanh_and_sigmoid():
    for module, edge in ((af.nn.Tanh(), 2.0845), (af.nn.Sigmoid(), 4.169)):
        top = float(slopes(module, torch.zeros(1)))
        below, above = (float(slopes(module, torch.tensor([edge + d]))) for d in (-0.01, 0.01))
        assert above < SATURATED * top < below


def test_dead_units_are_those_that_no_sample_wakes():
    z = torch.tensor([[-1.0, -1.0, 1.0], [-1.0, 2.0, 3.0]])
    for module, dead, saturated in (
        (af.nn.ReLU(), 1 / 3, 3 / 6),
        (af.nn.LeakyReLU(0.1), 0.0, 0.0),
        (af.nn.Sigmoid(), 0.0, 0.0),
    ):
        with Meter([module]) as meter:
            module(z)
        shares = meter.shares()
        assert (shares.dead, shares.saturated, shares.samples) == (pytest.approx(dead), pytest.approx(saturated), 2)
    with Meter([maxout := af.get("maxout")]) as meter:
        maxout(z[:, :2])
    assert meter.shares().dead == 0.0
    with pytest.raises(TypeError, match="expected an activation"):
        slopes(torch.nn.ReLU(), z)


@pytest.mark.parametrize(("z", "dead"), [(-6.8, False), (-7.0, True)])
def test_a_slope_of_a_thousandth_of_the_largest_is_death(z, dead):
    """ELU's slope is e^z: 0.0011 at -6.8, 0.0009 at -7."""
    with Meter([module := af.nn.ELU()]) as meter:
        module(torch.full((10, 1), z))
    assert meter.dead(module).item() is dead


def test_the_largest_slope_is_1_where_slopes_keep_growing():
    assert largest_slope(af.get("relu_squared").variant.derivatives["x"], ()) == 1.0
    assert largest_slope(af.get("sigmoid").variant.derivatives["x"], ()) == pytest.approx(0.25)
    assert largest_slope(af.get("gelu").variant.derivatives["x"], ()) == pytest.approx(1.1289, abs=1e-4)


def test_a_parameter_for_each_channel_counts_by_its_own_slope():
    """0.1·exp(-5) is below a thousandth of the largest slope, 4; 4·exp(-5) is not."""
    module = af.nn.ELU(learnable=True, num_parameters=2)
    module.alpha.data = torch.tensor([0.1, 4.0])
    for z in (torch.full((10, 2), -5.0), torch.full((10, 2, 3), -5.0)):  # channels are dimension 1
        with Meter([module]) as meter:
            module(z)
        if z.dim() == 2:
            assert meter.dead(module).tolist() == [True, False]
        assert meter.shares(module).samples == z.numel() // z.shape[-1]


def test_moments_are_those_of_all_data_together():
    torch.manual_seed(0)
    parts = [torch.randn(50, 3) * k + k for k in (1.0, 2.0)]
    with Meter([module := af.nn.ELU()]) as meter:
        for z in parts:
            module(z)
    z = torch.cat(parts)
    shares = meter.shares()
    assert shares.mean == pytest.approx(float(af.elu(z).mean()), rel=1e-5)
    assert shares.std == pytest.approx(float(af.elu(z).std(correction=0)), rel=1e-5)
    assert shares.z_std == pytest.approx(float(z.std(correction=0)), rel=1e-5)
    assert meter.means(module).tolist() == pytest.approx(af.elu(z).mean(0).tolist(), rel=1e-5)
    with Meter([module := af.nn.ELU()]) as meter, pytest.raises(ValueError, match="no data"):
        meter.means(module)


@pytest.mark.parametrize("inplace", [False, True])
def test_gradients_are_those_at_the_pre_activations(inplace):
    torch.manual_seed(0)
    first, last = af.nn.ReLU(inplace=inplace), af.nn.Tanh()
    linear = torch.nn.Linear(4, 4)
    parts = torch.randn(2, 8, 4)
    with Meter([first, last]) as meter:
        for x in parts:
            last(linear(first(linear(x)))).square().sum().backward()
    z = [linear(x).detach().requires_grad_() for x in parts]
    u = [linear(torch.relu(part)).detach().requires_grad_() for part in z]
    at_first = torch.autograd.grad(sum(torch.tanh(linear(torch.relu(part))).square().sum() for part in z), z)
    at_last = torch.autograd.grad(sum(torch.tanh(part).square().sum() for part in u), u)
    for module, expected in ((first, at_first), (last, at_last)):
        assert meter.gradient_norm(module) == pytest.approx(math.hypot(*(float(g.norm()) for g in expected)), rel=1e-5)


def test_without_gradients_their_norm_is_0():
    with Meter([module := af.nn.ReLU()]) as meter, torch.no_grad():
        module(torch.randn(4, 4))
    assert meter.gradient_norm(module) == 0.0


def test_pieces_win_that_are_largest_on_some_sample():
    z = torch.tensor([[1.0, 2.0, 0.0, -1.0], [1.0, 3.0, -2.0, -1.0]])
    with Meter([maxout := af.get("maxout")]) as meter:
        maxout(z)
    assert meter.winning(maxout).tolist() == [[False, True], [True, True]]
    with Meter([relu := af.nn.ReLU()]) as meter:
        relu(z)
    with pytest.raises(ValueError, match="no data"):
        meter.winning(relu)
