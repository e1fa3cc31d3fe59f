"""Differentiation: both modes, twice, and under every transformation of PyTorch."""

import copy
import itertools
import math
import pickle
import subprocess
import sys

import mpmath
import pytest
import torch
from support import COMPILES, ELEMENTWISE, others_slow
from torch.autograd import forward_ad, gradcheck, gradgradcheck

import actfun as af
from actfun._backends import mpmath as oracle
from actfun._catalogue.kinds import RANDOM
from actfun._catalogue.registry import Parameter

PLAIN = [pytest.param(getattr(af, activation.name), id=activation.name) for activation in ELEMENTWISE]
MAXOUT = pytest.param(lambda x: af.maxout(x, 3), id="maxout")
each = pytest.mark.parametrize("function", [*PLAIN, MAXOUT])
SLOWLY = [pytest.param(getattr(af, a.name), id=a.name, marks=[] if a.torch else pytest.mark.slow) for a in ELEMENTWISE]
compiling = pytest.mark.parametrize("function", [*SLOWLY, MAXOUT])


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


@pytest.mark.parametrize("at", [0.0, -0.0, 0.3, -2.0])
@pytest.mark.parametrize("activation", ELEMENTWISE, ids=lambda activation: activation.name)
def test_second_derivatives_agree_in_every_nesting_of_modes(activation, at):
    """At 0 too, where torch.abs, which the formulas would use, has slope 0."""
    function, x = getattr(af, activation.name), torch.tensor(at, dtype=torch.float64)
    arguments = [mpmath.mpf(p.default) for p in activation.parameters.values() if isinstance(p, Parameter)]

    def second(where: float) -> float:
        return float(mpmath.diff(lambda v: oracle.lower(activation.derivatives["x"])(v, *arguments), where))

    if at in activation.kinks or abs(second(at - 1e-6) - second(at + 1e-6)) > 1e-3:
        return  # no second derivative there
    exact = second(at)
    modes = (torch.func.jacfwd, torch.func.jacrev)
    for outer, inner in itertools.product(modes, modes):
        assert float(outer(inner(function))(x)) == pytest.approx(exact, rel=1e-9, abs=1e-9)
    single = x.float().requires_grad_()
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(single, torch.ones(()))
        (slope,) = torch.autograd.grad(function(dual), dual)
        tangent = forward_ad.unpack_dual(slope).tangent  # None for a constant slope
        assert float(0.0 if tangent is None else tangent) == pytest.approx(exact, rel=1e-4, abs=1e-5)


@each
def test_gradients_come_in_batches(function):
    x = inputs()
    y = function(x)
    each_row = torch.eye(y.numel()).reshape(-1, *y.shape)
    (batched,) = torch.autograd.grad(y, x, each_row, is_grads_batched=True)
    torch.testing.assert_close(batched.sum(0), torch.autograd.grad(function(x).sum(), x)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", others_slow([*(activation.name for activation in ELEMENTWISE), *af.names(RANDOM)]))
def test_it_compiles_where_no_gradient_is_recorded(name):
    module, x = af.get(name).eval(), torch.randn(7)
    torch._dynamo.reset()  # the classes share one forward, and Dynamo gives up on a code object after eight
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), module(x), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(torch.jit.trace(module, x)(x), module(x), rtol=1e-5, atol=1e-6)


def test_nothing_need_have_run_before_compiling():
    code = """
import torch, actfun as af
x = torch.ones(3)
model = torch.nn.Sequential(torch.nn.Linear(3, 3), af.nn.Mish(), af.nn.StochasticGELU(), af.nn.GELU("tanh"))
torch.compile(model, fullgraph=True, backend="aot_eager")(x).sum().backward()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_learnable_module_works_under_functional_transformations():
    module, x = af.nn.ELU(learnable=True), inputs().detach()
    parameters = {name: value.detach() - 3.0 for name, value in module.named_parameters()}
    slope = torch.func.grad(lambda p: torch.func.functional_call(module, p, (x,)).sum())(parameters)
    assert slope["alpha"].shape == (1,)
    assert float(parameters["alpha"]) == -2.0, "the caller's tensor was changed"
    stacked, _ = torch.func.stack_module_state([af.nn.ELU(learnable=True) for _ in range(3)])
    outputs = torch.func.vmap(lambda p: torch.func.functional_call(module, p, (x,)))(stacked)
    assert outputs.shape == (3, *x.shape)


def test_a_compiled_learnable_module_keeps_its_bound():
    module, x = af.nn.ELU(learnable=True), -inputs().detach().abs()
    compiled, optimizer = (
        torch.compile(module, fullgraph=True, backend="aot_eager"),
        torch.optim.SGD([module.alpha], lr=100.0),
    )
    for _ in range(3):
        optimizer.zero_grad()
        compiled(x).sum().neg().backward()
        optimizer.step()
    assert module.alpha.item() < 0.0
    torch.testing.assert_close(compiled(x), af.elu(x, 0.01))


@compiling
def test_it_compiles_without_a_graph_break_and_exports(function):
    x = inputs()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager", dynamic=True)
    torch.testing.assert_close(compiled(x), function(x), rtol=1e-5, atol=1e-6)
    ours, theirs = (torch.autograd.grad(f(x).square().sum(), x)[0] for f in (function, compiled))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    exported = torch.export.export(wrapped(function), (x.detach(),)).module()
    torch.testing.assert_close(exported(x.detach()), function(x.detach()), rtol=1e-5, atol=1e-6)


@COMPILES
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


def test_modules_can_be_copied_pickled_and_loaded():
    module = af.nn.ELU(learnable=True, num_parameters=3)
    other = pickle.loads(pickle.dumps(copy.deepcopy(module)))
    other.load_state_dict(module.state_dict())
    x = torch.randn(2, 3)
    assert torch.equal(other(x), module(x))
    assert repr(other) == repr(module)
