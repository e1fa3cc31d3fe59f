"""Arithmetic in float32 that carries its rounding errors along: what formulas are computed with.

A pair stands for the number hi + lo: hi is what float32 gives, lo what its roundings lost, to some 2⁻⁴⁶ of
hi; so a formula written as plain text is rounded once, at its end. The parts are nodes of a graph. The recipes are
those of Dekker (A floating-point technique for extending the available precision, 1971) and Knuth, with fma.
"""

import math

from actfun.carried.graph import ZERO, as_node, constant, node


def error(part):
    """A node as one that stands for a rounding error."""
    if part.op not in ("constant", "input"):
        part.error = True
    return part


class Pair:
    """hi + lo. `top` bounds its magnitude, as far as is known."""

    def __init__(self, hi, lo=ZERO, top=math.inf):
        self.hi, self.lo, self.top = as_node(hi), error(as_node(lo)), top

    @classmethod
    def of(cls, value):
        """A literal as the sum of two float32; a pair as it is."""
        if isinstance(value, Pair):
            return value
        hi = constant(value)
        return cls(hi, value - hi.value if math.isfinite(value) else 0.0, abs(value))

    def rounded(self):
        """The one number of float32 that the pair stands for."""
        return self.hi if self.lo is ZERO else _kept(self.hi + self.lo, self.hi)

    def odd(self):
        """The same rounded to odd: what is not exact gets a last bit of 1.

        Rounded once more, to 16 bits, that is what rounding once gives (Boldo and Melquiond, Emulation of FMA and
        correctly rounded sums, IEEE Transactions on Computers 57, 2008).
        """
        return self.hi if self.lo is ZERO else node("odd", self.hi, self.lo)

    def __neg__(self):
        return Pair(-self.hi, -self.lo, self.top)

    def __add__(self, other):
        return _sum(self, Pair.of(other))

    __radd__ = __add__

    def __sub__(self, other):
        return _sum(self, -Pair.of(other))

    def __rsub__(self, other):
        return _sum(Pair.of(other), -self)

    def __mul__(self, other):
        a, b = self, Pair.of(other)
        if a.hi.value is not None:
            a, b = b, a
        if b.lo is ZERO and b.hi.value is not None and abs(math.frexp(b.hi.value)[0]) == 0.5:  # a power of 2: exact
            return Pair(a.hi * b.hi, a.lo * b.hi, a.top * b.top)
        return Product(a, b)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return _quotient(self, Pair.of(other))

    def __rtruediv__(self, other):
        return _quotient(Pair.of(other), self)

    # Conditions look at hi alone: formulas compare inputs and literals.

    def __bool__(self):
        return bool(self.hi)  # which raises TypeError

    def __lt__(self, other):
        return self.hi < Pair.of(other).hi

    def __gt__(self, other):
        return self.hi > Pair.of(other).hi

    def __le__(self, other):
        return self.hi <= Pair.of(other).hi

    def __ge__(self, other):
        return self.hi >= Pair.of(other).hi


def _kept(value, hi):
    """A value with a low part, but hi where that gives NaN, for there hi is infinite, or 0, for there hi may be -0."""
    return value.differs(0.0).select(value, hi)


class Product(Pair):
    """a·b; its rounded value needs no exact error of the product."""

    def __init__(self, a, b):
        self.a, self.b = a, b
        self.cross = error(a.hi.fma(b.lo, a.lo * b.hi))
        hi = a.hi * b.hi
        super().__init__(hi, a.hi.fma(b.hi, -hi) + self.cross, a.top * b.top)

    def rounded(self):
        return self.hi if self.cross is ZERO else _kept(self.a.hi.fma(self.b.hi, self.cross), self.hi)


class Choice(Pair):
    """x where the condition holds, else y; where one of them is exact, the other is better rounded beforehand."""

    def __init__(self, condition, x, y):
        self.condition, self.x, self.y = condition, x, y
        super().__init__(condition.select(x.hi, y.hi), condition.select(x.lo, y.lo), max(x.top, y.top))

    def rounded(self):
        if self.x.lo is ZERO or self.y.lo is ZERO:
            return self.condition.select(self.x.rounded(), self.y.rounded())
        return super().rounded()


def _sum(a, b):
    if b.hi.value is not None:
        a, b = b, a
    if a.hi.value is not None and abs(a.hi.value) >= b.top:
        return add_smaller(a, b)
    hi = a.hi + b.hi  # Knuth's sum
    other = hi - a.hi
    lost = error(a.hi - (hi - other)) + error(b.hi - other)
    return Pair(hi, error(lost) + (a.lo + b.lo), a.top + b.top)


def add_smaller(a, b):
    """a + b, b being the smaller: Dekker's sum."""
    a, b = Pair.of(a), Pair.of(b)
    hi = a.hi + b.hi
    return Pair(hi, (error((a.hi - hi) + b.hi) + a.lo) + b.lo, a.top + b.top)


def _quotient(a, b):
    inverse = 1.0 / b.hi
    hi = a.hi * inverse
    rest = error((-b.hi).fma(hi, a.hi)) + a.lo
    return Pair(hi, error((-hi).fma(b.lo, rest)) * inverse)


def where(condition, x, y):
    """The pair x where the condition holds, else y."""
    return Choice(condition, Pair.of(x), Pair.of(y))


def absolute(x):
    """The magnitude of a pair."""
    x = Pair.of(x)
    return Pair(x.hi.magnitude(), (x.hi < 0.0).select(-x.lo, x.lo), x.top)


def copysign(x, y):
    """The magnitude of a pair with the sign of another."""
    size = absolute(x)
    return Pair(size.hi.with_sign_of(y.hi), (y.hi < 0.0).select(-size.lo, size.lo), size.top)
