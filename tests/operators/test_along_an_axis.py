"""Activations along an axis: torch's where torch has them, laws of shares, exact projections, gradients."""

import itertools
import math

import mpmath
import pytest
import torch
from support import COMPILES
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

import actfun as af
from actfun._accuracy.error import ulps
from actfun._backends import mpmath as oracle
from actfun._catalogue.kinds import AXIS
from actfun._operators.behaviours.base import behaviour_of

NAMES = af.names(AXIS)
CALLS = {
    "crelu": lambda x: af.crelu(x, -1),
    "groupsort": lambda x: af.groupsort(x, 3),
    "gumbel_softmax": lambda x: af.gumbel_softmax(x, 0.7, generator=torch.Generator().manual_seed(0)),
    "log_softmax": lambda x: af.log_softmax(x, -1),
    "softmax": lambda x: af.softmax(x, -1),
    "softmax2d": lambda x: af.softmax2d(x.transpose(0, 1)[..., None])[..., 0].transpose(0, 1),
    "softmin": lambda x: af.softmin(x, -1),
    "sparsemax": af.sparsemax,
}
each = pytest.mark.parametrize("name", NAMES)
sharing = pytest.mark.parametrize("name", ["softmax", "softmin", "sparsemax", "gumbel_softmax"])
INF = math.inf


