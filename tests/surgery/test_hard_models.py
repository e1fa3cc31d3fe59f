"""Models that make an exchange go wrong unseen: each came out wrong, or was refused without need, at some time."""

import copy
import dataclasses
import pickle
import random

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import actfun as af

F = nn.functional
x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
SWAP = {"example": x, "functional": "swap"}


@pytest.fixture(autouse=True)
def drawn():
    """The same weights whatever ran before."""
    torch.manual_seed(0)


def model_of(forward, **parts) -> nn.Module:
    """A model with parts and a forward."""
    kind = type("Model", (nn.Module,), {"forward": forward})
    model = kind()
    for name, part in parts.items():
        setattr(model, name, part)
    return model


class Called(nn.Module):
    """A method beside forward calls a function; pickle must find the class."""

    def __init__(self):
        super().__init__()
        self.up = nn.Linear(6, 6)

    def encode(self, x, *, scale=1.0):
        return F.relu(self.up(x)) * scale

    def forward(self, x):
        return self.encode(x) + F.gelu(x) + F.gelu(x, approximate="tanh")


# What runs a method of its own, or a copy of it.


def test_other_methods_are_exchanged_too():
    model = Called()
    af.replace(model, {"relu": "tanh"}, **SWAP)
    torch.testing.assert_close(model.encode(x, scale=2.0), 2.0 * torch.tanh(model.up(x)))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # the trial's, of torch
@pytest.mark.parametrize("reentrant", [True, False])
def test_what_checkpointing_computes_again_is_the_new_function(reentrant):
    model = model_of(lambda self, x: checkpoint(self.encode, x, use_reentrant=reentrant), up=nn.Linear(6, 6))
    type(model).encode = Called.encode
    af.replace(model, {"relu": "tanh"}, **SWAP)
    at = x.clone().requires_grad_()
    model(at).sum().backward()
    gradient = at.grad
    (right,) = torch.autograd.grad(torch.tanh(model.up(at)).sum(), at)
    torch.testing.assert_close(gradient, right)


def test_what_checkpointing_computes_again_outside_of_a_method_is_refused():
    model = model_of(lambda self, x: checkpoint(lambda y: F.relu(y), x, use_reentrant=False))
    with pytest.raises(ValueError, match=r"F\.relu is recomputed by activation checkpointing"):
        af.replace(model, {"relu": "tanh"}, **SWAP)
    assert not model._modules and "relu" in repr(
        af.replace(model_of(lambda s, x: F.relu(x)), {"relu": "elu"}, **SWAP).sites
    )


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), copy.copy])
def test_copies_run_their_own_parts(copied):
    model = Called()
    af.replace(model, {"relu": "prelu"}, **SWAP)
    other = copied(model)
    assert torch.equal(other(x), model(x))
    other._modules = dict(other._modules, in_place_of_relu_0=nn.Tanh())
    torch.testing.assert_close(other.encode(x), torch.tanh(other.up(x)))
    assert [site.activation for site in af.sites(other, x)] == ["tanh", "gelu", "gelu_tanh"]


def test_a_graph_of_the_changed_model_has_the_new_function():
    model = Called()
    af.replace(model, {"relu": "tanh"}, **SWAP)
    torch.testing.assert_close(torch.fx.symbolic_trace(model)(x), model(x))


def test_a_decoder_layer_keeps_it_when_copied():
    """torch's looks for `activation` in the state, and takes relu where it is not."""
    layer, at = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True).eval(), torch.randn(1, 3, 8)
    before = layer(at, at)
    done = af.replace(layer, {"relu": "prelu"}, example=(at, at))
    copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), nn.TransformerDecoder(layer, 2).layers[1]]
    for other in copies:
        assert type(other.activation) is af.nn.PReLU and torch.equal(other(at, at), layer(at, at))
        assert not torch.equal(other(at, at), before)
    done.undo()
    assert layer.activation is F.relu and torch.equal(layer(at, at), before)


# Which call is which.


def test_an_attribute_and_a_call_of_the_same_function_are_told_apart():
    model = model_of(lambda self, x: F.relu(self.act(x) - 1.0) + self.other(x), act=F.relu, other=F.relu)
    assert [(site.name, site.calls) for site in af.sites(model, x)] == [("act", 1), ("other", 1), ("F.relu", 1)]
    done = af.replace(model, {"relu": "gelu"}, example=x)
    assert done.verdict.startswith("2 of 3 calls")
    done.undo()
    af.replace(model, {"relu": "gelu"}, **SWAP)
    torch.testing.assert_close(model(x), af.gelu(af.gelu(x) - 1.0) + af.gelu(x))


