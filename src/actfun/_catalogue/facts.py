"""Facts of an activation that can be found by trying numbers. Standard library only.

What is found holds at the numbers tried: 1,281 from -20 to 20, where convexity is looked for, and 96 beyond on both
sides, each twice the one before, up to 1.6e30.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

INFINITY = math.inf
STEP = 1.0 / 32.0
NEAR = [k * STEP for k in range(-640, 641)]
FAR = [20.0 * 2.0**k for k in range(1, 97)]  # the last is 1.6e30
GRID = [*(-x for x in reversed(FAR)), *NEAR, *FAR]
ROUNDING = 1e-12
LARGE = 1e12  # what stands for infinity among values
FINDABLE = ("range", "domain", "monotonic", "convex", "zero_centred", "saturates", "kinks")

Function = Callable[[float], float]


def find(formula: Callable[..., Any], slope: Callable[..., Any], numbers: tuple[float, ...]) -> dict[str, Any]:
    """The facts of a formula at some values of its parameters; slope: the formula of its derivative in x."""
    f, d = _guarded(formula, numbers), _guarded(slope, numbers)
    inside = [x for x in GRID if not math.isnan(f(x))]
    values = [f(x) for x in inside]
    triples = zip(inside, inside[1:], inside[2:], strict=False)
    even = [(a, b, c) for a, b, c in triples if b - a == c - b]
    return {
        "range": _range(f, inside, values),
        "domain": (_end(f, inside, -1), _end(f, inside, 1)),
        "monotonic": all(a <= b + ROUNDING * abs(b) for a, b in itertools.pairwise(values)),
        "convex": all(2.0 * f(b) <= f(a) + f(c) + ROUNDING * (1.0 + abs(f(a)) + abs(f(c))) for a, b, c in even),
        "zero_centred": all(f(x) == -f(-x) for x in GRID),
        "saturates": tuple(
            side for side, sign in (("left", -1.0), ("right", 1.0)) if all(abs(d(sign * x)) < 1e-9 for x in FAR[-3:])
        ),
        "kinks": tuple(sorted({*_jumps(d, inside), *_jumps(f, inside)})),
    }


def _guarded(formula: Callable[..., Any], numbers: tuple[float, ...]) -> Function:
    """A formula of Python's numbers, which raise where those of machines give infinities and NaN."""

    def function(x: float) -> float:
        try:
            return float(formula(x, *numbers))
        except (OverflowError, ValueError, ZeroDivisionError):
            return math.nan

    return function


def _range(f: Function, inside: list[float], values: list[float]) -> tuple[float, float]:
    low, high = min(values, default=math.nan), max(values, default=math.nan)
    return -_supremum(lambda x: -f(x), inside, -low), _supremum(f, inside, high)


def _supremum(f: Function, inside: list[float], known: float) -> float:
    """The supremum, of which one value is known that is the largest at the numbers tried."""
    ends = [(f(end), f(end / 2.0**20)) for end in (inside[0], inside[-1])] if inside else []
    grows = any(last == known and last - before > 1e-3 * (1.0 + abs(last)) for last, before in ends)
    found = _highest(f, inside, known)
    return INFINITY if grows or found > LARGE else _tidy(found)


def _highest(f: Function, inside: list[float], known: float) -> float:
    """The largest value, found between the neighbours of the number that has the largest known one."""
    at = next((k for k, x in enumerate(inside) if f(x) == known), 0)
    low, high = inside[max(at - 1, 0)], inside[min(at + 1, len(inside) - 1)]
    for _ in range(80):  # thirds: (2/3)⁸⁰ is 1e-14
        third = (high - low) / 3.0
        low, high = (low + third, high) if f(low + third) < f(high - third) else (low, high - third)
    return max(known, f(low), f(high))


def _tidy(value: float) -> float:
    """A number of few decimals, where it is one but for rounding."""
    return round(value, 9) + 0.0 if abs(value - round(value, 9)) < ROUNDING else value


def _end(f: Function, inside: list[float], side: int) -> float:
    """Where the numbers that have a value end, on one side."""
    if not inside or len(inside) == len(GRID):
        return side * INFINITY
    edge = inside[-1] if side > 0 else inside[0]
    if edge == side * FAR[-1]:
        return side * INFINITY
    good, bad = edge, GRID[GRID.index(edge) + side]
    for _ in range(60):
        middle = 0.5 * (good + bad)
        good, bad = (good, middle) if math.isnan(f(middle)) else (middle, bad)
    return _tidy(good)


def _jumps(f: Function, inside: list[float]) -> list[float]:
    """Where a function jumps, from -20 to 20."""
    found = []
    for low, high in itertools.pairwise(x for x in inside if abs(x) <= 20.0):
        left, right = f(low), f(high)
        size = abs(right - left) if math.isfinite(left) and math.isfinite(right) else 0.0
        while size > 1e-6 and high - low > 1e-10:
            middle = 0.5 * (low + high)
            value = f(middle)
            if abs(value - left) >= abs(right - value):
                high, right = middle, value
            else:
                low, left = middle, value
            if abs(right - left) < 0.7 * size:  # half of a smooth step is half of it
                if high - low < STEP / 8.0:
                    break
            size = abs(right - left)
        else:
            if size > 1e-6:
                found.append(_tidy(round(0.5 * (low + high), 8)))
    return found
