"""Arithmetic, loads and stores as LLVM instructions."""

from typing import Any

import torch
from llvmlite import ir

FLOAT, HALF = ir.FloatType(), ir.HalfType()
INT16, INT32, INT64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
SCRATCH = 256


def _intrinsic(builder: Any, name: str, *values: Any) -> Any:
    kind = values[0].type
    signature = ir.FunctionType(kind, [kind] * len(values))
    return builder.call(builder.module.declare_intrinsic(f"llvm.{name}", [kind], signature), values)


class Number:
    """A float32 of the code that is being built, as `actfun.pairs` wants it: each operation is rounded once."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    @classmethod
    def of(cls, builder: Any, number: Any) -> "Number":
        """A number or a literal as a number."""
        return number if isinstance(number, Number) else cls(builder, FLOAT(number))

    def _of(self, other: Any) -> Any:
        return other.value if isinstance(other, Number) else FLOAT(other)

    def _new(self, value: Any) -> "Number":
        return Number(self.builder, value)

    def __add__(self, other: Any) -> "Number":
        return self._new(self.builder.fadd(self.value, self._of(other)))

    __radd__ = __add__

    def __sub__(self, other: Any) -> "Number":
        return self._new(self.builder.fsub(self.value, self._of(other)))

    def __rsub__(self, other: Any) -> "Number":
        return self._new(self.builder.fsub(self._of(other), self.value))

    def __mul__(self, other: Any) -> "Number":
        return self._new(self.builder.fmul(self.value, self._of(other)))

    __rmul__ = __mul__

    def __rtruediv__(self, other: Any) -> "Number":
        return self._new(self.builder.fdiv(self._of(other), self.value))

    def __neg__(self) -> "Number":
        return self._new(self.builder.fneg(self.value))

    def __lt__(self, other: Any) -> "Condition":
        return self._compared("<", other)

    def __le__(self, other: Any) -> "Condition":
        return self._compared("<=", other)

    def __gt__(self, other: Any) -> "Condition":
        return self._compared(">", other)

    def __ge__(self, other: Any) -> "Condition":
        return self._compared(">=", other)

    def __eq__(self, other: Any) -> "Condition":  # type: ignore[override]
        return self._compared("==", other)

    def __ne__(self, other: Any) -> "Condition":  # type: ignore[override]
        """Whether they differ and neither is NaN."""
        return self._compared("!=", other)

    __hash__ = None  # type: ignore[assignment]

    def _compared(self, how: str, other: Any) -> "Condition":
        return Condition(self.builder, self.builder.fcmp_ordered(how, self.value, self._of(other)))

    def fma(self, y: Any, z: Any) -> "Number":
        """self·y + z with one rounding."""
        return self._new(_intrinsic(self.builder, "fma", self.value, self._of(y), self._of(z)))

    def magnitude(self) -> "Number":
        """Without its sign."""
        return self._new(_intrinsic(self.builder, "fabs", self.value))

    def with_sign_of(self, other: Any) -> "Number":
        """The magnitude with the sign of another number."""
        return self._new(_intrinsic(self.builder, "copysign", self.value, other.value))

    def power(self) -> "Number":
        """2 to the power m - 127, for 1.5·2²³ + m."""
        bits = self.builder.shl(self.builder.bitcast(self.value, INT32), INT32(23))  # what is above m falls off
        return self._new(self.builder.bitcast(bits, FLOAT))

    def odd(self, rest: "Number") -> "Number":
        """self + rest, rest the smaller by far, rounded to odd: what is not exact gets a last bit of 1.

        Rounded once more, to 16 bits, that is what rounding once gives (Boldo and Melquiond, Emulation of FMA and
        correctly rounded sums, IEEE Transactions on Computers 57, 2008).
        """
        builder, bits = self.builder, self.builder.bitcast(self.value, INT32)
        exact = builder.fcmp_unordered("==", rest.value, FLOAT(0.0))
        apart = builder.icmp_signed("<", builder.xor(bits, builder.bitcast(rest.value, INT32)), INT32(0))
        towards_zero = builder.sub(bits, builder.zext(apart, INT32))
        odd = builder.or_(towards_zero, INT32(1))
        return self._new(builder.bitcast(builder.select(exact, bits, odd), FLOAT))


class Condition:
    """A comparison of the code that is being built."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def select(self, x: Any, y: Any) -> Number:
        """x where it holds, else y."""
        x, y = (v.value if isinstance(v, Number) else FLOAT(v) for v in (x, y))
        return Number(self.builder, self.builder.select(self.value, x, y))


