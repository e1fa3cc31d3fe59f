"""Names: aliases, names of frameworks, parameters within a name, and modules as configurations."""

import inspect
import json
import math
import pickle
import warnings

import pytest
import torch
from torch import nn

import actfun as af
from actfun._backends.gpu.source import contract
from actfun._catalogue import names
from actfun._catalogue.kinds import ELEMENTWISE
from actfun._catalogue.language import trace
from actfun._catalogue.names import Convention, Meaning, resolve, table
from actfun._catalogue.sides import with_sides
from actfun._cli import main
from actfun._cli.common import words
from actfun._compare.models import MLP, candidate_of, initialise
from actfun._compare.protocol import candidates
from actfun._studies.arguments import of_kinds

KNOWN = [row for row in table() if row.known]


@pytest.fixture
def told(monkeypatch):
    """The warnings of a process that has not warned before."""
    monkeypatch.setattr(names, "_warned", set())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def said(caught) -> list[str]:
    return [str(warning.message) for warning in caught]


def test_the_table_names_nothing_twice():
    asked = [row.asked for row in table()]
    assert len(set(asked)) == len(asked) > 400


@pytest.mark.parametrize("row", KNOWN, ids=lambda row: row.asked)
def test_every_row_resolves_to_what_it_states(row):
    found = resolve(row.asked)
    assert (found.canonical, dict(found.parameters), dict(found.kinks)) == (
        row.canonical,
        dict(row.parameters),
        dict(row.kinks),
    )
    module = af.get(row.asked)
    assert module.activation.name == found.activation.name
    for x, side in row.kinks.items() if module.activation.kind is ELEMENTWISE else ():
        assert found.slopes()[x] == pytest.approx(_slope(module, x)), (x, side)


def _slope(module: nn.Module, at: float) -> float:
    x = torch.tensor([at], requires_grad=True)
    module(x).sum().backward()
    return float(x.grad)


def test_a_row_that_states_something_else_is_noticed(monkeypatch):
    wrong = Convention("elu", "jax", "gelu", {}, {}, "")
    monkeypatch.setattr(names, "table", lambda: (wrong, *table()))
    with pytest.raises(AssertionError):
        test_every_row_resolves_to_what_it_states(next(row for row in KNOWN if row.asked == "gelu@jax"))


ALIASES = {
    "LeakyReLU": "leaky_relu",
    "leakyrelu": "leaky_relu",
    "Leaky-ReLU": "leaky_relu",
    "nn.LeakyReLU": "leaky_relu",
    "F.silu": "silu",
    "SiLU": "silu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu2": "relu_squared",
    "squared_relu": "relu_squared",
    "ReLUSquared": "relu_squared",
    "logistic": "sigmoid",
    "torch.tanh": "tanh",
    "hardswish": "hard_swish",
    "linear": "identity",
    "QuickGELU": "quick_gelu",
    "Hardtanh": "hard_tanh",
    "logsigmoid": "log_sigmoid",
    "TanhExp": "telu",
}


@pytest.mark.parametrize("alias", [alias for alias, means in ALIASES.items() if means in af.names()])
def test_an_alias_is_the_activation(alias):
    assert af.spec(alias) is af.spec(ALIASES[alias])
    assert str(resolve(alias)) == ALIASES[alias]


def test_swish_is_silu():
    x = torch.linspace(-5.0, 5.0, 101)
    assert torch.allclose(af.get("swish")(x), af.silu(x))


def test_every_name_that_needs_no_framework_is_what_it_says():
    for alias, meaning in names.aliases().items():
        assert resolve(alias).canonical == meaning.canonical


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("leaky_relu(negative_slope=0.2)", "LeakyReLU(negative_slope=0.2)"),
        ("leaky_relu(0.2)", "LeakyReLU(negative_slope=0.2)"),
        (" leaky_relu( 0.2 , inplace=True ) ", "LeakyReLU(negative_slope=0.2, inplace=True)"),
        ("elu@mlx(alpha=2.0)", "ELU(alpha=2.0)"),
        ("elu(alpha=2.0)@mlx", "ELU(alpha=2.0)"),
        ("leaky_relu@keras", "LeakyReLU(negative_slope=0.2)"),
        ("LeakyReLU@keras", "LeakyReLU(negative_slope=0.3)"),
        ("layers.LeakyReLU@Keras3", "LeakyReLU(negative_slope=0.3)"),
        ("tf.nn.leaky_relu@tf", "LeakyReLU(negative_slope=0.2)"),
        ("relu_squared@hf", "ReLUSquared()"),
        ("maxout(pieces=3)", "MaxoutPieces(pieces=3, dim=-1)"),
    ],
)
def test_parameters_within_a_name_reach_the_module(text, shown):
    assert repr(af.get(text)) == shown


