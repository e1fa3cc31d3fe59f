"""Writes src/actfun/_backends/cpu/polynomials.json: what CPU kernels compute common numbers by.

    python tools/fit_polynomials.py [NAME]...

With names only the functions of these activations are fitted anew, as after a change of a formula; without names all
that the file has. Others take their formula everywhere, which is as right.
Then `make accuracy` shows what they are worth. The search's arithmetic is LAPACK's, so another processor may find
others that are as good: what each must fulfil is in tests/backends/test_polynomials.py.
"""

import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy
from polynomials.fits import Fit, Subintervals
from polynomials.sample import ALLOWED, Formula, Sample

from actfun import names, spec
from actfun._backends.cpu import double
from actfun._backends.cpu.polynomials import FILE, Polynomials, key
from actfun._backends.lowering import uses
from actfun._catalogue.kinds import ELEMENTWISE
from actfun._catalogue.registry import Parameter

DEGREES = range(4, 12)
CLOSE = {False: 0.1, True: 0.3}  # how far a polynomial may be from a value, from a derivative, in their last place
SPREAD = 3.0  # the standard deviation of inputs for which the subintervals are chosen
OUTSIDE = (
    800.0  # what a number beyond the radius costs, in operations of a vector: a formula in float64, and the way there
)
TRIED = 16  # choices of subintervals
HOPEFUL = 1.2  # what may be expected to be wrong, by an estimate from above, of what is allowed
SEEN = 2**11


def symmetry_of(sample: Sample) -> str | None:
    """How the right of a function follows from its left: "even", "odd", x more ("line"), 1 less the left ("step")."""
    x = numpy.linspace(0.1, 10.0, 100)
    left, right = sample.exact(-x), sample.exact(x)
    sides = {"even": left, "odd": -left, "line": x + left, "step": 1.0 - left}
    return next((name for name, side in sides.items() if numpy.allclose(side, right, 1e-12, 0.0)), None)


def level_of(sample: Sample, symmetry: str | None, start: float) -> bool:
    """Whether the right side, from a number on, is x ("line") or 1 ("step") to the last bit."""
    x = numpy.linspace(start, start + 10.0, SEEN, dtype=numpy.float32)[start == 0.0 :]
    right = x if symmetry == "line" else numpy.ones_like(x)
    return symmetry in ("line", "step") and bool((sample.exact(x).astype(numpy.float32) == right).all())


def candidates(sample: Sample) -> Iterator[Polynomials]:
    """Polynomials that may be right, those first that take least time for inputs of the usual spread."""
    bent = next((kind for kind in ("line", "step") if level_of(sample, kind, 0.0)), None)  # a kink at 0, as elu has
    symmetry = bent or symmetry_of(sample)
    fit = Fit(sample.exact, sample.roots, mirrored=symmetry in ("line", "step"))
    if symmetry:
        tried = [Subintervals.made(True, radius) for radius in (5.0, 5.5, 6.0, 6.5, 7.0, 7.5, 8.0, 9.5)]
    else:
        reaches, skews = (4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 9.5), (1.0, 2.0, 3.0, 5.0, 8.0)
        tried = [Subintervals.made(False, radius, skew) for radius in reaches for skew in skews]
    found = []
    for subintervals in tried:
        outside = OUTSIDE * math.erfc(subintervals.radius / (SPREAD * math.sqrt(2.0)))
        for linear_terms in (False, True):
            if 0.5 + fit.lost(subintervals, linear_terms) <= HOPEFUL * ALLOWED[sample.derivative]:
                degree = next((d for d in DEGREES if fit.distance(subintervals, d) <= CLOSE[sample.derivative]), None)
                if degree is not None:
                    price = 2.0 * (degree + linear_terms) + (subintervals.curvature != 0.0) + outside
                    found.append((price, subintervals, degree, linear_terms))
                break
    for _, subintervals, degree, linear_terms in sorted(found, key=lambda choice: choice[0])[:TRIED]:
        made = fit.polynomials(subintervals, degree, linear_terms)
        yield Polynomials(
            symmetry=symmetry,
            radius=subintervals.radius,
            slope=subintervals.slope,
            curvature=subintervals.curvature,
            level=0.0 if bent else subintervals.radius if level_of(sample, symmetry, subintervals.radius) else None,
            centres=[p.centre for p in made],
            coefficients=[[p.coefficients[k] for p in made] for k in reversed(range(degree + 1))],
            linear_terms=[p.linear_term for p in made] if any(p.linear_term for p in made) else None,
        )


def fitted(sample: Sample) -> Polynomials | None:
    """The first candidate of which no number of the sample is wrong."""
    return next((candidate for candidate in candidates(sample) if sample.worst(candidate) <= 1.0), None)


def functions(activations: Sequence[str]) -> Iterator[tuple[Formula, tuple[float, ...], bool]]:
    """The formulas of activations and their derivatives in x that need a transcendental function."""
    for activation in (a for a in map(spec, activations) if a.kind is ELEMENTWISE):
        numbers = tuple(p.default for p in activation.parameters.values() if isinstance(p, Parameter))
        for formula in (activation.formula, activation.derivatives["x"]):
            if uses(formula, double.DERIVED):
                yield formula, numbers, formula is not activation.formula


def text_of(entries: dict[str, Any]) -> str:
    """A line for each table."""

    def entry(fields: dict[str, Any]) -> str:
        rows = ",\n".join(f"   {json.dumps(row)}" for row in fields["coefficients"])
        whole = {name: json.dumps(value) for name, value in fields.items()} | {"coefficients": f"[\n{rows}\n  ]"}
        return "{\n" + ",\n".join(f'  "{name}": {value}' for name, value in whole.items()) + "\n }"

    return "{\n" + ",\n".join(f' "{name}": {entry(fields)}' for name, fields in sorted(entries.items())) + "\n}\n"


def write(activations: Sequence[str]) -> None:
    """Fit the functions of some activations anew, or of all where none are given; drop those of none."""
    known = json.loads(FILE.read_text())
    every = [f for f in functions(activations or names()) if activations or key(f[0], f[1]) in known]
    for formula, numbers, derivative in every:
        found = fitted(Sample(formula, numbers, derivative))
        print(key(formula, numbers), "none" if found is None else f"up to {found.radius}", flush=True)
        known.pop(key(formula, numbers), None)
        if found is not None:
            known[key(formula, numbers)] = dataclasses.asdict(found)
    needed = {key(formula, numbers) for formula, numbers, _ in functions(names())}
    FILE.write_text(text_of({name: entry for name, entry in known.items() if name in needed}))


if __name__ == "__main__":
    write(sys.argv[1:])
