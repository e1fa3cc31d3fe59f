"""The errors of a graph on a sample of numbers: those of every kind, then many more where the errors are largest."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from actfun.carried.graph import Node, computed, ordered

ALLOWED = {False: 0.96, True: 1.47}  # ulp of a value and of a derivative; the targets are 1.0 and 1.5
NEAR_ROOT, REACH = 0.95 * 2.0**-26, 0.12  # the error that a derivative may have instead near a root, and how near
SMALLEST = 2.0**-149  # of float32, and what any number may be off
LARGEST = float(numpy.finfo(numpy.float32).max)
SIZE = 2**18  # numbers of each sign where functions bend; an eighth of it elsewhere
ROUND = numpy.arange(0.0, 128.0, 0.125)  # where a formula or a graph may change from one piece to the next
STRETCH, DENSER = 64, 16  # numbers in a row; the worst such stretches are looked at again with as many times more
COARSE, SEAM = 8, 256  # a seam is sought between every so many numbers, and gets as many
CLOSER, WORST = 3, 512  # looks at where it is worst, the last of which sees neighbours; numbers kept that show it wrong
BLOCK = 2**14  # numbers at a time, so that they stay in cache


def _between(bits: Any, low: Any, high: Any, count: Any) -> Any:
    """Random float32 numbers from low to high, of one sign, each as probable as the other."""
    a, b = (numpy.asarray(end, numpy.float32).view(numpy.int32) for end in (low, high))
    drawn = bits.integers(numpy.minimum(a, b), numpy.maximum(a, b), count, endpoint=True)
    return drawn.astype(numpy.int32).view(numpy.float32)


def _sample(bits: Any) -> Any:
    """Numbers of every kind, in order; infinity and NaN come last."""
    edges = numpy.append(ROUND, [1e-45, LARGEST, numpy.inf]).astype(numpy.float32)
    size = numpy.concatenate([_between(bits, 2.0**-14, 128.0, SIZE), _between(bits, 0.0, LARGEST, SIZE // 8), edges])
    return numpy.append(numpy.sort(numpy.concatenate([-size, size])), numpy.float32("nan"))


def _at_seams(bits: Any, x: Any, output: Node, parameters: Sequence[str]) -> Any:
    """Numbers where the pieces of a graph meet: a condition changes, or the power of 2 that an argument is reduced by.

    Errors there are larger than elsewhere in places too narrow for a sample.
    """
    x = x[::COARSE]
    values = computed(ordered(output), {"x": x} | dict.fromkeys(parameters, numpy.ones_like(x)))
    low, high, seam = x[:-1], x[1:], numpy.zeros(len(x) - 1, bool)
    for n, value in values.items():
        if n.op == "power" or value.dtype == bool:
            seam |= value[1:] != value[:-1]
    seam &= (numpy.signbit(low) == numpy.signbit(high)) & numpy.isfinite(low) & numpy.isfinite(high)
    return _between(bits, low[seam], high[seam], (SEAM, int(seam.sum()))).flatten()


def _roots(x: Any, exact: Any) -> Any:
    """Where x, in order, goes over a change of sign that is neither a jump nor at 0 or in a far tail."""
    sign, size = numpy.signbit(exact), numpy.abs(x[1:])
    return x[1:][(sign[1:] != sign[:-1]) & (numpy.abs(exact[1:]) < 0.01) & (size > 1e-3) & (size < 20.0)]


def _values(output: Node, inputs: dict[str, Any]) -> Any:
    nodes, y = ordered(output), numpy.empty_like(inputs["x"])
    for start in range(0, len(y), BLOCK):
        block = slice(start, start + BLOCK)
        y[block] = computed(nodes, {name: values[block] for name, values in inputs.items()})[output]
    return y


class Points:
    """Inputs, what should come for them, and by how much it may be off, each an array."""

    def __init__(self, inputs: dict[str, Any], right: dict[str, Any]) -> None:
        self.inputs, self.right = inputs, right

    def __getitem__(self, places: Any) -> "Points":
        return Points(*({name: values[places] for name, values in part.items()} for part in (self.inputs, self.right)))

    def __add__(self, other: "Points") -> "Points":
        parts = ((self.inputs, other.inputs), (self.right, other.right))
        return Points(*({name: numpy.append(a[name], b[name]) for name in a} for a, b in parts))

    def errors(self, output: Node) -> Any:
        """Of a graph's values, in what is allowed; infinite where a special value is not that of the first graph."""
        y, first, exact = _values(output, self.inputs), self.right["first"], self.right["exact"]
        with numpy.errstate(all="ignore"):
            error = numpy.abs(y - exact) / self.right["allowed"]
        same = (y == first) | (numpy.isnan(y) & numpy.isnan(first))
        error = numpy.where(self.right["finite"], error, numpy.where(same, 0.0, numpy.inf))
        zero = (y == 0.0) & (first == 0.0)
        error[numpy.isnan(error) | (zero & (numpy.signbit(y) != numpy.signbit(first)))] = numpy.inf
        return error