def test_a_parameter_of_a_call_replaces_a_frameworks():
    assert af.get("leaky_relu@keras", negative_slope=0.1).negative_slope == 0.1
    assert af.get("leaky_relu(0.2)", negative_slope=0.1).negative_slope == 0.1
    assert af.gain("leaky_relu@keras") == af.gain("leaky_relu", negative_slope=0.2) == af.gain("leaky_relu(0.2)")
    assert af.gain("leaky_relu@keras", negative_slope=0.1) == af.gain("leaky_relu", negative_slope=0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("siwsh", r"did you mean .*swish"),
        ("gelu_pytorch_tahn", r"did you mean gelu_tanh \(gelu_pytorch_tanh\) or gelu"),
        ("gelu_nwe", r"gelu_tanh \(gelu_new\)"),
        ("gelu@jxa", "unknown framework 'jxa'; did you mean jax"),
        ("gel@hf", r"unknown activation 'gel@hf'; did you mean gelu \(gelu@transformers\)"),
        ("TeLU@torch_activation", "not in the catalogue: x·tanh"),
        ("Maxout@torch_activation", "not in the catalogue: the largest of learned"),
        ("leaky_relu(0.2", r"'leaky_relu\(0.2' is no name; write name, name@framework"),
        ("gelu@", "'gelu@' is no name"),
        ("", "'' is no name"),
        ("leaky_relu(0.2, 0.3)", "leaky_relu takes negative_slope"),
        ("leaky_relu(0.2, negative_slope=0.3)", "negative_slope is given twice"),
        ("leaky_relu(negative_slope=[1])", "write parameters as name=value"),
        ("leaky_relu(**a)", "write parameters as name=value"),
        ("leaky_relu(*a)", "write parameters as name=value"),
        ("leaky_relu(__import__('os'))", "write parameters as name=value"),
    ],
)
def test_a_name_that_is_none_says_what_to_write(text, message):
    with pytest.raises(ValueError, match=message):
        af.get(text)


def test_a_parameter_that_is_unknown_is_named():
    with pytest.raises(TypeError, match="slope"):
        af.get("leaky_relu(slope=0.2)")


def test_a_name_that_means_different_things_says_so_once(told):
    for _ in range(2):
        assert type(af.get("gelu")).__name__ == "GELU"
    (message,) = said(told)
    assert message.startswith("gelu means different things; taken as gelu")
    assert "gelu_tanh: gelu@jax" in message and "ops.gelu@keras" in message
    assert told[0].filename == __file__
    af.get("leaky_relu@keras")
    assert "layers.LeakyReLU@keras" in said(told)[1]
    af.spec("SReLU")
    assert "taken as relu_squared" in said(told)[2] and "relu(x - 1)" in said(told)[2]


def test_names_that_mean_one_thing_say_nothing(told):
    for text in (
        "relu",
        "SiLU",
        "gelu@torch",
        "gelu@jax",
        "LeakyReLU@keras",
        "leaky_relu(0.2)",
        "relu2",
        "elu",
        "tanh",
    ):
        af.get(text)
    for name in af.names():
        af.spec(name)
        af.gain(name)
    af.nn.FeedForward(4, 8)
    assert said(told) == []


def test_what_a_meaning_is_called_gives_it_back():
    meanings = [row.meaning for row in KNOWN] + [Meaning("leaky_relu", {"negative_slope": -math.inf}, {0.0: "right"})]
    for meaning in meanings:
        assert str(resolve(str(meaning))) == str(meaning)


def test_asking_for_conventions_warns_of_nothing(told):
    af.conventions("GELU")
    assert said(told) == []
    af.get("GELU")
    assert len(said(told)) == 1


