"""Fit the approximations of `_backends`, double.py, arithmetic.py and torch*.py, and rational; print their numbers.

`python tools/fit_coefficients.py` takes some seconds (mpmath, 80 digits). Coefficients come highest power first, as the
arithmetic that uses them holds them; those of rational come lowest first. The error beside each fit is the worst one
with those coefficients, on 2,001 points: relative to the function that they serve, or absolute.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import mpmath
import numpy
from mpmath import mpf

mpmath.mp.dps = 80
Function = Callable[[mpf], mpf]


def single(value: mpf) -> float:
    """Rounded to float32."""
    return float(numpy.float32(float(value)))


class Approximation(Protocol):
    """What both kinds of fits offer."""

    name: str
    interval: tuple[str, str]
    error: ClassVar[str]  # "relative" or "absolute"

    def coefficients(self) -> list[float]: ...

    def worst_error(self, coefficients: Sequence[float]) -> float: ...


def points(interval: tuple[str, str]) -> list[mpf]:
    """2,001 numbers, evenly spaced."""
    low, high = (mpf(end) for end in interval)
    return [low + (high - low) * k / 2000 for k in range(2001)]


@dataclass(frozen=True)
class Fit:
    """`target` by a polynomial; `whole(x, p)` is the value that its value p ends up in.

    wide: how many coefficients, from the last, the arithmetic holds to more than float32's digits.
    """

    name: str
    interval: tuple[str, str]
    target: Function
    terms: int
    whole: Callable[[mpf, mpf], mpf]
    wide: int = 0
    error: ClassVar[str] = "relative"

    def coefficients(self) -> list[float]:
        """Interpolation at Chebyshev's points."""
        fitted = mpmath.chebyfit(self.target, [mpf(end) for end in self.interval], self.terms)
        narrow = self.terms - self.wide
        return [single(c) for c in fitted[:narrow]] + [float(c) for c in fitted[narrow:]]

    def worst_error(self, coefficients: Sequence[float]) -> float:
        """The largest relative error on the interval."""
        values = [
            (self.whole(x, mpmath.polyval(coefficients, x)), self.whole(x, self.target(x)))
            for x in points(self.interval)
        ]
        return max(float(abs(value / exact - 1)) for value, exact in values)


@dataclass(frozen=True)
class Quotient:
    """`target` by two polynomials, the lower one monic and of the degree above, so that both agree in some points.

    The coefficients are those of the upper one, then of the lower one but for its leading 1; nodes: the points, an even
    number.
    """

    name: str
    interval: tuple[str, str]
    target: Function
    nodes: tuple[str, ...]
    whole: Callable[[mpf, mpf], mpf]
    error: ClassVar[str] = "relative"

    def coefficients(self) -> list[float]:
        """From p(t) - target(t)·(q(t) - tⁿ) = target(t)·tⁿ in each node."""
        n = len(self.nodes) // 2
        rows, right = [], []
        for t, y in ((t, self.target(t)) for t in map(mpf, self.nodes)):
            rows.append([t**k for k in reversed(range(n))] + [-y * t**k for k in reversed(range(n))])
            right.append(y * t**n)
        solved = list(mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix(right)))
        return [single(c) for c in solved]

    def worst_error(self, coefficients: Sequence[float]) -> float:
        """The largest relative error on the interval."""
        n = len(self.nodes) // 2
        upper, lower = coefficients[:n], [1.0, *coefficients[n:]]
        values = [
            (self.whole(t, mpmath.polyval(upper, t) / mpmath.polyval(lower, t)), self.whole(t, self.target(t)))
            for t in points(self.interval)
        ]
        return max(float(abs(value / exact - 1)) for value, exact in values)


@dataclass(frozen=True)
class LeakyReLU:
    """Leaky ReLU by P(x)/(1 + |Q(x)|), P of degree 5, Q of degree 4 without a constant, by least squares.

    It is s·x + (1 - s)·|x| with s half of 1 and the slope. So the best Q is even, and all there is to fit is |x|:
    P = s·x·(1 + Q) + (1 - s)·E, with E/(1 + Q) near |x|.
    """

    name: str
    interval: tuple[str, str]
    slope: str
    error: ClassVar[str] = "absolute"

    def coefficients(self) -> list[float]:
        """a0 to a5, b2 and b4; to six decimals."""
        even, s = self._even(), (1 + mpf(self.slope)) / 2
        a0, a2, a4 = ((1 - s) * c for c in even[:3])
        b2, b4 = even[3:]
        return [round(float(c), 6) for c in (a0, s, a2, s * b2, a4, s * b4, b2, b4)]

    def _even(self) -> list[mpf]:
        """E's coefficients and Q's: steps of Newton's method as Gauss shortens it, from a fit that is linear."""
        x = points(("0", self.interval[1]))
        e0, e2, e4, b2, b4 = (mpf(0),) * 5
        for _ in range(20):
            rows, right = [], []
            for t in x:
                s, below = t * t, 1 + b2 * t**2 + b4 * t**4
                y = (e0 + e2 * s + e4 * s * s) / below if e2 else t
                rows.append([1 / below, s / below, s * s / below, -y * s / below, -y * s * s / below])
                right.append(t - y if e2 else t)
            step = mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix(right))
            e0, e2, e4, b2, b4 = (c + d for c, d in zip((e0, e2, e4, b2, b4), step, strict=True))
        return [e0, e2, e4, b2, b4]

    def worst_error(self, coefficients: Sequence[float]) -> float:
        """The largest distance on the interval."""
        b2, b4 = coefficients[6:]
        fits = [
            (x, mpmath.polyval(coefficients[5::-1], x) / (1 + b2 * x**2 + b4 * x**4)) for x in points(self.interval)
        ]
        return max(float(abs(y - (x if x > 0 else mpf(self.slope) * x))) for x, y in fits)


