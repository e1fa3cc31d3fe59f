"""How far compiled calls are off, as a table for the terminal and as a section of the page on accuracy."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from actfun._accuracy.compiled import (
    FURTHER,
    FURTHER_RELATIVE,
    NEAR,
    NEAR_ROOT,
    NEAR_ULP,
    NORMAL_RELATIVE,
    ROOT_REACH,
    SIXTEEN_ULP,
    Deviation,
)
from actfun._report.formatting import markdown_table
from actfun._report.tables import Section, fit_columns

# The limits that stop what misses its target, by activation.
WHY = {
    ("gelu", "gelu_tanh", "mish"): """\
values and slopes are products and quotients of four to six factors, each rounded, of which an exponential adds up to
four units by the rounding of its argument alone. To carry that rounding along would cost seven operations of some
forty, and compiled gelu is slower than torch's already (docs/speed.md).""",
    ("silu",): """\
the value only where |x| < 2⁻¹²², by the factor of 2⁻⁵ that keeps its left side from overflow; the slope by the
product that it is.""",
}


def _columns(deviations: Sequence[Deviation]) -> dict[str, list[str]]:
    def relative(values: list[float]) -> list[str]:
        return [f"{value:.1e}" if d.dtype == "float32" else "" for value, d in zip(values, deviations, strict=True)]

    return {
        "function": [d.name for d in deviations],
        "of it": ["derivative" if d.derivative else "value" for d in deviations],
        "dtype": [d.dtype for d in deviations],
        "worst ulp": [f"{d.near:.2f}" if d.dtype == "float32" else f"{d.near:.4f}" for d in deviations],
        f"to ±{FURTHER:g}": relative([d.further for d in deviations]),
        "normal": relative([d.normal for d in deviations]),
        "at roots": [f"{d.root:.1e}" if d.root else "" for d in deviations],
        "NaN": [str(d.nans) for d in deviations],
        "target": ["met" if d.met else "missed" for d in deviations],
    }


def table(deviations: Sequence[Deviation], width: int) -> Table:
    """The deviations, a line each, misses in bold."""
    words = ("function", "of it", "dtype", "target")
    result = fit_columns("Compiled: worst errors", _columns(deviations), width, words)
    for row, d in zip(result.rows, deviations, strict=True):
        row.style = "" if d.met else "bold"
    return result


def misses(deviations: Sequence[Deviation]) -> list[str]:
    """What misses its target."""
    return [f"{d.name} {'derivative' if d.derivative else 'value'} {d.dtype}" for d in deviations if not d.met]


def _reasons(deviations: Sequence[Deviation]) -> list[str]:
    """Why what misses its target does, as paragraphs."""
    names = {d.name for d in deviations if not d.met}
    found = [(sorted(names & set(of)), why) for of, why in WHY.items()]
    return [line for of, why in found if of for line in ("", f"{', '.join(of)}:", why)]


def table_section(deviations: Sequence[Deviation]) -> Section:
    """The deviations as a part of a page."""
    return Section("Worst errors of compiled calls", "", _columns(deviations))


def about(machine: dict[str, Any]) -> list[str]:
    """What the numbers mean, and where they come from, as the lines of paragraphs."""
    where = f"{machine['processor']}, {machine['cores']} cores; {machine['platform']}, Python {machine['python']}"
    targets = f"{NEAR_ULP:g} ulp, {FURTHER_RELATIVE:g}, {NORMAL_RELATIVE:g}, {NEAR_ROOT:g}"
    return [
        "Under torch.compile, and in exported graphs, an activation is float32 operations, which are fused with their",
        f"neighbours. *Worst ulp*: of float32 for |x| ≤ {NEAR:g}, of 16 bits for all 65,536. *to ±{FURTHER:g}* and",
        "*normal*: the largest relative error up to there, and wherever the exact result is a normal number.",
        f"*At roots*: the largest absolute error within {ROOT_REACH:g} of a root of the derivative, where those do not "
        "count.",
        f"Targets: {targets}; {SIXTEEN_ULP:g} ulp of 16 bits; no NaN for a number.",
        "",
        f"Machine: {where}, torch {machine['torch']}, actfun {machine['actfun']}; {machine['date']}.",
    ]


def markdown(deviations: Sequence[Deviation], command: str, machine: dict[str, Any]) -> str:
    """A section of the page on accuracy."""
    lines = [
        "## Compiled calls",
        "",
        f"Written by `{command}`: do not edit.",
        "",
        *about(machine),
        "",
        f"Targets that compiled calls miss: {', '.join(misses(deviations)) or 'none'}.",
        *_reasons(deviations),
        "",
        *markdown_table(_columns(deviations)),
        "",
    ]
    return "\n".join(lines)