SIDES = [("leaky_relu", {0.0: "right"}, {0.0: 1.0}), ("relu", {0.0: "right"}, {0.0: 1.0})]
SIDES += [("elu", {0.0: 0.25}, {0.0: 0.25}), ("leaky_relu", {-1.0: 0.5, 2.0: 7.0}, {-1.0: 0.5, 2.0: 7.0, 0.0: 0.01})]


@pytest.mark.parametrize(("name", "sides", "slopes"), SIDES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_side_changes_the_slope_there_and_nothing_else(name, sides, slopes, dtype):
    usual = af.get(name)
    other = af.get({"activation": name, "kinks": {str(x): side for x, side in sides.items()}})
    x = torch.cat([torch.linspace(-3.0, 3.0, 25), torch.tensor([-0.0, torch.nan, torch.inf, -torch.inf])]).to(dtype)
    taken, reference = x.clone().requires_grad_(), x.clone().requires_grad_()
    y = other(taken)
    (slope,) = torch.autograd.grad(y.sum(), taken, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), taken)
    (own,) = torch.autograd.grad(usual(reference).sum(), reference)
    torch.testing.assert_close(y.detach(), usual(x), rtol=0, atol=0, equal_nan=True)
    there = torch.isin(x, torch.tensor(list(sides), dtype=dtype))
    assert there.sum() >= len(sides)
    for found in (slope.detach(), torch.func.vmap(torch.func.grad(other))(x)):
        torch.testing.assert_close(found[~there], own[~there], rtol=0, atol=0, equal_nan=True)
        for at, right in slopes.items():
            assert found[x == at].tolist() == pytest.approx([right] * int((x == at).sum()), rel=2e-3)
    assert not second[~x.isnan()].isnan().any()


def test_a_compiled_side():
    module = af.get("leaky_relu@jax")
    x = torch.linspace(-1.0, 1.0, 3).requires_grad_()
    torch.compile(module, backend="aot_eager", fullgraph=True)(x).sum().backward()
    assert x.grad.tolist() == pytest.approx([0.01, 1.0, 1.0])


def test_sides_that_are_the_usual_ones_are_no_other_activation():
    assert with_sides(af.spec("leaky_relu"), {0.0: "left"}) is af.spec("leaky_relu")
    assert with_sides(af.spec("elu"), {0.0: "right"}) is af.spec("elu")
    assert with_sides(af.spec("leaky_relu"), {0.0: "right"}) is with_sides(af.spec("leaky_relu"), {0: "right"})
    assert with_sides(af.spec("leaky_relu"), {0.0: "right"}) is not af.spec("leaky_relu")


def test_a_side_is_a_formula_that_every_backend_can_read():
    slope = with_sides(af.spec("elu"), {0.0: "right", -1.5: 1e-5, 3.0: 2.0}, {"alpha": 2.0}).derivatives["x"]
    trace(slope)
    assert slope(-1.5, 2.0) == 1e-5 and slope(3.0, 2.0) == 2.0 and slope(0.0, 2.0) == 1.0
    contracted = contract(slope)
    contracted.__globals__.update(own=af.spec("elu").derivatives["x"], where=slope.__globals__["where"])
    assert contracted(3.0, 2.0) == 2.0


def test_a_side_survives_copies():
    module = af.get("leaky_relu@jax", negative_slope=0.1)
    copy = pickle.loads(pickle.dumps(module))
    assert type(copy) is type(module) and repr(copy) == repr(module)
    assert _slope(copy, 0.0) == 1.0
    assert pickle.loads(pickle.dumps(module.activation)) is module.activation


@pytest.mark.parametrize(
    ("kinks", "error", "message"),
    [
        ({"0": "above"}, TypeError, "the slope at 0.0 must be 'left', 'right' or a number, got 'above'"),
        ({"0": True}, TypeError, "got True"),
        ({"zero": 1.0}, ValueError, "kinks are at numbers, got 'zero'"),
    ],
)
def test_a_wrong_side_is_named(kinks, error, message):
    with pytest.raises(error, match=message):
        af.get({"activation": "relu", "kinks": kinks})


def test_a_side_is_of_elementwise_activations():
    with pytest.raises(ValueError, match="maxout: kinks are those of element-wise activations"):
        af.get({"activation": "maxout", "kinks": {"0": "right"}})


