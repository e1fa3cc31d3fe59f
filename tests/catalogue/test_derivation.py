"""Derivatives that nobody wrote: the rules of calculus, what they cost in digits, and who is told."""

import inspect
import warnings

import mpmath
import pytest
import torch
from support import DERIVATIVES, Case

import actfun as af
from actfun._backends import derivation
from actfun._backends import mpmath as oracle
from actfun._backends import torch as torch_ops
from actfun._catalogue import derivation as rules
from actfun._catalogue import notation
from actfun._catalogue.primitives import CONTRACTS
from actfun._catalogue.registry import _registry
from actfun.formula import INFINITY, absolute, activation, copysign, decay, exp, log1p, maximum, sqrt, tanh, where

X = torch.tensor([-7.3, -2.1, -1.3, -0.4, 0.3, 0.7, 1.9, 6.2], dtype=torch.float64)


def differs(case: Case) -> list[float]:
    """Where the derivative that the rules give is not the one that somebody wrote."""
    derived = rules.derive(case.activation.formula, case.argument)
    x = X[case.activation.domain[0] < X]
    ours, theirs = (torch_ops.evaluate(formula, x, *case.parameters) for formula in (derived, case.formula))
    return x[~torch.isclose(ours, theirs, rtol=1e-9, atol=1e-12)].tolist()


@pytest.mark.parametrize("case", DERIVATIVES, ids=str)
def test_the_rules_give_what_somebody_wrote(case):
    assert differs(case) == []


def test_a_wrong_rule_is_caught(monkeypatch):
    tanh = Case(af.spec("softcap"), "x")
    monkeypatch.setitem(rules.SLOPES, next(p for p in CONTRACTS if p.__name__ == "exp"), (lambda y, x: 1.0,))
    assert differs(Case(af.spec("exponential"), "x"))
    assert differs(tanh) == []


def test_a_derived_derivative_knows_infinity():
    def formula(x):
        return where(x < INFINITY, x * x, 0.0)

    slope = rules.derive(formula, "x")
    assert (slope(1.5), slope(INFINITY)) == (3.0, 0.0)
    assert float(oracle.evaluate(slope, 1.5)) == 3.0


def test_there_is_a_rule_for_every_primitive():
    assert {p.__name__ for p in CONTRACTS} == {p.__name__ for p in (*rules.SLOPES, *rules.DECAYS)} | {"where"}


def pushed(x):
    return x / (1.0 + absolute(x))


def squared(x):
    return where(x >= 1.0, x * x * x, copysign(x, x))


def several(x):
    return sqrt(1.0 + x * x) * tanh(x) - log1p(decay(absolute(x), 1.0))


@pytest.mark.parametrize("formula", [pushed, squared, several], ids=lambda formula: formula.__name__)
def test_each_side_of_a_condition_is_simplified(formula):
    """It agrees with the slope in 60 digits; softsign's is the one without a difference."""
    better = derivation._rational(formula, "x")
    for x in X.tolist():
        with mpmath.workdps(60):
            slope = mpmath.diff(oracle.lower(formula), mpmath.mpf(x))
            assert mpmath.almosteq(oracle.lower(better)(mpmath.mpf(x)), slope, 1e-15, 1e-15)
    if formula is pushed:
        assert "/ (t0 * t0)" in inspect.getsource(better)


def told(formula) -> list[str]:
    """What a user of a formula alone is told when it is first used."""
    activation(formula)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        getattr(af, formula.__name__)
    _registry.pop(formula.__name__)
    return [str(warning.message) for warning in caught]


def careful(x):
    return x / (1.0 + absolute(x))


def hasty(x):
    return x - tanh(x)


def naive(x):
    return maximum(x, 0.0) + log1p(exp(-absolute(x))) - 0.0 * x


def test_lost_digits_are_told_of_with_place_and_size():
    assert told(careful) == []
    assert told(naive) == []
    value, slope = told(hasty)
    assert value.startswith("hasty: of its value, 0 of 16 digits are right at x = ")
    assert slope.startswith("hasty: of its derivative in x, 0 of 16 digits are right at x = ")
    assert slope.endswith('; write it under @derivative(hasty, "x")')


def doubled(x):
    return where(x >= 1.0, x * x, exp(-x))


@pytest.mark.parametrize(
    ("formula", "latex"),
    [
        (pushed, r"\frac{x}{1 + \left|x\right|}"),
        (hasty, r"x - \tanh\left(x\right)"),
        (doubled, r"\begin{cases} x \, x & x \ge 1 \\ e^{-x} & \text{otherwise} \end{cases}"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_a_formula_is_written_in_latex(formula, latex):
    assert notation.latex(formula) == latex


def shadowed(x, t0, exp_):
    """Parameters called as the names that are written."""
    return (x * x + t0) / (1.0 + x * x) * exp_ + tanh(x * x)


def test_names_that_are_written_are_no_arguments():
    derived = rules.derive(shadowed, "x")
    for x in X.tolist():
        slope = mpmath.diff(lambda v: oracle.lower(shadowed)(v, 0.3, 2.0), x)
        assert derived(x, 0.3, 2.0) == pytest.approx(float(slope), rel=1e-9)


def early(x):
    return x - tanh(x)


def test_digits_are_checked_though_somebody_looked_before():
    activation(early)
    af.spec("early").derivatives["x"]
    with pytest.warns(UserWarning, match="early: of its"):
        _ = af.early
    _registry.pop("early")
