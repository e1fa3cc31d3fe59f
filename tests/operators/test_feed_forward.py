"""The Transformer's block in one: the gradients of its parts, from less; and when its parts are called one by one."""

import copy

import pytest
import torch
from support import COMPILES, peak_bytes, stored_bytes
from torch import nn

import actfun as af
from actfun._operators import feed_forward

D, HIDDEN, ROWS = 32, 128, 600
DTYPES = (torch.float32, torch.bfloat16, torch.float64)
BLOCKS = {
    "gelu": {"activation": "gelu"},
    "relu": {"activation": "relu"},
    "tanh, no bias": {"activation": "tanh", "bias": False},
    "silu, gated": {"activation": "silu", "gated": True},
    "swiglu": {"activation": "swiglu"},
    "elu learned": {"activation": af.nn.ELU(learnable=True)},
    "elu learned each, gated": {"activation": af.nn.ELU(learnable=True, num_parameters=HIDDEN), "gated": True},
    "gelu, dropout": {"activation": "gelu", "dropout": 0.1},
    "silu, gated, dropout": {"activation": "silu", "gated": True, "dropout": 0.3, "bias": False},
}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(feed_forward, "SMALL", 0)
    monkeypatch.setattr(feed_forward, "WORKSPACE", 1)
    monkeypatch.setattr(feed_forward, "FEWEST_ROWS", 256)


def made(name, dtype=torch.float32):
    torch.manual_seed(0)
    return af.nn.FeedForward(D, HIDDEN, **copy.deepcopy(BLOCKS[name])).to(dtype)


def gradients(model, x, wanted=None):
    x = x.clone().requires_grad_()
    torch.manual_seed(3)
    y = model(x)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    wanted = [x, *model.parameters()] if wanted is None else [*wanted]
    return [y.detach(), *torch.autograd.grad(y, wanted, g)], y.grad_fn


def is_in_one(node):
    return "Block" in str(node) or any("Block" in str(one) for one, _ in node.next_functions)


def rows(*shape, dtype=torch.float32):
    return torch.randn(shape or (ROWS, D), generator=torch.Generator().manual_seed(2)).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BLOCKS)
def test_gradients_are_those_of_the_parts(name, dtype, monkeypatch):
    model, x = made(name, dtype), rows(2, ROWS // 2, D, dtype=dtype)
    ours, node = gradients(model, x)
    assert is_in_one(node)
    with monkeypatch.context() as patch:
        patch.setattr(feed_forward, "SMALL", 10**9)
        right, node = gradients(model, x)
    assert not is_in_one(node)
    close = {torch.float32: 2e-6, torch.bfloat16: 0.01, torch.float64: 1e-13}[dtype]
    for a, b in zip(ours, right, strict=True):
        assert a.dtype is dtype
        torch.testing.assert_close(a, b, rtol=close, atol=close * float(b.abs().max()))


@pytest.mark.parametrize("name", BLOCKS)
def test_it_can_be_differentiated_twice(name, monkeypatch):
    model, x = made(name, torch.float64), rows(ROWS, D, dtype=torch.float64)

    def twice():
        given = x.clone().requires_grad_()
        torch.manual_seed(3)
        tensors = [given, *model.parameters()]
        first = torch.autograd.grad(model(given).square().sum(), tensors, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), tensors)

    ours = twice()
    monkeypatch.setattr(feed_forward, "SMALL", 10**9)
    for a, b in zip(ours, twice(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9 * float(b.abs().max()))


def test_frozen_parts_get_no_gradient(monkeypatch):
    for frozen in ("up", "down", "gate", "activation"):
        model, x = made("elu learned each, gated"), rows()
        getattr(model, frozen).requires_grad_(False)
        wanted = [p for p in model.parameters() if p.requires_grad]
        ours, _ = gradients(model, x, wanted)
        with monkeypatch.context() as patch:
            patch.setattr(feed_forward, "SMALL", 10**9)
            right, _ = gradients(model, x, wanted)
        for a, b in zip(ours, right, strict=True):
            torch.testing.assert_close(a, b, rtol=2e-6, atol=2e-6 * float(b.abs().max()))


@pytest.mark.parametrize(
    ("name", "least"), [("gelu", 4), ("tanh, no bias", 4), ("swiglu", 8), ("silu, gated", 8), ("gelu, dropout", 5)]
)
def test_backward_keeps_pre_activations_alone_and_its_peak_is_below_that_of_the_parts(name, least, monkeypatch):
    count = 8_192
    model, x = made(name), rows(count, D)
    g = torch.randn(count, D)

    def step():
        torch.autograd.grad(model(x), list(model.parameters()), g)

    assert stored_bytes(lambda: model(x)) / (count * HIDDEN) == pytest.approx(least, rel=0.03)
    step()
    most = peak_bytes(step)
    monkeypatch.setattr(feed_forward, "SMALL", 10**9)
    step()
    plain = peak_bytes(step)
    assert most < 0.8 * plain


def test_parts_with_hooks_or_of_another_class_are_called():
    x, calls = rows(), []
    for part in ("up", "gate", "activation", "dropout", "down"):
        model = made("silu, gated")
        getattr(model, part).register_forward_hook(lambda *args: calls.append(args[0]))
        model(x)
        assert calls == [getattr(model, part)]
        calls.clear()

    class Mine(nn.Linear):
        def forward(self, x):
            calls.append(self)
            return super().forward(x)

    model = made("gelu")
    model.down = Mine(HIDDEN, D)
    model(x)
    assert calls == [model.down]
    model = made("gelu")
    model.up = nn.utils.parametrizations.weight_norm(model.up)
    assert not is_in_one(model(x).grad_fn)
    handle = nn.modules.module.register_module_forward_hook(lambda *args: calls.append(args[0]))
    calls.clear()
    made("gelu")(x)
    handle.remove()
    assert len(calls) == 5


@pytest.mark.parametrize(
    "activation",
    [
        "stochastic_gelu",
        "maxout",
        "crelu",
        nn.GELU(),
        af.nn.SiLU(inplace=True),
        af.nn.ELU(learnable=True, num_parameters=8),
    ],
    ids=str,
)
def test_activations_that_do_not_go_by_rows_are_called(activation):
    model = af.nn.FeedForward(D, HIDDEN, activation)
    y = model(rows(4, 8, D))
    assert y.shape == (4, 8, D) and not is_in_one(y.grad_fn)
    y.sum().backward()


def test_dropout_draws_the_numbers_of_torchs_and_none_in_evaluation():
    model, x = made("gelu, dropout"), rows()
    torch.manual_seed(0)
    ours = model(x)
    torch.manual_seed(0)
    right = model.down(model.dropout(model.activation(model.up(x))))
    torch.testing.assert_close(ours, right)
    assert not torch.equal(model(x), ours)
    model.eval()
    assert is_in_one(model(x).grad_fn) and torch.equal(model(x), model(x))


@COMPILES
def test_it_runs_compiled():
    model, x = made("silu, gated"), rows()
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(model, fullgraph=True)(x), model(x))


