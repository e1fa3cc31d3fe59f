"""Polynomials for the pieces of the line: where they are, and coefficients whose roundings make up for one another.

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
CENTRES, BEST = 2**12, 16  # candidates in a piece, in the middle sixteenth of it; those for which polynomials are made
SEEN = 2**11  # numbers of a piece with which these are compared
LEADS = (0.0, 0.25, 0.5, 1.0)  # multiples of x tried; of -x where the left side is mirrored


@dataclass(frozen=True)
class Pieces:
    """Where |x| ≤ reach, x is in piece number rint(x·(slope + bend·x)); for a symmetric function -|x| or |x| is."""

    symmetric: bool
    reach: float
    slope: float
    bend: float

    @classmethod
    def made(cls, symmetric: bool, reach: float, skew: float = 1.0) -> "Pieces":
        """Pieces over all of the reach; those at its left end are by `skew` narrower than those at its right."""
        slope = numpy.float32(ENTRIES - 0.75 if symmetric else ENTRIES / 2.0 - 0.75) / numpy.float32(reach)
        bend = numpy.float32((1.0 - skew) / (1.0 + skew) * slope / (2.0 * reach))
        return cls(symmetric, reach, float(slope), float(bend))

    def _end(self, u: float) -> float:
        """The x at which x·(slope + bend·x) is u, within the reach."""
        x = 2.0 * u / (self.slope + math.sqrt(max(self.slope**2 + 4.0 * self.bend * u, 0.0)))
        return min(max(x, -self.reach), self.reach)

    def __iter__(self) -> Iterator[tuple[int, float, float]]:
        """The number of each piece, and its ends."""
        low = 0 if self.symmetric else round(-self.reach * (self.slope - self.bend * self.reach))
        for j in range(low, low + ENTRIES):
            yield j, max(self._end(j - 0.5), 0.0) if self.symmetric else self._end(j - 0.5), self._end(j + 0.5)


def fma(x: Any, y: Any, z: Any) -> Any:
    """x·y + z in float32, off from one rounding in some 2⁻²⁹ of cases."""
    return (x.astype(numpy.float64) * y.astype(numpy.float64) + z).astype(numpy.float32)


@dataclass
class Polynomial:
    """lead·x, and on top of it a polynomial in x - centre, the constant term first."""

    lead: float
    centre: float
    coefficients: list[float]

    def __call__(self, x: Any) -> Any:
        """Its values at an array of float32, as float32 arithmetic gives them."""
        r = x - numpy.float32(self.centre)
        y = numpy.full_like(x, self.coefficients[-1])
        for coefficient in reversed(self.coefficients[:-1]):
            y = fma(y, r, numpy.float32(coefficient))
        return fma(x, numpy.float32(self.lead), y)


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
        """Places where a piece is looked at, denser at its ends, the values there, and how much each error counts."""
        x = 0.5 * (low + high) - 0.5 * (high - low) * numpy.cos((numpy.arange(count) + 0.5) * (math.pi / count))
        return x, self.values(x), self._weight(x)

    def distance(self, pieces: Pieces, degree: int) -> float:
        """How far polynomials are from the function at worst, before coefficients are rounded, in the last place."""
        worst = 0.0
        for _, low, high in pieces:
            if low >= high:
                continue
            x, y, weight = self._samples(low, high, 4 * degree)
            powers = numpy.vander(x - 0.5 * (low + high), degree + 1) * weight[:, None]
            solution = numpy.linalg.lstsq(powers, y * weight, rcond=None)[0]
            worst = max(worst, float(numpy.abs(powers @ solution - y * weight).max()))
            if not worst < 64.0:
                break
        return worst

    def _lead(self, low: float, high: float, leads: bool) -> tuple[float, float]:
        """The multiple of x that leaves least for the polynomial to get wrong, and what it then gets wrong, about.

        Where the function is 0 at 0 it is the slope there, from below, so that the sign of a zero stays.
        """
        x, y, weight = self._samples(low, high, 16)
        zero, near = self.values(numpy.array([0.0, TINY]))
        through = leads and low <= 0.0 <= high and zero == 0.0
        tried = numpy.array(LEADS if leads else (0.0,)) * (-1.0 if self.mirrored else 1.0)
        if through:  # from below, and mirrored from above in magnitude, for the rest is not to be above 0 there
            slope, side = near / TINY, (near * math.inf if self.mirrored else 0.0)
            tried = numpy.array(
                [slope if slope == numpy.float32(slope) else numpy.nextafter(numpy.float32(slope), side)]
            )
        middle = 0.0 if through else 0.5 * (low + high)
        lead = tried[:, None].astype(numpy.float64)
        rest, first = y - lead * x, self.values(numpy.array([middle]))[0] - lead * middle
        lost = (0.7 * numpy.abs(rest) * (lead != 0.0) + 0.9 * numpy.abs(rest - first)) * weight * 2.0**-24
        best = int(numpy.argmin(lost.max(1)))
        return float(lead[best, 0]), float(lost[best].max())

    def lost(self, pieces: Pieces, leads: bool) -> float:
        """About what roundings before the last cost at worst, in units in the last place."""
        return max(self._lead(low, high, leads)[1] for _, low, high in pieces if low < high)

    def _centres(self, low: float, high: float, lead: float) -> Any:
        """Numbers of float32 in the middle of a piece whose values are such numbers too, or very nearly; or 0."""
        middle, width = 0.5 * (low + high), high - low
        x = middle + width / 16 * (numpy.arange(CENTRES) / CENTRES - 0.5)
        x = numpy.unique(numpy.append(x, 0.0) if low <= 0.0 < high else x).astype(numpy.float32).astype(numpy.float64)
        y = self.values(x) - lead * x
        lost = numpy.abs(y - y.astype(numpy.float32))
        return x[x == 0.0] if (lost[x == 0.0] == 0.0).any() else x[numpy.argsort(lost, kind="stable")[:BEST]]

    def _rounded(self, lead: float, centre: float, low: float, high: float, degree: int) -> Polynomial:
        """The best one, its coefficients rounded from the first on, so that each makes up for those before it."""
        x, y, weight = self._samples(low, high, 8 * degree)
        first = float(numpy.float32(self.values(numpy.array([centre]))[0] - lead * centre))
        made = Polynomial(lead, centre, [first if first else -0.0])  # so that -0.0 comes out as it went in
        r, rest = x - centre, (y - lead * x - first) * weight
        for power in range(1, degree + 1):
            powers = r[:, None] ** numpy.arange(power, degree + 1) * weight[:, None]
            best = numpy.linalg.lstsq(powers, rest, rcond=None)[0][0]
            if power == 1 and first == 0.0 and lead:
                best = min(best, -TINY) if self.mirrored else max(best, 0.0)  # else -0.0 would come out as 0.0
            made.coefficients.append(float(numpy.float32(best)))
            rest = rest - made.coefficients[-1] * r**power * weight
        return made

    def _error(self, polynomial: Polynomial, low: float, high: float) -> float:
        """The worst error of its values as float32 arithmetic gives them."""
        x = numpy.linspace(low, high, SEEN, dtype=numpy.float32)
        return float(numpy.max(numpy.abs(polynomial(x) - self.values(x.astype(numpy.float64))) * self._weight(x)))

    def _polynomial(self, low: float, high: float, degree: int, leads: bool) -> Polynomial:
        if low >= high:
            return Polynomial(0.0, 0.0, [0.0] * (degree + 1))
        lead, _ = self._lead(low, high, leads)
        made = [self._rounded(lead, float(c), low, high, degree) for c in self._centres(low, high, lead)]
        return min(made, key=lambda polynomial: self._error(polynomial, low, high))

    def polynomials(self, pieces: Pieces, degree: int, leads: bool) -> list[Polynomial]:
        """One for each piece, by the piece's number, counted from 0 again after the last; leads: as in `lost`."""
        made = {j % ENTRIES: self._polynomial(low, high, degree, leads) for j, low, high in pieces}
        return [made[j] for j in range(ENTRIES)]
