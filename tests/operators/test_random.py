"""Activations that are random in training: what is drawn is what backward passes, wherever PyTorch runs them."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.autograd import gradgradcheck

import actfun as af
from actfun._catalogue.kinds import RANDOM

each = pytest.mark.parametrize("name", af.names(RANDOM))
x = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))


def drawn(name: str, at: torch.Tensor, seed: int = 0, **more) -> torch.Tensor:
    return getattr(af, name)(at, training=True, generator=torch.Generator().manual_seed(seed), **more)


def slopes(name: str, at: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """What a call has drawn: its values are x times these."""
    return drawn(name, at.detach(), seed) / at.detach()


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_the_gradient_is_the_slope_that_was_drawn(name, dtype):
    at = x.clone().to(dtype).requires_grad_()
    y = drawn(name, at)
    assert y.dtype is dtype
    slope = torch.autograd.grad(y.sum(), at)[0]
    torch.testing.assert_close(slope, slopes(name, at), rtol=2e-2 if dtype.itemsize == 2 else 2e-7, atol=0.0)
    assert torch.equal(y, drawn(name, at)) and not torch.equal(y, drawn(name, at, seed=1))
    again = torch.autograd.grad(drawn(name, at).sum(), at, create_graph=True)[0]
    assert not again.requires_grad or torch.autograd.grad(again.sum(), at)[0].abs().max() == 0.0
    if af.spec(name).inplace:
        buffer = at * 1.0
        assert drawn(name, buffer, inplace=True) is buffer
        assert torch.equal(buffer, y)
        assert torch.equal(torch.autograd.grad(buffer.sum(), at)[0], slope)


@each
def test_gradients_hold_to_second_order(name):
    at = x.double().requires_grad_()
    assert gradgradcheck(lambda v: drawn(name, v).square(), at)


@each
def test_transformations_agree_with_plain_calls(name):
    slope = slopes(name, x)
    passed = torch.func.grad(lambda v: drawn(name, v).sum())(x)
    torch.testing.assert_close(passed, slope)
    torch.testing.assert_close(torch.func.jvp(lambda v: drawn(name, v), (x,), (torch.ones_like(x),))[1], slope)
    rows = torch.func.vmap(lambda v: getattr(af, name)(v, training=True), randomness="different")(x.expand(50, 5, 6))
    assert not torch.equal(rows[0], rows[1])


@each
@pytest.mark.parametrize("training", [True, False])
def test_it_compiles_exports_and_is_traced(name, training):
    torch._dynamo.reset()
    module, at = af.get(name).train(training), x.clone().requires_grad_()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for call in (compiled, torch.export.export(module, (x,)).module()):
        y = call(at)
        slope = torch.autograd.grad(y.sum(), at)[0]
        if training:
            torch.testing.assert_close(slope, (y / at).detach(), rtol=1e-6, atol=0.0)
        torch.testing.assert_close(y, module(at) if not training else y, rtol=1e-5, atol=1e-6)
    graph = torch.fx.symbolic_trace(module)
    assert sum(node.op == "call_function" for node in graph.graph.nodes) == 1
    for other in (graph, pickle.loads(pickle.dumps(graph)), copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        torch.manual_seed(4)
        wanted = module(x)
        torch.manual_seed(4)
        assert torch.equal(other(x), wanted)
    if not training:
        torch.testing.assert_close(torch.jit.trace(module, x)(x), module(x), rtol=1e-5, atol=1e-6)


@each
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=str)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_are_drawn_and_passed_back(name, layout):
    nested = torch.nested.nested_tensor([torch.randn(2, 4), torch.randn(3, 4)], layout=layout, requires_grad=True)
    for training in (True, False):
        y = getattr(af, name)(nested, training=training)
        assert y.layout is layout
        (passed,) = torch.autograd.grad(torch.nested.to_padded_tensor(y, 0.0).sum(), nested)
        for got, part, slope in zip(y.unbind(), nested.unbind(), passed.unbind(), strict=True):
            if training:
                torch.testing.assert_close(got, part * slope, rtol=1e-6, atol=0.0)
            else:
                torch.testing.assert_close(got, getattr(af, name)(part, training=False))


@each
def test_other_kinds_of_tensors_work(name):
    class Subclass(torch.Tensor):
        pass

    assert type(drawn(name, x.as_subclass(Subclass))) is Subclass
    assert getattr(af, name)(torch.empty(2, 3, device="meta"), training=True).device.type == "meta"
    assert drawn(name, torch.empty(0, 3)).shape == (0, 3)
    network = nn.Sequential(nn.Linear(6, 6), af.get(name), nn.Linear(6, 2))
    network(x).sum().backward()
    assert network[0].weight.grad is not None


@each
def test_the_gain_is_that_of_many_draws(name):
    z = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    y = drawn(name, z, seed=7)
    for preserve, values in (("forward", y.detach()), ("backward", torch.autograd.grad(y.sum(), z)[0])):
        squares = values * values
        error = float(squares.std()) / len(squares) ** 0.5
        assert abs(1.0 / af.gain(name, preserve) ** 2 - float(squares.mean())) < 4.0 * error
