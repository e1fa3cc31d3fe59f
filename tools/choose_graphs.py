"""Writes src/actfun/backends/chosen: for each activation, which rounding errors its CPU kernels carry.

    .venv/bin/python tools/choose_graphs.py [NAME]...

With names only what these activations lack is searched for, as after a change of a formula; without names everything
anew, as after a change of a primitive or of the search. Then `make accuracy` shows what the choice is worth. The
search's arithmetic is LAPACK's, so another processor may find other graphs that are as good: what each must fulfil is
in tests/test_shipped_graphs.py.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from actfun import names, spec
from actfun.backends.graphs import CHOSEN, Parameters, file_name, searched
from actfun.backends.lowering import uses
from actfun.carried.primitives import PRIMITIVES
from actfun.carried.writing import written
from actfun.kinds import ELEMENTWISE
from actfun.registry import Parameter

Question = tuple[Callable[..., Any], Parameters, bool]  # the arguments of `graphs.searched`


def questions(activations: Sequence[str]) -> dict[str, Question]:
    """The files that activations need: name -> what each answers."""
    files = {}
    for activation in (spec(name) for name in activations if name in names(ELEMENTWISE)):
        defaults = tuple(p.default for p in activation.parameters.values() if isinstance(p, Parameter))
        for argument, formula in {None: activation.formula, **activation.derivatives}.items():
            if uses(formula, PRIMITIVES):
                settled = [defaults] if defaults and argument in (None, "x") else []  # else one is a tensor
                for parameters in (len(defaults), *settled):
                    question = formula, parameters, argument is not None
                    files[file_name(*question)] = question
    return files


def write(activations: Sequence[str]) -> None:
    """Search for what activations lack, or for everything where none are given, and remove the files of none."""
    CHOSEN.mkdir(exist_ok=True)
    for name, question in questions(activations or names()).items():
        if not activations or not (CHOSEN / name).exists():
            (CHOSEN / name).write_text(written(searched(*question)))
    needed = questions(names())
    for file in CHOSEN.iterdir():
        if file.name not in needed:
            file.unlink()


if __name__ == "__main__":
    write(sys.argv[1:])
