"""Which rounding errors a formula need not carry: those without which it still meets its target on a sample."""

import numpy

from actfun.graph import computed, cost, ordered, without


def sample(count=2**14):
    """Float32 numbers of every kind, most of them where functions bend."""
    rng = numpy.random.Generator(numpy.random.PCG64(0))
    low, high = numpy.float32([2.0**-14, 128.0]).view(numpy.int32)
    near = rng.integers(low, high, count, dtype=numpy.int32).view(numpy.float32)
    any_ = rng.integers(0, 0x7F800001, count // 8, dtype=numpy.int32).view(numpy.float32)
    tiny, huge, nan = numpy.float32(1e-45), numpy.float32(3.4028235e38), numpy.float32("nan")
    size = numpy.concatenate([near, any_, numpy.float32([0.0, tiny, 1.0, huge, numpy.inf])])
    x = numpy.concatenate([size, -size])
    return numpy.append(numpy.sort(x), nan)


def units(exact):
    exponent = numpy.frexp(exact)[1]
    return numpy.ldexp(1.0, numpy.maximum(exponent - 24, -149))


def roots(x, exact):
    """Where a function changes its sign without being near 0 on both sides for good."""
    sign = numpy.signbit(exact)
    at = numpy.flatnonzero((sign[1:] != sign[:-1]) & (numpy.abs(exact[1:]) < 0.01) & (numpy.abs(exact[1:]) > 1e-7)& (numpy.abs(x[1:]) > 1e-3)& (numpy.abs(x[1:]) <20))
    near = numpy.zeros(len(x), bool)
    for k in at:
        near |= numpy.abs(x - x[k]) < 0.1
    return near


class Judge:
    def __init__(self, exact, output, inputs, allowed, near_root=0.0):
        self.inputs, self.allowed = inputs, allowed
        values = computed(ordered(output), inputs)
        self.first = values[output] + numpy.zeros_like(inputs["x"])
        self.exact = exact
        self.finite = numpy.isfinite(exact) & numpy.isfinite(self.first)
        with numpy.errstate(all="ignore"):
            self.unit = numpy.where(self.finite, units(numpy.where(self.finite, exact, 1.0)), 1.0)
        self.excuse = numpy.where(roots(inputs["x"], exact), near_root, 0.0)

    def error(self, output):
        y = computed(ordered(output), self.inputs)[output] + numpy.zeros_like(self.first)
        with numpy.errstate(all="ignore"):
            same = (y == self.first) & (numpy.signbit(y) == numpy.signbit(self.first)) | numpy.isnan(y) & numpy.isnan(self.first)
            distance = numpy.abs(y - self.exact)
            self.x = self.inputs["x"][int(numpy.nanargmax(numpy.where(self.finite,distance/self.unit,0)))]
            ulp = numpy.where(distance < self.excuse, 0.0, distance / self.unit)
        e = numpy.where(self.finite, ulp, numpy.where(same, 0.0, numpy.inf))
        e[numpy.isnan(e) | (y == 0) & (self.first == 0) & (numpy.signbit(y) != numpy.signbit(self.first))] = numpy.inf
        return float(e.max())


def candidates(output):
    return [n for n in ordered(output) if n.error and n.op not in ("constant", "input")]


def pruned(output, judge):
    steps = 0
    guard = output.op == "select" and output.args[0].op == "!="
    if guard and judge.error(output.args[1]) <= judge.allowed:
        output = output.args[1]
    while True:
        scored = []
        base = cost(output)
        for n in candidates(output):
            (shorter,) = without([output], {n})
            e = judge.error(shorter)
            steps += 1
            if e <= judge.allowed and cost(shorter) < base:
                scored.append((e, -(base - cost(shorter)), len(scored), shorter))
        if not scored:
            return output, steps
        scored.sort(key=lambda s: (s[0] - judge.error(output)) / -s[1])
        output = scored[0][3]
