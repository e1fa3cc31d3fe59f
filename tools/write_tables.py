"""Write the table of activations into both READMEs, from the registry."""

import re
from pathlib import Path

import actfun
from actfun._catalogue.registry import Activation, spec
from actfun._report.show import function_call, values

ROOT = Path(__file__).parent.parent
HEADS = {"README.md": ("function", "module", "values"), "README.zh.md": ("函数", "模块", "值域")}
TABLE = re.compile(r"(<!-- table of activations.*? -->\n).*?(<!-- end of the table -->)", flags=re.DOTALL)


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
