"""Fit the approximations of `actfun/float32.py`, `float64.py` and `backends/torch.py`, and print their numbers.

`python tools/fit_coefficients.py` takes some seconds (mpmath, 40 digits). Coefficients come highest power first, as the
arithmetic that uses them holds them. The error beside each fit is the worst one with those coefficients, relative to
the function that they serve, on 2,001 points.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mpmath
import numpy
from mpmath import mpf

mpmath.mp.dps = 40
Function = Callable[[mpf], mpf]


def single(value: mpf) -> float:
    """Rounded to float32."""
    return float(numpy.float32(float(value)))


class Fit(ABC):
    """An approximation of a function on an interval."""

    name: str
    interval: tuple[str, str]

    @abstractmethod
    def parts(self) -> list[list[float]]:
        """The coefficients: of one polynomial, or of numerator and denominator."""

    @abstractmethod
    def error(self, x: mpf, parts: Sequence[Sequence[float]]) -> mpf:
        """The relative error at x."""

    def worst_error(self, parts: Sequence[Sequence[float]]) -> float:
        """The largest one on the interval."""
        low, high = (mpf(end) for end in self.interval)
        return max(float(abs(self.error(low + (high - low) * k / 2000, parts))) for k in range(2001))


@dataclass(frozen=True)
class Chebyshev(Fit):
    """`target` by a polynomial, for float32 arithmetic; `whole(x, p)` is the value that its value p ends up in."""

    name: str
    interval: tuple[str, str]
    target: Function
    terms: int
    whole: Callable[[mpf, mpf], mpf]

    def parts(self) -> list[list[float]]:
        fitted = mpmath.chebyfit(self.target, [mpf(end) for end in self.interval], self.terms)
        return [[single(c) for c in fitted]]

    def error(self, x: mpf, parts: Sequence[Sequence[float]]) -> mpf:
        return self.whole(x, mpmath.polyval(parts[0], x)) / self.whole(x, self.target(x)) - 1


@dataclass(frozen=True)
class LevelError(Fit):
    """`target` = offset + factor·P/Q, with a relative error that is nearly level, for float64 arithmetic.

    Least squares, linearised after Sanathanan and Koerner and reweighted after Lawson; the last coefficient of Q is 1.
    """

    name: str
    interval: tuple[str, str]
    target: Function
    degrees: tuple[int, int]
    offset: Function = mpf
    factor: Function = mpf

    POINTS, ROUNDS = 160, 12

    def parts(self) -> list[list[float]]:
        low, high = (mpf(end) for end in self.interval)
        angles = (mpmath.pi * (k + mpf(1) / 2) / self.POINTS for k in range(self.POINTS))
        shares = ((1 - mpmath.cos(angle)) / 2 for angle in angles)
        points = [low + (high - low) * (share if low < 0 else share**2) for share in shares]  # denser towards 0
        weights, scales = [mpf(1)] * self.POINTS, [mpf(1)] * self.POINTS
        best: tuple[mpf, list[list[float]]] | None = None
        for _ in range(self.ROUNDS):
            solved = self._solved(points, [w / s for w, s in zip(weights, scales, strict=True)])
            scales = [mpmath.polyval(solved[1], x) for x in points]
            errors = [abs(self.error(x, solved)) for x in points]
            if best is None or max(errors) < best[0]:
                best = (max(errors), solved)
            weights = [w * e for w, e in zip(weights, errors, strict=True)]
            weights = [w / max(weights) + mpf(10) ** -12 for w in weights]
        assert best is not None
        return [[float(c) for c in part] for part in best[1][: 1 + (self.degrees[1] > 0)]]

    def _solved(self, points: list[mpf], weights: list[mpf]) -> list[list[mpf]]:
        """P and Q that make offset·Q + factor·P - target·Q as small as the weights ask, by the normal equations."""
        top, bottom = self.degrees
        rows = mpmath.matrix(len(points), top + 1 + bottom)
        right = mpmath.matrix(len(points), 1)
        for i, (x, weight) in enumerate(zip(points, weights, strict=True)):
            rest = self.target(x) - self.offset(x)
            scale = weight / self.target(x)
            columns = [self.factor(x) * x**k for k in range(top, -1, -1)] + [-rest * x**k for k in range(bottom, 0, -1)]
            for j, column in enumerate(columns):
                rows[i, j] = scale * column
            right[i] = scale * rest
        solution = list(mpmath.lu_solve(rows.T * rows, rows.T * right))
        return [solution[: top + 1], [*solution[top + 1 :], mpf(1)]]

    def error(self, x: mpf, parts: Sequence[Sequence[float]]) -> mpf:
        quotient = mpmath.polyval(parts[0], x) / (mpmath.polyval(parts[1], x) if len(parts) > 1 else 1)
        exact = self.target(x)
        return (self.offset(x) + self.factor(x) * quotient) / exact - 1 if exact else mpf(0)


def _exp_rest(r: mpf) -> mpf:
    return (mpmath.expm1(r) - r) / r**2 if r else mpf(1) / 2


def _log1p_rest(f: mpf) -> mpf:
    return (mpmath.log1p(f) - f + f * f / 2) / f**3 if f else mpf(1) / 3


def _double_atanh(v: mpf) -> mpf:
    s = mpmath.sqrt(v)
    return 2 * mpmath.atanh(s) / s if v else mpf(2)


def _tanh_slope(v: mpf) -> mpf:
    s = mpmath.sqrt(v)
    return mpmath.tanh(s) / s if v else mpf(1)


def _ndtr_scaled(t: mpf) -> mpf:
    return mpmath.erfc(t / mpmath.sqrt(2)) / 2 * mpmath.exp(t * t / 2)


def _folded(u: mpf) -> mpf:
    return 2 * (1 + u) / (1 - u)  # the inverse of u = (t - 2)/(t + 2)


def _ndtr_folded(u: mpf) -> mpf:
    return _ndtr_scaled(_folded(u)) * (_folded(u) + 2)


def _square(r: mpf) -> mpf:
    return r * r


HALF_LN2, FOLDED = ("-0.34658", "0.34658"), ("-1", "0.75758")
FITS: dict[str, tuple[Fit, ...]] = {
    "float32": (
        Chebyshev("EXP", HALF_LN2, _exp_rest, 5, lambda r, p: 1 + r + r * r * p),
        Chebyshev("LOG1P", ("-0.29290", "0.41422"), _log1p_rest, 9, lambda f, p: 1 - f / 2 + f * f * p),
        Chebyshev("NDTR_SCALED", FOLDED, _ndtr_folded, 11, lambda u, p: p),
        Chebyshev("NDTR_SCALED_16", FOLDED, _ndtr_folded, 9, lambda u, p: p),
    ),
    "float64": (
        LevelError("EXPM1", HALF_LN2, mpmath.expm1, (4, 0), offset=mpf, factor=_square),
        LevelError("LOG1P", ("0", "0.11112"), _double_atanh, (3, 0), offset=lambda v: mpf(2), factor=mpf),
        LevelError("TANH", ("0", "82.9"), _tanh_slope, (4, 5), offset=lambda v: mpf(0), factor=lambda v: mpf(1)),
        LevelError("NDTR_SCALED", ("0", "14.5"), _ndtr_scaled, (5, 6), lambda t: mpf(0), lambda t: mpf(1)),
    ),
}


def split(value: mpf, bits: int = 24, rounded: Callable[[mpf], float] = single) -> tuple[float, float]:
    """A number as the sum of two, the first with at most `bits` bits."""
    scale = mpf(2) ** (bits - 1 - mpmath.floor(mpmath.log(value, 2)))
    high = mpmath.nint(value * scale) / scale
    return float(high), rounded(value - high)


LN2, SLOPE = mpmath.log(2), mpmath.sqrt(8 / mpmath.pi)
CONSTANTS: dict[str, dict[str, tuple[float, ...]]] = {
    "float32": {
        "LN2_HIGH, LN2_LOW": split(LN2, 15),
        "LINEAR_HIGH, LINEAR_LOW": split(SLOPE),
        "CUBIC_HIGH, CUBIC_LOW": split(SLOPE * mpf("0.044715")),
    },
    "float64": {
        "LOG2_E": (float(1 / LN2),),
        "LN2": (float(LN2),),
        "LINEAR, CUBIC": (float(SLOPE), float(SLOPE * mpf("0.044715"))),
    },
    "backends/torch": {
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
            parts = fit.parts()
            print(f"# relative error {fit.worst_error(parts):.1e} on [{', '.join(fit.interval)}]")
            for name, values in zip((fit.name, f"{fit.name}_DENOMINATOR"), parts, strict=False):
                print(f"{name} = (\n" + "".join(f"    {value!r},\n" for value in values) + ")")
