"""Activations exchanged: the pitfalls that people met, each with a fault that must be noticed, and what is kept."""

import copy
import inspect
import io
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

import actfun as af
from actfun._surgery import checks, install

F = nn.functional
x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def drawn():
    """The same weights whatever ran before."""
    torch.manual_seed(0)


class Calls(nn.Module):
    """A module of activations, and calls of functions."""

    def __init__(self):
        super().__init__()
        self.up, self.down, self.act = nn.Linear(6, 6), nn.Linear(6, 6), nn.ReLU(inplace=True)

    def forward(self, x):
        return torch.tanh(F.relu(self.down(self.act(self.up(x))), inplace=True)) + self.up(x).relu()


def network(**more) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 6), nn.ReLU(**more), nn.Linear(6, 6), nn.ReLU(**more))


def encoder(activation=F.relu) -> tuple[nn.Module, torch.Tensor]:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation=activation)
    return nn.TransformerEncoder(layer, 2).eval(), torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1))


def test_one_line_says_it_and_undo_puts_all_back():
    model = network()
    before, places = model(x), list(model)
    done = af.replace(model, {"relu": "gelu"}, example=x)
    assert done.verdict.startswith("2 of 2 calls replaced (2 modules); the output moved by 0.")
    assert [type(part) for part in model] == [nn.Linear, af.nn.GELU, nn.Linear, af.nn.GELU]
    torch.testing.assert_close(model(x), af.gelu(places[2](af.gelu(places[0](x)))))
    done.undo()
    done.undo()
    assert list(model) == places and torch.equal(model(x), before)
    with af.replaced(model, {"relu": "tanh"}) as inside:
        assert isinstance(model[1], af.nn.Tanh) and inside.verdict == "2 modules replaced"
    assert list(model) == places


# 1. torch's encoder layers ignore the exchange in evaluation.


@pytest.mark.parametrize("activation", [F.relu, F.gelu, nn.ReLU(), nn.GELU()], ids=["F.relu", "F.gelu", "ReLU", "GELU"])
def test_the_fast_path_of_torchs_encoder_is_left(activation):
    model, at = encoder(activation)
    with torch.no_grad():
        before = model(at)
        done = af.replace(model, {"relu": "tanh", "gelu": "tanh"}, example=at)
        assert not torch.allclose(model(at), before, atol=1e-2)
    with_gradients = model(at)
    with torch.no_grad():
        torch.testing.assert_close(model(at), with_gradients)
        done.undo()
        assert torch.equal(model(at), before)


def test_a_fast_path_that_is_taken_is_noticed(monkeypatch):
    model, at = encoder(nn.ReLU())
    kinds = {id(layer): layer.activation_relu_or_gelu for layer in model.layers}
    monkeypatch.setattr(nn.TransformerEncoderLayer, "__setattr__", _but_for_the_flag)
    with pytest.raises(
        RuntimeError,
        match=r"activation is called once, and what replaces it 0 times, in evaluation without gradients",
    ):
        af.replace(model, {"relu": "tanh"}, example=at)
    assert {id(layer): layer.activation_relu_or_gelu for layer in model.layers} == kinds
    assert all(type(layer.activation) is nn.ReLU for layer in model.layers)


def _but_for_the_flag(self, name, value):
    if name != "activation_relu_or_gelu":
        nn.Module.__setattr__(self, name, value)


# 2. The usual loop leaves other names of one object.


def test_what_is_shared_stays_shared_under_all_names():
    act = nn.ReLU()
    model = nn.Sequential(act, nn.Linear(6, 6), act)
    model.named = act
    done = af.replace(model, {"relu": "prelu"}, example=x)
    assert model[0] is model[2] is model.named and type(model[0]) is af.nn.PReLU
    assert done.verdict.startswith("3 of 3 calls") and list(done.parameters) == ["0.weight"]
    done.undo()
    assert model[0] is model[2] is model.named is act
    done = af.replace(model, {"relu": "prelu"}, share=False)
    assert len({id(part) for part in (model[0], model[2], model.named)}) == 3
    assert list(done.parameters) == ["0.weight", "2.weight", "named.weight"]


