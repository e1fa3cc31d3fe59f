"""How numbers, and tables of them, are written for a reader."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

MINUS = "\N{MINUS SIGN}"
MISSING = "\N{EM DASH}"
STANDINGS = {"best": "best", "same": "practically the same", "worse": "worse", "unclear": "can’t tell"}


def standing(row: dict[str, Any], same_within: float) -> str:
    """How an activation stands to the best one, in words."""
    small = row["standing"] == "worse" and abs(row["difference"]) <= same_within
    return "slightly worse" if small else STANDINGS[row["standing"]]


def is_number(value: Any) -> TypeGuard[float]:
    """Whether `value` is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


@dataclass(frozen=True)
class Metric:
    """A task's metric: its direction, and how its values are shown."""

    name: str
    higher_is_better: bool
    decimals: int

    @property
    def percent(self) -> bool:
        """Whether values are shares that read best as percent."""
        return "accuracy" in self.name.lower()

    @property
    def heading(self) -> str:
        """The name with a capital first letter."""
        return self.name[:1].upper() + self.name[1:]

    @property
    def direction(self) -> str:
        """The direction in words."""
        return "higher is better" if self.higher_is_better else "lower is better"

    @property
    def difference_unit(self) -> str:
        """The unit of a difference, empty where it is the metric's own."""
        return "points" if self.percent else ""

    def axis_title(self, prefix: str) -> str:
        """The title of an axis of scores, such as "Test accuracy (%)"."""
        return f"{prefix} {self.name} (%)" if self.percent else f"{prefix} {self.name}"

    def shown(self, value: float) -> float:
        """`value` in the unit it is shown in."""
        return value * 100 if self.percent else value

    def score(self, value: Any, unit: bool = True) -> str:
        """A score, such as "98.1%" or "1.623"."""
        if not is_number(value):
            return MISSING
        if self.percent:
            return f"{value * 100:.1f}{'%' if unit else ''}"
        return _decimal(value, self.decimals)

    def difference(self, value: Any) -> str:
        """A signed difference of two scores, in percentage points for shares."""
        if not is_number(value):
            return MISSING
        text = f"{value * 100:.2f}" if self.percent else _decimal(value, self.decimals)
        text = text.replace("-", MINUS)
        if not any(digit in text for digit in "123456789"):
            return text.lstrip(MINUS)
        return f"+{text}" if value > 0 else text

    def interval(self, low: Any, high: Any, signed: bool = False) -> str:
        """An interval, such as "97.7 to 98.5", or nothing where there is none."""
        if not (is_number(low) and is_number(high)):
            return ""
        if signed:
            return f"{self.difference(low)} to {self.difference(high)}"
        if self.percent:  # of t, which knows no bounds
            low, high = max(low, 0.0), min(high, 1.0)
        return f"{self.score(low, unit=False)} to {self.score(high, unit=False)}".replace("-", MINUS)


def metric_of(summary: dict[str, Any]) -> Metric:
    """The metric of a summary; losses get the decimals that show the best mean with four significant digits."""
    means = [a["mean"] for a in summary["activations"] if is_number(a.get("mean"))]
    best = abs((max if summary["higher_is_better"] else min)(means, default=1.0))
    decimals = 3 - math.floor(math.log10(best)) if best > 0 else 4
    return Metric(summary["metric"], summary["higher_is_better"], max(decimals, 0))


def _decimal(value: float, decimals: int) -> str:
    # Very small and very large values read better with an exponent than with a row of zeros.
    if decimals > 7 or abs(value) >= 1e6:
        return f"{value:.2e}"
    return f"{value:.{decimals}f}"


def p_value(value: Any) -> str:
    """A p-value with three decimals, "<0.001" below that."""
    if not is_number(value):
        return MISSING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def share(value: Any) -> str:
    """A share as percent with one decimal."""
    return f"{value * 100:.1f}%" if is_number(value) else MISSING


def milliseconds(value: Any) -> str:
    """A duration in milliseconds with about three significant digits."""
    if not is_number(value):
        return MISSING
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def learning_rate(value: Any) -> str:
    """A learning rate without trailing zeros."""
    return f"{value:g}".replace("e-0", "e-") if is_number(value) else MISSING


def count(value: Any) -> str:
    """A whole number with thousands separators."""
    return f"{value:,}" if is_number(value) else MISSING


def markdown_table(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown: cells by heading."""
    rows = [tuple(columns), ("---",) * len(columns), *zip(*columns.values(), strict=True)]
    return ["| " + " | ".join(cells) + " |" for cells in rows]


def numbers(values: list[Any]) -> str:
    """A short list of whole numbers; a run of consecutive ones as "1000 to 1009 (10)"."""
    whole = all(isinstance(value, int) for value in values)
    if whole and len(values) > 2 and values == list(range(values[0], values[0] + len(values))):
        return f"{values[0]} to {values[-1]} ({len(values)})"
    return ", ".join(str(value) for value in values)
