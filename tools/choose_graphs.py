"""Writes src/actfun/backends/chosen: for each activation, which rounding errors its CPU kernels carry.

    .venv/bin/python tools/choose_graphs.py

To be run after a change of a formula, a primitive or the search; then `make accuracy` shows what the choice is worth.
"""

from actfun import names, spec
from actfun.backends.graphs import CHOSEN, file_name, searched
from actfun.backends.lowering import uses
from actfun.carried.primitives import PRIMITIVES
from actfun.carried.writing import written
from actfun.registry import Parameter


def chosen() -> dict[str, str]:
    """The files: name -> contents."""
    files = {}
    for activation in map(spec, names()):
        defaults = tuple(p.default for p in activation.parameters.values() if isinstance(p, Parameter))
        for argument, formula in {None: activation.formula, **activation.derivatives}.items():
            if activation.kind == "elementwise" and uses(formula, PRIMITIVES):
                settled = [defaults] if defaults and argument in (None, "x") else []  # else one is a tensor
                for parameters in (len(defaults), *settled):
                    question = formula, parameters, argument is not None
                    files[file_name(*question)] = written(searched(*question))
    return files


if __name__ == "__main__":
    CHOSEN.mkdir(exist_ok=True)
    for old in CHOSEN.iterdir():
        old.unlink()
    for name, text in chosen().items():
        (CHOSEN / name).write_text(text)
