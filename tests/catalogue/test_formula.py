"""`actfun.formula`: what one imports to write an activation, and what happens without a derivative."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

import actfun as af
from actfun import formula
from actfun._catalogue import primitives
from actfun._catalogue.language import VOCABULARY, check_formula
from actfun._catalogue.registry import _registry
from actfun.formula import Parameter, absolute, activation, derivative

FACTS = {"monotonic": True, "convex": False, "latex": "x", "reference": "a test"}
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
        check_formula(unimported)


def softly(x, s):
    """A tanh without an exponential."""
    return s * x / (1.0 + absolute(x))


@pytest.fixture
def unlearned() -> Iterator[None]:
    """`softly`, an activation without derivatives."""
    activation(s=Parameter(1.0, learnable=True), **FACTS)(softly)
    yield
    del _registry["softly"]


def missing(argument: str):
    words = f'softly has no derivative in {argument}, so no gradient; write it under @derivative(softly, "{argument}")'
    return pytest.raises(NotImplementedError, match=re.escape(words))


@pytest.mark.usefixtures("unlearned")
def test_without_a_derivative_values_can_be_had_and_gradients_are_refused_at_the_call():
    x, y = torch.tensor([-1.0, 3.0]), torch.tensor([-0.5, 0.75])
    learned = x.clone().requires_grad_()
    assert torch.equal(af.softly(x), y)
    assert torch.equal(af.get("softly")(x), y)
    assert torch.equal(torch.func.vmap(af.softly)(x), y)
    assert af.gain("softly") > 1.0
    with torch.no_grad():
        assert torch.equal(af.softly(learned), y)
    with missing("x"):
        af.softly(learned)
    with missing("x"):
        af.softly(learned * 1.0, inplace=True)
    with missing("s"):
        af.softly(x, torch.ones(1, requires_grad=True))
    for later in (lambda: torch.func.grad(af.softly)(x[0]), lambda: torch.func.jvp(af.softly, (x,), (x,))):
        with missing("x"):
            later()
    with missing("x"):
        af.gain("softly", "backward")


@pytest.mark.usefixtures("unlearned")
def test_a_derivative_that_comes_later_is_used():
    x = torch.tensor([-1.0, 3.0], requires_grad=True)
    with missing("x"):
        af.softly(x)

    @derivative(softly, "x")
    def softly_dx(x, s):
        c = 1.0 + absolute(x)
        return s / (c * c)

    assert torch.autograd.grad(af.softly(x).sum(), x)[0].tolist() == [0.25, 0.0625]
