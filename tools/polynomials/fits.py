"""Polynomials on subintervals of the line: their places, and coefficients whose roundings make up for one another.

Centres are chosen so that the function there is very nearly a number of float32 (Gal, Computing elementary functions:
a new approach for achieving high accuracy and good performance, 1986). So the constant term needs no low part, and a
value is rounded once, but for what the rest of the polynomial, which is smaller, loses.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from actfun._backends.cpu.polynomials import ENTRIES

NEAR_ROOT, REACH = 0.95 * 2.0**-26, 0.12  # the error that a derivative may have instead near a root, and how near
TINY = 2.0**-60
CENTRES = 2**12  # candidates in a subinterval, in the middle sixteenth of it
BEST = 16  # those for which polynomials are made
SEEN = 2**11  # numbers of a subinterval with which these are compared
LINEAR_TERMS = (0.0, 0.25, 0.5, 1.0)  # multiples of x tried; of -x where the left side is mirrored


@dataclass(frozen=True)
class Subintervals:
    """Where |x| ≤ radius, x, or for a symmetric function ±|x|, is in subinterval rint(x·(slope + curvature·x))."""

    symmetric: bool
    radius: float
    slope: float
    curvature: float

    @classmethod
    def made(cls, symmetric: bool, radius: float, skew: float = 1.0) -> "Subintervals":
        """Subintervals over all of the radius; those at its left end are by `skew` narrower than those at its right."""
        slope = numpy.float32(ENTRIES - 0.75 if symmetric else ENTRIES / 2.0 - 0.75) / numpy.float32(radius)
        curvature = numpy.float32((1.0 - skew) / (1.0 + skew) * slope / (2.0 * radius))
        return cls(symmetric, radius, float(slope), float(curvature))

    def _end(self, u: float) -> float:
        """The x at which x·(slope + curvature·x) is u, within the radius."""
        x = 2.0 * u / (self.slope + math.sqrt(max(self.slope**2 + 4.0 * self.curvature * u, 0.0)))
        return min(max(x, -self.radius), self.radius)

    def __iter__(self) -> Iterator[tuple[int, float, float]]:
        """The number of each subinterval, and its ends."""
        low = 0 if self.symmetric else round(-self.radius * (self.slope - self.curvature * self.radius))
        for j in range(low, low + ENTRIES):
            yield j, max(self._end(j - 0.5), 0.0) if self.symmetric else self._end(j - 0.5), self._end(j + 0.5)


def fma(x: Any, y: Any, z: Any) -> Any:
    """x·y + z in float32, off from one rounding in some 2⁻²⁹ of cases."""
    return (x.astype(numpy.float64) * y.astype(numpy.float64) + z).astype(numpy.float32)


@dataclass
class Polynomial:
    """linear_term·x, and on top of it a polynomial in x - centre, the constant term first."""

    linear_term: float
    centre: float
    coefficients: list[float]

    def __call__(self, x: Any) -> Any:
        """Its values at an array of float32, as float32 arithmetic gives them."""
        r = x - numpy.float32(self.centre)
        y = numpy.full_like(x, self.coefficients[-1])
        for coefficient in reversed(self.coefficients[:-1]):
            y = fma(y, r, numpy.float32(coefficient))
        return fma(x, numpy.float32(self.linear_term), y)


class Fit:
    """Polynomials for a function of arrays of float64; mirrored: for its left side, as a function of -x."""

    def __init__(self, function: Callable[[Any], Any], roots: Sequence[float], mirrored: bool) -> None:
        self.function, self.roots, self.mirrored = function, roots, mirrored

    def values(self, x: Any) -> Any:
        return self.function(-x if self.mirrored else x)

    def _weight(self, x: Any) -> Any:
        """How much an error counts: 1 for a unit in the last place, near a root for two thirds of what is allowed."""
        near = numpy.zeros(len(x), bool)
        for root in self.roots:
            near |= numpy.abs((-x if self.mirrored else x) - root) < REACH
        unit = numpy.ldexp(1.0, numpy.maximum(numpy.frexp(self.values(x))[1] - 24, -149))
        return 1.0 / numpy.maximum(unit, near * (NEAR_ROOT / 1.5))

    def _samples(self, low: float, high: float, count: int) -> tuple[Any, Any, Any]:
        """Places in a subinterval, denser at its ends, the values there, and how much each error counts."""
        x = 0.5 * (low + high) - 0.5 * (high - low) * numpy.cos((numpy.arange(count) + 0.5) * (math.pi / count))
        return x, self.values(x), self._weight(x)

    def distance(self, subintervals: Subintervals, degree: int) -> float:
        """How far polynomials are from the function at worst, before coefficients are rounded, in the last place."""
        worst = 0.0
        for _, low, high in subintervals:
            if low >= high:
                continue
            x, y, weight = self._samples(low, high, 4 * degree)
            powers = numpy.vander(x - 0.5 * (low + high), degree + 1) * weight[:, None]
            solution = numpy.linalg.lstsq(powers, y * weight, rcond=None)[0]
            worst = max(worst, float(numpy.abs(powers @ solution - y * weight).max()))
            if not worst < 64.0:
                break
        return worst

    def _lead(self, low: float, high: float, linear_terms: bool) -> tuple[float, float]:
        """The multiple of x that leaves least for the polynomial to get wrong, and what it then gets wrong, about.

        Where the function is 0 at 0 it is the slope there, from below, so that the sign of a zero stays.
        """
        x, y, weight = self._samples(low, high, 16)
        zero, near = self.values(numpy.array([0.0, TINY]))
        through = linear_terms and low <= 0.0 <= high and zero == 0.0
        tried = numpy.array(LINEAR_TERMS if linear_terms else (0.0,)) * (-1.0 if self.mirrored else 1.0)
        if through:  # from below, and mirrored from above in magnitude, for the rest is not to be above 0 there
            slope, side = near / TINY, (near * math.inf if self.mirrored else 0.0)
            tried = numpy.array(
                [slope if slope == numpy.float32(slope) else numpy.nextafter(numpy.float32(slope), side)]
            )
        middle = 0.0 if through else 0.5 * (low + high)
        linear_term = tried[:, None].astype(numpy.float64)
        rest, first = y - linear_term * x, self.values(numpy.array([middle]))[0] - linear_term * middle
        lost = (0.7 * numpy.abs(rest) * (linear_term != 0.0) + 0.9 * numpy.abs(rest - first)) * weight * 2.0**-24
        best = int(numpy.argmin(lost.max(1)))
        return float(linear_term[best, 0]), float(lost[best].max())

    def lost(self, subintervals: Subintervals, linear_terms: bool) -> float:
        """About what roundings before the last cost at worst, in units in the last place."""
        return max(self._lead(low, high, linear_terms)[1] for _, low, high in subintervals if low < high)

    def _centres(self, low: float, high: float, linear_term: float) -> Any:
        """Numbers of float32 in the middle of a subinterval whose values are such numbers too, or very nearly; or 0."""
        middle, width = 0.5 * (low + high), high - low
        x = middle + width / 16 * (numpy.arange(CENTRES) / CENTRES - 0.5)
        x = numpy.unique(numpy.append(x, 0.0) if low <= 0.0 < high else x).astype(numpy.float32).astype(numpy.float64)
        y = self.values(x) - linear_term * x
        lost = numpy.abs(y - y.astype(numpy.float32))
        return x[x == 0.0] if (lost[x == 0.0] == 0.0).any() else x[numpy.argsort(lost, kind="stable")[:BEST]]

    def _rounded(self, linear_term: float, centre: float, low: float, high: float, degree: int) -> Polynomial:
        """The best one, its coefficients rounded from the first on, so that each makes up for those before it."""
        x, y, weight = self._samples(low, high, 8 * degree)
        first = float(numpy.float32(self.values(numpy.array([centre]))[0] - linear_term * centre))
        made = Polynomial(linear_term, centre, [first if first else -0.0])  # so that -0.0 comes out as it went in
        r, rest = x - centre, (y - linear_term * x - first) * weight
        for power in range(1, degree + 1):
            powers = r[:, None] ** numpy.arange(power, degree + 1) * weight[:, None]
            best = numpy.linalg.lstsq(powers, rest, rcond=None)[0][0]
            if power == 1 and first == 0.0 and linear_term:
                best = min(best, -TINY) if self.mirrored else max(best, 0.0)  # else -0.0 would come out as 0.0
            made.coefficients.append(float(numpy.float32(best)))
            rest = rest - made.coefficients[-1] * r**power * weight
        return made

    def _error(self, polynomial: Polynomial, low: float, high: float) -> float:
        """The worst error of its values as float32 arithmetic gives them."""
        x = numpy.linspace(low, high, SEEN, dtype=numpy.float32)
        return float(numpy.max(numpy.abs(polynomial(x) - self.values(x.astype(numpy.float64))) * self._weight(x)))

    def _polynomial(self, low: float, high: float, degree: int, linear_terms: bool) -> Polynomial:
        if low >= high:
            return Polynomial(0.0, 0.0, [0.0] * (degree + 1))
        linear_term, _ = self._lead(low, high, linear_terms)
        made = [self._rounded(linear_term, float(c), low, high, degree) for c in self._centres(low, high, linear_term)]
        return min(made, key=lambda polynomial: self._error(polynomial, low, high))

    def polynomials(self, subintervals: Subintervals, degree: int, linear_terms: bool) -> list[Polynomial]:
        """One for each subinterval, by its number, counted from 0 again after the last; linear_terms: as in `lost`."""
        made = {j % ENTRIES: self._polynomial(low, high, degree, linear_terms) for j, low, high in subintervals}
        return [made[j] for j in range(ENTRIES)]
