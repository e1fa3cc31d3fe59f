"""The kinds of activations: a new one is one class, and what is said of those there are is true."""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from support import given
from torch import Tensor, nn

import actfun as af
from actfun._catalogue.formulas.rectified import leaky_relu
from actfun._catalogue.kinds import ELEMENTWISE, RANDOM, REDUCTION, Kind
from actfun._catalogue.registry import Activation, _registry
from actfun._cli import main
from actfun._operators.behaviours import base
from actfun._operators.behaviours.base import Behaviour, Slider, implement
from actfun._report import curves
from actfun._watch.meter import Meter
from actfun.formula import Parameter, activation, derivative, where

FACTS = {"monotonic": True, "convex": True, "latex": "x", "reference": "a test"}
CENTRED = Kind("centring", "nothing", lambda parameters: ("x", "mean"))


class Centred(nn.Module):
    """`centred` as a module."""

    def __init__(self) -> None:
        super().__init__()
        self.activation = af.spec("centred")

    def forward(self, x: Tensor) -> Tensor:
        return af.centred(x)


class CentredBehaviour(Behaviour):
    """Each row less its mean."""

    def function(self) -> Callable[..., Tensor]:
        return lambda x: self.activation.formula(x, x.mean(-1, keepdim=True))

    def module(self) -> type[nn.Module]:
        return Centred

    def slope(self, module: nn.Module, z: Tensor) -> Tensor:
        return torch.full_like(z, 1.0 - 1.0 / z.shape[-1])

    def gain(self, preserve: str, parameters: dict[str, Any]) -> float:
        return 1.0 / math.sqrt(1.0 - 1.0 / parameters.get("units", 2))

    def slider(self) -> Slider:
        return Slider.fixed(lambda x: af.centred(torch.stack([x, torch.zeros_like(x)], -1))[:, 0])


def centred(x, mean):
    """The row less its mean."""
    return x - mean


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[Kind, type[Behaviour]]]:
    """The kinds and the activations there are, both as they were before when the test ends."""
    monkeypatch.setattr(base, "_table", dict(base._table))
    before = dict(_registry)
    yield base._table
    _registry.clear()
    _registry.update(before)


def test_an_activation_of_a_new_kind_works_everywhere(table, tmp_path, capsys):
    implement(CENTRED)(CentredBehaviour)
    activation(kind=CENTRED, **FACTS)(centred)
    x = torch.tensor([[1.0, 3.0], [0.0, -2.0]], requires_grad=True)
    expected = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])
    assert torch.equal(af.centred(x), expected)
    assert torch.equal(af.get("centred")(x), expected)
    assert af.nn.Centred is Centred
    assert af.gain("centred", units=4) == 1.0 / math.sqrt(0.75)
    module = af.get("centred")
    with Meter(module) as meter:
        module(x).square().sum().backward()
    assert (meter.shares.dead, meter.shares.flat, meter.shares.std) == (0.0, 0.0, 1.0)
    points, slider = curves.rows("centred")
    assert slider.name == ""
    assert {round(p["y"] - 0.5 * p["x"], 6) for p in points if p["line"] == curves.SHOWN["function"]} == {0.0}
    assert af.names(CENTRED) == ("centred",)
    assert "centred" not in af.names(ELEMENTWISE)
    assert main(["list"]) == main(["show", "centred"]) == 0
    assert "return x - mean" in capsys.readouterr().out
    assert main(["accuracy", "centred", "--out", str(tmp_path)]) == 2


@pytest.mark.parametrize("method", sorted(Behaviour.__abstractmethods__))
def test_a_kind_that_lacks_a_method_is_refused(table, method):
    methods = {name: value for name, value in vars(CentredBehaviour).items() if name != method}
    with pytest.raises(TypeError, match=f"Partial: centring activations lack {method}; see Behaviour"):
        implement(CENTRED)(type("Partial", (Behaviour,), methods))
    assert CENTRED not in table


