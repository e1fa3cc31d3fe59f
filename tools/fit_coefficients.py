"""Fit the approximations of `actfun/carried/primitives.py`, `float32.py` and `backends/torch.py`; print their numbers.

`python tools/fit_coefficients.py` takes some seconds (mpmath, 40 digits). Coefficients come highest power first, as the
arithmetic that uses them holds them. The error beside each fit is the worst one with those coefficients, relative to
the function that they serve, on 2,001 points.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import mpmath
import numpy
from mpmath import mpf

mpmath.mp.dps = 40
Function = Callable[[mpf], mpf]


def single(value: mpf) -> float:
    """Rounded to float32."""
    return float(numpy.float32(float(value)))


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

    def coefficients(self) -> list[float]:
        """Interpolation at Chebyshev's points."""
        fitted = mpmath.chebyfit(self.target, [mpf(end) for end in self.interval], self.terms)
        narrow = self.terms - self.wide
        return [single(c) for c in fitted[:narrow]] + [float(c) for c in fitted[narrow:]]

    def worst_error(self, coefficients: Sequence[float]) -> float:
        """The largest relative error on the interval."""
        low, high = (mpf(end) for end in self.interval)
        points = [low + (high - low) * k / 2000 for k in range(2001)]
        values = [(self.whole(x, mpmath.polyval(coefficients, x)), self.whole(x, self.target(x))) for x in points]
        return max(float(abs(value / exact - 1)) for value, exact in values)


def _exp_rest(r: mpf) -> mpf:
    return (mpmath.expm1(r) - r) / r**2 if r else mpf(1) / 2


def _log1p_rest(f: mpf) -> mpf:
    return (mpmath.log1p(f) - f + f * f / 2) / f**3 if f else mpf(1) / 3


def _atanh_rest(v: mpf) -> mpf:
    s = mpmath.sqrt(v) / 2  # 2·atanh(s)/(2·s) = 1 + v·rest, for v = (2·s)²
    return (mpmath.atanh(s) / s - 1) / v if v else mpf(1) / 12


def _ndtr_scaled(t: mpf) -> mpf:
    return mpmath.erfc(t / mpmath.sqrt(2)) / 2 * mpmath.exp(t * t / 2)


def _folded(u: mpf) -> mpf:
    return 2 * (1 + u) / (1 - u)  # the inverse of u = (t - 2)/(t + 2)


def _ndtr_folded(u: mpf) -> mpf:
    return _ndtr_scaled(_folded(u)) * (_folded(u) + 2)


HALF_LN2, FOLDED = ("-0.34658", "0.34658"), ("-1", "0.75758")
EXP = Fit("EXP", HALF_LN2, _exp_rest, 6, lambda r, p: 1 + r + r * r * p)
FITS: dict[str, tuple[Fit, ...]] = {
    "carried/primitives": (
        EXP,
        Fit("LOG1P", ("0", "0.44445"), _atanh_rest, 5, lambda v, p: 1 + v * p),
        Fit("NDTR_SCALED", FOLDED, _ndtr_folded, 12, lambda u, p: p, wide=2),
    ),
    "float32": (
        replace(EXP, terms=5),
        Fit("EXPM1_16", ("-0.5", "0"), _exp_rest, 4, lambda x, p: 1 + x * p),
        Fit("LOG1P", ("-0.29290", "0.41422"), _log1p_rest, 9, lambda f, p: 1 - f / 2 + f * f * p),
        Fit("NDTR_SCALED", FOLDED, _ndtr_folded, 11, lambda u, p: p),
        Fit("NDTR_SCALED_16", FOLDED, _ndtr_folded, 9, lambda u, p: p),
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
    "carried/primitives": {
        "LOG2_E": (float(1 / LN2),),
        "LN2_HIGH, LN2_LOW": split(LN2, 15),
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
            coefficients = fit.coefficients()
            print(f"# relative error {fit.worst_error(coefficients):.1e} on [{', '.join(fit.interval)}]")
            print(f"{fit.name} = (\n" + "".join(f"    {value!r},\n" for value in coefficients) + ")")
