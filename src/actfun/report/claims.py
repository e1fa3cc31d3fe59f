"""The verdicts on the article's claims, as a table for the terminal."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from actfun.claims.evidence import HOLDS, INCONCLUSIVE, ONLY_WHEN, REFUTED

COLOURS = {HOLDS: "green", ONLY_WHEN: "yellow", REFUTED: "red", INCONCLUSIVE: "dim"}


def table(rows: Sequence[dict[str, Any]], width: int) -> Table:
    """A line for each claim; a wide terminal gets the figures as well."""
    result = Table(box=SIMPLE, title="What the article says, and what came out", title_justify="left")
    result.add_column("", justify="right")
    result.add_column("about", no_wrap=True)
    result.add_column("claim", ratio=3)
    result.add_column("verdict", ratio=3)
    if width >= 150:
        result.add_column("measured", ratio=5)
    for row in rows:
        verdict = f"[{COLOURS[row['verdict']]}]{row['verdict_text']}[/]"
        cells = [str(row["id"]), row["about"], row["claim"], verdict]
        result.add_row(*cells, *([row["why"]] if width >= 150 else []))
    return result


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """How many of each verdict."""
    counts = Counter(row["verdict"] for row in rows)
    return ", ".join(f"{counts[kind]} {kind}" for kind in COLOURS if counts[kind]) + "."