def modules() -> list[nn.Module]:
    """Every activation of actfun.nn, as it is made by default and otherwise."""
    found = []
    for name in af.names():
        made = getattr(af.nn, af.spec(name).module)
        takes = inspect.signature(made).parameters
        learned = {"learnable": True} if "learnable" in takes else {}
        others = {
            "inplace": {"inplace": True},
            "learnable": learned,
            "num_parameters": {"num_parameters": 3, **learned},
        }
        found += [made(), *(made(**given) for argument, given in others.items() if argument in takes)]
    return [*found, af.nn.GELU("tanh"), af.nn.MaxoutPieces(3, 1), af.nn.LeakyReLU(0.3), af.get("leaky_relu@jax")]


@pytest.mark.parametrize("module", modules(), ids=repr)
def test_a_module_is_a_configuration_and_back(module):
    config = json.loads(json.dumps(af.config(module)))
    back = af.get(config)
    assert type(back) is type(module) and repr(back) == repr(module)
    assert {name: p.shape for name, p in back.named_parameters()} == {n: p.shape for n, p in module.named_parameters()}
    assert af.config(back) == config
    assert config["activation"] in af.names()
    assert set(config) <= {"activation", "parameters", "kinks"}


def test_configurations_say_what_is_not_the_default():
    assert af.config(af.nn.LeakyReLU(0.3, inplace=True)) == {
        "activation": "leaky_relu",
        "parameters": {"negative_slope": 0.3, "inplace": True},
    }
    assert af.config(af.get("leaky_relu@jax"))["kinks"] == {"0": "right"}
    assert af.config(af.nn.GELU("tanh"))["parameters"] == {"approximate": "tanh"}
    learned = af.nn.ELU(2.0, learnable=True, num_parameters=3)
    assert af.config(learned)["parameters"] == {"alpha": 2.0, "learnable": True, "num_parameters": 3}


OF_TORCH = [
    (name.removeprefix("nn."), canonical)
    for name, canonical in ((row.name, row.canonical) for row in KNOWN if row.framework == "torch")
    if name.startswith("nn.") and "(" not in name
]


@pytest.mark.parametrize(("name", "canonical"), OF_TORCH)
def test_torchs_modules_have_our_configurations(name, canonical):
    given = {"Threshold": (0.5, -1.0)}.get(name, ())
    theirs = getattr(nn, name)(*given).eval()
    config = af.config(theirs)
    assert config["activation"] == canonical
    if af.spec(canonical).kind is ELEMENTWISE:
        x = torch.linspace(-4.0, 4.0, 33)
        torch.testing.assert_close(af.get(config).eval()(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_torchs_parameters_are_in_the_configuration():
    assert af.config(nn.LeakyReLU(0.3))["parameters"]["negative_slope"] == 0.3
    assert af.config(nn.ELU(0.5, inplace=True))["parameters"] == {"alpha": 0.5, "inplace": True}
    assert af.config(nn.GELU("tanh"))["parameters"]["approximate"] == "tanh"


@pytest.mark.parametrize("module", [nn.Linear(2, 3), nn.Sequential(), af.nn.FeedForward(2, 4)], ids=repr)
def test_what_is_no_activation_has_no_configuration(module):
    with pytest.raises(TypeError, match=r"config: .* is no activation"):
        af.config(module)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"activation": "relu", "params": {}}, "unknown key 'params'; did you mean parameters"),
        ({"parameters": {}}, "'activation' is missing"),
        ({"activation": "gelo"}, "did you mean gelu"),
    ],
)
def test_a_wrong_configuration_is_named(config, message):
    with pytest.raises(ValueError, match=message):
        af.get(config)