def test_an_activation_whose_kind_does_nothing_says_so(table):
    activation(kind=CENTRED, **FACTS)(centred)
    with pytest.raises(TypeError, match="centred: what centring activations do is to be written, under @implement"):
        af.centred  # noqa: B018
    with pytest.raises(TypeError, match="centred: what centring"):
        af.get("centred")


def mine(x, noise):
    return x * noise


def reduced(x, y):
    return x + y


@pytest.mark.parametrize(
    ("formula", "kind", "error", "words"),
    [
        (mine, "random", TypeError, "mine: kind must be a Kind, .*, got 'random'"),
        (mine, ELEMENTWISE, ValueError, r"a formula that is element-wise takes .*, \(x\), got \(x, noise\)"),
        (mine, REDUCTION, ValueError, r"\(x, y\), got \(x, noise\)"),
        (reduced, RANDOM, ValueError, r"\(x, noise\), got \(x, y\)"),
    ],
)
def test_a_kind_and_a_formula_that_do_not_fit_are_refused(table, formula, kind, error, words):
    with pytest.raises(error, match=words):
        activation(kind=kind, **FACTS)(formula)
    assert formula.__name__ not in _registry


@pytest.mark.parametrize(
    ("formula", "kind", "words"),
    [
        (mine, RANDOM, "mine: a random activation states mean=, what it is in evaluation"),
        (reduced, REDUCTION, "reduced: maxout is the one reducing activation there is"),
    ],
)
def test_what_a_kind_cannot_make_is_refused(table, formula, kind, words):
    activation(kind=kind, **FACTS)(formula)
    for use in (lambda: getattr(af, formula.__name__), lambda: af.gain(formula.__name__)):
        with pytest.raises(ValueError, match=words):
            use()


def test_a_random_activation_is_one_formula(table):
    """Its slope is drawn, in training, and its mean is another activation."""

    def dropped(x, keep, noise):
        return where(noise < keep, x, 0.0)

    def dropped_dx(x, keep, noise):
        return where(noise < keep, 1.0, 0.0)

    stated = {"mean": lambda keep: (leaky_relu, (keep,)), "keep": Parameter(0.5), "keeps": "mask"}
    activation(kind=RANDOM, **FACTS, **stated)(dropped)
    derivative(dropped, "x")(dropped_dx)
    x = torch.full((10_000,), -1.0)
    assert float(af.dropped(x, 0.25).mean()) == pytest.approx(-0.25, abs=0.02)
    module = af.get("dropped", keep=0.25)
    assert {*module(x).tolist()} == {0.0, -1.0}
    assert {*module.eval()(x).tolist()} == {-0.25}


def test_an_activation_that_cannot_be_made_leaves_all_others_alone():
    """Before any activation was used, for functional.py makes those of the package when it is imported."""
    code = """
import torch, actfun as af
from actfun.formula import Parameter, activation, derivative, where
from actfun._catalogue.kinds import RANDOM
@activation(kind=RANDOM, monotonic=True, convex=True, latex="x", reference="r")
def mine(x, noise): return x * noise
assert af.relu(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 2.0]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def kept(made: Activation) -> set[str]:
    """What the backward of an activation really needs."""
    x, saved = torch.randn(1, 4, 6).requires_grad_(), []
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda held: held):
        y = getattr(af, made.name)(x, **given(made.name), **({"training": True} if made.kind is RANDOM else {}))
    assert saved
    places = {x.data_ptr(): "input", y.data_ptr(): "output"}
    types = {torch.bool: "mask", torch.int64: "indices", torch.uint8: "indices", torch.float32: "slope"}
    return {places.get(one.data_ptr()) or types[one.dtype] for one in saved}


@pytest.mark.parametrize("name", af.names())
def test_backward_keeps_what_is_said(name):
    assert kept(af.spec(name)) == {af.spec(name).keeps}


def test_what_backward_keeps_is_seen():
    """A statement that is wrong would be found: they differ."""
    assert {name: kept(af.spec(name)) for name in ("relu", "gelu", "stochastic_gelu", "rrelu", "maxout")} == {
        "relu": {"output"},
        "gelu": {"input"},
        "stochastic_gelu": {"mask"},
        "rrelu": {"slope"},
        "maxout": {"indices"},
    }
