"""`actfun list`."""

from rich.table import Table

from actfun import Activation, names, spec
from actfun._cli.common import app, console

MANY = 4  # parameters


@app.command("list")
def list_activations() -> None:
    """Every activation on a line: its parameters and their defaults, its range, its module, what it is."""
    out = console(200)
    shown = ("name", "parameters", "range", "module", "what it is") if out.width >= 140 else ("name", "what it is")
    table = Table(box=None, pad_edge=False)
    for heading in shown:
        table.add_column(heading, no_wrap=heading != "what it is")
    for name in names():
        facts = spec(name)
        cells = {
            "name": name,
            "parameters": _parameters(facts),
            "range": f"{facts.range[0]:.4g} .. {facts.range[1]:.4g}",
            "module": facts.module,
            "what it is": facts.summary,
        }
        table.add_row(*(cells[heading] for heading in shown))
    out.print(table)


def _parameters(facts: Activation) -> str:
    """Names and defaults, of many only how many."""
    if len(facts.parameters) > MANY:
        return f"{len(facts.parameters)} coefficients"
    return ", ".join(f"{argument}={_short(p.default)}" for argument, p in facts.parameters.items())


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