def test_forms_are_told_apart_wherever_they_are_called():
    model = model_of(lambda self, x: F.gelu(x) + 10.0 * self.act(x), act=nn.GELU("tanh"))
    af.replace(model, {"gelu": "relu"}, **SWAP)
    torch.testing.assert_close(model(x), F.relu(x) + 10.0 * F.gelu(x, approximate="tanh"))
    model = model_of(lambda self, x: F.leaky_relu(x, 0.5 if self.training else 0.1)).eval()
    af.replace(model, {"leaky_relu(0.1)": "tanh"}, **SWAP)
    torch.testing.assert_close(model(x), torch.tanh(x))
    torch.testing.assert_close(model.train()(x), F.leaky_relu(x, 0.5))


def test_a_call_with_a_place_for_its_result_stays_torchs():
    def forward(self, x):
        y = torch.empty_like(x)
        torch.sigmoid(x, out=y)
        return y + torch.sigmoid(input=x)

    model = model_of(forward)
    af.replace(model, {"sigmoid": "tanh"}, **SWAP)
    torch.testing.assert_close(model(x), torch.sigmoid(x) + torch.tanh(x))


def test_exchanges_follow_each_other_and_are_undone_in_order():
    model = Called()
    before = model(x)
    first = af.replace(model, {"gelu": "relu"}, **SWAP)
    second = af.replace(model, {"gelu_tanh": "silu"}, **SWAP)
    torch.testing.assert_close(model(x), F.relu(model.up(x)) + F.relu(x) + F.silu(x))
    with pytest.raises(RuntimeError, match=r"something else stands by now at F\.gelu; undo what came later first"):
        first.undo()
    second.undo()
    first.undo()
    assert type(model) is Called and torch.equal(model(x), before) and list(model._modules) == ["up"]
    chain = nn.Sequential(nn.ReLU())
    done = af.replace(chain, {"relu": "gelu"})
    chain[0] = nn.Tanh()
    with pytest.raises(RuntimeError, match="something else stands by now at 0"):
        done.undo()


def test_a_call_goes_by_the_name_of_its_module():
    for where in ("a", "a.*", "a:*", "a:F.relu"):
        model = model_of(
            lambda self, x: self.a(x) + self.b(x),
            a=model_of(lambda s, x: F.relu(x)),
            b=model_of(lambda s, x: F.relu(x)),
        )
        af.replace(model, {"relu": "tanh"}, where=where, **SWAP)
        torch.testing.assert_close(model(x), torch.tanh(x) + F.relu(x))
    with pytest.raises(ValueError, match=r"no relu at 'c'; it is at b:F\.relu"):
        af.replace(model, {"relu": "tanh"}, where="c", **SWAP)


# What stays as it is.


class Merged(nn.Linear):
    """Merges a low-rank part in evaluation, as LoRA does."""

    def __init__(self):
        super().__init__(6, 6)
        self.low, self.merged = nn.Parameter(torch.randn(6, 6)), False

    def train(self, mode: bool = True):
        super().train(mode)
        if mode == self.merged:
            self.weight.data += (-1.0 if mode else 1.0) * self.low.data
            self.merged = not mode
        return self