def test_a_study_takes_names_and_gives_them_to_its_networks(told):
    labels = candidates(["gelu@jax", "leaky_relu(0.2)", "leaky_relu@jax", "maxout(pieces=3)", "SiLU"])
    assert labels == (
        "gelu_tanh",
        "leaky_relu(negative_slope=0.2)",
        "leaky_relu__right_at_0",
        "maxout(pieces=3)",
        "maxout(pieces=3) (equal parameters)",
        "silu",
    )
    told.clear()
    networks = {label: MLP(4, 8, 1, 2, candidate_of(label)) for label in labels}
    shown = [repr(network.activations[0]) for network in networks.values()]
    assert shown[1:4] == [
        "LeakyReLU(negative_slope=0.2)",
        "LeakyReLU__right_at_0(negative_slope=0.01)",
        "MaxoutPieces(pieces=3, dim=-1)",
    ]
    assert networks["maxout(pieces=3)"](torch.zeros(5, 4)).shape == (5, 2)
    for label, network in networks.items():
        initialise(network, candidate_of(label), 0, matched=True)
    assert said(told) == []  # these names are settled
    with pytest.raises(ValueError, match="named twice"):
        candidates(["gelu_tanh", "gelu@jax"])


def test_a_measurement_takes_names_of_usual_parameters():
    assert of_kinds(("gelu@jax", "SiLU", "gelu(approximate='tanh')", "leaky_relu(0.01)"), ELEMENTWISE) == (
        "gelu_tanh",
        "silu",
        "leaky_relu",
    )
    with pytest.raises(ValueError, match="only leaky_relu with its usual parameters is measured"):
        of_kinds("leaky_relu(0.2)", ELEMENTWISE)
    with pytest.raises(ValueError, match="only leaky_relu with its usual parameters is measured"):
        of_kinds("leaky_relu@jax", ELEMENTWISE)


def test_a_list_of_names_may_have_parameters():
    assert words("relu, elu(alpha=2.0,inplace=True) ,gelu@jax,") == ["relu", "elu(alpha=2.0,inplace=True)", "gelu@jax"]


def test_the_command_shows_who_means_what(capsys):
    assert main(["conventions", "leaky_relu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (right,) = (line for line in lines if line.strip().startswith("leaky_relu__right_at_0"))
    assert "1 at 0" in right and "leaky_relu@jax" in right
    (keras,) = (line for line in lines if line.strip().startswith("leaky_relu(negative_slope=0.2)"))
    assert "1.9" in keras and "leaky_relu@keras" in keras
    assert main(["conventions"]) == 0
    assert "gelu_new@transformers" in capsys.readouterr().out
    assert main(["conventions", "gelo"]) == 2
    assert "did you mean gelu" in capsys.readouterr().err


def test_a_command_says_in_a_line_what_a_name_was_taken_as(capsys, monkeypatch):
    monkeypatch.setattr(names, "_warned", set())
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["show", "leaky_relu@keras"]) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith("actfun: leaky_relu@keras means different things; taken as leaky_relu(negative_slope=")
    assert len(shown.err.splitlines()) == 1
    assert "negative_slope = 0.2" in shown.out and "LeakyReLU" in shown.out


def test_conventions_side_by_side():
    rows = af.conventions("leaky_relu")
    assert {"canonical", "framework", "framework_name", "parameters", "kinks", "differs"} == set(rows[0])
    (jax,) = (row for row in rows if row["framework"] == "jax")
    assert jax["kinks"] == {"0": "right"} and jax["parameters"] == {"negative_slope": 0.01}
    assert {row["framework"] for row in af.conventions("gelu")} >= {"torch", "jax", "onnx"}
    assert {row["canonical"] for row in af.conventions("gelu")} == {"gelu", "gelu_tanh"}
    assert {row["canonical"] for row in af.conventions("TeLU")} >= {None}
    assert len(af.conventions()) == len(table())
    assert json.loads(json.dumps(af.conventions())) == af.conventions()
    with pytest.raises(ValueError, match="did you mean gelu"):
        af.conventions("gelo")


def test_differences_are_numbers():
    gelu, tanh_form = Meaning("gelu"), Meaning("gelu_tanh")
    x = torch.linspace(-10.0, 10.0, 20_001, dtype=torch.float64)
    right = float((af.gelu(x) - af.gelu_tanh(x)).abs().max())
    assert gelu.difference(tanh_form) == pytest.approx(right, rel=1e-3)
    assert gelu.difference(Meaning("gelu", {"approximate": "none"})) == 0.0
    assert tanh_form.difference(Meaning("gelu", {"approximate": "tanh"})) == 0.0
    assert Meaning("leaky_relu", {"negative_slope": 0.2}).difference(Meaning("leaky_relu")) == pytest.approx(1.9)
    assert Meaning("maxout").difference(gelu) is None