def test_a_block_that_is_used_twice_is_one_place():
    block = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
    model = nn.Sequential(block, block)
    (site,) = af.sites(model, x)
    assert (site.name, site.aliases, site.calls, len(site.places)) == ("0.1", ("1.1",), 2, 1)
    for share in (True, False):
        done = af.replace(model, {"relu": "prelu"}, where="1.*", share=share, example=x)
        assert type(block[1]) is af.nn.PReLU and list(done.parameters) == ["0.1.weight"]
        done.undo()
    assert type(block[1]) is nn.ReLU


def test_a_name_that_is_left_is_noticed(monkeypatch):
    act = nn.ReLU()
    model = nn.Sequential(act, nn.Linear(6, 6), act)
    whole = install.install

    def only_the_first(model, held, *rest):
        for site in held:
            site.places = site.places[:1]
        return whole(model, held, *rest)

    monkeypatch.setattr("actfun._surgery.checks.install", only_the_first)
    with pytest.raises(RuntimeError, match="0 is called 2 times, and what replaces it once, in training"):
        af.replace(model, {"relu": "gelu"}, example=x)
    assert model[0] is model[2] is act


# 3. What depends on working in place.


class Discards(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.act, self.other = nn.Linear(6, 6), nn.ReLU(inplace=True), nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.up(x)
        self.act(y)
        return self.other(y + 1.0)


class Plain(nn.Module):
    """Cannot work in place."""

    def forward(self, x):
        return torch.tanh(x)


def test_a_result_that_is_discarded_is_noticed_and_named():
    model = Discards()
    before = model(x)
    with pytest.raises(
        RuntimeError, match="computes the same function at act: it depends on the activation working in place"
    ):
        af.replace(model, {"relu": Plain}, example=x)
    assert torch.equal(model(x), before)
    assert af.replace(model, {"relu": "silu"}, example=x).checked.moved > 0.0
    assert model.act.inplace and model.other.inplace


def test_it_is_noticed_behind_a_last_layer_of_zeros_too():
    model = nn.Sequential(Discards(), nn.Linear(6, 6))
    nn.init.zeros_(model[1].weight)
    with pytest.raises(RuntimeError, match=r"same function at 0\.act.*: it depends on the activation working in place"):
        af.replace(model, {"relu": Plain}, example=x)
    assert not model[1].weight.any() and type(model[0].act) is nn.ReLU


def test_a_way_in_which_the_model_cannot_run_or_runs_otherwise_is_no_fault():
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.act, self.aside = nn.Linear(6, 6), nn.ReLU(), nn.ReLU()

        def forward(self, x):
            y = self.act(self.up(x))
            return (y, self.aside(y)) if self.training else y

    assert af.replace(Aside(), {"relu": "gelu"}, example=x).verdict.startswith("2 of 2 calls")
    single = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU()).eval()  # no batch of one in training
    assert af.replace(single, {"relu": "gelu"}, example=x[:1]).verdict.startswith("1 of 1 calls")


def test_an_input_may_be_given_by_name_and_float16_may_be_tiny():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.act = nn.Linear(6, 6), nn.SiLU()

        def forward(self, x):
            return self.up(x) + self.act(input=1e-6 * self.up(x))

    for dtype in (torch.float32, torch.float16):
        model = Named().to(dtype)
        assert af.replace(model, {"silu": "gelu"}, example=x.to(dtype)).verdict.startswith("1 of 1 calls")


# 4. Hooks, and 12. the mode, the device and the dtype.