class Assigned(nn.Module):
    """Assigns a buffer and writes a parameter while it runs."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("wide", torch.ones(4, 4).expand(2, 4, 4))
        self.act, self.scale = nn.ReLU(), nn.Parameter(torch.zeros(6))

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean()
            self.scale.data.copy_(x.std(0))
        return self.act(x.sub_(self.mean))


@pytest.mark.parametrize("made", [lambda: nn.Sequential(Merged(), nn.ReLU()), Assigned])
def test_model_and_example_stay_as_they_are(made):
    model, at = made(), x.clone()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    af.sites(model, at)
    done = af.replace(model, {"relu": "gelu"}, example=at)
    done.undo()
    assert torch.equal(at, x) and all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert model.training and not any(getattr(part, "merged", False) for part in model.modules())


def test_containers_that_others_hold_stay_as_they_are():
    shared = {"relu": F.relu}
    model = model_of(lambda self, x: self.acts["relu"](x) + self.row[0](x), acts=shared, row=(nn.ReLU(),))
    done = af.replace(model, {"relu": "gelu"}, example=x)
    torch.testing.assert_close(model(x), 2.0 * af.gelu(x))
    assert shared == {"relu": F.relu}
    done.undo()
    torch.testing.assert_close(model(x), 2.0 * F.relu(x))


def test_what_is_put_back_takes_mode_and_dtype_along():
    model = nn.Sequential(nn.Linear(6, 6), nn.RReLU(), nn.PReLU())
    with af.replaced(model, {"rrelu": "relu", "prelu": "relu"}):
        model.eval().double()
    assert not model[1].training and model[2].weight.dtype == torch.float64
    assert torch.equal(model(x.double()), model(x.double()))


def test_new_parameters_are_where_the_rest_of_the_model_is():
    model = model_of(
        lambda self, x: self.acts["a"](self.up(x)), up=nn.Linear(6, 6), acts=nn.ModuleDict({"a": nn.ReLU()})
    )
    af.replace(model.bfloat16(), {"relu": "prelu"}, example=x.bfloat16())
    assert model.acts["a"].weight.dtype == torch.bfloat16
    with torch.device("meta"):
        far = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Linear(6, 6))
    af.replace(far, {"relu": "prelu"})
    assert far[0][0].weight.is_meta
    with torch.inference_mode():
        af.replace(model, {"prelu": nn.PReLU})
    assert not model.acts["a"].weight.is_inference()


# What is no fault, and what is said of it.


class Experts(nn.Module):
    """Where an input goes depends on the activations before."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(6, 8)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.SiLU()) for _ in range(8))

    def forward(self, x):
        chosen, y = self.gate(x).argmax(-1), torch.zeros_like(x)
        for k in chosen.unique():
            y[chosen == k] = self.experts[int(k)](x[chosen == k])
        return y


def test_experts_may_be_chosen_otherwise():
    done = af.replace(nn.Sequential(Experts(), Experts(), Experts()), {"silu": "relu"}, example=x)
    assert len(done.sites) == 24 and "called more or less often than before" in repr(done)
    assert "not called by the example: " in repr(done)


@dataclasses.dataclass
class Output:
    """What some models give."""

    logits: torch.Tensor
    values: torch.Tensor


@pytest.mark.parametrize(
    ("give", "compared"),
    [
        (lambda y: Output(y, y), True),
        (lambda y: {"a": [y], "b": None}, True),
        (lambda y: (part for part in (y, y)), True),
        (torch.fft.fft, True),
        (lambda y: y.masked_fill(y > 0.5, float("-inf")), True),
        (lambda y: torch.where(y > 0.5, float("nan"), y), True),
        (lambda y: y.argmax(-1), False),
        (lambda y: None, False),
    ],
)
def test_outputs_of_every_kind_are_compared_or_it_is_said(give, compared):
    done = af.replace(model_of(lambda self, x: give(self.act(x)), act=nn.GELU()), {"gelu": "tanh"}, example=x)
    assert ("the output has no numbers to compare" in done.verdict) != compared
    assert not compared or done.checked.moved > 0.1


def test_in_place_in_training_alone_is_noticed_and_said_without_an_example():
    def forward(self, x):
        y = self.up(x)
        if self.training:
            self.act(y)
            return y
        return self.act(y)

    model = model_of(forward, up=nn.Linear(6, 6), act=nn.ReLU(inplace=True))
    with pytest.raises(RuntimeError, match="at act: it depends on the activation working in place"):
        af.replace(model, {"relu": "gelu"}, example=x)
    assert "worked in place, and the new ones do not: act" in repr(af.replace(model, {"relu": "gelu"}))


def test_a_key_that_nothing_fits_is_said_beside_one_that_fits():
    assert "not there: tanh" in repr(af.replace(nn.Sequential(nn.ReLU()), {"relu": "gelu", "tanh": "silu"}))


