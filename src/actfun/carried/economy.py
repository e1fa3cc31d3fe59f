"""Which rounding errors a formula need not carry: those without which a sample still stays within the target.

A graph that carries all of them takes twice as long as one that carries none. In between, each error that is left out
saves operations and costs accuracy; here they are left out as long as the worst value of the sample stays well within
the target. That the rest of the numbers do so too is what `actfun accuracy --exhaustive` proves.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from actfun.carried.graph import ZERO, Node, computed, cost, ordered, without

ALLOWED = {False: 0.97, True: 1.46}  # ulp of a value and of a derivative; the targets are 1.0 and 1.5
NEAR_ROOT, REACH = 0.95 * 2.0**-26, 0.12  # the error that a derivative may have instead near a root, and how near
SIZE, FEW, WORST = 2**18, 32, 512
BLOCK = 2**14  # numbers at a time, so that they stay in cache


def sample(parameters: Sequence[str], exact: Callable[[dict[str, Any]], Any]) -> tuple[dict[str, Any], Any]:
    """Numbers of every kind for x, with parameters, and the exact values there, float64.

    Most of them lie where functions bend. The generator's bits are the same on every machine, and so is the
    arithmetic: a formula has one graph everywhere.
    """
    bits = numpy.random.Generator(numpy.random.PCG64(0))

    def between(low: float, high: float, count: int) -> Any:
        first, last = (int(numpy.float32(end).view(numpy.int32)) for end in (low, high))
        return bits.integers(first, last, count).astype(numpy.int32).view(numpy.float32)

    edges = numpy.array([0.0, 1e-45, 1.0, 3.4028235e38, numpy.inf], numpy.float32)
    size = numpy.concatenate([between(2.0**-14, 128.0, SIZE), between(0.0, numpy.inf, SIZE // 8), edges])
    x = numpy.append(numpy.sort(numpy.concatenate([-size, size])), numpy.float32("nan"))
    inputs = {"x": x} | {name: between(0.125, 8.0, len(x)) for name in parameters}
    return inputs, exact(inputs)


def _near_roots(x: Any, exact: Any) -> Any:
    """Which x, in order, lie within REACH of a change of sign that is neither a jump nor at 0 or in a far tail."""
    sign, size = numpy.signbit(exact), numpy.abs(x[1:])
    crossed = (sign[1:] != sign[:-1]) & (numpy.abs(exact[1:]) < 0.01) & (size > 1e-3) & (size < 20.0)
    near = numpy.zeros(len(x), bool)
    for root in x[1:][crossed]:
        near |= numpy.abs(x - root) < REACH
    return near


class _Judge:
    """Measures the errors of a graph on a sample, in ulp; infinite where a special value is not that of the first."""

    def __init__(self, first: Node, inputs: dict[str, Any], exact: Any, derivative: bool) -> None:
        self.inputs, self.exact = inputs, exact
        self.first = self._values(first)
        self.finite = numpy.isfinite(exact) & numpy.isfinite(self.first)
        exponent = numpy.frexp(numpy.where(self.finite, exact, 1.0))[1]
        self.unit = numpy.ldexp(1.0, numpy.maximum(exponent - 24, -149))
        self.excused = numpy.where(derivative & _near_roots(inputs["x"], exact), NEAR_ROOT, 0.0)
        self.allowed = numpy.maximum(self.errors(first), ALLOWED[derivative])  # among subnormal numbers it may be more

    def on(self, places: Any) -> "_Judge":
        """The same for some places of the sample."""
        part = copy.copy(self)
        part.inputs = {name: values[places] for name, values in self.inputs.items()}
        for name in ("exact", "first", "finite", "unit", "excused", "allowed"):
            setattr(part, name, getattr(self, name)[places])
        return part

    def _values(self, output: Node) -> Any:
        nodes, y = ordered(output), numpy.empty(len(self.exact), numpy.float32)
        for start in range(0, len(y), BLOCK):
            block = slice(start, start + BLOCK)
            y[block] = computed(nodes, {name: values[block] for name, values in self.inputs.items()})[output]
        return y

    def errors(self, output: Node) -> Any:
        """The error of each value."""
        y = self._values(output)
        with numpy.errstate(all="ignore"):
            distance = numpy.abs(y - self.exact)
            ulp = numpy.where(distance <= self.excused, 0.0, distance / self.unit)
        same = (y == self.first) | (numpy.isnan(y) & numpy.isnan(self.first))
        error = numpy.where(self.finite, ulp, numpy.where(same, 0.0, numpy.inf))
        zero = (y == 0.0) & (self.first == 0.0)
        error[numpy.isnan(error) | (zero & (numpy.signbit(y) != numpy.signbit(self.first)))] = numpy.inf
        return error


def _unguarded(output: Node, judge: _Judge) -> Node:
    """The output without the guard of infinities and of -0, if no value needs it."""
    if output.op != "select" or output.args[0].op != "!=":
        return output
    unguarded: Node = output.args[1]
    return unguarded if (judge.errors(unguarded) <= judge.allowed).all() else output


def _least(output: Node, judge: _Judge) -> Node:
    """The output after one error after another has been left out, each time the one that pays best.

    One that cannot be left out is not tried again when there are fewer others.
    """
    output = _unguarded(output, judge)
    now, left = float(judge.errors(output).max()), [node for node in ordered(output) if node.error]
    while True:
        base, options = cost(output), []
        for node in left:
            new = without(output, node)
            saved = base - cost(new[output])
            if saved > 0.0 and ((errors := judge.errors(new[output])) <= judge.allowed).all():
                options.append(((float(errors.max()) - now) / saved, float(errors.max()), new, node))
        if not options:
            return _unguarded(output, judge)
        _, now, new, _ = min(options, key=lambda option: option[0])
        left = list(dict.fromkeys(new[node] for *_, node in options if new[node] is not ZERO))
        output = new[output]


def thrifty(output: Node, parameters: Sequence[str], exact: Callable[[dict[str, Any]], Any], derivative: bool) -> Node:
    """The output without the errors that it need not carry.

    It is sought with a few numbers of the sample, then tried with all; where that shows it wrong, these join the few.
    parameters: the inputs beside x; exact: what gives the right values, float64, for arrays of inputs by their names.
    """
    judge = _Judge(output, *sample(parameters, exact), derivative)
    few = numpy.arange(len(judge.exact)) % FEW == 0
    few |= numpy.abs(judge.inputs["x"]) == judge.inputs["x"][-2]  # infinity; NaN comes last
    few[-1] = True
    while True:
        result = _least(output, judge.on(few))
        errors = judge.errors(result)
        wrong = errors > judge.allowed
        if not (wrong & ~few).any():
            return result
        few |= wrong & (errors >= numpy.sort(errors)[-WORST])
