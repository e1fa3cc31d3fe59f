"""Many numbers at a time as LLVM values with the operators of arithmetic: what a formula computes with in a kernel."""

import ctypes
from collections.abc import Callable
from typing import Any, NoReturn, Union

from llvmlite import ir

from actfun._backends.cpu import double, trigonometry
from actfun._backends.cpu.llvm import DOUBLE, FLOAT, INT32, INT64, any_of, cast, convert, declare, splat
from actfun._backends.lowering import Lowering
from actfun._catalogue import primitives

Number = Union["Value", float]


class Value:
    """A vector of float32, of float64, or of what a comparison gives; arithmetic with a number rounds that alike."""

    __slots__ = ("builder", "vector")

    def __init__(self, builder: Any, vector: Any) -> None:
        self.builder, self.vector = builder, vector

    def of(self, number: Number) -> "Value":
        """A number as a vector like this one; a value as it is."""
        if isinstance(number, Value):
            return number
        return Value(self.builder, splat(self.vector.type.element, self.vector, float(number)))

    def _apply(self, operation: str, *others: Number) -> "Value":
        return Value(self.builder, getattr(self.builder, operation)(self.vector, *(self.of(o).vector for o in others)))

    def _compare(self, how: str, other: Number) -> "Condition":
        return Condition(self.builder, self.builder.fcmp_ordered(how, self.vector, self.of(other).vector), self)

    def call(self, name: str, *others: Number) -> "Value":
        """What one of LLVM's own functions gives for this vector and others."""
        kind, bits = self.vector.type, 32 if self.vector.type.element is FLOAT else 64
        function = declare(
            self.builder, f"llvm.{name}.v{kind.count}f{bits}", ir.FunctionType(kind, [kind] * (1 + len(others)))
        )
        return Value(self.builder, self.builder.call(function, [self.vector, *(self.of(o).vector for o in others)]))

    def __add__(self, other: Number) -> "Value":
        return self._apply("fadd", other)

    def __radd__(self, other: float) -> "Value":
        return self.of(other) + self

    def __sub__(self, other: Number) -> "Value":
        return self._apply("fsub", other)

    def __rsub__(self, other: float) -> "Value":
        return self.of(other) - self

    def __mul__(self, other: Number) -> "Value":
        return self._apply("fmul", other)

    def __rmul__(self, other: float) -> "Value":
        return self.of(other) * self

    def __truediv__(self, other: Number) -> "Value":
        return self._apply("fdiv", other)

    def __rtruediv__(self, other: float) -> "Value":
        return self.of(other) / self

    def __neg__(self) -> "Value":
        return self._apply("fneg")

    def __lt__(self, other: Number) -> "Condition":
        return self._compare("<", other)

    def __le__(self, other: Number) -> "Condition":
        return self._compare("<=", other)

    def __gt__(self, other: Number) -> "Condition":
        return self._compare(">", other)

    def __ge__(self, other: Number) -> "Condition":
        return self._compare(">=", other)

    def __bool__(self) -> NoReturn:
        raise TypeError("what a formula computes has no truth before it is computed; use where(condition, x, y)")

    def widen(self) -> "Value":
        """float32 as float64."""
        return Value(self.builder, convert(self.builder.fpext, self.vector, DOUBLE))

    def round(self) -> "Value":
        """The nearest float32."""
        if self.vector.type.element is FLOAT:
            return self
        return Value(self.builder, convert(self.builder.fptrunc, self.vector, FLOAT))

    def round_to_odd(self) -> "Value":
        """float64 to float32, but what is not exact to the neighbour whose last bit is 1.

        Rounded once more, to 16 bits, that is what rounding once gives (Boldo and Melquiond, Emulation of FMA and
        correctly rounded sums, IEEE Transactions on Computers 57, 2008).
        """
        nearest = self.round()
        return nearest.make_odd(nearest.widen().call("fabs") > self.call("fabs"), self - nearest.widen())

    def make_odd(self, beyond: "Value", rest: "Value") -> "Value":
        """This float32, the nearest to what it stands for, rounded to odd instead.

        beyond: whether its magnitude is too large; rest: what is missing, 0 or NaN where it is exact or not finite.
        """
        builder = self.builder
        bits = builder.sub(cast(builder, self.vector, INT32), convert(builder.zext, beyond.vector, INT32))
        odd = cast(builder, builder.or_(bits, splat(INT32, bits, 1)), FLOAT)
        exact = builder.fcmp_unordered("==", rest.vector, rest.of(0.0).vector)
        return Value(builder, builder.select(exact, self.vector, odd))


class Condition(Value):
    """What a comparison gives; `like` is one of the values that were compared."""

    __slots__ = ("like",)

    def __init__(self, builder: Any, vector: Any, like: Value) -> None:
        super().__init__(builder, vector)
        self.like = like


SMALL, SCALE = 67 << 24, 2.0**32  # twice the bits of 2⁻⁶⁰; no factor of a smaller product overflows when scaled


def _rounding_error(a: Value, b: Value, product: Value) -> Any:
    """a·b - product, times a power of 2 where it might be subnormal, which is so rare that it is a branch."""
    builder = a.builder
    doubled = builder.shl(cast(builder, product.vector, INT32), splat(INT32, product.vector, 1))  # without the sign
    less = builder.sub(doubled, splat(INT32, doubled, 1))  # which makes 0 the largest
    small = builder.icmp_unsigned("<", less, splat(INT32, less, SMALL))
    with builder.if_else(any_of(builder, small), likely=False) as (rare, common):
        with rare:
            scaled = (a * SCALE).call("fma", b * SCALE, -(product * SCALE * SCALE)).vector
            scaled_in = builder.block
        with common:
            plain, plain_in = a.call("fma", b, -product).vector, builder.block
    lost = builder.phi(plain.type)
    lost.add_incoming(scaled, scaled_in)
    lost.add_incoming(plain, plain_in)
    return lost


