"""Which activations a model has, and where: modules, attributes, calls; in the libraries that are installed too."""

import functools

import pytest
import torch
from torch import nn

import actfun as af
from actfun._operators.functional import function_of
from actfun._surgery import known

F = nn.functional
x = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))


class Several(nn.Module):
    """Activations as people write them: shared, in a list, as attributes, called in three ways."""

    default = nn.SiLU()

    def __init__(self):
        super().__init__()
        self.up = nn.Linear(6, 6)
        self.act = self.again = self.default
        self.leaky, self.usual = nn.LeakyReLU(0.1), nn.LeakyReLU()
        self.loose = [nn.GELU("tanh"), nn.GELU()]
        self.table = {"a": nn.Softplus(2.0)}
        self.function, self.bound = F.relu, functools.partial(F.gelu, approximate="tanh")

    def forward(self, x):
        x = self.again(self.act(self.up(x)))
        x = self.loose[0](self.loose[1](self.leaky(x))) + self.table["a"](x)
        x = self.bound(self.function(x))
        return torch.sigmoid(F.leaky_relu(x, 0.3)).tanh() + F.leaky_relu(x, negative_slope=0.3)


def test_every_kind_of_place_is_found_with_its_parameters():
    found = {site.name: (site.activation, site.kind, site.calls, site.aliases) for site in af.sites(Several())}
    assert found == {
        "act": ("silu", "module", None, ("again",)),
        "leaky": ("leaky_relu(negative_slope=0.1)", "module", None, ()),
        "usual": ("leaky_relu", "module", None, ()),
        "loose[0]": ("gelu_tanh", "module", None, ()),
        "loose[1]": ("gelu", "module", None, ()),
        "table['a']": ("softplus(beta=2.0)", "module", None, ()),
        "function": ("relu", "function", None, ()),
        "bound": ("gelu_tanh", "function", None, ()),
    }


def test_an_example_counts_calls_and_finds_those_of_functions():
    found = {site.name: (site.activation, site.calls) for site in af.sites(Several(), x)}
    assert found["act"] == ("silu", 2) and found["usual"] == ("leaky_relu", 0)
    assert found["function"] == ("relu", 1) and found["bound"] == ("gelu_tanh", 1)
    assert found["F.leaky_relu"] == ("leaky_relu(negative_slope=0.3)", 2)
    assert found["torch.sigmoid"] == ("sigmoid", 1) and found["Tensor.tanh"] == ("tanh", 1)
    inside = af.sites(nn.Sequential(nn.Linear(6, 6), Several()), x)
    assert {"1.act", "1:F.leaky_relu", "1.loose[1]"} <= {site.name for site in inside}


@pytest.mark.parametrize("example", [x, (x,), [x], {"x": x}], ids=["tensor", "tuple", "list", "mapping"])
def test_looking_leaves_everything_as_it_is(example):
    class Trained(Several):
        def __init__(self):
            super().__init__()
            self.norm, self.drop = nn.BatchNorm1d(6), nn.Dropout()

        def forward(self, x):
            return super().forward(self.drop(self.norm(x)))

    model = Trained()
    torch.manual_seed(0)
    before, state = model(x), {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(0)
    af.sites(model, example)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert model.training
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    model.norm.reset_running_stats()
    assert torch.equal(model(x), before), "random numbers were drawn"


def test_what_is_inside_an_operation_is_said():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.act = nn.LSTM(6, 6), nn.ReLU()

        def forward(self, x):
            return self.act(self.cell(x)[0])

    found = af.sites(Recurrent(), x[None])
    assert [site.name for site in found] == ["act"] and found.unseen == {"cell": "LSTM"}
    with torch.device("meta"):
        found = af.sites(Recurrent(), torch.empty(1, 4, 6))  # there torch takes the kernel apart
    assert [(site.name, site.calls) for site in found] == [("act", 1)]


def test_a_class_of_ones_own_that_is_called_rnn_is_looked_into():
    class RNN(nn.Module):
        def forward(self, x):
            return torch.tanh(x)

    found = af.sites(nn.Sequential(RNN()), x)
    assert [site.name for site in found] == ["0:torch.tanh"] and not found.unseen


@pytest.mark.parametrize("library", ["mmcv", "mmengine"])
def test_classes_of_mmcv_say_their_numbers(library):
    """By classes of the same names and attributes, for mmcv cannot be installed beside a torch of today."""

    def made(kind: str, **numbers: float) -> nn.Module:
        module = type(kind, (nn.Module,), {"__module__": f"{library}.cnn.bricks"})()
        vars(module).update(numbers)
        return module

    usual = {"bias": 3.0, "divisor": 6.0, "min_value": 0.0, "max_value": 1.0}
    model = nn.Sequential(
        made("Swish"),
        made("HSwish"),
        made("HSigmoid", **usual),
        made("HSigmoid", **usual | {"bias": 1.0, "divisor": 2.0}),
        made("Clamp", min=-2.0, max=2.0),
    )
    assert {site.name: site.activation for site in af.sites(model)} == {
        "0": "silu",
        "1": "hard_swish",
        "2": "hard_sigmoid",
        "4": "hard_tanh(min_val=-2.0, max_val=2.0)",
    }


def test_our_own_modules_are_sites_and_what_they_hold_is_none():
    network = nn.Sequential(
        af.nn.Swish(1.5), af.nn.ELU(learnable=True), af.nn.FeedForward(6, 8, "snake"), nn.Identity()
    )
    names = {site.name: site.activation for site in af.sites(network, x)}
    assert names == {"0": "swish(beta=1.5)", "1": "elu", "2.activation": "snake"}


def test_a_class_with_a_forward_of_its_own_is_not_taken_for_its_base():
    class Other(nn.ReLU):
        def forward(self, x):
            return x.square()

    class Named(nn.ReLU):
        pass

    patched = nn.ReLU()
    patched.forward = lambda x: x
    assert [site.name for site in af.sites(nn.Sequential(Other(), Named(), patched))] == ["1"]


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (3, TypeError, "model must be a torch.nn.Module, got int"),
        (torch.jit.script, TypeError, "scripted"),
        (torch.fx.symbolic_trace, TypeError, "graph"),
        (torch.compile, TypeError, "compiled"),
    ],
    ids=["no module", "scripted", "traced", "compiled"],
)
def test_what_has_no_activations_to_exchange_is_refused(model, error, words):
    model = model(nn.ReLU()) if callable(model) else model
    for look in (af.sites, lambda m: af.replace(m, {"relu": "gelu"})):
        with pytest.raises(error, match=words):
            look(model)


