"""The kinds of activations: what a formula of each takes. Standard library only.

What an activation of a kind does with tensors is a class in `actfun._operators.behaviours`.
"""

from collections.abc import Callable
from dataclasses import dataclass

Names = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Kind:
    """How activations take their input.

    name: what messages call it.
    keeps: what backward needs beside the parameters, where an activation does not state it.
    arguments: names of the parameters -> those of the formula's arguments.
    """

    name: str
    keeps: str
    arguments: Callable[[Names], Names] = lambda parameters: ("x", *parameters)


ELEMENTWISE = Kind("element-wise", "input")
RANDOM = Kind("random", "slope", lambda parameters: ("x", *parameters, "noise"))  # noise: uniform in [0, 1)
REDUCTION = Kind("reducing", "indices", lambda parameters: ("x", "y"))  # folds pieces, two at a time
GATED = Kind("gated", "input", lambda parameters: ("x", "up", *parameters))  # x is the gate
AXIS = Kind("along an axis", "output", lambda parameters: ("x", "level"))  # level: what all entries along it come to
