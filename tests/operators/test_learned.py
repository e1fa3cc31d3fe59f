"""Parameters that are learned: any number of them in an activation, one value or one a channel, in any dimension."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

import actfun as af
from actfun._catalogue.registry import Parameter, _registry, activation, derivative
from actfun.formula import where

x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
image = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))


def two_sided(x, left, right, sharpness):
    """A slope for each side, one of which is sharpened; only the slopes may be learned."""
    return where(x > 0.0, right * x, sharpness * left * x)


def two_sided_dx(x, left, right, sharpness):
    return where(x > 0.0, right, sharpness * left)


def two_sided_dleft(x, left, right, sharpness):
    return where(x > 0.0, 0.0, sharpness * x)


def two_sided_dright(x, left, right, sharpness):
    return where(x > 0.0, x, 0.0)


@pytest.fixture(autouse=True, scope="module")
def several():
    """An activation that learns two of its three parameters, one of them with a bound, while the tests here run."""
    stated = {
        "left": Parameter(0.25, low=0.125, learnable=True),
        "right": Parameter(1.0, learnable=True),
        "sharpness": Parameter(2.0),
    }
    activation(monotonic=True, convex=True, kinks=(0.0,), latex="x", reference="a test", **stated)(two_sided)
    for argument, slope in (("x", two_sided_dx), ("left", two_sided_dleft), ("right", two_sided_dright)):
        derivative(two_sided, argument)(slope)
    yield
    _registry.pop("two_sided", None)


NAMES = [name for name in af.names() if af.spec(name).learnable] + ["two_sided"]
learns = pytest.mark.parametrize("name", NAMES)
A_FEW = ["elu", "prelu", "acon_c", "two_sided"]  # one, always one, several, not all
few = pytest.mark.parametrize("name", [n if n in A_FEW else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])


def made(name: str, **more) -> nn.Module:
    """A module that learns what it may."""
    return af.get(name, **({} if name == "prelu" else {"learnable": True}), **more)


def randomised(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for index, p in enumerate(module.parameters()):
            p.copy_(0.3 + 0.1 * index + 0.07 * torch.arange(p.numel()))
    return module


@learns
def test_all_that_may_be_learned_is(name):
    module, parameters = made(name, num_parameters=6), af.spec(name).parameters
    free = [argument for argument, p in parameters.items() if p.learnable]
    assert [argument for argument, _ in module.named_parameters()] == free == list(module.state_dict())
    assert all(p.shape == (6,) and bool((p == parameters[a].default).all()) for a, p in module.named_parameters())
    assert all(getattr(module, a) == p.default for a, p in parameters.items() if not p.learnable)
    optimizer, before = torch.optim.SGD(module.parameters(), 0.1), copy.deepcopy(module.state_dict())
    module(x).square().sum().backward()
    optimizer.step()
    assert all(not torch.equal(value, before[key]) for key, value in module.state_dict().items())
    module.reset_parameters()
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize("name", A_FEW)
@pytest.mark.parametrize("dim", [0, 1, 2, 3, -1, -2, -3, -4])
def test_one_value_a_channel_is_taken_along_any_dimension(name, dim):
    """Alike to a call for each channel with its numbers, forward, backward and in place, in each dtype."""
    module = randomised(made(name, num_parameters=image.shape[dim], dim=dim))
    function = getattr(af, name)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        at = image.to(dtype).requires_grad_()
        module.to(dtype)
        y = module(at)
        (slope,) = torch.autograd.grad(y.sum(), at)
        values = {argument: p.detach() for argument, p in module.named_parameters()}
        assert torch.equal(function(at, **values, dim=dim), y)
        buffer = at.detach().clone()
        assert function(buffer, **values, inplace=True, dim=dim) is buffer
        assert torch.equal(buffer, y)
        for channel in range(image.shape[dim]):
            part = at.detach().select(dim, channel).requires_grad_()
            one = function(part, **{argument: value[channel].item() for argument, value in values.items()})
            close = {"rtol": 2e-2 if dtype is torch.bfloat16 else 2e-6, "atol": 1e-6}
            torch.testing.assert_close(y.select(dim, channel), one, **close)
            torch.testing.assert_close(slope.select(dim, channel), torch.autograd.grad(one.sum(), part)[0], **close)


@few
@pytest.mark.parametrize("dim", [1, -1])
def test_gradients_hold_to_second_order_in_both_modes(name, dim):
    function = getattr(af, name)
    at = image[:1, :, :2].double().requires_grad_()
    for count in (1, at.shape[dim]):
        module = randomised(made(name, num_parameters=count).double())
        learned = [argument for argument, _ in module.named_parameters()]
        values = [p.detach().requires_grad_() for p in module.parameters()]

        def call(v, *p, learned=learned):
            return function(v, **dict(zip(learned, p, strict=True)), dim=dim)

        assert gradcheck(call, (at, *values), check_forward_ad=True, check_batched_grad=True)
        assert gradgradcheck(call, (at, *values))


@few
@pytest.mark.parametrize("count", [1, 5])
def test_graphs_compilers_and_transformations_agree_with_a_plain_call(name, count):
    torch._dynamo.reset()
    module = randomised(made(name, num_parameters=count, dim=-1))
    wanted, close = module(image), {"rtol": 2e-6, "atol": 1e-6}
    gradients = torch.autograd.grad(wanted.sum(), [*module.parameters()])
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    found = torch.autograd.grad(compiled(image).sum(), [*module.parameters()])
    torch.testing.assert_close([compiled(image), *found], [wanted, *gradients], rtol=1e-5, atol=1e-5)
    exported = torch.export.export(module, (image,))
    assert sum(name in str(node.target) for node in exported.graph.nodes) == 1
    torch.testing.assert_close(exported.module()(image), wanted, **close)
    torch.testing.assert_close(exported.run_decompositions().module()(image), wanted, **close)
    torch.testing.assert_close(torch.jit.trace(module, image)(image), wanted, **close)
    graph = torch.fx.symbolic_trace(module)
    for other in (graph, pickle.loads(pickle.dumps(graph)), copy.deepcopy(graph), torch.fx.symbolic_trace(graph)):
        assert torch.equal(other(image), wanted)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(other(image), wanted) and repr(other) == repr(module)
        assert list(other.state_dict()) == list(module.state_dict())
    parameters = {key: value.detach() for key, value in module.named_parameters()}
    slopes = torch.func.grad(lambda p: torch.func.functional_call(module, p, (image,)).sum())(parameters)
    torch.testing.assert_close([*slopes.values()], [*gradients], rtol=1e-5, atol=1e-5)
    rows = torch.func.vmap(lambda v: torch.func.functional_call(module, parameters, (v,)))(image)
    torch.testing.assert_close(rows, wanted, **close)


@few
def test_a_function_of_tensors_and_numbers_may_be_traced(name):
    """Where one is a tensor, the others are numbers that may be learned as well."""
    if name == "two_sided":

        def call(v, p):
            return af.two_sided(v, p, 0.3)

    else:
        first = next(argument for argument, p in af.spec(name).parameters.items() if p.learnable)

        def call(v, p):
            return getattr(af, name)(v, **{first: p})

    for at, value in ((x, torch.tensor(0.7)), (x.double(), torch.tensor(0.7, dtype=torch.float64))):
        wanted = call(at, value)
        if name == "two_sided":
            assert torch.equal(wanted, af.two_sided(at, value, torch.tensor(0.3, dtype=at.dtype)))
        torch.testing.assert_close(wanted, call(at, value.item()), rtol=1e-6 if at is x else 1e-15, atol=0.0)
        torch._dynamo.reset()
        compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(at, value), wanted, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(torch.fx.symbolic_trace(call)(at, value), wanted, rtol=1e-6, atol=1e-7)


@learns
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=str)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("count", [1, 4])
def test_nested_tensors_have_channels_too(name, layout, count):
    parts = [torch.randn(2, 4), torch.randn(3, 4)]
    module = randomised(made(name, num_parameters=count, dim=2 if layout is torch.strided else -1))
    nested = torch.nested.nested_tensor(parts, layout=layout, requires_grad=True)
    y = module(nested)
    torch.nested.to_padded_tensor(y, 0.0).sum().backward()
    found = [p.grad.clone() for p in module.parameters()]
    module.zero_grad()
    module.dim = -1
    wanted = module(torch.cat(parts))
    wanted.sum().backward()
    torch.testing.assert_close(torch.cat([*y.unbind()]), wanted, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found, [p.grad for p in module.parameters()], rtol=1e-5, atol=1e-6)


@learns
def test_parameters_are_made_where_and_as_wanted(name):
    kept = made(name, num_parameters=3, device="meta", dtype=torch.float16)
    assert {(p.device.type, p.dtype) for p in kept.parameters()} == {("meta", torch.float16)}
    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(4, 4), made(name))
    network.to_empty(device="cpu")
    for p in network.parameters():
        p.data.fill_(777.0)
    for part in network.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    assert not any(bool((p == 777.0).any()) for p in network.parameters())
    assert [p.item() for p in network[1].parameters()] == [p.item() for p in made(name).parameters()]


def test_the_bound_is_in_the_graph_and_lets_the_gradient_through():
    module = af.get("two_sided", learnable=True)
    with torch.no_grad():
        module.left.fill_(-3.0)
    graph, exported = torch.fx.symbolic_trace(module), torch.export.export(module, (x,)).module()
    wanted = af.two_sided(x, 0.125, 1.0)
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for call in (module, graph, exported, compiled):
        assert torch.equal(call(x), wanted)
        slope = torch.autograd.grad(call(x).sum(), [*module.parameters()] if call is not graph else [graph.left])[0]
        assert slope.item() == pytest.approx(2.0 * x[x < 0].sum().item(), rel=1e-5)
    assert module.left.item() == -3.0, "a call wrote to the parameter"


def test_layers_take_device_and_dtype_and_the_block_learns_one_value_a_hidden_unit():
    factory = {"device": "meta", "dtype": torch.float16}
    for layer in (
        af.nn.Maxout(4, 2, **factory),
        af.nn.MaxoutConv2d(1, 2, 3, **factory),
        af.nn.FeedForward(4, 8, "silu", gated=True, **factory),
        af.nn.FeedForward(4, 8, "prelu", **factory),
    ):
        assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.float16)}
    alpha = randomised(af.nn.ELU(learnable=True, num_parameters=8))
    block = af.nn.FeedForward(6, 8, alpha)
    at = torch.randn(2, 3, 6)
    torch.testing.assert_close(block(at), block(at.reshape(6, 6)).reshape(2, 3, 6))
    torch.testing.assert_close(block(at), block.down(af.elu(block.up(at), alpha.alpha.detach(), dim=-1)))


def test_swish_is_silu_at_1_and_its_gradient_in_beta_is_finite_everywhere():
    at = torch.tensor([-torch.inf, -1e30, -200.0, -90.0, -3.0, -0.0, 0.0, 3.0, 90.0, 1e30, torch.inf])
    assert torch.equal(af.swish(at), af.silu(at))
    beta = torch.ones(at.shape, requires_grad=True)
    leaf = at.clone().requires_grad_()
    slope, in_beta = torch.autograd.grad(af.swish(leaf, beta, dim=0).sum(), (leaf, beta))
    torch.testing.assert_close(slope, torch.autograd.grad(af.silu(leaf).sum(), leaf)[0], rtol=1e-6, atol=0.0)
    wide = at.double()
    exact = torch.where(wide.abs() < 1e3, wide * wide * torch.sigmoid(wide) * torch.sigmoid(-wide), 0.0)
    torch.testing.assert_close(in_beta, exact.float(), rtol=1e-6, atol=0.0)
    assert torch.equal(af.swish(x, 0.0), 0.5 * x)
    torch.testing.assert_close(af.swish(x, 1.702), x * torch.sigmoid(1.702 * x), rtol=1e-5, atol=0.0)
