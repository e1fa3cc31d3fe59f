"""`actfun.formula`: what one imports to write an activation, and what follows from a formula alone."""

import math
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

import actfun as af
from actfun import formula
from actfun._catalogue import primitives
from actfun._catalogue.facts import FINDABLE
from actfun._catalogue.language import VOCABULARY, trace
from actfun._catalogue.registry import _registry
from actfun._report import show as report
from actfun.formula import absolute, activation, derivative, exp, minimum, where

# As in a program of one's own: not with the names of the module that holds the example.
EXAMPLE = "import doctest, sys, actfun.formula as f; sys.exit(doctest.testmod(f, globs={'__name__': 'mine'}).failed)"


def test_the_example_of_its_documentation_runs():
    subprocess.run([sys.executable, "-c", EXAMPLE], check=True, timeout=600)
    planted = EXAMPLE.replace("sys.exit(", "f.__doc__ = f.__doc__.replace('0.0625', '0.0626'); sys.exit(")
    assert subprocess.run([sys.executable, "-c", planted], capture_output=True, timeout=600).returncode == 1


def test_it_offers_the_whole_vocabulary_and_nothing_private():
    assert set(formula.__all__) == VOCABULARY | {
        "INFINITY",
        "activation",
        "derivative",
        "Parameter",
        "Choice",
        "Ignored",
    }
    assert {p.__name__ for p in primitives.CONTRACTS} | {"maximum", "minimum"} == VOCABULARY
    assert all(getattr(formula, name) is getattr(primitives, name) for name in VOCABULARY)


def unimported(x):
    return copysign(1.0, x)  # noqa: F821


def test_a_word_that_was_not_imported_is_found_in_it():
    with pytest.raises(ValueError, match="copysign is not known in test_formula; import it from"):
        trace(unimported)


def alone(x):
    """Nothing but a formula."""
    return where(x > 2.0, 1.0, exp(minimum(x, 2.0) - 2.0)) * x


def test_a_formula_alone_is_an_activation():
    x = torch.linspace(-5.0, 5.0, 1001, dtype=torch.float64, requires_grad=True)
    exact = torch.where(x > 2.0, x, x * torch.exp(torch.clamp(x, max=2.0) - 2.0))
    for function in (af.alone, af.nn.Alone(), af.get("alone"), torch.compile(af.alone, backend="eager")):
        torch.testing.assert_close(function(x), exact)
        (slope,) = torch.autograd.grad(function(x).sum(), x)
        torch.testing.assert_close(slope, torch.autograd.grad(exact.sum(), x, retain_graph=True)[0])
    assert torch.autograd.gradgradcheck(
        af.alone, torch.tensor([-1.0, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    )
    facts = af.spec("alone")
    assert set(facts.found) == {"latex", *FINDABLE}
    assert (facts.range, facts.saturates, facts.kinks) == (
        (pytest.approx(-math.exp(-3.0)), math.inf),
        ("left",),
        (2.0,),
    )
    assert not facts.monotonic and not facts.convex and not facts.zero_centred
    assert af.gain("alone") > 1.0
    assert "found" in report.facts("alone")["range"]
    assert (facts.chinese, facts.used_in) == ("", "")
    assert "used in" not in report.facts("alone")


def test_what_is_stated_is_not_found():
    activation(range=(-2.0, math.inf), latex="y", monotonic=False)(alone)
    facts = af.spec("alone")
    assert (facts.range, facts.latex) == ((-2.0, math.inf), "y")
    assert {"range", "latex", "monotonic"}.isdisjoint(facts.found)
    activation(alone)


def late(x):
    return x / (1.0 + absolute(x))


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    """The two, while the tests here run."""
    for written in (alone, late):
        activation(written)
    yield
    for written in (alone, late):
        _registry.pop(written.__name__)


def test_a_derivative_that_comes_later_is_used():
    x = torch.tensor([-1.0, 3.0], requires_grad=True)
    (slope,) = torch.autograd.grad(af.late(x).sum(), x)
    assert slope.tolist() == [0.25, 0.0625]

    @derivative(late, "x")
    def late_dx(x):
        return 2.0 / ((1.0 + absolute(x)) * (1.0 + absolute(x)))

    (slope,) = torch.autograd.grad(af.late(x).sum(), x)
    assert slope.tolist() == [0.5, 0.125]
