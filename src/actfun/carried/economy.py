"""Which rounding errors a formula need not carry: those without which a sample still stays within the target.

A graph that carries all of them takes far longer than one that carries none. In between, each error that is left out
saves operations and costs accuracy; here they are left out as long as the worst value of a sample stays well within
the target. That the rest of the numbers do so too is what `actfun accuracy --exhaustive` proves.
"""

import numpy

from actfun.carried.graph import ZERO, Node, bounded, node, ordered
from actfun.carried.trial import Points, Trial

FEW = 32  # the search sees one number in so many, and those that showed it wrong
WORTH = (0.02, 1.0)  # what of the error allowed an operation saved is worth: two searches, of which the better counts
COST = {"constant": 0.0, "input": 0.0, "neg": 0.5, "div": 6.0}  # a negation often becomes part of an fma


def cost(output: Node) -> float:
    """About how many vector operations of one cycle it takes."""
    return sum(COST.get(n.op, 1.0) for n in ordered(output))


def _loose_bounds(output: Node) -> list[tuple[Node, Node]]:
    """Nodes that are the smaller of another node and a constant, each with one in which that constant is smaller."""
    found = [n for n in ordered(output) if n.op == "select" and bounded(*n.args)]
    return [(a, b) for a in found for b in found if a.args[2] is b.args[2] and a.args[1].value > b.args[1].value]


def _replaced(output: Node, old: Node, by: Node) -> dict[Node, Node]:
    """What each node that the output rests on becomes if one of them is replaced."""
    new: dict[Node, Node] = {}
    for n in ordered(output):
        arguments = tuple(new.get(argument, argument) for argument in n.args)
        if n is old:
            new[n] = by
        elif arguments == n.args:
            new[n] = n
        else:
            new[n] = node(n.op, *arguments)
            new[n].error = new[n].error or n.error
    return new


def _unguarded(output: Node, points: Points) -> Node:
    """The output without the guard of infinities and of -0, if no value needs it."""
    if output.op != "select" or output.args[0].op != "!=":
        return output
    unguarded: Node = output.args[1]
    return unguarded if (points.errors(unguarded) <= 1.0).all() else output


def _bounded_alike(output: Node, points: Points) -> Node:
    """The output with one bound for each node, the tightest, as far as values stay right."""
    for loose, tight in _loose_bounds(output):
        alike = _replaced(output, loose, tight)[output]
        if (points.errors(alike) <= 1.0).all():
            return _bounded_alike(alike, points)
    return output


def _least(output: Node, points: Points, worth: float) -> Node:
    """The output after one error after another has been left out, each time the one that pays best.

    One that cannot be left out is not tried again when there are fewer others.
    """
    output = _bounded_alike(_unguarded(output, points), points)
    left = [n for n in ordered(output) if n.error]
    while True:
        base, options = cost(output), []
        for n in left:
            new = _replaced(output, n, ZERO)
            saved = base - cost(new[output])
            if saved > 0.0 and (error := float(points.errors(new[output]).max())) <= 1.0:
                options.append((error - worth * saved, new, n))
        if not options:
            return _unguarded(output, points)
        _, new, _ = min(options, key=lambda option: option[0])
        left = list(dict.fromkeys(new[n] for *_, n in options if new[n] is not ZERO))
        output = new[output]


def thrifty(output: Node, trial: Trial) -> Node:
    """The output without the errors that it need not carry.

    It is sought with a few numbers of a sample, then tried with all, then with more where it is worst; numbers that
    show it wrong join the few.
    """
    x = trial.points.inputs["x"]
    few = trial.points[(numpy.arange(len(x)) % FEW == 0) | ~numpy.isfinite(x)]
    while True:
        result = min((_least(output, few, worth) for worth in WORTH), key=cost)
        wrong = trial.wrong(result)
        if wrong is None:
            return result
        few += wrong
