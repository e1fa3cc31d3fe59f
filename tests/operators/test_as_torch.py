"""torch's calls, constructors, `repr`s and checkpoints are taken to the letter."""

import copy
import inspect
import itertools
import pickle

import numpy
import pytest
import torch
from support import given
from torch import nn

import actfun as af
from actfun._catalogue.registry import Ignored, Parameter

SPECS = [af.spec(name) for name in af.names()]
CALLED = [a for a in SPECS if a.torch]
BUILT = [a for a in SPECS if hasattr(nn, a.module)]
x = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
learns = pytest.mark.parametrize("activation", [a for a in SPECS if a.learnable], ids=lambda a: a.name)


def made(activation, **more) -> nn.Module:
    """A module of the activation that learns what it may."""
    return af.get(activation.name, **({} if activation.learned else {"learnable": True}), **more)


@pytest.mark.parametrize("activation", CALLED, ids=lambda a: a.name)
def test_the_signature_is_torchs(activation):
    """Where torch tells it; after torch's arguments there may be more."""
    ours = list(inspect.signature(getattr(af, activation.name)).parameters.values())
    assert ours[0].name == "input"
    try:
        theirs = list(inspect.signature(getattr(nn.functional, activation.torch)).parameters.values())
    except ValueError:  # a builtin
        return
    for mine, other in zip(ours, theirs, strict=False):
        assert (mine.name, mine.kind) == (other.name, other.kind)
        assert mine.default == other.default or other.default is other.empty  # threshold may be called without
    assert len(ours) >= len(theirs)


CALLS = [
    "F.relu(x, True)",
    "F.relu(input=x)",
    "F.relu(x, inplace=False)",
    "F.elu(x, 0.5, True)",
    "F.elu(input=x, alpha=0.5, inplace=True)",
    "F.leaky_relu(x, 0.1, True)",
    "F.silu(x, True)",
    "F.mish(x, True)",
    "F.gelu(input=x, approximate='tanh')",
    "F.softplus(x, 2, 20)",
    "F.softplus(x, beta=2, threshold=20.0)",
    "F.softplus(x, 2, -1.5)",
    "F.tanh(input=x)",
    "F.sigmoid(x)",
    "F.prelu(x, w)",
    "F.prelu(input=x, weight=w[:1])",
    "F.rrelu(x, 0.1, 0.2, False, True)",
    "F.rrelu(x, lower=0.1, upper=0.2)",
    "F.rrelu(input=x, training=False)",
    "nn.ELU(0.5, True)(x)",
    "nn.ELU(alpha=2, inplace=False)(input=x)",
    "nn.LeakyReLU(0.1, True)(x)",
    "nn.ReLU(True)(x)",
    "nn.GELU('tanh')(x)",
    "nn.Softplus(2, 20)(x)",
    "nn.Softplus(beta=0.5, threshold=25)(x)",
    "nn.PReLU(6, 0.1)(x)",
    "nn.PReLU(num_parameters=1, init=0.5, device='cpu', dtype=torch.float32)(x)",
    "nn.RReLU(0.1, 0.3, True).eval()(x)",
    "nn.RReLU(0.2, 0.2)(x)",
]


@pytest.mark.parametrize("text", CALLS)
def test_a_call_of_torchs_gives_what_torch_gives(text):
    w = torch.linspace(-1.0, 1.0, 6)
    ours, theirs = x.clone(), x.clone()
    y = eval(text, {"F": af, "nn": af.nn, "x": ours, "w": w, "torch": torch})
    expected = eval(text.replace("-1.5", "20"), {"F": nn.functional, "nn": nn, "x": theirs, "w": w, "torch": torch})
    torch.testing.assert_close(y, expected, rtol=2e-6, atol=1e-7)
    torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=1e-7)  # overwritten where torch's is
    assert (y is ours) == (expected is theirs)


def test_the_input_may_be_called_x():
    assert torch.equal(af.elu(x=x, alpha=0.5), af.elu(x, 0.5))
    assert torch.equal(af.relu(x=x), af.relu(x))
    assert torch.equal(af.rrelu(x=x), af.rrelu(x))


VALUES = {bool: (False, True), float: (1.0, 2, 0.75, -0.5), int: (1, 3), str: ("none", "tanh"), type(None): (0, -1)}
OLD = ("device", "dtype", "min_value", "max_value")  # of which the last two are Hardtanh's, deprecated


