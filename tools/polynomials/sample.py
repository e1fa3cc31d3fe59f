"""The errors of a kernel on a sample of numbers: those of every kind, then many more where the errors are largest."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy
import torch
from polynomials.fits import NEAR_ROOT, REACH

from actfun._backends import torch as torch_operations
from actfun._backends.cpu import jit, kernels
from actfun._backends.cpu.polynomials import Polynomials
from actfun._backends.lowering import fingerprint

Formula = Callable[..., Any]
ALLOWED = {False: 0.96, True: 1.47}  # ulp of a value and of a derivative; the targets are 1.0 and 1.5
SMALLEST = 2.0**-149  # of float32, and what any number may be off
SIZE = 2**18  # numbers of each sign where functions bend; an eighth of it elsewhere
STRETCH, DENSER, ROUNDS = 64, 16, 3  # numbers in a row; as many more where they are worst, so many times


def between(bits: Any, low: Any, high: Any, count: Any) -> Any:
    """Random float32 numbers from low to high, of one sign, each as probable as the other."""
    a, b = (numpy.asarray(end, numpy.float32).view(numpy.int32) for end in (low, high))
    drawn = bits.integers(numpy.minimum(a, b), numpy.maximum(a, b), count, endpoint=True)
    return drawn.astype(numpy.int32).view(numpy.float32)


class Sample:
    """Numbers that show whether kernels of a formula at some values of its parameters are right."""

    def __init__(self, formula: Formula, numbers: Sequence[float], derivative: bool) -> None:
        self.formula, self.numbers, self.derivative = formula, tuple(numbers), derivative
        self.bits = numpy.random.Generator(numpy.random.PCG64(0))
        size = [between(self.bits, 2.0**-14, 128.0, SIZE), between(self.bits, 0.0, 3e38, SIZE // 8)]
        size = numpy.sort(numpy.concatenate([*size, numpy.arange(0.0, 128.0, 0.125, numpy.float32)]))
        self.x = numpy.concatenate([-size[::-1], size, numpy.float32([-numpy.inf, numpy.inf, numpy.nan])])
        self.roots = self._roots()

    def exact(self, x: Any) -> Any:
        """The formula in float64."""
        wide = torch.from_numpy(numpy.asarray(x, numpy.float64))
        return torch_operations.evaluate(self.formula, wide, *self.numbers).numpy()

    def _roots(self) -> list[float]:
        """Where the formula changes its sign, but for jumps, 0 and far tails."""
        x = self.x[:-3]
        y, size = self.exact(x), numpy.abs(x[1:])
        sign = numpy.signbit(y)
        return list(x[1:][(sign[1:] != sign[:-1]) & (numpy.abs(y[1:]) < 0.01) & (size > 1e-3) & (size < 20.0)])

    def kernel(self, common: Polynomials | None) -> Callable[[Any], Any]:
        """A function of arrays: the kernel with some polynomials, or without any."""
        single, key = torch.float32, f"{fingerprint(self.formula)} {self.numbers} {common}"
        made = jit.function(
            f"sample of {key}",
            lambda name: kernels.kernel(
                name, self.formula, (single, single), False, (), jit.lanes(), common, self.numbers
            ),
            6,
        )

        def evaluate(x: Any) -> Any:
            x, y = numpy.ascontiguousarray(x), numpy.empty_like(x)
            made(x.ctypes.data, 0, y.ctypes.data, 0, 0, len(x))
            return y

        return evaluate

    def errors(self, evaluate: Callable[[Any], Any], x: Any) -> Any:
        """Of a function's values at an array, in what is allowed; infinite where a special value is wrong."""
        y, exact = evaluate(x), self.exact(x)
        with numpy.errstate(over="ignore"):
            right = exact.astype(numpy.float32)
        finite = numpy.isfinite(right)
        unit = numpy.ldexp(1.0, numpy.maximum(numpy.frexp(numpy.where(finite, exact, 1.0))[1] - 24, -149))
        near = numpy.zeros(len(x), bool)
        for root in self.roots:
            near |= numpy.abs(x - root) < REACH
        allowed = numpy.maximum(unit * ALLOWED[self.derivative], numpy.maximum(near * NEAR_ROOT, SMALLEST))
        with numpy.errstate(all="ignore"):
            error = numpy.where(finite, numpy.abs(y - exact) / allowed, numpy.inf)
        same = (y == right) | (numpy.isnan(y) & numpy.isnan(right))
        error[~finite & same] = 0.0
        zero = (y == 0.0) & (exact == 0.0)
        error[numpy.isnan(error) | (zero & (numpy.signbit(y) != numpy.signbit(exact)))] = numpy.inf
        return error

    def worst(self, common: Polynomials | None) -> float:
        """The largest error of a kernel, in what is allowed; a wrong special value counts as infinity."""
        evaluate = self.kernel(common)
        x = self.x if common is None else numpy.sort(numpy.append(self.x, edges(common)))
        worst = 0.0
        for _ in range(ROUNDS):
            errors = self.errors(evaluate, x)
            worst = max(worst, float(errors.max()))
            if worst > 1.0:
                break
            x = self._closely(x, errors)
        return worst

    def _closely(self, x: Any, errors: Any) -> Any:
        """As many numbers in the stretches where the errors, those of x in order, are largest."""
        count = len(x) // STRETCH
        first, last = x[: count * STRETCH : STRETCH], x[STRETCH - 1 : count * STRETCH : STRETCH]
        top = errors[: count * STRETCH].reshape(count, STRETCH).max(1)
        top[(numpy.sign(first) != numpy.sign(last)) | ~numpy.isfinite(first) | ~numpy.isfinite(last)] = 0.0
        worst = numpy.argsort(top, kind="stable")[-(count // DENSER) :]
        return numpy.sort(between(self.bits, first[worst], last[worst], (STRETCH * DENSER, len(worst))).flatten())


def edges(common: Polynomials) -> Any:
    """Numbers on both sides of of the ends of subintervals, and of the radius."""
    x = numpy.linspace(-common.radius, common.radius, 2**20).astype(numpy.float32)
    t = numpy.abs(x) if common.symmetry else x
    subinterval = numpy.rint(t * (common.slope + common.curvature * t))
    ends = numpy.append(x[1:][subinterval[1:] != subinterval[:-1]], numpy.float32([-common.radius, common.radius]))
    beside = numpy.arange(-64, 65, dtype=numpy.int32)
    return (ends.view(numpy.int32)[:, None] + beside).flatten().view(numpy.float32)
