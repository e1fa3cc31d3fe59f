"""Write the activations into both READMEs, a line for each family, from the registry; the site has the whole table."""

import re
from pathlib import Path

import actfun
from actfun._catalogue.registry import Activation, spec
from actfun._report.show import function_call, values

ROOT = Path(__file__).parent.parent
HEADS = {"README.md": ("family", "functions"), "README.zh.md": ("类别", "函数")}
FAMILIES = {  # file of _catalogue/formulas -> what both READMEs call it
    "rectified": ("ReLU and its kin", "ReLU 及其变体"),
    "hard": ("straight lines and parabolas", "直线与抛物线"),
    "smooth": ("smooth rectifiers", "平滑的整流函数"),
    "exponential": ("of the exponential", "基于指数"),
    "gaussian": ("GELU", "GELU"),
    "weighted": ("x times a weight of x", "x 乘以 x 的权重"),
    "bounded": ("bounded, logarithms", "有界函数与对数"),
    "periodic": ("periodic", "周期函数"),
    "rational": ("quotient of polynomials", "多项式之比"),
    "gated": ("gated", "门控"),
    "axis": ("along an axis", "沿某一维"),
}
TABLE = re.compile(r"(<!-- table of activations.*? -->\n).*?(<!-- end of the table -->)", flags=re.DOTALL)


def activations() -> list[Activation]:
    """Those of the package."""
    return [spec(name) for name in actfun.names() if spec(name).formula.__module__.startswith("actfun.")]


def families(language: int) -> list[tuple[str, str]]:
    """The names of each family's functions. Raises KeyError for a file that FAMILIES does not name."""
    members: dict[str, list[str]] = {file: [] for file in FAMILIES}
    for activation in activations():
        members[activation.formula.__module__.rpartition(".")[2]].append(f"`{activation.name}`")
    return [(FAMILIES[file][language], " ".join(names)) for file, names in members.items()]


def markdown(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, ("---",) * len(heads), *rows))


def table() -> str:
    """A line for each activation: its call, its module, its values."""
    rows = [(f"`{function_call(a)}`", f"`nn.{a.module}`", values(a)) for a in activations()]
    return markdown(("function", "module", "values"), rows)


def readme(name: str) -> str:
    """A README with its table as the registry has it."""
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = markdown(HEADS[name], families(list(HEADS).index(name)))
    written, count = TABLE.subn(lambda found: f"{found[1]}\n{lines}\n{found[2]}", text)
    if count != 1:
        raise ValueError(f"{name} has {count} places for the table of activations, not one")
    return written


if __name__ == "__main__":
    for name in HEADS:
        (ROOT / name).write_text(readme(name), encoding="utf-8")