def configurations(activation):
    """Arguments for torch's constructor, of each a few values, but for where parameters are kept."""
    theirs = inspect.signature(getattr(nn, activation.module)).parameters.values()
    wanted = [p for p in theirs if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in OLD]
    choices = (VALUES[float] if p.default is p.empty else (p.default, *VALUES[type(p.default)]) for p in wanted)
    for values in itertools.product(*choices):
        chosen = dict(zip((p.name for p in wanted), values, strict=True))
        ends = ("lower", "upper"), ("min_val", "max_val")
        if all(chosen.get(low, -9.0) < chosen.get(high, 9.0) for low, high in ends):
            yield chosen


@pytest.mark.parametrize("activation", BUILT, ids=lambda a: a.name)
def test_constructors_and_reprs_are_torchs(activation):
    ours, theirs = getattr(af.nn, activation.module), getattr(nn, activation.module)
    known, wanted = (inspect.signature(made).parameters for made in (ours, theirs))
    wanted = [name for name in wanted if name not in ("args", "kwargs", "min_value", "max_value")]
    assert list(known)[: len(wanted)] == wanted
    for chosen in configurations(activation):
        assert repr(ours(**chosen)) == repr(ours(*chosen.values())) == repr(theirs(**chosen))
        assert repr(nn.Sequential(ours(**chosen))) == repr(nn.Sequential(theirs(**chosen)))


def test_the_repr_of_what_is_learned_is_how_it_was_made():
    for text in (
        "ELU(alpha=0.5, learnable=True, num_parameters=4)",
        "ELU(alpha=2.0, inplace=True, learnable=True, num_parameters=1)",
        "Swish(beta=1.0, learnable=True, num_parameters=6, dim=-1)",
        "PReLU(num_parameters=3, dim=-1)",
        "Swish(beta=1.5)",
    ):
        assert repr(eval(f"af.nn.{text}")) == text


NUMBERS = (numpy.float32(0.5), numpy.float16(0.5), numpy.float64(0.5), numpy.array(0.5), numpy.int64(2), 2)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: f"{type(n).__name__} {n}")
@pytest.mark.parametrize(
    ("name", "argument"),
    [
        pytest.param(a.name, n, marks=[] if a.torch else pytest.mark.slow)
        for a in SPECS
        for n, p in a.parameters.items()
        if isinstance(p, Parameter | Ignored)
        if n not in ("pieces", "group_size")
    ],
)
def test_numbers_of_numpy_are_numbers(name, argument, number):
    function, plain = getattr(af, name), float(number)
    more = {"lower": {"upper": 3.0}, "min_val": {"max_val": 3.0}}.get(argument, {}) | given(name)
    more = {k: v for k, v in more.items() if k != argument}
    torch.manual_seed(0)  # gumbel_softmax draws

    def equal(y: torch.Tensor, other: torch.Tensor) -> bool:
        return name == "gumbel_softmax" or torch.equal(y, other)

    assert equal(function(x, **{argument: number}, **more), function(x, **{argument: plain}, **more))
    named = "init" if name == "prelu" else argument
    module = af.get(name, **{named: number}, **more).eval()
    assert equal(module(x), function(x, **{argument: plain}, **more))
    assert repr(module) == repr(af.get(name, **{named: number.item() if hasattr(number, "item") else number}, **more))
    compiled = torch.compile(lambda v: module(v), fullgraph=True, backend="eager")
    assert equal(compiled(x), module(x))
    torch._dynamo.reset()


@pytest.mark.parametrize("whole", [3, numpy.int64(3), numpy.array(3)], ids=lambda n: type(n).__name__)
def test_whole_numbers_of_numpy_are_whole_numbers(whole):
    image = torch.randn(2, 6, 3)
    assert torch.equal(af.maxout(image, whole), af.maxout(image, 3))
    assert af.nn.MaxoutPieces(whole).pieces == 3
    assert af.nn.ELU(learnable=True, num_parameters=whole).alpha.shape == (3,)
    assert torch.equal(af.maxout(image, 2, numpy.int64(1)), af.maxout(image, 2, 1))
    weight = torch.rand(3)
    assert torch.equal(af.prelu(image, weight, dim=numpy.int64(2)), af.prelu(image, weight, dim=-1))


