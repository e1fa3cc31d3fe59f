"""Arithmetic in float32 that carries its rounding errors along: what formulas are computed with.

A pair stands for the number hi + lo: hi is what float32 gives, lo what its roundings lost, to some 2⁻⁴⁶ of
hi; so a formula written as plain text is rounded once, at its end. The parts are numbers of a backend, with + - * / and
comparisons of one rounding each and the methods fma, select, magnitude and with_sign_of, or literals. Parts that are
known to be 0 are None, and cost nothing. The recipes are those of Dekker (A floating-point technique for extending the
available precision, 1971) and Knuth, with fma.
"""

import math
import struct
from functools import cached_property


def single(value):
    """A literal rounded to float32."""
    return struct.unpack("f", struct.pack("f", value))[0] if math.isfinite(value) else value


def added(*parts):
    """The sum of parts, of which None are 0; None for none."""
    total = None
    for part in parts:
        if part is not None:
            total = part if total is None else total + part
    return total


class Pair:
    """hi + lo; lo may be None for 0. `top` bounds its magnitude, as far as is known."""

    def __init__(self, hi, lo=None, top=math.inf):
        self.hi, self.lo, self.top = hi, lo, top

    @classmethod
    def of(cls, value):
        """A literal as the sum of two float32; a pair as it is."""
        if isinstance(value, Pair):
            return value
        hi = single(value)
        rest = value - hi if math.isfinite(value) else 0.0
        return cls(hi, single(rest) if rest else None, abs(value))

    def rounded(self):
        """The one number of float32 that the pair stands for."""
        return self.hi if self.lo is None else _kept(self.hi + self.lo, self.hi)

    def odd(self):
        """The same rounded to odd, so that rounding it again, to 16 bits, gives what rounding once would."""
        return self.hi if self.lo is None else self.hi.odd(self.lo)

    def __neg__(self):
        return Pair(-self.hi, None if self.lo is None else -self.lo, self.top)

    def __add__(self, other):
        return _sum(self, Pair.of(other))

    __radd__ = __add__

    def __sub__(self, other):
        return _sum(self, -Pair.of(other))

    def __rsub__(self, other):
        return _sum(Pair.of(other), -self)

    def __mul__(self, other):
        other = Pair.of(other)
        if isinstance(self.hi, float):
            self, other = other, self
        if isinstance(other.hi, float) and other.lo is None and abs(math.frexp(other.hi)[0]) == 0.5:
            lo = None if self.lo is None else self.lo * other.hi  # by a power of 2: exact
            return Pair(self.hi * other.hi, lo, self.top * other.top)
        return Product(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return _quotient(self, Pair.of(other))

    def __rtruediv__(self, other):
        return _quotient(Pair.of(other), self)

    # Conditions look at hi alone: formulas compare inputs and literals.

    def __lt__(self, other):
        return self.hi < Pair.of(other).hi

    def __gt__(self, other):
        return self.hi > Pair.of(other).hi

    def __le__(self, other):
        return self.hi <= Pair.of(other).hi

    def __ge__(self, other):
        return self.hi >= Pair.of(other).hi

    def __eq__(self, other):
        return self.hi == Pair.of(other).hi

    __hash__ = None


def _kept(value, hi):
    """A value with a low part, but hi where that gives NaN, for there hi is infinite, or 0, for there hi may be -0."""
    return (value != 0.0).select(value, hi)


class Lazy(Pair):
    """A pair whose parts are computed when they are asked for; its rounded value may need less."""

    @cached_property
    def _parts(self):
        return self._computed()

    @property
    def hi(self):
        return self._parts[0]

    @property
    def lo(self):
        return self._parts[1]


class Product(Lazy):
    """a·b; its rounded value needs no exact error of the product."""

    def __init__(self, a, b):
        self.a, self.b, self.top = a, b, a.top * b.top

    @cached_property
    def _cross(self):
        first = None if self.a.lo is None else self.a.lo * self.b.hi
        if self.b.lo is None:
            return first
        return self.a.hi * self.b.lo if first is None else self.a.hi.fma(self.b.lo, first)

    def _computed(self):
        hi = self.a.hi * self.b.hi
        return hi, added(self.a.hi.fma(self.b.hi, -hi), self._cross)

    def rounded(self):
        hi = self.a.hi * self.b.hi
        return hi if self._cross is None else _kept(self.a.hi.fma(self.b.hi, self._cross), hi)


class Choice(Lazy):
    """x where the condition holds, else y; where one of them is exact, the other is better rounded beforehand."""

    def __init__(self, condition, x, y):
        self.condition, self.x, self.y, self.top = condition, x, y, max(x.top, y.top)

    def _computed(self):
        lo = None
        if self.x.lo is not None or self.y.lo is not None:
            lo = self.condition.select(*(0.0 if v.lo is None else v.lo for v in (self.x, self.y)))
        return self.condition.select(self.x.hi, self.y.hi), lo

    def rounded(self):
        if any(type(v) is Pair and v.lo is None for v in (self.x, self.y)):
            return self.condition.select(self.x.rounded(), self.y.rounded())
        return super().rounded()


def _sum(a, b):
    if isinstance(a.hi, float) and isinstance(b.hi, float):
        return Pair.of(a.hi + b.hi)
    if isinstance(b.hi, float):
        a, b = b, a
    if isinstance(a.hi, float) and abs(a.hi) >= b.top:
        return add_smaller(a, b)
    hi = a.hi + b.hi  # Knuth's sum
    other = hi - a.hi
    error = (a.hi - (hi - other)) + (b.hi - other)
    return Pair(hi, added(error, added(a.lo, b.lo)), a.top + b.top)


def add_smaller(a, b):
    """a + b, b being the smaller: Dekker's sum."""
    a, b = Pair.of(a), Pair.of(b)
    hi = a.hi + b.hi
    return Pair(hi, added((a.hi - hi) + b.hi, a.lo, b.lo), a.top + b.top)


def _quotient(a, b):
    inverse = 1.0 / b.hi
    hi = inverse if isinstance(a.hi, float) and a.hi == 1.0 else a.hi * inverse
    rest = added((-b.hi).fma(hi, a.hi), a.lo)
    if b.lo is not None:
        rest = (-hi).fma(b.lo, rest)
    return Pair(hi, rest * inverse)


def where(condition, x, y):
    """The pair x where the condition holds, else y."""
    return Choice(condition, Pair.of(x), Pair.of(y))


def absolute(x):
    """The magnitude of a pair."""
    x = Pair.of(x)
    lo = None if x.lo is None else (x.hi < 0.0).select(-x.lo, x.lo)
    return Pair(x.hi.magnitude(), lo, x.top)


def copysign(x, y):
    """The magnitude of a pair with the sign of another."""
    size = absolute(x)
    lo = None if size.lo is None else (y.hi < 0.0).select(-size.lo, size.lo)
    return Pair(size.hi.with_sign_of(y.hi), lo, size.top)