class RoundingError(Exception):
    """A formula rounds more than once in float32."""


class Single(Value):
    """float32 that has been rounded once at most; `rest` is what that lost, or None.

    A formula over these (leaky_relu, x·x) is as right in float32 as in float64, in a third of the time. Operations that
    would round again, and those of transcendental functions, raise RoundingError.
    """

    __slots__ = ("rest",)

    def __init__(self, builder: Any, vector: Any, rest: Value | None = None) -> None:
        super().__init__(builder, vector)
        self.rest = rest

    def of(self, number: Number) -> "Single":
        if isinstance(number, Value):
            return Single(number.builder, number.vector, getattr(number, "rest", None))
        if ctypes.c_float(number).value != number:
            raise RoundingError
        return Single(self.builder, super().of(number).vector)

    def _exact(self) -> Value:
        if self.rest is not None:
            raise RoundingError
        return Value(self.builder, self.vector)

    def _compare(self, how: str, other: Number) -> Condition:
        self._exact(), self.of(other)._exact()  # what is rounded may stand on the other side
        return super()._compare(how, other)

    def __mul__(self, other: Number) -> "Single":
        a, b = self._exact(), self.of(other)._exact()
        product = a * b
        return Single(self.builder, product.vector, Value(self.builder, _rounding_error(a, b, product)))

    def __neg__(self) -> "Single":
        return Single(self.builder, super().__neg__().vector, None if self.rest is None else -self.rest)

    def _apply(self, operation: str, *others: Number) -> Value:
        if others:
            raise RoundingError
        return super()._apply(operation)

    def call(self, name: str, *others: Number) -> "Single":
        if name not in ("fabs", "copysign"):
            raise RoundingError
        return Single(self.builder, self._exact().call(name, *(self.of(o)._exact() for o in others)).vector)

    def round_to_odd(self) -> Value:
        if self.rest is None:
            return self
        builder = self.builder
        signs = builder.xor(cast(builder, self.vector, INT32), cast(builder, self.rest.vector, INT32))
        return self.make_odd(Value(builder, builder.icmp_signed("<", signs, splat(INT32, signs, 0))), self.rest)


def where(condition: Condition, x: Number, y: Number) -> Value:
    """x where the condition holds, else y."""
    builder = condition.builder
    like = next((v for v in (x, y) if isinstance(v, Value)), condition.like)
    x, y = like.of(x), like.of(y)
    vector = builder.select(condition.vector, x.vector, y.vector)
    if not isinstance(x, Single) or not isinstance(y, Single):
        return Value(builder, vector)
    if x.rest is None and y.rest is None:
        return Single(builder, vector)
    none = Value(builder, x.of(0.0).vector)
    return Single(builder, vector, where(condition, *(none if value.rest is None else value.rest for value in (x, y))))


def _fma(x: Number, y: Number, z: Number) -> Value:
    like = next(v for v in (x, y, z) if isinstance(v, Value))
    return like.of(x).call("fma", y, z)


def _scale(x: Number, t: Value) -> Value:
    """n, from the lowest bits of t, is added where float64 has its exponent."""
    builder = t.builder
    exponent = builder.shl(cast(builder, t.vector, INT64), splat(INT64, t.vector, 52))
    return Value(builder, cast(builder, builder.add(cast(builder, t.of(x).vector, INT64), exponent), DOUBLE))


WHOLE = 2.0**52  # whose lowest bit counts 1
BETWEEN = 0x95F619980C433  # the bits of 1 less those of √½


def _exponent(x: Value) -> Value:
    """From the bits where float64 has it, which start a new number at √½ of a power of 2 once BETWEEN is added."""
    if isinstance(x, Single):
        raise RoundingError
    builder = x.builder
    moved = builder.add(cast(builder, x.vector, INT64), splat(INT64, x.vector, BETWEEN))
    biased = builder.lshr(moved, splat(INT64, moved, 52))
    number = builder.or_(biased, cast(builder, x.of(WHOLE).vector, INT64))
    return Value(builder, cast(builder, number, DOUBLE)) - (WHOLE + 1023.0)


def _rarely(condition: Condition, value: Value, function: Callable[..., Value], *arguments: Number) -> Value:
    """By a branch, for a whole vector."""
    builder, before = condition.builder, condition.builder.block
    with builder.if_then(any_of(builder, condition.vector), likely=False):
        other, inside = where(condition, function(*arguments), value).vector, builder.block
    result = builder.phi(value.vector.type)
    result.add_incoming(value.vector, before)
    result.add_incoming(other, inside)
    return Value(builder, result)


def _copysign(x: Number, y: Value) -> Value:
    return y.of(x).call("copysign", y)


lower: Callable[..., Any] = Lowering(
    native={
        primitives.where: where,
        primitives.absolute: lambda x: x.call("fabs"),
        primitives.copysign: _copysign,
        double.fma: _fma,
        double.scale: _scale,
        double.exponent: _exponent,
        trigonometry.nearest: lambda x: x.call("rint"),
        trigonometry.rarely: _rarely,
        primitives.sqrt: lambda x: x.call("sqrt"),
    },
    derived=double.DERIVED | trigonometry.DERIVED,
)