def test_the_shift_says_what_the_function_alone_explains():
    model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    done = af.replace(model, {"relu": "gelu"}, example=x)
    first, second = (done.checked.shifts[site.name] for site in done.sites)
    assert first.alone == pytest.approx(first.after.rms_out, rel=1e-6)  # what comes in is the same there
    assert second.alone != pytest.approx(second.after.rms_out, rel=1e-3)
    calls = af.replace(model_of(lambda self, x: F.relu(x)), {"relu": "gelu"}, **SWAP)
    (shift,) = calls.checked.shifts.values()
    assert shift.before.rms_out == pytest.approx(float(F.relu(x).square().mean().sqrt()))
    assert shift.after.mean_out == pytest.approx(float(F.gelu(x).mean()))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (model_of(lambda self, x: self.act(x) + random.random(), act=nn.ReLU()), "gives something else each time"),
        (nn.Sequential(nn.Linear(5, 5), nn.ReLU()), "example: the model raised RuntimeError: mat1 and mat2"),
        (nn.Sequential(nn.LazyBatchNorm1d(), nn.ReLU()), "model: 0.weight has no shape yet"),
        (nn.Sequential(nn.Linear(6, 6, device="meta"), nn.ReLU()), "on meta"),
        (nn.ReLU(), "model: it is itself relu"),
        (nn.Sequential(nn.Linear(6, 6), nn.Tanh()), r"no relu; the model has tanh ×1$"),
    ],
    ids=["random", "shape", "lazy", "meta", "root", "absent"],
)
def test_what_cannot_be_checked_is_said(model, words):
    with pytest.raises(ValueError, match=words):
        af.replace(model, {"relu": "gelu"}, example=x.to("meta") if "meta" in words else x)


def test_what_replaces_and_does_not_fit_is_named_with_its_site():
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 6), nn.ReLU())
    with pytest.raises(RuntimeError, match="1: what replaces it raised RuntimeError: Mismatch of parameter numbers"):
        af.replace(model, {"relu": nn.PReLU(6)}, example=x)
    assert type(model[1]) is type(model[3]) is nn.ReLU


@pytest.mark.parametrize("where", [0, 1])
def test_compiled_parts_are_refused(where):
    model = nn.Sequential(nn.ReLU(), nn.ReLU())
    if where:
        model[0].compile()
    else:
        model = nn.Sequential(torch.compile(nn.ReLU()))
    with pytest.raises(TypeError, match="it, or a part of it, is compiled"):
        af.replace(model, {"relu": "gelu"})


def test_a_forward_of_the_instance_is_not_lost():
    model = nn.Linear(6, 6)
    model.forward = lambda x: F.relu(x)
    with pytest.raises(ValueError, match="the model has a forward of its own, not its class's, which calls"):
        af.replace(model, {"relu": "gelu"}, **SWAP)


def test_scripted_parts_are_not_seen_and_do_not_hinder():
    model = nn.Sequential(torch.jit.script(nn.ReLU()), nn.ReLU())
    assert af.replace(model, {"relu": "gelu"}, example=x).notes == ["not seen: RecursiveScriptModule 0"]


def test_patched_within_a_compiled_function():
    @torch.compile(fullgraph=True)
    def run(x):
        with af.patched():
            return F.gelu(x)

    torch.testing.assert_close(run(x), af.gelu(x))


# Laws of what is put there.


def test_a_module_with_a_forward_of_its_own_keeps_it():
    act = nn.ReLU()
    act.forward = lambda x: x.square()
    model = nn.Sequential(nn.ReLU())
    af.replace(model, {"relu": act}, example=x)
    torch.testing.assert_close(model(x), x.square())


def test_what_gives_another_shape_is_refused():
    class Halves(nn.Module):
        def forward(self, x):
            return x[:, :3]

    model = nn.Sequential(nn.ReLU())
    with pytest.raises(RuntimeError, match="the output has another shape; nothing was replaced"):
        af.replace(model, {"relu": Halves}, example=x)
    assert type(model[0]) is nn.ReLU


def test_twins_have_what_was_learned_and_work_in_place_where_the_new_ones_do():
    model = nn.Sequential(nn.Linear(6, 6), nn.PReLU())
    with torch.no_grad():
        model[1].weight.fill_(3.0)
    assert af.replace(model, {"prelu": "relu"}, example=x).verdict.startswith("1 of 1")
    called = model_of(lambda self, x: F.prelu(x, self.slopes), slopes=nn.Parameter(torch.arange(6.0)))
    af.replace(called, {"prelu": "relu"}, **SWAP)
    torch.testing.assert_close(called(x), F.relu(x))
    in_place = model_of(lambda self, x: (F.relu_(x), x)[1])
    af.replace(in_place, {"relu": "tanh"}, **SWAP)
    torch.testing.assert_close(in_place(x.clone()), torch.tanh(x))


