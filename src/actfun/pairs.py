"""Arithmetic in float32 that carries its rounding errors along: what formulas are computed with.

A pair stands for the number (hi + lo)·factor: hi is what float32 gives, lo what its roundings lost, to some 2⁻⁴⁶ of
hi; so a formula written as plain text is rounded once, at its end. The parts are numbers of a backend, with + - * / and
comparisons of one rounding each and the methods fma, select, magnitude and with_sign_of, or literals. Parts that are
known to be 0 are None, and cost nothing. The recipes are those of Dekker (A floating-point technique for extending the
available precision, 1971) and Knuth, with fma.
"""

import math
import struct
from functools import cached_property

SCALE = 2.0**-64  # the factor of what may be subnormal: hi and lo stay normal, and only the end rounds


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
    """(hi + lo)·factor; lo and factor may be None for 0 and 1. `top` bounds its magnitude, as far as is known."""

    def __init__(self, hi, lo=None, factor=None, top=math.inf):
        self.hi, self.lo, self.factor, self.top = hi, lo, factor, top

    @classmethod
    def of(cls, value):
        """A literal as the sum of two float32; a pair as it is."""
        if isinstance(value, Pair):
            return value
        hi = single(value)
        rest = value - hi if math.isfinite(value) else 0.0
        return cls(hi, single(rest) if rest else None, None, abs(value))

    @property
    def plain(self):
        """The same with a factor of 1; what is smaller than float32's normal numbers loses bits."""
        if self.factor is None:
            return self
        lo = None if self.lo is None else self.lo * self.factor
        return Pair(self.hi * self.factor, lo, None, self.top)

    def rounded(self):
        """The one number of float32 that the pair stands for."""
        return _scaled(self.hi if self.lo is None else _kept(self.hi + self.lo, self.hi), self.factor)

    def odd(self):
        """The same rounded to odd, so that rounding it again, to 16 bits, gives what rounding once would."""
        pair = self.plain
        return pair.hi if pair.lo is None else pair.hi.odd(pair.lo)

    def __neg__(self):
        return Pair(-self.hi, None if self.lo is None else -self.lo, self.factor, self.top)

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
            return Pair(self.hi * other.hi, lo, self.factor, self.top * other.top)
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


def _scaled(value, factor):
    return value if factor is None else value * factor


class Lazy(Pair):
    """A pair whose parts are computed when they are asked for; its rounded value may need less."""

    def __init__(self, factor, top):
        self.factor, self.top = factor, top

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
        if a.factor is not None and b.factor is not None:
            b = b.plain
        super().__init__(b.factor if a.factor is None else a.factor, a.top * b.top)
        self.a, self.b = a, b

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
        return _scaled(hi if self._cross is None else _kept(self.a.hi.fma(self.b.hi, self._cross), hi), self.factor)


class Choice(Lazy):
    """x where the condition holds, else y; where one of them is exact, the other is better rounded beforehand."""

    def __init__(self, condition, x, y):
        self.condition, self.x, self.y = condition, x, y
        factor = x.factor
        if x.factor != y.factor:
            factor = condition.select(*(1.0 if v.factor is None else v.factor for v in (x, y)))
        super().__init__(factor, max(x.top, y.top))

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
    a, b = a.plain, b.plain
    hi = a.hi + b.hi  # Knuth's sum
    other = hi - a.hi
    error = (a.hi - (hi - other)) + (b.hi - other)
    return Pair(hi, added(error, added(a.lo, b.lo)), None, a.top + b.top)


def add_smaller(a, b):
    """a + b, b being the smaller: Dekker's sum."""
    a, b = Pair.of(a).plain, Pair.of(b)
    if b.factor is None:
        hi = a.hi + b.hi
        error = added((a.hi - hi) + b.hi, b.lo)
    else:
        hi = b.hi.fma(b.factor, a.hi)
        error = b.hi.fma(b.factor, a.hi - hi)
        error = error if b.lo is None else b.lo.fma(b.factor, error)
    return Pair(hi, added(error, a.lo), None, a.top + b.top)


def _quotient(a, b):
    b = b.plain
    inverse = 1.0 / b.hi
    hi = inverse if isinstance(a.hi, float) and a.hi == 1.0 else a.hi * inverse
    rest = added((-b.hi).fma(hi, a.hi), a.lo)
    if b.lo is not None:
        rest = (-hi).fma(b.lo, rest)
    return Pair(hi, rest * inverse, a.factor)


def where(condition, x, y):
    """The pair x where the condition holds, else y."""
    return Choice(condition, Pair.of(x), Pair.of(y))


def absolute(x):
    """The magnitude of a pair."""
    x = Pair.of(x)
    lo = None if x.lo is None else (x.hi < 0.0).select(-x.lo, x.lo)
    return Pair(x.hi.magnitude(), lo, x.factor, x.top)


def copysign(x, y):
    """The magnitude of a pair with the sign of another."""
    size = absolute(x)
    lo = None if size.lo is None else (y.hi < 0.0).select(-size.lo, size.lo)
    return Pair(size.hi.with_sign_of(y.hi), lo, size.factor, size.top)
