"""Write the table of activations into both READMEs, from the registry."""

import inspect
import math
import re
from pathlib import Path

import actfun
from actfun._catalogue.registry import Activation, spec
from actfun._operators import functional

ROOT = Path(__file__).parent.parent
HEADS = {"README.md": ("function", "module", "values"), "README.zh.md": ("函数", "模块", "值域")}
TABLE = re.compile(r"(<!-- table of activations.*? -->\n).*?(<!-- end of the table -->)", flags=re.DOTALL)


def _plain(signature: inspect.Signature) -> str:
    """A signature without types, and without what all have, or torch keeps to itself; numbers with four digits."""
    shown = (p for p in signature.parameters.values() if p.name != "inplace" and p.name[0] != "_")
    shown = (p for p in shown if p.name != "dim" or p.kind is not p.KEYWORD_ONLY)
    bare = [
        p.replace(annotation=p.empty, default=round(p.default, 4) if type(p.default) is float else p.default)
        for p in shown
    ]
    return str(inspect.Signature(bare)).replace("'", '"')


def function_call(activation: Activation) -> str:
    """How the function is called, with its defaults."""
    function = functional.function_of(activation)
    first = (function.__doc__ or "").partition("\n")[0].replace("'", '"')
    return first if first.startswith(f"{activation.name}(") else activation.name + _plain(inspect.signature(function))


def values(activation: Activation) -> str:
    """The range, for a reader."""
    low, high = ("∞" if math.isinf(end) else f"{end:.4g}" for end in activation.range)
    return f"{'−' * (activation.range[0] == -math.inf)}{low} … {high}".replace("-", "−")


def activations() -> list[Activation]:
    """Those of the package."""
    return [spec(name) for name in actfun.names() if spec(name).formula.__module__.startswith("actfun.")]


def table(heads: tuple[str, ...]) -> str:
    """A line for each activation, in Markdown."""
    rows = [(f"`{function_call(a)}`", f"`nn.{a.module}`", values(a)) for a in activations()]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, ("---",) * len(heads), *rows))


def readme(name: str) -> str:
    """A README with its table as the registry has it."""
    text = (ROOT / name).read_text(encoding="utf-8")
    written, count = TABLE.subn(lambda found: f"{found[1]}\n{table(HEADS[name])}\n{found[2]}", text)
    if count != 1:
        raise ValueError(f"{name} has {count} places for the table of activations, not one")
    return written


if __name__ == "__main__":
    for name in HEADS:
        (ROOT / name).write_text(readme(name), encoding="utf-8")
