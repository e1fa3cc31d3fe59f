"""Modules: torch's names and arguments, the learnable ELU, Maxout, the Transformer block, gains."""

import inspect
import math

import pytest
import torch
from support import ELEMENTWISE, given

import actfun as af
from actfun._catalogue.registry import Parameter

every = pytest.mark.parametrize("name", af.names())
x = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))


@every
def test_a_module_for_every_name_equals_its_function(name):
    module = af.get(name, **given(name)).eval()
    assert type(module).__module__ == "actfun.nn"
    arguments = {"training": False} if name == "stochastic_gelu" else given(name)
    at = x[None] if af.spec(name).domain[0] < 0.0 else x[None].abs()
    torch.manual_seed(0)
    y = module(at)
    torch.manual_seed(0)
    assert torch.equal(y, getattr(af, name)(at, **arguments))
    assert repr(module).startswith(type(module).__name__)


@pytest.mark.parametrize("activation", [a for a in ELEMENTWISE if hasattr(torch.nn, a.module)], ids=lambda a: a.name)
def test_class_names_and_inplace_are_torchs(activation):
    theirs = inspect.signature(getattr(torch.nn, activation.module)).parameters
    assert ("inplace" in theirs) == activation.inplace
    ours = [argument for argument in activation.parameters if argument in theirs]
    assert list(theirs)[: len(ours)] == ours
    needed = {n: activation.parameters[n].default for n in ours if theirs[n].default is inspect.Parameter.empty}
    for argument in ours:
        assert argument in needed or theirs[argument].default == activation.parameters[argument].default
    module = getattr(af.nn, activation.module)
    torch.testing.assert_close(module()(x), getattr(torch.nn, activation.module)(**needed)(x), rtol=1e-5, atol=1e-6)
    if activation.inplace:
        defaults = [activation.parameters[argument].default for argument in ours]
        y = x.clone()
        assert module(*defaults, True)(y) is y
        assert module(inplace=True).inplace
    else:
        with pytest.raises(TypeError, match="inplace"):
            module(inplace=True)


def test_registry_names_are_sorted_and_aliases_are_offered():
    assert list(af.names()) == sorted(af.names())
    with pytest.raises(ValueError, match="did you mean gelu"):
        af.spec("gelo")


def test_a_learned_alpha_trains_and_never_acts_as_less_than_its_bound():
    module = af.nn.ELU(0.5, False, True, 6)
    assert isinstance(module.alpha, torch.nn.Parameter)
    optimizer = torch.optim.SGD(module.parameters(), lr=100.0)
    for _ in range(3):
        optimizer.zero_grad()
        module(-x.abs()).sum().neg().backward()  # wants alpha as small as can be
        optimizer.step()
    low = af.spec("elu").parameters["alpha"].low
    assert bool((module.alpha < low).all())
    assert torch.equal(module(x), af.elu(x, low * torch.ones(6)))
    assert torch.equal(module.eval()(x), af.elu(x, low * torch.ones(6)))


@pytest.mark.parametrize(
    ("optimizer", "steps"), [(lambda p: torch.optim.SGD(p, 0.1), 400), (lambda p: torch.optim.Adam(p, 0.02), 600)]
)
def test_a_value_far_below_its_bound_comes_back(optimizer, steps):
    module, goal = af.nn.ELU(learnable=True), af.elu(x, 1.0)
    with torch.no_grad():
        module.alpha.fill_(-5.0)
    training = optimizer(module.parameters())
    for _ in range(steps):
        training.zero_grad()
        (module(x) - goal).square().mean().backward()
        training.step()
    assert module.alpha.tolist() == pytest.approx([1.0], abs=0.05)


def test_a_learnable_module_may_be_used_twice_in_a_step():
    module = af.nn.ELU(learnable=True)
    module(module(x)).sum().backward()
    assert module.alpha.grad is not None


def test_alpha_is_per_channel_in_dim_1_or_the_last_of_two():
    # none of them 1, for which as a plain number there is a kernel of its own, a last bit apart
    image, alpha = torch.randn(2, 3, 4, 4), torch.tensor([0.5, 4.0, 2.0])
    for k in range(3):
        assert torch.equal(af.elu(image, alpha)[:, k], af.elu(image[:, k], float(alpha[k])))
    assert torch.equal(af.elu(torch.tensor([-1.0, -1.0, -1.0]), alpha), af.elu(torch.tensor(-1.0), 0.5) * (2.0 * alpha))