def test_hooks_go_along_in_order_and_can_be_removed():
    model, seen = network(), []
    handles = [
        model[1].register_forward_pre_hook(lambda m, i: seen.append("before")),
        model[1].register_forward_hook(lambda m, i, o: seen.append("after")),
        model[1].register_forward_hook(lambda m, i, k, o: seen.append("named"), with_kwargs=True),
        model[1].register_full_backward_hook(lambda m, i, o: seen.append("backward")),
    ]
    done = af.replace(model, {"relu": "gelu"})
    assert [site.hooks for site in done.sites] == [4, 0]
    model(x).sum().backward()
    assert seen == ["before", "after", "named", "backward"]
    handles[1].remove()
    seen.clear()
    model(x)
    assert seen == ["before", "named"]
    done.undo()
    seen.clear()
    model(x)
    assert seen == ["before", "named"]


def test_mode_device_dtype_and_inplace_are_those_of_the_place():
    model = nn.Sequential(nn.Linear(6, 6), nn.RReLU(inplace=True), nn.ReLU()).to(torch.bfloat16).eval()
    done = af.replace(model, {"relu": "prelu", "rrelu": "elu"})
    assert model[2].weight.dtype is torch.bfloat16 and not model[1].training and model[1].inplace
    assert [p.dtype for p in done.parameters.values()] == [torch.bfloat16]
    empty = nn.Sequential(nn.Linear(6, 6, device="meta"), nn.ReLU())
    af.replace(empty, {"relu": "prelu"})
    assert empty[1].weight.device.type == "meta"
    block = af.nn.FeedForward(6, 8, "relu", device="meta")
    af.replace(block, {"relu": "prelu"})
    assert block.activation.weight.device.type == "meta"


# 5. The state and the optimizer.


def test_new_parameters_are_named_and_states_fit_where_there_are_none():
    model, state = network(), network().state_dict()
    af.replace(model, {"relu": "mish"})
    model.load_state_dict(state, strict=True)
    done = af.replace(model, {"mish": "prelu"})
    assert list(done.parameters) == ["1.weight", "3.weight"]
    assert "new parameters, in no optimizer yet, nor in DDP or FSDP: 1.weight, 3.weight" in repr(done)
    lost = af.replace(model, {"prelu": "relu"})
    assert "keys of the state that are gone: 1.weight, 3.weight" in repr(lost)


# 8. Compiled, exported, copied; 7. saved whole.


def test_a_compiled_model_notices_and_a_changed_one_compiles_and_exports():
    model = network().eval()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    before = compiled(x)
    af.replace(model, {"relu": "gelu"})
    assert not torch.equal(compiled(x), before)
    torch.testing.assert_close(compiled(x), model(x))
    calls = Calls().eval()
    af.replace(calls, {"relu": "gelu"}, example=x, functional="swap")
    right = calls(x)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(calls, backend="aot_eager", fullgraph=True)(x), right)
    exported = torch.export.export(calls, (x,))
    assert sum("gelu" in str(node.target) for node in exported.graph.nodes) == 3
    torch.testing.assert_close(exported.module()(x), right)


def again(model: nn.Module) -> nn.Module:
    """Saved whole and loaded."""
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def test_a_model_that_was_saved_whole_is_changed_where_it_is_loaded_and_saved_again():
    """It brings its old modules along, whatever the source says by now."""
    model = again(network(inplace=True))
    af.replace(model, {"relu": "prelu"}, example=x)
    other = again(model)
    assert torch.equal(other(x), model(x)) and [site.activation for site in af.sites(other)] == ["prelu", "prelu"]


@pytest.mark.parametrize("copied", [copy.deepcopy, again])
def test_a_copy_is_a_model_of_its_own(copied):
    model = Calls()
    done = af.replace(model, {"relu": "prelu"}, example=x, functional="swap")
    other = copied(model)
    assert torch.equal(other(x), model(x))
    done.undo()
    with torch.no_grad():
        for name, p in other.named_parameters():
            if "in_place_of" in name or name == "act.weight":
                p.fill_(1.0)
    torch.testing.assert_close(other(x), torch.tanh(model.down(model.up(x))) + model.up(x))
    assert type(model.act) is nn.ReLU and "forward" not in vars(model)


# Calls of functions.