def rows(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    x = 1.5 * torch.randn(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x.to(dtype).requires_grad_()


def projection(row: list[float]) -> list[float]:
    """The nearest shares with sum 1, by trying every support, in 50 digits."""
    with mpmath.workdps(50):
        x = [mpmath.mpf(v) for v in row]
        found = []
        for size in range(1, len(x) + 1):
            for support in itertools.combinations(range(len(x)), size):
                level = (sum(x[k] for k in support) - 1) / size
                y = [x[k] - level if k in support else mpmath.mpf(0) for k in range(len(x))]
                if min(y) >= 0:
                    found.append((sum((a - b) ** 2 for a, b in zip(x, y, strict=True)), y))
        return [float(v) for v in min(found, key=lambda pair: pair[0])[1]]


@each
def test_gradients_hold_to_second_order_in_both_modes(name):
    x = rows(torch.float64)
    assert gradcheck(CALLS[name], x, check_forward_ad=True, check_batched_grad=name != "gumbel_softmax")
    assert gradgradcheck(CALLS[name], x)


@sharing
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_shares_are_not_negative_and_add_up_to_1(name, dtype):
    y = CALLS[name](20.0 * rows(dtype)).detach()
    assert y.dtype is dtype
    assert bool((y >= 0.0).all())
    assert float((y.double().sum(-1) - 1.0).abs().max()) < 6 * torch.finfo(dtype).eps


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin", "sparsemax"])
def test_the_order_of_entries_and_what_all_have_more_do_not_matter(name):
    x, order = rows(torch.float64), torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(CALLS[name](x[:, order]), CALLS[name](x)[:, order], rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(CALLS[name](x + 3.0), CALLS[name](x), rtol=1e-12, atol=1e-14)


def levels(name: str, x: list[mpmath.mpf]) -> mpmath.mpf:
    sign = -1 if name == "softmin" else 1
    return mpmath.log(mpmath.fsum(mpmath.exp(sign * v) for v in x))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_the_formula_is_what_is_computed(name):
    x = rows()
    y = CALLS[name](x).tolist()
    (slopes,) = torch.autograd.grad(CALLS[name](x)[:, 0].sum(), x)
    for row, values, slope in zip(x.tolist(), y, slopes[:, 0].tolist(), strict=True):
        with mpmath.workdps(30):
            exact = [mpmath.mpf(v) for v in row]
            level = levels(name, exact)
            formula, own = (oracle.lower(f) for f in (af.spec(name).formula, af.spec(name).derivatives["x"]))
            assert values == pytest.approx([float(formula(v, level)) for v in exact], rel=1e-6)
            assert slope == pytest.approx(float(own(exact[0], level)), rel=1e-5)


def test_other_formulas_are_what_is_computed():
    x, up = torch.tensor([[-1.5, 2.0, 0.25, 0.5]]), af.spec("crelu").formula
    assert af.crelu(x).tolist()[0] == [up(v, 1.0) for v in x[0].tolist()] + [up(v, -1.0) for v in x[0].tolist()]
    sort = af.spec("groupsort").formula
    assert af.groupsort(x)[0, 1::2].tolist() == [sort(2.0, -1.5), sort(0.25, 0.5)]
    shares = af.sparsemax(x)
    level = float(x[0, 1] - shares[0, 1])
    assert shares.tolist()[0] == pytest.approx([af.spec("sparsemax").formula(v, level) for v in x[0].tolist()])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_sparsemax_is_the_projection(dtype):
    x = torch.cat([rows(dtype).detach(), torch.tensor([[1.0] * 6, [2.0, 2.0, 1.0, 1.0, 0.0, -1.0]], dtype=dtype)])
    right = torch.tensor([projection(row) for row in x.tolist()], dtype=torch.float64)
    assert float(ulps(af.sparsemax(x).flatten(), right.flatten()).max()) <= (4.0 if dtype is torch.float64 else 0.51)
    assert (af.sparsemax(x) == 0.0).sum() == (right == 0.0).sum()
    assert not torch.allclose(af.softmax(x, -1).double(), right, atol=0.01)  # another function would be seen


def test_sparsemax_has_its_jacobian():
    x = torch.tensor([1.0, 0.8, 0.1, -2.0], dtype=torch.float64)  # two of them share
    half = torch.tensor([[0.5, -0.5], [-0.5, 0.5]], dtype=torch.float64)
    jacobian = torch.func.jacrev(af.sparsemax)(x)
    assert torch.equal(jacobian, torch.block_diag(half, torch.zeros(2, 2, dtype=torch.float64)))
    assert torch.equal(torch.func.jacfwd(af.sparsemax)(x), jacobian)


def test_sparsemax_takes_infinities_for_limits():
    x = torch.tensor([[INF, 1.0, -INF], [INF, 0.0, INF], [-INF] * 3, [0.0, -INF, 0.5], [math.nan, 1.0, 2.0]])
    right = [[1.0, 0.0, 0.0], [0.5, 0.0, 0.5], [1 / 3] * 3, [0.25, 0.0, 0.75]]
    y = af.sparsemax(x.requires_grad_())
    torch.testing.assert_close(y[:4], torch.tensor(right))
    assert bool(y[4].isnan().all())
    assert not torch.autograd.grad(y[:4].square().sum(), x)[0][:4].isnan().any()
    assert af.sparsemax(torch.zeros(2, 0)).shape == (2, 0)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_what_torch_has_is_torchs(name):
    x, ours, theirs = rows(), getattr(af, name), getattr(functional, name)
    for arguments in ((0,), (-1,), (1, 3, torch.float64)):
        assert torch.equal(ours(x, *arguments), theirs(x, *arguments))
    assert torch.equal(ours(input=x, dim=1), theirs(input=x, dim=1))
    for function in (ours, theirs):
        with pytest.warns(UserWarning, match="Implicit dimension choice"):
            function(x)
    special = torch.tensor([[INF, 1.0], [-INF, -INF], [-INF, 0.0], [math.nan, 0.0]])
    assert torch.equal(ours(special, 1).isnan(), theirs(special, 1).isnan())
    module = getattr(torch.nn, af.spec(name).module)
    assert isinstance(af.get(name), module)
    assert repr(af.get(name, dim=-1)) == repr(module(dim=-1))
    assert torch.equal(af.get(name, dim=0)(x), module(0)(x))


def test_softmax2d_is_torchs():
    for x in (torch.randn(2, 3, 4, 5), torch.randn(3, 4, 5)):
        assert torch.equal(af.softmax2d(x), nn.Softmax2d()(x))
        assert torch.equal(af.nn.Softmax2d()(x), nn.Softmax2d()(x))


def test_gumbel_softmax_chooses_as_often_as_softmax_says():
    x = torch.tensor([0.5, -1.0, 1.5]).expand(200_000, 3)
    made = torch.Generator().manual_seed(0)
    chosen = af.gumbel_softmax(x, hard=True, generator=made)
    assert set(chosen.unique().tolist()) == {0.0, 1.0}  # exactly, where torch's may be a last bit off
    shares = af.softmax(x[0], 0)
    assert bool(((chosen.mean(0) - shares).abs() < 4 * (shares * (1 - shares) / len(x)).sqrt()).all())
    soft = [af.gumbel_softmax(x[:9], tau, generator=torch.Generator().manual_seed(5)) for tau in (1.0, 0.01)]
    assert torch.equal(soft[0].argmax(-1), soft[1].argmax(-1))
    assert float(soft[1].amax(-1).min()) > float(soft[0].amax(-1).min())


def test_hard_gumbel_softmax_has_the_gradient_of_the_soft_one():
    def gradient(hard: bool) -> torch.Tensor:
        x = rows(torch.float64)
        y = af.gumbel_softmax(x, 0.5, hard, generator=torch.Generator().manual_seed(2))
        return torch.autograd.grad((y * torch.arange(6)).sum(), x)[0]

    assert torch.equal(gradient(True), gradient(False))


def test_gumbel_softmax_takes_torchs_arguments_and_its_noise_is_never_infinite():
    x = torch.zeros(20_000, 50, dtype=torch.float16)
    assert not af.gumbel_softmax(x, 1, False, 1e-10, -1).isnan().any()
    torch.manual_seed(3)
    ours = af.gumbel_softmax(rows(), tau=2.0, dim=0)
    torch.manual_seed(3)
    assert torch.equal(ours, functional.gumbel_softmax(rows(), tau=2.0, dim=0))


def test_crelu_keeps_both_parts():
    x = torch.randn(2, 3, 4, requires_grad=True)
    y = af.crelu(x)
    assert torch.equal(y, torch.cat([x.relu(), (-x).relu()], 1))
    assert torch.equal(y[:, :3] - y[:, 3:], x)
    (gradient,) = torch.autograd.grad((y[:, :3] - y[:, 3:]).sum(), x)
    assert torch.equal(gradient, torch.ones_like(x))
    assert torch.equal(af.nn.CReLU(dim=-1)(x), af.crelu(x, -1))


@pytest.mark.parametrize("group_size", [1, 2, 3, 6])
def test_groupsort_sorts_and_keeps_norms_of_gradients(group_size):
    x, g = rows(), torch.randn(5, 6)
    y = af.groupsort(x, group_size)
    assert torch.equal(y.view(5, -1, group_size), x.view(5, -1, group_size).sort(-1).values)
    (gradient,) = torch.autograd.grad(y, x, g)
    torch.testing.assert_close(gradient.norm(dim=-1), g.norm(dim=-1))
    assert torch.equal(af.groupsort(x.t(), group_size, 0), y.t())
    assert af.groupsort(torch.tensor([2.0, math.nan])).tolist()[0] == 2.0


@each
def test_transformations_agree_with_plain_calls(name):
    function, x = CALLS[name], rows().detach()
    if name != "gumbel_softmax":  # which draws anew
        torch.testing.assert_close(torch.func.vmap(lambda v: function(v[None])[0])(x), function(x))
        torch.testing.assert_close(torch.jit.trace(function, (x,))(x), function(x))
        at = x.clone().requires_grad_()
        gradient = torch.autograd.grad(function(at).square().sum(), at)[0]
        torch.testing.assert_close(torch.func.grad(lambda v: function(v).square().sum())(x), gradient)
    image = x.view(1, 5, 3, 2) if name == "softmax2d" else x
    module = af.get(name) if name == "softmax2d" else af.get(name, dim=-1)
    exported = torch.export.export(module, (image,), strict=False).module()
    if name != "gumbel_softmax":
        torch.testing.assert_close(exported(image), module(image))
    called = torch.fx.symbolic_trace(nn.Sequential(module)).graph.nodes  # a leaf, as torch's are, or one call
    assert len([node for node in called if node.op.startswith("call")]) == 1


@COMPILES
@pytest.mark.parametrize("name", [name for name in NAMES if name != "gumbel_softmax"])
def test_compiled_calls_agree_in_one_graph(name):
    x, function = rows(), CALLS[name]
    y, right = torch.compile(function, fullgraph=True)(x), function(x)
    torch.testing.assert_close(y, right)
    torch.testing.assert_close(*(torch.autograd.grad(v.square().sum(), x)[0] for v in (y, right)))


@COMPILES
def test_gumbel_softmax_compiles_in_one_graph():
    y = torch.compile(lambda x: af.gumbel_softmax(x, hard=True), fullgraph=True)(rows())
    assert torch.equal(y.sum(-1), torch.ones(5))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin", "sparsemax"])
def test_the_slope_that_is_counted_is_the_jacobians_diagonal(name):
    module, x = af.get(name, dim=-1), rows(torch.float64).detach()
    diagonal = torch.stack([torch.func.jacrev(module)(row).diag() for row in x])
    torch.testing.assert_close(behaviour_of(module.activation).slope(module, x), diagonal)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preserve", ["forward", "backward"])
def test_gains_are_those_of_two_entries_drawn(name, preserve):
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(200_000, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    at = x[..., None, None] if name == "softmax2d" else x
    given = {"softmax2d": {}, "gumbel_softmax": {"dim": -1, "generator": generator}}.get(name, {"dim": -1})
    y = getattr(af, name)(at, **given).flatten(1)
    if preserve == "forward":
        squares = y.detach().square().mean(1)
    else:
        rows = [torch.autograd.grad(one.sum(), x, retain_graph=True)[0] for one in y.unbind(1)]
        squares = torch.stack(rows).square().sum(0).mean(1)
    error = float(squares.std()) / math.sqrt(len(x)) + 1e-12
    assert abs(af.gain(name, preserve) ** -2 - float(squares.mean())) < 4 * error


x, image = torch.ones(2, 6), torch.ones(2, 3, 4)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: af.softmax(x, 2), ValueError, "softmax: dim must be from -2 to 1 for 2 dimensions, got 2"),
        (lambda: af.softmin(x, "a"), TypeError, "softmin: dim must be a whole number, got str"),
        (lambda: af.log_softmax(x.long(), 0), TypeError, "log_softmax: expected a floating-point tensor"),
        (lambda: af.softmax2d(x), ValueError, "softmax2d: expected 3 or 4 dimensions.* got 2"),
        (lambda: af.sparsemax(x, 3), ValueError, "sparsemax: dim must be from -2 to 1"),
        (lambda: af.gumbel_softmax(x, 0.0), ValueError, "gumbel_softmax: tau must be positive and finite, got 0"),
        (lambda: af.gumbel_softmax(x, "1"), TypeError, "tau must be a number, got str"),
        (lambda: af.crelu(torch.ones(3)), ValueError, "crelu: dim must be from -1 to 0 for 1 dimensions, got 1"),
        (lambda: af.groupsort(x, 4), ValueError, r"group_size must divide x.shape\[-1\] = 6, got 4"),
        (lambda: af.groupsort(x, 0), ValueError, "groupsort: group_size must be at least 1, got 0"),
        (lambda: af.groupsort(x, 2.0), TypeError, "group_size must be a whole number, got float"),
        (lambda: af.nn.GroupSort(0), ValueError, "GroupSort: group_size must be at least 1"),
        (lambda: af.nn.Sparsemax("a"), TypeError, "Sparsemax: dim must be a whole number, got str"),
        (lambda: af.nn.GumbelSoftmax(-1.0), ValueError, "tau must be positive"),
        (lambda: af.gain("gumbel_softmax", tau=-1.0), ValueError, "tau must be positive"),
        (lambda: af.gain("softmax", tau=1.0), TypeError, "unknown parameter 'tau'"),
        (lambda: af.nn.FeedForward(4, 7, "crelu"), ValueError, "FeedForward: d_hidden must be even"),
        (lambda: af.nn.FeedForward(4, 8, "softmax2d"), ValueError, "softmax2d is for images"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