def prefer_wide_vectors(builder: Any) -> None:
    """Let the loop in work use vectors of 512 bits, which LLVM avoids on Intel's processors on account of old ones."""
    set.add(builder.function.attributes, '"prefer-vector-width"="512"')  # llvmlite's own add knows no such attributes


def place(builder: Any, address: Any, index: Any, element: ir.Type) -> Any:
    """The pointer to an element of an array that starts at an address."""
    return builder.gep(builder.inttoptr(address, element.as_pointer()), [index])


def constant(builder: Any, pointer: Any) -> Any:
    """A value that never changes while the kernel runs: LLVM may read it once, before the loop."""
    value = builder.load(pointer)
    value.set_metadata("invariant.load", builder.module.add_metadata([]))
    return value


def load(builder: Any, address: Any, index: Any, dtype: torch.dtype) -> Number:
    """An element of an array of `dtype`, as float32."""
    if dtype is torch.float32:
        return Number(builder, builder.load(place(builder, address, index, FLOAT)))
    bits = builder.load(place(builder, address, index, INT16))
    if dtype is torch.float16:
        return Number(builder, builder.fpext(builder.bitcast(bits, HALF), FLOAT))
    return Number(builder, builder.bitcast(builder.shl(builder.zext(bits, INT32), INT32(16)), FLOAT))


def store(builder: Any, address: Any, index: Any, number: Number, dtype: torch.dtype) -> None:
    """Round a float32 to `dtype`, ties to even, and write it."""
    value = number.value
    if dtype is torch.float32:
        builder.store(value, place(builder, address, index, FLOAT))
    elif dtype is torch.float16:
        half = builder.bitcast(builder.fptrunc(value, HALF), INT16)
        builder.store(half, place(builder, address, index, INT16))
    else:
        builder.store(_bfloat16(builder, value), place(builder, address, index, INT16))


def copy_entry(builder: Any, table: Any, x: Any, y: Any, index: Any) -> Any:
    """Write to y the entry, of 16 bits, that a table of 65,536 has for the 16 bits of an element of x."""
    entry = builder.load(place(builder, table, _bits(builder, x, index), INT16))
    return builder.store(entry, place(builder, y, index, INT16))


def fetch_entry(builder: Any, table: Any, x: Any, index: Any, target: Any) -> Any:
    """Write to an address the entry, a float32, that a table of 65,536 has for the 16 bits of an element of x."""
    entry = builder.load(place(builder, table, _bits(builder, x, index), FLOAT))
    return builder.store(entry, builder.inttoptr(target, FLOAT.as_pointer()))


def scratch(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """The address of SCRATCH float32 on the stack."""
    with builder.goto_entry_block():
        return builder.ptrtoint(builder.alloca(ir.ArrayType(FLOAT, SCRATCH)), INT64)


def _bits(builder: Any, x: Any, index: Any) -> Any:
    return builder.zext(builder.load(place(builder, x, index, INT16)), INT64)


def _bfloat16(builder: Any, x: Any) -> Any:
    # By hand: the CPU's own instruction for it drops subnormals.
    bits = builder.bitcast(x, INT32)
    odd = builder.and_(builder.lshr(bits, INT32(16)), INT32(1))
    rounded = builder.lshr(builder.add(builder.add(bits, INT32(0x7FFF)), odd), INT32(16))
    nan = builder.fcmp_unordered("uno", x, x)
    return builder.trunc(builder.select(nan, INT32(0x7FC0), rounded), INT16)