def _exp_rest(r: mpf) -> mpf:
    return (mpmath.expm1(r) - r) / r**2 if r else mpf(1) / 2


def _log1p_rest(f: mpf) -> mpf:
    return (mpmath.log1p(f) - f + f * f / 2) / f**3 if f else mpf(1) / 3


def _atanh_rest(v: mpf) -> mpf:
    s = mpmath.sqrt(v) / 2  # 2·atanh(s)/(2·s) = 1 + v·rest, for v = (2·s)²
    return (mpmath.atanh(s) / s - 1) / v if v else mpf(1) / 12


def _tanh_rest(s: mpf) -> mpf:
    x = mpmath.sqrt(s)
    return (mpmath.tanh(x) / x - 1) / s if s else -mpf(1) / 3


def _sine_rest(s: mpf) -> mpf:
    r = mpmath.sqrt(s)
    return (mpmath.sin(r) / r - 1) / s if s else -mpf(1) / 6


def _erf_rest(s: mpf) -> mpf:
    x = mpmath.sqrt(s)
    return (mpmath.erf(x) / x if s else 2 / mpmath.sqrt(mpmath.pi)) - 1


def _erf_exponent(t: mpf) -> mpf:
    return -mpmath.log(mpmath.erfc(t)) / t if t else 2 / mpmath.sqrt(mpmath.pi)


def _erf_whole(t: mpf, q: mpf) -> mpf:
    return -mpmath.expm1(-t * q) / t if t else q


def _erfc_power(t: mpf) -> mpf:
    return mpmath.log(mpmath.erfc(t), 2)


def _ndtr_scaled(t: mpf) -> mpf:
    return mpmath.erfc(t / mpmath.sqrt(2)) / 2 * mpmath.exp(t * t / 2)


def _folded(u: mpf) -> mpf:
    return 2 * (1 + u) / (1 - u)  # the inverse of u = (t - 2)/(t + 2)


def _ndtr_folded(u: mpf) -> mpf:
    return _ndtr_scaled(_folded(u)) * (_folded(u) + 2)


ASYMPTOTE, DENSITY = mpmath.sqrt(2 * mpmath.pi), 1 / mpmath.sqrt(2 * mpmath.pi)
ROOT = mpmath.findroot(lambda t: _ndtr_scaled(t) - DENSITY * t, 0.75)  # of the derivative of GELU, negated


def _ndtr_rest(t: mpf) -> mpf:
    return 1 / _ndtr_scaled(t) - ASYMPTOTE * t


def _ndtr_whole(t: mpf, rest: mpf) -> mpf:
    return 1 / (ASYMPTOTE * t + rest)


def _slope_by_root(v: mpf) -> mpf:
    t = 3 * v / (1 - v)  # the inverse of v = t/(t + 3)
    return (_ndtr_scaled(t) - DENSITY * t) / (ROOT - t)


