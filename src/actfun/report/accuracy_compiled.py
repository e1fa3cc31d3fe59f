"""How far compiled calls are off, as a table for the terminal and as a section of the page on accuracy."""

from collections.abc import Sequence

from rich.table import Table

from actfun.accuracy.compiled import (
    FURTHER,
    FURTHER_RELATIVE,
    NEAR,
    NEAR_ROOT,
    NEAR_ULP,
    NORMAL_RELATIVE,
    SIXTEEN_ULP,
    Deviation,
)
from actfun.report.formatting import markdown_table
from actfun.report.verdict import fitted


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
    result = fitted("Compiled: worst errors", _columns(deviations), width, words)
    for row, d in zip(result.rows, deviations, strict=True):
        row.style = "" if d.met else "bold"
    return result


def missed(deviations: Sequence[Deviation]) -> list[str]:
    """What misses its target."""
    return [f"{d.name} {'derivative' if d.derivative else 'value'} {d.dtype}" for d in deviations if not d.met]


def section(deviations: Sequence[Deviation], command: str, machine: dict[str, object]) -> str:
    """A section of the page on accuracy."""
    where = f"{machine['processor']}, {machine['cores']} cores; {machine['platform']}, Python {machine['python']}"
    targets = f"{NEAR_ULP:g} ulp, {FURTHER_RELATIVE:g}, {NORMAL_RELATIVE:g}, {NEAR_ROOT:g}"
    lines = [
        "## Compiled calls",
        "",
        f"Written by `{command}`: do not edit.",
        "",
        "Under torch.compile, and in exported graphs, an activation is float32 operations, which are fused with their",
        f"neighbours. *Worst ulp*: of float32 for |x| ≤ {NEAR:g}, of 16 bits for all 65,536. *to ±{FURTHER:g}* and",
        "*normal*: the largest relative error up to there, and wherever the exact result is a normal number.",
        "*At roots*: the largest absolute error within 0.125 of a root of the derivative, which those leave out.",
        f"Targets: {targets}; {SIXTEEN_ULP:g} ulp of 16 bits; no NaN for a number.",
        "",
        f"Machine: {where}, torch {machine['torch']}, actfun {machine['actfun']}; {machine['date']}.",
        "",
        f"Targets that compiled calls miss: {', '.join(missed(deviations)) or 'none'}.",
        "",
        *markdown_table(_columns(deviations)),
        "",
    ]
    return "\n".join(lines)