def test_calls_are_reported_exchanged_or_ignored():
    model = Calls()
    before = model(x)
    done = af.replace(model, {"relu": "gelu"}, example=x)
    assert done.verdict.startswith("1 of 3 calls replaced (1 module)")
    assert "left as they are: F.relu ×1, Tensor.relu ×1; functional='swap' exchanges calls too" in repr(done)
    done.undo()
    done = af.replace(model, {"relu": "gelu"}, example=x, functional="swap")
    assert done.verdict.startswith("3 of 3 calls replaced (1 module and 2 functions)")
    up = af.gelu(model.up(x))
    torch.testing.assert_close(model(x), torch.tanh(af.gelu(model.down(up))) + af.gelu(model.up(x)))
    model(x).sum().backward()
    done.undo()
    assert torch.equal(model(x), before) and set(model._modules) == {"up", "down", "act"}
    assert "left" not in repr(af.replace(model, {"relu": "gelu"}, example=x, functional="ignore"))


def test_of_one_function_with_two_slopes_one_may_be_exchanged():
    class Two(nn.Module):
        def forward(self, x):
            return F.leaky_relu(x, 0.3) + F.leaky_relu(x, negative_slope=0.1)

    model = Two()
    af.replace(model, {"leaky_relu(0.1)": "tanh"}, example=x, functional="swap")
    torch.testing.assert_close(model(x), F.leaky_relu(x, 0.3) + torch.tanh(x))
    torch.testing.assert_close(torch.compile(model, fullgraph=True)(x), model(x))
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), model(x))


def test_another_slope_in_a_module_inside_is_another_form():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.LeakyReLU(0.3)

        def forward(self, x, *, scale=1.0):
            return F.leaky_relu(self.act(x), 0.1) * scale

    model = Outer()
    signature = inspect.signature(model.forward)
    af.replace(model, {"leaky_relu(0.1)": "tanh"}, example=x, functional="swap")
    torch.testing.assert_close(model(x), torch.tanh(F.leaky_relu(x, 0.3)))
    assert inspect.signature(model.forward) == signature


def test_a_call_that_cannot_be_told_from_one_inside_is_not_exchanged():
    """What runs within a forward calls the same function, and `where` leaves it as it is."""

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Calls()

        def forward(self, x):
            return F.relu(self.block(x))

    model = Outer()
    before = model(x)
    with pytest.raises(
        RuntimeError, match=r"F\.relu is called once, and what replaces it 3 times: modules inside call"
    ):
        af.replace(model, {"relu": "gelu"}, where="F.relu", example=x, functional="swap")
    assert torch.equal(model(x), before)


# 10. Norms that have an activation inside.


def test_an_activation_inside_a_norm_is_exchanged_where_it_is_a_module():
    layers = pytest.importorskip("timm.layers")
    model = nn.Sequential(nn.Conv2d(3, 4, 3), layers.BatchNormAct2d(4), layers.GroupNormAct(4, 2))
    at = torch.randn(2, 3, 8, 8)
    done = af.replace(model, {"relu": "gelu"}, example=at)
    assert [site.name for site in done.sites] == ["1.act", "2.act"]
    assert type(model[1].act) is type(model[2].act) is af.nn.GELU


def test_an_activation_inside_the_operation_of_a_norm_is_refused():
    class InPlaceABN(nn.BatchNorm2d):
        activation = "leaky_relu"

    model = nn.Sequential(nn.Conv2d(3, 4, 3), InPlaceABN(4), nn.ReLU(), nn.LeakyReLU())
    with pytest.raises(TypeError, match="1 is InPlaceABN, which computes leaky_relu within the norm"):
        af.replace(model, {"leaky_relu": "gelu"})
    assert af.replace(model, {"relu": "gelu"}).notes == ["not seen: InPlaceABN 1"]
    assert af.replace(model, {"leaky_relu": "gelu"}, where="3").verdict == "1 module replaced"