FAR = "13.3"  # beyond, the tail of GELU is subnormal
HALF_LN2, FOLDED = ("-0.34658", "0.34658"), ("-1", "0.75758")
# The first as Chebyshev's points in (t - 2)/(t + 2), the second where the error was found to be level.
NODES = ("0.017", "0.158", "0.479", "1.076", "2.162", "4.175", "7.805", "12.381")
NODES_16 = ("0.029", "0.269", "0.815", "1.861", "4.001", "9.491")
EXP = Fit("EXP", HALF_LN2, _exp_rest, 6, lambda r, p: 1 + r + r * r * p)
LOG1P = Fit("LOG1P", ("0", "0.44445"), _atanh_rest, 5, lambda v, p: 1 + v * p)
FITS: dict[str, tuple[Approximation, ...]] = {
    "_backends/cpu/double": (
        replace(EXP, wide=6),
        replace(LOG1P, wide=5),
        Fit("NDTR_SCALED", FOLDED, _ndtr_folded, 14, lambda u, p: p, wide=14),
        Fit("ERF", ("0", "2.8"), _erf_exponent, 13, _erf_whole, wide=13),  # up to 4.5 the error stays below
    ),
    "_backends/cpu/trigonometry": (Fit("SINE", ("0", "2.4675"), _sine_rest, 5, lambda s, p: 1 + s * p, wide=5),),
    "_backends/arithmetic": (
        replace(EXP, terms=5),
        Fit("EXPM1_16", ("-0.5", "0"), _exp_rest, 4, lambda x, p: 1 + x * p),
        Fit("LOG1P", ("-0.29290", "0.41422"), _log1p_rest, 9, lambda f, p: 1 - f / 2 + f * f * p),
        Fit("NDTR_SCALED", FOLDED, _ndtr_folded, 11, lambda u, p: p),
        Fit("NDTR_SCALED_16", FOLDED, _ndtr_folded, 9, lambda u, p: p),
    ),
    "_backends/torch32": (
        Fit("EXPM1", ("-0.136", "0"), _exp_rest, 3, lambda r, p: 1 + r * p),
        Fit("TANH", ("0", "0.125"), _tanh_rest, 4, lambda s, p: 1 + s * p),
        Fit("ERF", ("0", "1"), _erf_rest, 7, lambda s, p: 1 + p),
        Fit("ERFC", ("1", "3"), _erfc_power, 8, lambda t, p: 1 - 2**p),
        replace(LOG1P, terms=4),
    ),
    "_backends/torch_tails": (
        Quotient("NDTR", ("0", FAR), _ndtr_rest, NODES, _ndtr_whole),
        Quotient("NDTR_16", ("0", FAR), _ndtr_rest, NODES_16, _ndtr_whole),
        Fit("GELU_SLOPE", ("0", "0.81596"), _slope_by_root, 8, lambda v, p: p),
        Fit("GELU_SLOPE_16", ("0", "0.81596"), _slope_by_root, 6, lambda v, p: p),
    ),
    "_catalogue/formulas/rational": (LeakyReLU("RATIONAL", ("-3", "3"), "0.01"),),
}


def parts(value: mpf, count: int) -> tuple[float, ...]:
    """A number as the sum of float64 numbers, each the nearest to what those before it leave."""
    found: list[float] = []
    for _ in range(count):
        found.append(float(value - mpmath.fsum(found)))
    return tuple(found)


def split(value: mpf, bits: int = 24, rounded: Callable[[mpf], float] = single) -> tuple[float, float]:
    """A number as the sum of two, the first with at most `bits` bits."""
    scale = mpf(2) ** (bits - 1 - mpmath.floor(mpmath.log(value, 2)))
    high = mpmath.nint(value * scale) / scale
    return float(high), rounded(value - high)


LN2, SLOPE = mpmath.log(2), mpmath.sqrt(8 / mpmath.pi)
CONSTANTS: dict[str, dict[str, tuple[float, ...]]] = {
    "_backends/arithmetic": {
        "LN2_HIGH, LN2_LOW": split(LN2, 15),
        "LINEAR_HIGH, LINEAR_LOW": split(SLOPE),
        "CUBIC_HIGH, CUBIC_LOW": split(SLOPE * mpf("0.044715")),
    },
    "_backends/cpu/double": {
        "LOG2_E": (float(1 / LN2),),
        "LN2": (float(LN2),),
        "LINEAR, CUBIC": (float(SLOPE), float(SLOPE * mpf("0.044715"))),
    },
    "_backends/cpu/trigonometry": {
        "PI_HIGH, PI_LOW": parts(mpmath.pi, 2),
        "INVERSE_PI": parts(1 / mpmath.pi, 4),
    },
    "_backends/torch32": {},
    "_backends/torch_tails": {
        "LOG2_E": (float(1 / LN2),),
        "ROOT, ROOT_LOW": split(ROOT),
        "LINEAR, LINEAR_LOW": split(SLOPE, 16),
        "CUBIC, CUBIC_LOW": split(SLOPE * mpf("0.044715")),
        "ASYMPTOTE": (float(ASYMPTOTE),),
    },
    "_catalogue/formulas/rational": {},
    "_backends/torch": {
        "LINEAR, LINEAR_LOW": split(SLOPE, 53, float),
        "CUBIC, CUBIC_LOW": split(SLOPE * mpf("0.044715"), 53, float),
    },
}

if __name__ == "__main__":
    for module, constants in CONSTANTS.items():
        print(f"# {module}.py")
        for names, numbers in constants.items():
            print(f"{names} = {', '.join(map(repr, numbers))}")
        for fit in FITS.get(module, ()):
            coefficients = fit.coefficients()
            print(f"# {fit.error} error {fit.worst_error(coefficients):.1e} on [{', '.join(fit.interval)}]")
            print(f"{fit.name} = (\n" + "".join(f"    {value!r},\n" for value in coefficients) + ")")