@learns
def test_the_state_of_a_module_without_parameters_loads_strictly(activation):
    """torch's too; what is learned stays, and nothing else may be missing."""
    theirs = getattr(nn, activation.module, None)
    if activation.learned:
        return
    first = next(name for name, p in activation.parameters.items() if p.learnable)
    learned = nn.Sequential(nn.Linear(4, 4), made(activation, **{first: 0.625}))
    before = [p.item() for p in learned[1].parameters()]
    for other in (af.get(activation.name), *([theirs()] if theirs else [])):
        state = nn.Sequential(nn.Linear(4, 4), other).state_dict()
        for module in (learned, copy.deepcopy(learned), pickle.loads(pickle.dumps(learned))):
            module.load_state_dict(state)
            assert [p.item() for p in module[1].parameters()] == before
            assert torch.equal(module[0].weight, state["0.weight"])
        assert set(state) == {"0.weight", "0.bias"}, "the caller's state was changed"
    with torch.device("meta"):
        empty = nn.Sequential(nn.Linear(4, 4), made(activation))
    empty.load_state_dict(learned.state_dict(), assign=True)
    assert all(torch.equal(a, b) for a, b in zip(empty.parameters(), learned.parameters(), strict=True))
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"1'):
        nn.Sequential(nn.Linear(4, 4), af.get(activation.name)).load_state_dict(learned.state_dict())
    with pytest.raises(RuntimeError, match=r'Missing key.*"0\.bias"'):
        learned.load_state_dict({"0.weight": torch.ones(4, 4)})


@pytest.mark.parametrize("count", [1, 6])
def test_the_state_of_torchs_prelu_loads_into_ours_and_back(count):
    theirs, ours = nn.PReLU(count, 0.1), af.nn.PReLU(count)
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(x), theirs(x))
    again = nn.PReLU(count)
    again.load_state_dict(ours.state_dict())
    assert torch.equal(again.weight, theirs.weight)
    with pytest.raises(RuntimeError, match=r'Missing key.*"weight"'):
        ours.load_state_dict({})


@pytest.mark.parametrize("shape", [(6,), (3, 6), (2, 6, 4), (2, 6, 3, 3), (2, 6, 2, 2, 2)], ids=str)
@pytest.mark.parametrize("count", [1, 6])
def test_prelus_values_and_gradients_are_torchs(count, shape):
    at = torch.randn(shape, generator=torch.Generator().manual_seed(1), requires_grad=True)
    weight = torch.linspace(-0.5, 1.0, count).requires_grad_()
    if len(shape) == 1 and count > 1:  # torch has no channels there, ours are those of dim 0
        assert torch.equal(af.prelu(at, weight), af.prelu(at[None], weight)[0])
        return
    g = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    found = [
        (y, *torch.autograd.grad(y, (at, weight), g)) for y in (af.prelu(at, weight), nn.functional.prelu(at, weight))
    ]
    torch.testing.assert_close(*found, rtol=2e-6, atol=1e-6)
    zero = torch.zeros(6, requires_grad=True)
    assert torch.autograd.grad(af.prelu(zero, 0.25).sum(), zero)[0].tolist() == [0.25] * 6


def test_rrelu_draws_a_slope_for_each_number_below_0_and_passes_it_back():
    at = x.expand(500, 8, 6).contiguous().requires_grad_()
    y = af.rrelu(at, 0.2, 0.6, training=True, generator=torch.Generator().manual_seed(3))
    slope = (y / at).detach()
    drawn = slope[at < 0]
    assert bool((slope[at > 0] == 1.0).all())
    assert 0.2 <= drawn.min() < 0.201 and 0.599 < drawn.max() <= 0.6
    assert float(drawn.mean()) == pytest.approx(0.4, abs=4 * 0.4 / 12**0.5 / len(drawn) ** 0.5)
    torch.testing.assert_close(torch.autograd.grad(y.sum(), at)[0], slope, rtol=1e-6, atol=0.0)
    again = af.rrelu(at, 0.2, 0.6, training=True, generator=torch.Generator().manual_seed(3))
    assert torch.equal(again, y)
    assert torch.equal(af.rrelu(at, 0.2, 0.6), af.leaky_relu(at, 0.4))
    module = af.nn.RReLU(0.2, 0.6, inplace=True)
    buffer = at.detach().clone()
    assert module(buffer) is buffer and not torch.equal(buffer, af.rrelu(at, 0.2, 0.6))
