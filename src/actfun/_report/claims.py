"""The verdicts on the article's claims: a table for the terminal, a page in Markdown."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from actfun._claims.evidence import HOLDS, INCONCLUSIVE, ONLY_WHEN, REFUTED
from actfun._claims.statements import sections
from actfun._report.formatting import MINUS, is_number, markdown_table, numbers
from actfun._report.tables import Section

Row = dict[str, Any]

COLOURS = {HOLDS: "green", ONLY_WHEN: "yellow", REFUTED: "red", INCONCLUSIVE: "dim"}


def table(rows: Sequence[Row], width: int) -> Table:
    """A line for each claim; a wide terminal gets the measurements as well."""
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


def section(rows: Sequence[Row]) -> Section:
    """The same as a part of a page."""
    headings = {"": "id", "about": "about", "claim": "claim", "verdict": "verdict_text", "measured": "why"}
    columns = {heading: [str(row[key]) for row in rows] for heading, key in headings.items()}
    return Section("What the article says, and what came out", "", columns)


def summary(rows: Sequence[Row]) -> str:
    """How many of each verdict."""
    counts = Counter(row["verdict"] for row in rows)
    return ", ".join(f"{counts[kind]} {kind}" for kind in COLOURS if counts[kind]) + "."


def agreement(references: Sequence[Row]) -> list[str]:
    """How many numbers of the literature and of theory agree, and each that does not."""
    apart = [row for row in references if not row["agrees"]]
    return [
        f"{len(references) - len(apart)} of {len(references)} numbers of the literature and of theory agree.",
        *(f"Not {row['what']} ({row['source']}): {row['expected']:.4g}, here {row['ours']:.4g}" for row in apart),
    ]


def markdown(rows: Sequence[Row], references: Sequence[Row], machine: Row, command: str, seeds: Sequence[int]) -> str:
    """A page of the verdicts with their measurements, by activation."""
    lines = [
        "# The article's claims",
        "",
        f"Written by `{command}`: do not edit.",
        "",
        'What the overview article "From Sigmoid to GELU" says, in other words, and what came out. A measurement',
        "speaks for a claim if its whole interval (95%, over seeds) lies on the claimed side, against it if it lies on",
        "the other.",
        "",
        f"Seeds: {numbers(list(seeds))}. Machine: {machine['processor']}, {machine['cores']} cores; "
        f"{machine['platform']}, Python {machine['python']}, torch {machine['torch']}, actfun {machine['actfun']}; "
        f"{machine['date']}.",
        "",
        f"**{summary(rows)}** {' '.join(agreement(references))}",
    ]
    for name, section in sections().items():
        claims = [row for row in rows if row["about"] == name]
        lines += ["", f"## {section.title[0]}"] * bool(claims)
        for row in claims:
            lines += ["", f"### {row['id']}. {row['claim']}", "", f"**{row['verdict_text']}**"]
            lines += ["", row["instead"]] * bool(row["instead"])
            lines += ["", *markdown_table(_columns(row["measured"]))]
    return "\n".join(lines) + "\n"


def _columns(measurements: Sequence[Row]) -> dict[str, list[str]]:
    def number(value: Any) -> str:
        return f"{value:.4g}".replace("-", MINUS) if is_number(value) else ""

    def interval(measurement: Row) -> str:
        known = measurement["seeds"] and is_number(measurement["low"]) and is_number(measurement["high"])
        return f"{number(measurement['low'])} to {number(measurement['high'])}" if known else ""

    def text(measurement: Row) -> str:
        words = (
            f"{measurement['what']} ({measurement['condition']})"
            if measurement["condition"]
            else f"{measurement['what']}"
        )
        return words.replace("|", "\\|")

    return {
        "measurement": [text(measurement) for measurement in measurements],
        "measured": [number(measurement["value"]) for measurement in measurements],
        "interval": [interval(measurement) for measurement in measurements],
        "claimed": [measurement["claimed"].replace("-", MINUS) for measurement in measurements],
        "speaks": [measurement["side"] for measurement in measurements],
    }