def test_it_runs_exported_transformed_and_under_autocast():
    model, x = made("silu, gated"), rows()
    right = model(x)
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), right)
    torch.testing.assert_close(torch.func.vmap(model)(x), right)
    torch.testing.assert_close(torch.jit.trace(model, x)(x), right)
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
    assert y.dtype is torch.bfloat16
    (g,) = torch.autograd.grad(y.float().sum(), [model.up.weight])
    assert g.dtype is torch.float32
    with torch.no_grad():
        torch.testing.assert_close(model(x), right)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), right)
    assert made("gelu").to("meta")(x.to("meta")).shape == (ROWS, D)


def test_weights_changed_before_backward_are_refused():
    for part in ("up", "down", "gate"):
        model, x = made("silu, gated"), rows()
        y = model(x)
        with torch.no_grad():
            getattr(model, part).weight.add_(1.0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_backward_twice():
    model, x = made("gelu, dropout"), rows().requires_grad_()
    loss = model(x).square().sum()
    first = torch.autograd.grad(loss, x, retain_graph=True)
    assert torch.equal(*first, *torch.autograd.grad(loss, x))
    with af.lean():
        torch.manual_seed(0)
        lean = torch.autograd.grad(model(x).square().sum(), x)
    torch.manual_seed(0)
    assert torch.equal(*lean, *torch.autograd.grad(model(x).square().sum(), x))


def by_parts(monkeypatch, work):
    """What something gives where the parts are called one by one."""
    with monkeypatch.context() as patch:
        patch.setattr(feed_forward, "SMALL", 10**9)
        return work()


def test_gradients_come_in_batches(monkeypatch):
    model, x = made("silu, gated", torch.float64), rows(dtype=torch.float64).requires_grad_()
    g = torch.randn(2, ROWS, D, dtype=torch.float64)

    def batched():
        return torch.autograd.grad(model(x), [x, model.up.weight], g, is_grads_batched=True)

    for a, b in zip(batched(), by_parts(monkeypatch, batched), strict=True):
        torch.testing.assert_close(a, b)


def test_a_forward_of_an_instance_and_a_class_that_mixes_rows_are_called(monkeypatch):
    x = rows()
    for part in ("up", "down", "gate", "dropout", "activation"):
        model = made("silu, gated, dropout").eval()
        before = getattr(model, part).forward
        getattr(model, part).forward = lambda x, before=before: before(x) + 1.0
        torch.testing.assert_close(model(x), by_parts(monkeypatch, lambda model=model: model(x)))

    class Mine(af.nn.GELU):
        def forward(self, x):
            return super().forward(x) - x.mean(0)

    model = af.nn.FeedForward(D, HIDDEN, Mine())
    torch.testing.assert_close(model(x), by_parts(monkeypatch, lambda: model(x)))


def test_dropout_of_all_gives_zeros():
    model = af.nn.FeedForward(D, HIDDEN, dropout=1.0)
    assert torch.equal(model(rows()), model.down.bias.expand(ROWS, D))


@pytest.mark.parametrize("learns", [False, True])
def test_parameters_given_for_a_call_are_those_of_its_gradient(learns, monkeypatch):
    model, x = made("elu learned"), rows()
    given = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    given["activation.alpha"] = torch.tensor([3.0], requires_grad=learns)
    wanted = [given["up.weight"], *([given["activation.alpha"]] if learns else [])]

    def step():
        return torch.autograd.grad(torch.func.functional_call(model, given, (x,)).square().sum(), wanted)

    for a, b in zip(step(), by_parts(monkeypatch, step), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-4 * float(b.abs().max()))