def test_maxout_takes_the_first_largest_and_lets_nan_through():
    pieces = torch.tensor([[1.0, 1.0, 0.0, 5.0, math.nan, 7.0]], requires_grad=True)
    y = af.maxout(pieces, 2)
    assert y[0, :2].tolist() == [1.0, 5.0]
    assert y[0, 2].isnan()
    y[0, :2].sum().backward()
    assert pieces.grad[0, :4].tolist() == [1.0, 0.0, 0.0, 1.0]
    folded = af.spec("maxout").formula
    assert folded(1.0, 2.0) == 2.0
    assert math.isnan(folded(math.nan, 2.0))
    assert math.isnan(folded(2.0, math.nan))


def test_maxout_layers_are_linear_then_maxout():
    layer = af.nn.Maxout(6, 4, pieces=3)
    assert layer.weight.shape == (12, 6)
    assert torch.equal(layer(x), af.maxout(torch.nn.functional.linear(x, layer.weight, layer.bias), 3))
    images = torch.randn(2, 3, 9, 9)
    convolution = af.nn.MaxoutConv2d(3, 4, 3, pieces=2, padding=1, stride=2)
    assert convolution(images).shape == (2, 4, 5, 5)
    torch.testing.assert_close(convolution(images)[0], convolution(images[0]))


@pytest.mark.parametrize(("activation", "gated"), [("gelu", False), ("silu", True), ("maxout", False)])
def test_feed_forward(activation, gated):
    block = af.nn.FeedForward(6, 10, activation, gated=gated, bias=False)
    hidden = block.up(x) if not gated else block.gate(x)
    hidden = af.maxout(hidden, 2) if activation == "maxout" else getattr(af, activation)(hidden)
    hidden = hidden * block.up(x) if gated else hidden
    torch.testing.assert_close(block(x), hidden @ block.down.weight.t())


def test_stochastic_gelu_is_gelu_on_average_and_exactly_in_evaluation():
    generator = torch.Generator().manual_seed(3)
    at = torch.tensor([-2.0, -0.5, 0.5, 2.0])
    draws = af.stochastic_gelu(at.expand(200_000, 4).contiguous(), generator=generator)
    assert {*(draws[:, 0].unique().tolist())} == {0.0, -2.0}
    p = torch.special.ndtr(at)
    error = at.abs() * (p * (1 - p) / 200_000).sqrt()
    assert bool(((draws.mean(0) - af.gelu(at)).abs() < 4 * error).all())
    assert torch.equal(af.stochastic_gelu(at, training=False), af.gelu(at))
    again = torch.Generator().manual_seed(3)
    assert torch.equal(draws[:4], af.stochastic_gelu(at.expand(200_000, 4).contiguous(), generator=again)[:4])


@pytest.mark.parametrize(
    ("name", "forward", "backward"),
    # 1/sqrt(E[f^2]) and 1/sqrt(E[f'^2]) from SciPy's adaptive quadrature, see test below; sqrt(2) is He's rule
    [
        ("relu", math.sqrt(2), math.sqrt(2)),
        ("maxout", 1.0, math.sqrt(2)),
        ("stochastic_gelu", math.sqrt(2), math.sqrt(2)),
    ],
)
def test_gains_known_in_closed_form(name, forward, backward):
    assert af.gain(name) == pytest.approx(forward, abs=1e-9)
    assert af.gain(name, "backward") == pytest.approx(backward, abs=1e-9)


@pytest.mark.parametrize("activation", ELEMENTWISE, ids=lambda a: a.name)
def test_gains_agree_with_adaptive_quadrature(activation):
    from scipy.integrate import quad

    from actfun._backends import torch as torch_ops

    numbers = [p.default for p in activation.parameters.values() if isinstance(p, Parameter)]
    for preserve, formula in (("forward", activation.formula), ("backward", activation.derivatives["x"])):

        def weighted(z, formula=formula):
            value = float(torch_ops.evaluate(formula, torch.tensor(z, dtype=torch.float64), *numbers))
            return value**2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

        total = sum(quad(weighted, *ends, epsabs=1e-13, limit=200)[0] for ends in ((-12, 0), (0, 12)))
        assert af.gain(activation.name, preserve) == pytest.approx(total**-0.5, abs=1e-9)


def test_maxout_gain_is_that_of_independent_normals():
    draws = torch.randn(400_000, 4, generator=torch.Generator().manual_seed(0)).amax(1).square()
    error = float(draws.std()) / math.sqrt(len(draws))
    assert abs(1 / af.gain("maxout", pieces=4) ** 2 - float(draws.mean())) < 4 * error
