"""Gradients times slopes of which one is exactly 0: that passes nothing, whatever the other is, and NaN stays NaN."""

import math

import pytest
import torch
from support import ELEMENTWISE, Case, forget, others_slow
from torch import Tensor

import actfun as af
from actfun._backends import cpu
from actfun._backends import torch as torch_ops
from actfun._backends.cpu import cache, kernels
from actfun._catalogue.primitives import absolute, exp
from actfun._catalogue.registry import Activation
from actfun._operators.functional import function_of

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
WILD = [math.inf, -math.inf, math.nan]

in_each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
each = pytest.mark.parametrize("activation", others_slow(ELEMENTWISE), ids=lambda activation: activation.name)


def points(dtype: torch.dtype) -> Tensor:
    """Numbers of every size, more than a vector holds, and the largest ones."""
    size = torch.cat([torch.logspace(-6.0, 4.0, 41), torch.tensor([0.0, 1.0, 88.0])]).to(dtype)
    return torch.cat([size, -size, torch.tensor([torch.finfo(dtype).max, torch.finfo(dtype).min], dtype=dtype)])


def by_backward(function, x: Tensor, g: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(function(x), x, g)[0]


def in_place(function, x: Tensor, g: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(function(x * 1.0, inplace=True), x, g)[0]


def again(function, x: Tensor, g: Tensor) -> Tensor:
    """The gradient as it is computed where it is to have a gradient itself."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad(function(x), x, g, create_graph=True)[0].detach()


def forward(function, x: Tensor, g: Tensor) -> Tensor:
    return torch.func.jvp(function, (x,), (g,))[1]


def strided(function, x: Tensor, g: Tensor) -> Tensor:
    """Both as every second number of a tensor."""
    return by_backward(function, x.repeat_interleave(2)[::2], g.repeat_interleave(2)[::2])


WAYS = [by_backward, in_place, again, forward, strided]


def alike(y: Tensor, other: Tensor) -> bool:
    """Equal, or NaN both."""
    return bool(((y == other) | (y.isnan() & other.isnan())).all())


def exact_slope(activation: Activation, x: Tensor) -> Tensor:
    """In float64, so that it is 0 where the slope is, and not where a narrower dtype has no number so small."""
    return torch_ops.evaluate(activation.derivatives["x"], x.double(), *Case(activation, "x").parameters)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@in_each_dtype
@each
def test_a_slope_of_zero_passes_nothing_and_any_other_what_comes(activation, dtype, way):
    function, x = function_of(activation), points(dtype)
    slope, none = way(function, x, torch.ones_like(x)), exact_slope(activation, x) == 0.0
    for g in WILD:
        passed = way(function, x, torch.full_like(x, g))
        assert (passed[none] == 0.0).all()
        assert alike(passed[slope != 0.0], slope[slope != 0.0] * g)
        assert math.isnan(g) or not passed.isnan().any()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@in_each_dtype
@each
def test_a_gradient_of_zero_stays_zero_but_where_the_slope_is_not_known(activation, dtype, way):
    function, x = function_of(activation), points(dtype)
    assert (way(function, x, torch.zeros_like(x)) == 0.0).all()
    slope = way(function, torch.full_like(x, math.nan), torch.ones_like(x))
    assert torch.equal(way(function, torch.full_like(x, math.nan), torch.zeros_like(x)).isnan(), slope.isnan())


@each
def test_compiled_too(activation):
    compiled = torch.compile(function_of(activation), fullgraph=True, backend="aot_eager")
    torch._dynamo.reset()
    test_a_slope_of_zero_passes_nothing_and_any_other_what_comes(
        activation, torch.float32, lambda _, x, g: by_backward(compiled, x, g)
    )


@pytest.mark.parametrize("function", [lambda x: af.maxout(x, 2), af.stochastic_gelu], ids=["maxout", "stochastic_gelu"])
def test_what_was_not_chosen_gets_nothing(function):
    x = torch.linspace(-4.0, 4.0, 64).requires_grad_()
    y = function(x)
    (g,) = torch.autograd.grad(y, x, torch.full_like(y, math.inf))
    assert set(g.tolist()) == {0.0, math.inf}


def test_the_points_have_slopes_of_zero_and_slopes_that_overflow():
    x = points(torch.float32)
    zeros = {a.name for a in ELEMENTWISE if (exact_slope(a, x) == 0.0).any()}
    slow = {"isrlu", "softsign", "squareplus"}  # whose slopes fall like a power of x
    assert zeros >= {a.name for a in ELEMENTWISE if "left" in a.saturates} - slow
    assert by_backward(af.relu_squared, x, torch.ones_like(x)).isinf().any()


@in_each_dtype
def test_alphas_slope_of_zero_passes_nothing(dtype):
    """Nor does it spoil the sum with those that pass something."""
    x = torch.tensor([[-1.0, 2.0], [-3.0, 4.0]], dtype=dtype)
    alpha = torch.ones(2, dtype=dtype, requires_grad=True)
    g = torch.tensor([[1.0, math.inf], [1.0, math.nan]], dtype=dtype)
    af.elu(x, alpha).backward(g)
    assert alpha.grad.isfinite().all()
    assert float(alpha.grad[1]) == 0.0
    _, tangent = torch.func.jvp(lambda a: af.elu(x, a), (alpha.detach(),), (torch.full_like(alpha, math.inf),))
    assert tangent[:, 1].tolist() == [0.0, 0.0]


def square_dx(x):
    return 2.0 * x


def growth_dx(x):
    return exp(x)


def sign_dx(x):
    return x / absolute(x)  # NaN at 0 and at infinities


@in_each_dtype
@pytest.mark.parametrize("formula", [square_dx, growth_dx, sign_dx], ids=lambda formula: formula.__name__)
def test_products_are_right_for_any_formula(formula, dtype):
    """A slope that overflows, and one that is NaN, by arithmetic and from tables."""
    x = torch.cat([points(dtype), torch.tensor([math.inf, -math.inf, math.nan], dtype=dtype)])
    exact = torch_ops.evaluate(formula, x.double())
    for backend in (torch_ops,) if dtype is torch.float64 else (torch_ops, cpu):
        slope = backend.evaluate(formula, x, times=torch.ones_like(x))
        nothing = backend.evaluate(formula, x, times=torch.zeros_like(x))
        assert alike(nothing, torch.where(exact.isnan(), math.nan, 0.0))
        for g in WILD:
            passed = backend.evaluate(formula, x, times=torch.full_like(x, g))
            assert (passed[exact == 0.0] == 0.0).all()
            assert alike(passed[slope != 0.0], slope[slope != 0.0] * g)


def test_a_root_of_the_slope_keeps_its_second_derivative():
    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    slope = torch_ops.evaluate(square_dx, x, times=torch.tensor([1.0, -3.0, 0.5], dtype=torch.float64))
    assert torch.autograd.grad(slope.sum(), x)[0].tolist() == [2.0, -6.0, 1.0]


@pytest.fixture
def without_memory(monkeypatch):
    monkeypatch.setenv(cache.SETTING, "")
    forget()
    yield
    forget()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["gelu", "relu_squared"])
def test_plain_products_are_caught(monkeypatch, without_memory, name, dtype):
    monkeypatch.setattr(kernels, "_product", lambda g, slope, finite=False: g * slope)
    with pytest.raises(AssertionError):
        test_a_slope_of_zero_passes_nothing_and_any_other_what_comes(af.spec(name), dtype, by_backward)
