"""Differentiation: both modes, twice, and under every transformation of PyTorch."""

import copy
import math
import pickle

import pytest
import torch
from support import ELEMENTWISE
from torch.autograd import forward_ad, gradcheck, gradgradcheck

import actfun as af

PLAIN = [pytest.param(getattr(af, activation.name), id=activation.name) for activation in ELEMENTWISE]
MAXOUT = pytest.param(lambda x: af.maxout(x, 3), id="maxout")
each = pytest.mark.parametrize("function", [*PLAIN, MAXOUT])


def inputs(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype).requires_grad_()


def wrapped(function) -> torch.nn.Module:
    class Wrapped(torch.nn.Module):
        def forward(self, x):
            return function(x)

    return Wrapped()


@each
def test_gradients_hold_to_second_order_in_both_modes(function):
    x = inputs(torch.float64)
    assert gradcheck(function, x, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(function, x)


def test_alpha_gets_its_gradient():
    x, channels, one = (
        inputs(torch.float64),
        torch.linspace(0.5, 2.0, 6, dtype=torch.float64),
        torch.tensor(0.7).double(),
    )
    for alpha in (channels.requires_grad_(), one.requires_grad_()):
        assert gradcheck(af.elu, (x, alpha), check_forward_ad=True)
        assert gradgradcheck(af.elu, (x, alpha))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", [(6,), ()], ids=["per channel", "one"])
def test_alphas_gradient_from_kernels_is_that_of_float64(dtype, shape):
    x, alpha = inputs(dtype), torch.full(shape, 0.75, requires_grad=True)
    af.elu(x, alpha).sum().backward()
    x64, alpha64 = x.detach().double(), torch.full(shape, 0.75, dtype=torch.float64, requires_grad=True)
    af.elu(x64, alpha64).sum().backward()
    torch.testing.assert_close(alpha.grad.double(), alpha64.grad, rtol=1e-6, atol=1e-6)


@each
def test_transformations_agree_with_plain_calls(function):
    x = inputs()
    y = function(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    close = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(torch.func.vmap(function)(x), y, **close)
    torch.testing.assert_close(torch.func.grad(lambda v: function(v).sum())(x.detach()), gradient, **close)
    per_row = torch.func.vmap(torch.func.grad(lambda v: function(v).sum()))(x.detach())
    torch.testing.assert_close(per_row, gradient, **close)
    tangent = torch.ones_like(x)
    torch.testing.assert_close(torch.func.jvp(function, (x.detach(),), (tangent,))[1].sum(), gradient.sum(), **close)
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(function(forward_ad.make_dual(x.detach(), tangent)))
    torch.testing.assert_close(dual.tangent.sum(), gradient.sum(), **close)
    assert torch.func.hessian(lambda v: function(v).sum())(x.detach()[0]).isfinite().all()


@each
def test_it_compiles_without_a_graph_break_and_exports(function):
    x = inputs()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager", dynamic=True)
    torch.testing.assert_close(compiled(x), function(x), rtol=1e-5, atol=1e-6)
    ours, theirs = (torch.autograd.grad(f(x).square().sum(), x)[0] for f in (function, compiled))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    exported = torch.export.export(wrapped(function), (x.detach(),)).module()
    torch.testing.assert_close(exported(x.detach()), function(x.detach()), rtol=1e-5, atol=1e-6)


def test_it_compiles_with_the_default_backend():
    """Inductor compiles C++ and takes seconds, so one activation stands for all."""
    x = inputs()
    compiled = torch.compile(af.get("elu", learnable=True), fullgraph=True)
    torch.testing.assert_close(compiled(x), af.elu(x), rtol=1e-5, atol=1e-6)
    compiled(x).sum().backward()
    assert x.grad is not None


@each
def test_other_kinds_of_tensors_work(function):
    class Subclass(torch.Tensor):
        pass

    x = inputs().detach()
    assert type(function(x.as_subclass(Subclass))) is Subclass
    assert function(torch.empty(5, 6, device="meta")).device.type == "meta"
    assert torch.equal(function(torch.nn.Parameter(x)), function(x))
    assert function(torch.empty(0, 6)).shape[0] == 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert function(torch.nn.functional.linear(x, torch.eye(6))).dtype is torch.bfloat16
    traced = torch.fx.symbolic_trace(wrapped(function))
    torch.testing.assert_close(traced(x), function(x))


@pytest.mark.parametrize("function", PLAIN)
def test_memory_layout_is_kept_as_torch_keeps_it(function):
    x = torch.randn(4, 3, 6, 5)
    for view in (
        x.to(memory_format=torch.channels_last),
        x.transpose(0, 3),
        x[:, ::2],
        x.expand(4, 3, 6, 5),
        x[0, 0, 0, 0],
    ):
        y, theirs = function(view), torch.tanh(view)
        assert y.stride() == theirs.stride()
        torch.testing.assert_close(y, function(view.contiguous()).view_as(y), rtol=0, atol=0)
    broadcast = torch.randn(1, 3, 1, 5).expand(4, 3, 6, 5)
    assert torch.equal(function(broadcast), function(broadcast.clone()))


@pytest.mark.parametrize("function", PLAIN)
def test_an_expanded_incoming_gradient_is_read_right(function):
    x = inputs()
    (summed,) = torch.autograd.grad(function(x).sum(), x)
    (given,) = torch.autograd.grad(function(x), x, torch.ones(5, 6).t().contiguous().t())
    assert torch.equal(summed, given)


@pytest.mark.parametrize("function", PLAIN)
def test_inplace_gives_the_same_and_the_same_gradient(function):
    x = inputs()
    buffer = x * 1.0
    y = function(buffer, inplace=True)
    assert y is buffer
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(y, function(x))
    assert torch.equal(gradient, torch.autograd.grad(function(x).sum(), x)[0])


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_bfloat16_keeps_gradients_where_torch_has_lost_them(name):
    x = torch.tensor([7.0], dtype=torch.bfloat16, requires_grad=True)
    (ours,) = torch.autograd.grad(getattr(af, name)(x), x)
    (theirs,) = torch.autograd.grad(getattr(torch, name)(x), x)
    exact = {"tanh": 1 / math.cosh(7.0) ** 2, "sigmoid": math.exp(-7.0) / (1 + math.exp(-7.0)) ** 2}[name]
    assert float(theirs) == 0.0
    assert float(ours) == pytest.approx(exact, rel=2**-8)


def test_results_do_not_depend_on_threads_or_position():
    threads = torch.get_num_threads()
    x = torch.randn(100_003)
    try:
        torch.set_num_threads(2)
        parallel = {activation.name: getattr(af, activation.name)(x) for activation in ELEMENTWISE}
        torch.set_num_threads(1)
        for name, y in parallel.items():
            assert torch.equal(getattr(af, name)(x), y)
            assert torch.equal(getattr(af, name)(x[7:]), y[7:])
    finally:
        torch.set_num_threads(threads)


def test_modules_can_be_copied_pickled_and_loaded():
    module = af.nn.ELU(learnable=True, num_parameters=3)
    other = pickle.loads(pickle.dumps(copy.deepcopy(module)))
    other.load_state_dict(module.state_dict())
    x = torch.randn(2, 3)
    assert torch.equal(other(x), module(x))