class Trial:
    """What graphs are held against: the exact values, and the special ones of a first graph that carries every error.

    parameters: the inputs beside x; exact: gives the right values, float64, for arrays of inputs by their names. The
    random bits are the same on every machine. Float64 is not, in its last bit: what a search finds may depend on it.
    """

    def __init__(
        self, first: Node, parameters: Sequence[str], exact: Callable[[dict[str, Any]], Any], derivative: bool
    ) -> None:
        self.first, self.parameters, self.exact = first, parameters, exact
        self.derivative, self.ulp = derivative, ALLOWED[derivative]
        self.bits = numpy.random.Generator(numpy.random.PCG64(0))
        self.roots: Any = []
        x = _sample(self.bits)
        x = numpy.sort(numpy.append(x, _at_seams(self.bits, x, first, parameters)))
        self.points = self._at(x)
        if derivative and len(roots := _roots(x, self.points.right["exact"])):
            self.roots = roots
            self.points = self._at(x)

    def _at(self, x: Any) -> Points:
        inputs = {"x": x} | {name: _between(self.bits, 0.125, 8.0, len(x)) for name in self.parameters}
        exact, first = self.exact(inputs), _values(self.first, inputs)
        finite = numpy.isfinite(exact) & numpy.isfinite(first)
        unit = numpy.ldexp(1.0, numpy.maximum(numpy.frexp(numpy.where(finite, exact, 1.0))[1] - 24, -149))
        near = numpy.zeros(len(x), bool)
        for root in self.roots:
            near |= numpy.abs(x - root) < REACH
        with numpy.errstate(all="ignore"):
            own = numpy.where(finite, numpy.abs(first - exact), 0.0)  # among subnormal numbers it may be more
        allowed = numpy.maximum(numpy.maximum(unit * self.ulp, SMALLEST), numpy.maximum(near * NEAR_ROOT, own))
        return Points(inputs, {"exact": exact, "first": first, "finite": finite, "allowed": allowed})

    def closely(self, points: Points, errors: Any) -> Points:
        """As many numbers in the stretches where the errors, those of points in order, are largest."""
        count = len(errors) // STRETCH
        x, stretches = points.inputs["x"], numpy.arange(count) * STRETCH
        first, last = x[stretches], x[stretches + STRETCH - 1]
        top = errors[: count * STRETCH].reshape(count, STRETCH).max(1)
        top[(numpy.sign(first) != numpy.sign(last)) | ~numpy.isfinite(first) | ~numpy.isfinite(last)] = 0.0
        worst = numpy.argsort(top, kind="stable")[-(count // DENSER) :]
        drawn = _between(self.bits, first[worst], last[worst], (STRETCH * DENSER, len(worst)))
        return self._at(numpy.sort(drawn.flatten()))

    def wrong(self, output: Node) -> Points | None:
        """Some of the numbers that show a graph wrong, if any are found."""
        points = self.points
        errors = points.errors(output)
        for _ in range(CLOSER):
            if (errors > 1.0).any():
                break
            points = self.closely(points, errors)
            errors = points.errors(output)
        wrong = (errors > 1.0) & (errors >= numpy.sort(errors)[-WORST])
        return points[wrong] if wrong.any() else None