def test_what_is_quantised_or_fused_for_it_is_refused():
    from torch.ao.nn import intrinsic, qat, quantized

    fused = intrinsic.ConvReLU2d(nn.Conv2d(3, 4, 3), nn.ReLU())
    trained = qat.Linear(6, 6, qconfig=torch.ao.quantization.get_default_qat_qconfig())
    for part in (fused, trained, quantized.Hardswish(1.0, 0)):
        with pytest.raises(TypeError, match="exchange activations before it is quantised or fused"):
            af.replace(nn.Sequential(part, nn.ReLU()), {"relu": "gelu"})
    free = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
    free.add = quantized.FloatFunctional()  # in models that may be quantised, and are not yet
    assert af.replace(free, {"relu": "gelu"}).verdict == "1 module replaced"


# 9. Classes stay torch's, for tools that go by them.


def test_patched_computes_by_ours_and_leaves_classes():
    model = nn.Sequential(nn.Linear(6, 6), nn.GELU(), nn.Sigmoid())
    far = torch.tensor([-9.0, -13.0])
    with af.patched():
        assert (
            type(model[1]) is nn.GELU
            and torch.equal(F.gelu(far), af.gelu(far))
            and torch.equal(model[1](far), af.gelu(far))
        )
        assert torch.equal(far.sigmoid(), af.sigmoid(far)) and torch.equal(torch.tanh(far), af.tanh(far))
        assert torch.relu(torch.tensor([3, -2])).tolist() == [3, 0], "whole numbers stay torch's"
        out = torch.empty(2)
        assert torch.sigmoid(far, out=out) is out
        leaf = far.clone().requires_grad_()
        F.gelu(leaf).sum().backward()
        assert torch.equal(
            leaf.grad, torch.autograd.grad(af.gelu(again := far.clone().requires_grad_()).sum(), again)[0]
        )
        changed = far.clone()
        assert F.silu(changed, inplace=True) is changed and torch.equal(changed, af.silu(far))
        compiled = torch.compile(lambda v: F.gelu(v), fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(far), af.gelu(far), rtol=1e-5, atol=0.0)
    assert not torch.equal(F.gelu(far), af.gelu(far))


# Which sites: names, classes, modules, patterns.


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("gelu", [0]),
        ("gelu_tanh", [1]),
        ("gelu*", [0, 1]),
        ("gelu@jax", [1]),
        ("leaky_relu", [2, 3]),
        ("leaky_relu(0.2)", [3]),
        ("lrelu*", []),
        (nn.LeakyReLU, [2, 3]),
        (nn.LeakyReLU(0.2), [3]),
        (nn.GELU("tanh"), [1]),
        (af.nn.GELU(), [0]),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:gelu")
def test_a_key_is_for_its_form_and_the_numbers_that_it_states(key, changed):
    model = nn.Sequential(nn.GELU(), nn.GELU("tanh"), nn.LeakyReLU(), nn.LeakyReLU(0.2))
    if changed:
        af.replace(model, {key: "softsign"})
        assert [k for k, part in enumerate(model) if type(part) is af.nn.Softsign] == changed
    else:
        with pytest.raises(ValueError, match="the model has"):
            af.replace(model, {key: "softsign"})