def test_an_example_of_another_kind_is_named():
    with pytest.raises(TypeError, match="example must be a tensor, a tuple of arguments or a dictionary, got int"):
        af.sites(nn.ReLU(), 3)


@pytest.mark.parametrize("function", known.FUNCTIONS, ids=lambda f: f"{known.FUNCTIONS[f][0]}-{f.__name__}")
def test_functions_of_torch_are_what_the_table_says(function):
    name, inplace = known.FUNCTIONS[function]
    more = {"threshold": (0.1, 0.2), "prelu": (torch.tensor([0.25]),), "rrelu": (0.2, 0.2)}.get(name, ())
    at = torch.linspace(-4.0, 4.0, 32)
    y = function(at.clone(), *more)
    assert known.meaning_of_call(function, (at, *more), {}).canonical == name
    torch.testing.assert_close(y, function_of(af.spec(name))(at, *more), rtol=1e-5, atol=1e-5)
    if inplace:
        again = at.clone()
        assert function(again, *more) is again


LIBRARIES = [
    (library, kind) for library, kinds in known.CLASSES.items() for kind in kinds if library not in ("mmcv", "mmengine")
]
PLACES = {
    "timm": ("timm.layers.activations", "timm.layers.activations_me", "timm.models.metaformer"),
    "transformers": (
        "transformers.activations",
        "transformers.models.bloom.modeling_bloom",
        "transformers.models.lxmert.modeling_lxmert",
    ),
    "diffusers": (
        "diffusers.models.activations",
        "diffusers.models.controlnets.controlnet_union",
        "diffusers.models.transformers.t5_film_transformer",
    ),
}


@pytest.mark.parametrize(("library", "kind"), LIBRARIES)
def test_classes_of_libraries_compute_what_the_table_says(library, kind):
    pytest.importorskip(library)
    for place in PLACES[library]:
        try:
            found = getattr(pytest.importorskip(place), kind, None)
        except RuntimeError as error:  # of a torchvision that was built for another torch
            pytest.skip(str(error)[:80])
        if found is not None:
            break
    else:
        pytest.skip(f"this {library} has no {kind}")
    more = {"min": -10, "max": 10} if kind == "ClippedGELUActivation" else {}
    module, at = found(**more), torch.linspace(-5.0, 5.0, 101).reshape(1, 1, 1, 101)
    meaning = known.meaning_of_module(module)
    torch.testing.assert_close(module(at.clone()), af.get(known.text(meaning))(at), rtol=1e-4, atol=1e-5)


def test_what_transformers_offers_is_known_or_left_out_by_name():
    offered = pytest.importorskip("transformers.activations").ACT2CLS
    unknown = {
        name
        for name, kind in offered.items()
        if not known.is_known(kind[0] if isinstance(kind, tuple) else kind)
        and not (isinstance(kind, type) and kind.__module__.startswith("torch."))
    }
    assert unknown == {"linear"}


def test_what_timm_offers_is_known():
    try:
        offered = pytest.importorskip("timm.layers.create_act")
    except RuntimeError as error:  # of a torchvision that was built for another torch
        pytest.skip(str(error)[:80])
    kinds = {**offered._ACT_LAYER_DEFAULT, **offered._ACT_LAYER_ME}
    assert {name for name, kind in kinds.items() if not known.is_known(kind)} == set()