def test_a_value_is_copied_to_each_site_and_a_key_is_for_its_very_class():
    class Own(nn.ReLU):
        pass

    model = nn.Sequential(nn.ReLU(), Own(), nn.GELU("tanh"), nn.LeakyReLU(0.2))
    done = af.replace(model, {nn.ReLU: nn.PReLU(), "gelu*": "tanh"})
    assert [site.name for site in done.sites] == ["0", "2"]
    done.undo()
    value = nn.PReLU()
    af.replace(model, {"relu": value, "*": "tanh"})  # the first that fits counts
    assert model[0] is not value and model[0] is not model[1] and type(model[2]) is type(model[3]) is af.nn.Tanh


@pytest.mark.parametrize(
    ("mapping", "error", "words"),
    [
        ({"relu": nn.GLU}, ValueError, "is gated; what replaces must be element-wise"),
        ({"relu": nn.GLU()}, ValueError, "is gated; what replaces must be element-wise"),
        ({"glu": "relu"}, ValueError, "is gated; what is replaced must be element-wise"),
        ({nn.Linear: "relu"}, TypeError, "Linear is no activation that is known"),
        ({"relu": nn.Linear}, TypeError, "Linear cannot be made without arguments"),
        ([("relu", "gelu")], TypeError, "mapping must be a dictionary, old -> new, got list"),
    ],
)
def test_what_cannot_stand_for_another_is_refused(mapping, error, words):
    with pytest.raises(error, match=words):
        af.replace(nn.Sequential(nn.ReLU(), nn.GLU()), mapping)


def test_where_is_a_pattern_or_a_name():
    model = model_of(lambda self, x: self.rows[0](x), rows=[nn.ReLU(), nn.ReLU()])
    done = af.replace(model, {"relu": "prelu"}, where="rows[0]")
    assert [type(row) for row in model.rows] == [af.nn.PReLU, nn.ReLU]
    assert "new parameters that the model does not name, for a list holds their modules: 1" in repr(done)
    for where in (None, ["a"]):
        with pytest.raises(TypeError, match="where must be a pattern of names"):
            af.replace(model, {"relu": "gelu"}, where=where)


def test_a_way_that_was_not_checked_is_said():
    model = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU()).eval()
    done = af.replace(model, {"relu": "gelu"}, example=x[:1])
    assert "with this example it does not run in training, which was not checked" in repr(done)


def test_softplus_above_another_threshold_is_another_function():
    model = nn.Sequential(nn.Softplus(2.0, 0.5), nn.Softplus(2.0))
    assert [site.name for site in af.sites(model)] == ["1"]
    with af.patched():
        for at, right in (
            (model[0](x), F.softplus(x, 2.0, 0.5)),
            (F.softplus(x, threshold=0.5), F.softplus(x, 1, 0.5)),
        ):
            torch.testing.assert_close(at, right, rtol=0.0, atol=0.0)


def test_what_is_not_dense_and_floating_stays_torchs():
    whole = torch.arange(-2, 3)
    model = model_of(lambda self, x: F.relu(x) + F.relu(whole).sum() + torch.tanh(x.to_sparse()).to_dense())
    assert [site.name for site in af.sites(model, x)] == ["F.relu"]
    af.replace(model, {"relu": "gelu"}, **SWAP)
    torch.testing.assert_close(model(x), F.gelu(x) + 3 + torch.tanh(x))


# Configurations, as transformers has them.


class Config:
    """Says which activation a model has."""

    def __init__(self):
        self.hidden_act, self.layers = "gelu", 2

    def to_dict(self):
        return vars(self)


class Configured(nn.Module):
    """Made of a configuration, which says one of its activations; the last is fixed."""

    def __init__(self, config):
        super().__init__()
        kinds = {"gelu": nn.GELU, "silu": nn.SiLU}
        self.config, self.inside = config, nn.ModuleList(kinds[config.hidden_act]() for _ in range(config.layers))
        self.last = nn.GELU()

    save_pretrained = None  # that there is one tells

    def forward(self, x):
        for layer in self.inside:
            x = layer(x)
        return self.last(x)


def test_a_configuration_says_what_it_can_and_others_keep_theirs():
    config = Config()
    model, other = Configured(config), Configured(config)
    done = af.replace(model, {"gelu": "silu"}, example=x)
    assert model.config.hidden_act == "silu" and other.config.hidden_act == config.hidden_act == "gelu"
    assert done.notes == [
        "config.hidden_act is 'silu' now, was 'gelu'",
        "the configuration cannot say it of last ×1: from_pretrained gives the old ones",
    ]
    done.undo()
    assert model.config is config
    part = af.replace(model, {"gelu": "silu"}, where="inside.0")
    assert model.config.hidden_act == "gelu" and "cannot say it of inside.0:" in repr(part)