@pytest.mark.parametrize("new", ["tanh", nn.Tanh, nn.Tanh(), af.nn.Tanh], ids=str)
def test_what_replaces_is_a_name_a_class_or_a_module(new):
    model = network()
    af.replace(model, {"relu": new}, where="3")
    assert type(model[1]) is nn.ReLU and type(model[3]) in (nn.Tanh, af.nn.Tanh)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda m: af.replace(m, {"tanh": "gelu"}),
            ValueError,
            r"no tanh; the model has relu ×2; it was not run: with an",
        ),
        (lambda m: af.replace(m, {"tanh": "gelu"}, example=x), ValueError, r"no tanh; the model has relu ×2$"),
        (lambda m: af.replace(m, {"relu": "gelu"}, where="5*"), ValueError, r"no relu at '5\*'"),
        (lambda m: af.replace(m, {"relu": "gulu"}), ValueError, "unknown activation 'gulu'; did you mean"),
        (lambda m: af.replace(m, {"rulu": "gelu"}), ValueError, "unknown activation 'rulu'; did you mean"),
        (
            lambda m: af.replace(m, {"relu": "swiglu"}),
            ValueError,
            "'swiglu' is gated; what replaces must be element-wise",
        ),
        (lambda m: af.replace(m, {"relu": 3}), TypeError, "what replaces is a name, a class or a module, got 3"),
        (lambda m: af.replace(m, {3: "relu"}), TypeError, "what is replaced is a name, a class or a module, got 3"),
        (lambda m: af.replace(m, {nn.Linear(1, 1): "relu"}), TypeError, "Linear is no activation that is known"),
        (lambda m: af.replace(m, {}), ValueError, "mapping is empty"),
        (lambda m: af.replace(m, {"relu": "gelu"}, functional="swop"), ValueError, "'swop' is not known; did you mean"),
        (lambda m: af.replace(m, {"relu": "gelu"}, functional="swap"), ValueError, "'swap' needs an example"),
    ],
)
def test_bad_input_is_named_and_nothing_changes(call, error, words):
    model = network()
    with pytest.raises(error, match=words):
        call(model)
    assert [type(part) for part in model] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU]


def test_a_model_of_calls_alone_says_how_they_are_exchanged():
    class Bare(nn.Module):
        def forward(self, x):
            return F.relu(x)

    with pytest.raises(ValueError, match=r"no module or attribute is relu, but F.relu ×1; functional='swap' exchanges"):
        af.replace(Bare(), {"relu": "gelu"}, example=x)


# 11. How far numbers move.


def test_the_shift_at_each_site_is_that_of_the_functions():
    torch.manual_seed(0)
    model, at = nn.Sequential(nn.Linear(256, 256, bias=False), nn.ReLU()), torch.randn(512, 256)
    nn.init.normal_(model[0].weight, std=1 / 16)
    (shift,) = af.replace(model, {"relu": "gelu"}, example=at).checked.shifts.values()
    assert shift.before.rms_in == pytest.approx(shift.after.rms_in) == pytest.approx(1.0, rel=0.02)
    assert shift.before.rms_out == pytest.approx(1.0 / af.gain("relu"), rel=0.02)
    assert shift.after.rms_out == pytest.approx(1.0 / af.gain("gelu"), rel=0.02)
    assert shift.before.zeros == pytest.approx(0.5, abs=0.01) and shift.after.zeros < 1e-3


def test_an_exchange_that_breaks_puts_everything_back(monkeypatch):
    model = Calls()
    before = model(x)
    monkeypatch.setattr(checks, "run", _broken(checks.run))
    with pytest.raises(ZeroDivisionError):
        af.replace(model, {"relu": "gelu"}, example=x, functional="swap")
    assert torch.equal(model(x), before) and set(model._modules) == {"up", "down", "act"}


def _broken(run):
    def breaks(model, example):
        if type(model.act) is af.nn.GELU:
            raise ZeroDivisionError
        return run(model, example)

    return breaks


WITH_TWO = """
import os, sys, torch, torch.distributed as dist, actfun as af
from torch import nn
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 1))
af.replace(model, {"relu": "prelu"})
model = nn.parallel.DistributedDataParallel(model)
torch.manual_seed(rank)
model(torch.randn(8, 6)).square().mean().backward()
slope = model.module[1].weight.grad.clone()
other = [torch.empty_like(slope) for _ in range(2)]
dist.all_gather(other, slope)
assert torch.equal(*other) and slope != 0.0
os._exit(0)  # torch's own teardown aborts in some runs, without actfun too (9 of 40 with nn.PReLU)
"""


def test_new_parameters_are_trained_by_two_processes_together(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen([sys.executable, "-c", WITH_TWO, str(rank), str(tmp_path / "met")], env=environment)
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
