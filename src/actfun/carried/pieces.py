"""A formula of one number as polynomials, one for each piece of the line: what kernels do to numbers that are common.

A graph that is right everywhere spends most of its operations on exponentials and divisions. Near 0, where nearly all
numbers of a network lie, the function itself is a polynomial on each of 32 pieces: the piece gives a centre and
coefficients, each looked up among 32 constants, which a processor with vectors of 512 bits does in one operation. The
rest of the line stays with the graph: its numbers are put together and done apart.

Where the right side of a function follows from its left one (silu(x) is x + silu(-x)), pieces cover the left alone, so
they are half as wide.
"""

import math
from typing import Any

import numpy

from actfun.carried.economy import cost
from actfun.carried.fits import ENTRIES, SEEN, Fit, Pieces, Polynomial
from actfun.carried.graph import Node, leaf, node
from actfun.carried.trial import Trial

ROUNDER = 12582912.0  # 1.5·2²³: adding it leaves no bits behind the point
DEGREES = range(4, 12)
CLOSE = {False: 0.1, True: 0.3}  # how far a polynomial may be from a value, from a derivative, in their last place
SPREAD = 3.0  # the standard deviation of inputs for which the pieces are chosen
LANES = 16  # how much dearer a number outside is than the operations of its graph, for it interrupts a loop of vectors
TRIED = 16  # choices of pieces
HOPEFUL = 1.2  # what may be expected to be wrong, by an estimate from above, of what is allowed


def _looked_up(index: Node, polynomials: dict[int, Polynomial], entry: Any) -> Node:
    return node("lookup", index, *(entry(polynomials[j]) for j in range(ENTRIES)))


def _graph(
    pieces: Pieces, polynomials: dict[int, Polynomial], symmetry: str | None, levels: bool = False
) -> tuple[Node, Node]:
    """The graph of the polynomials, and that of whether x is out of reach.

    levels: whether the function is x ("line") or 1 ("step") beyond the reach on the right, to the last bit.
    """
    x = leaf("input", "x")
    size = x.magnitude()
    t = size if pieces.symmetric else x
    index = t.fma(t.fma(pieces.bend, pieces.slope) if pieces.bend else pieces.slope, ROUNDER)
    r = t - _looked_up(index, polynomials, lambda p: p.centre)
    first, *others = (
        _looked_up(index, polynomials, lambda p, k=k: p.coefficients[k])
        for k in reversed(range(len(polynomials[0].coefficients)))
    )
    y = first
    for other in others:
        y = y.fma(r, other)
    lead: Any = 0.0
    if any(polynomial.lead for polynomial in polynomials.values()):
        lead = _looked_up(index, polynomials, lambda p: p.lead)
    if symmetry == "line":  # of x, so that the sign of a zero stays
        y = x.fma((x > 0.0).select(lead + 1.0, -lead), y)
    elif isinstance(lead, Node):
        y = t.fma(lead, y)
    if symmetry == "step":
        y = (x > 0.0).select(1.0 - y, y)
    if levels:
        return (x > pieces.reach).select(x if symmetry == "line" else 1.0, y), x < -pieces.reach
    return y.with_sign_of(x) if symmetry == "odd" else y, size > pieces.reach


def _levels(fit: Fit, symmetry: str | None, reach: float) -> bool:
    """Whether nothing of the left side is to be seen on the right, out of reach."""
    x = numpy.linspace(reach, 2.0 * reach, SEEN, dtype=numpy.float32)
    right = x if symmetry == "line" else numpy.ones_like(x)
    return symmetry in ("line", "step") and bool((fit.trial.exact({"x": x}).astype(numpy.float32) == right).all())


def _symmetry(trial: Trial) -> str | None:
    """How the right of a function follows from its left: "even", "odd", x more ("line"), 1 less the left ("step")."""
    x = numpy.linspace(0.1, 10.0, 100)
    left, right = trial.exact({"x": -x}), trial.exact({"x": x})
    sides = {"even": left, "odd": -left, "line": x + left, "step": 1.0 - left}
    return next((name for name, side in sides.items() if numpy.allclose(side, right, 1e-12, 0.0)), None)


def _choices(fit: Fit, symmetric: bool, otherwise: float) -> list[tuple[Pieces, int, bool]]:
    """Pieces and degrees that come close enough, those first that take least time for inputs of the usual spread."""
    if symmetric:
        all_pieces = [Pieces.made(True, reach) for reach in (5.0, 5.5, 6.0, 6.5, 7.0, 7.5, 8.0, 9.5)]
    else:
        reaches, skews = (4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 9.5), (1.0, 2.0, 3.0, 5.0, 8.0)
        all_pieces = [Pieces.made(False, reach, skew) for reach in reaches for skew in skews]
    found = []
    for pieces in all_pieces:
        outside = LANES * math.erfc(pieces.reach / (SPREAD * math.sqrt(2.0))) * otherwise
        for leads in (False, True):
            if 0.5 + fit.lost(pieces, leads) <= HOPEFUL * fit.trial.ulp:
                degree = next((d for d in DEGREES if fit.distance(pieces, d) <= CLOSE[fit.trial.derivative]), None)
                if degree is not None:
                    price = 2.0 * (degree + leads) + (pieces.bend != 0.0) + outside
                    found.append((price, pieces, degree, leads))
                break
    return [choice[1:] for choice in sorted(found, key=lambda choice: choice[0])]


def pieced(careful: Node, trial: Trial) -> Node:
    """A graph that does what `careful` does, by polynomials where that is right; `careful` itself where none are."""
    symmetry = _symmetry(trial)
    fit = Fit(trial, symmetry)
    for pieces, degree, leads in _choices(fit, symmetry is not None, cost(careful))[:TRIED]:
        levels = _levels(fit, symmetry, pieces.reach)
        fast, far = _graph(pieces, fit.polynomials(pieces, degree, leads), symmetry, levels)
        result = far.rarely(careful, fast)
        if trial.wrong(result) is None:
            return result
    return careful
