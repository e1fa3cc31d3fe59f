"""The worst errors of a survey as a table for the terminal, as Markdown for the documentation, and as JSON."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from rich.table import Table

from actfun._accuracy.error import BESIDE, Target, Worst
from actfun._accuracy.implementation import Implementation
from actfun._report.formatting import markdown_table
from actfun._report.tables import Section, fit_columns

Finding = tuple[Implementation, Worst]

DIGITS = {torch.float32: 9, torch.bfloat16: 4, torch.float16: 5, torch.float64: 17}  # that name a number of the dtype


def met(implementation: Implementation, worst: Worst) -> bool:
    """Whether a finding meets the target of its dtype."""
    return worst.meets(implementation.target, implementation.derivative)


def misses(findings: Sequence[Finding]) -> list[str]:
    """What of this library misses its target."""
    return [
        f"{s.name} {'derivative' if s.derivative else 'value'} {dtype_name(s.dtype)}"
        for s, worst in findings
        if s.library == "actfun" and not met(s, worst)
    ]


def dtype_name(dtype: torch.dtype) -> str:
    """A dtype without "torch."."""
    return str(dtype).removeprefix("torch.")


def _ulp(worst: Worst) -> str:
    """An error in ulp, to three digits; rounded up, so that none reads smaller than it is. NaN for a number: "NaN"."""
    value = worst.ulp
    if not math.isfinite(value):
        return "NaN" if math.isnan(worst.got) else "inf"
    if value == 0.0:
        return f"{value:g}"
    if value >= 1e5:
        return f"{value:.1e}".replace("e+0", "e")
    decimals = max(0, 2 - math.floor(math.log10(value))) if value >= 1 else 3
    return f"{math.ceil(value * 10**decimals) / 10**decimals:.{decimals}f}"


def _share(worst: Worst) -> str:
    """How many of the results are not the nearest number."""
    share = worst.misrounded / worst.count
    return "none" if not share else f"{share:.1%}" if share >= 0.001 else f"{worst.misrounded:,} of {worst.count:,}"


def _near_root(worst: Worst) -> str:
    return f"{worst.excused:.1e}" if worst.excused else ""


def _columns(findings: Sequence[Finding]) -> dict[str, list[str]]:
    several = len({s.library for s, _ in findings}) > 1
    columns = {
        "function": [s.name for s, _ in findings],
        "of it": ["derivative" if s.derivative else "value" for s, _ in findings],
        "dtype": [dtype_name(s.dtype) for s, _ in findings],
        "library": [s.library for s, _ in findings] if several else [],
        "worst ulp": [_ulp(worst) for _, worst in findings],
        "at x": [f"{worst.x:.{DIGITS[s.dtype]}g}" if worst.ulp else "" for s, worst in findings],
        "target": ["met" if met(s, worst) else "missed" for s, worst in findings],
        "not nearest": [_share(worst) for _, worst in findings],
        "error at roots": [_near_root(worst) for _, worst in findings],
    }
    return {heading: cells for heading, cells in columns.items() if cells}


def table(findings: Sequence[Finding], width: int) -> Table:
    """The findings, a line each, misses in bold, for a terminal of that many characters."""
    words = ("function", "of it", "dtype", "library", "target")
    result = fit_columns("Worst errors, in units in the last place", _columns(findings), width, words)
    for place, (row, finding) in enumerate(zip(result.rows, findings, strict=True)):
        row.style = "" if met(*finding) else "bold"
        row.end_section = place + 1 < len(findings) and findings[place + 1][0].dtype is not finding[0].dtype
    return result


def _words(target: Target) -> str:
    if target.forward == 0.5:
        return "every result the number nearest to the exact value"
    ulp = f"values {target.forward:g} ulp, derivatives {target.derivative:g} ulp"
    if not target.near_root:
        return ulp
    absolute = f"less than 2^{math.log2(target.near_root):.0f} absolute instead"
    return f"{ulp}; within {BESIDE:g} of a root of the derivative, {absolute}"


def _targets(findings: Sequence[Finding]) -> str:
    """What is aimed at; of gated ones too, where there are some."""
    known = {s.gated: s.target for s, _ in findings}
    gated = "Of gated ones x is the gate, of random numbers of size 1 to 2. Target: "
    said = {False: "Target: ", True: gated}
    return " ".join(f"{said[kind]}{_words(known[kind])}." for kind in said if kind in known)


def _means(dtype: torch.dtype) -> str:
    """How results of a dtype come about, where that is not a kernel."""
    through = " float64 goes through torch's own operations, and keeps the rounding errors of its exp and erfc."
    return through if dtype is torch.float64 else ""


def sections(findings: Sequence[Finding]) -> list[Section]:
    """A table for each dtype, with what was tried."""
    made = []
    for dtype in dict.fromkeys(s.dtype for s, _ in findings):
        of_it = [(s, worst) for s, worst in findings if s.dtype is dtype]
        tried = " or ".join(f"{count:,}" for count in sorted({worst.count for _, worst in of_it}))
        words = f"Inputs: {tried} for each. {_targets(of_it)}{_means(dtype)}"
        columns = {name: cells for name, cells in _columns(of_it).items() if name != "dtype"}
        made.append(Section(dtype_name(dtype), words, columns))
    return made


def about(facts: dict[str, Any]) -> list[str]:
    """What the numbers mean, and where they come from, as the lines of paragraphs."""
    machine = facts["machine"]
    return [
        "The error of a result is its distance from the exact value at the exact input, in units in the last place",
        "(ulp) of the result's dtype; half a unit is what rounding alone costs. Overflow to infinity counts as right",
        "only where the exact value overflows, NaN only for NaN. A derivative is what backward gives for an incoming",
        "gradient of one. *Not nearest*: how many results are not the number nearest to the exact value. *Error at",
        f"roots*: within {BESIDE:g} of a root of a derivative no bound in ulp can hold; this is the largest absolute",
        "error of those that the absolute bound excuses there.",
        "",
        f"Machine: {machine['processor']}, {machine['cores']} cores; {machine['platform']}, Python "
        f"{machine['python']}, torch {machine['torch']}, actfun {machine['actfun']}; {machine['date']}. Run time on "
        f"{machine['workers']} processes: {_duration(facts['seconds'] / machine['workers'])}.",
    ]


def markdown(findings: Sequence[Finding], facts: dict[str, Any]) -> str:
    """A page of the findings: what was tried, on which machine, and a table for each dtype."""
    lines = [
        "# Accuracy",
        "",
        f"Written by `{facts['command']}`: do not edit.",
        "",
        *about(facts),
        "",
        f"Targets that actfun misses: {', '.join(misses(findings)) or 'none'}.",
    ]
    for section in sections(findings):
        lines += ["", f"## {section.title}", "", section.words, "", *markdown_table(section.columns)]
    return "\n".join(lines) + "\n"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"


def as_json(findings: Sequence[Finding], facts: dict[str, Any]) -> dict[str, Any]:
    """The findings and the facts of the run; numbers that JSON does not know are strings."""
    rows = [
        dataclasses.asdict(s)
        | dataclasses.asdict(worst)
        | {"dtype": dtype_name(s.dtype), "target": s.target.bound(s.derivative).ulp, "met": met(s, worst)}
        for s, worst in findings
    ]
    return facts | {"findings": [{key: _finite(value) for key, value in row.items()} for row in rows]}


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
