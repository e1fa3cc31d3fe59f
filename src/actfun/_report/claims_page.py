"""The article as a page: what each activation is, what is said of it, and what came out; English and Chinese."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actfun._catalogue.registry import spec
from actfun._claims.evidence import HOLDS, INCONCLUSIVE, ONLY_WHEN, REFUTED, VERDICTS
from actfun._claims.statements import sections
from actfun._report import curves, html
from actfun._report.formatting import MINUS

Row = dict[str, Any]

STYLES = {HOLDS: "holds", ONLY_WHEN: "only", REFUTED: "refuted", INCONCLUSIVE: "open"}
WIDTH, MARGIN = 220.0, 12.0  # of the picture of a measurement, in its own units


def write_claims(path: Path, rows: Sequence[Row], references: Sequence[Row], machine: Row) -> None:
    """Write the page to `path`, all or nothing. rows: as claims.json has them; references: as references.json."""
    html.save(path, claims_page(rows, references, machine))


def claims_page(rows: Sequence[Row], references: Sequence[Row], machine: Row) -> str:
    """The page as HTML text."""
    shown = [
        {**row, "style": STYLES[row["verdict"]], "measurements": [_place(f) for f in row["measured"]]} for row in rows
    ]
    parts = [part for part in (_part(name, shown) for name in sections()) if part["claims"]]
    counts = Counter(row["verdict"] for row in rows)
    drawn = [part["name"] for part in parts if part["formula"]]
    return html.environment().get_template("claims.html.j2").render(
        parts=parts,
        rows=shown,
        corrected=[row for row in shown if row["verdict"] in (REFUTED, ONLY_WHEN)],
        counts=[(STYLES[kind], counts[kind], kind, VERDICTS[kind]) for kind in STYLES if counts[kind]],
        references=references,
        apart=[row for row in references if not row["agrees"]],
        machine=machine,
        specs={name: curves.curve_chart(name) for name in drawn},
        library=html.library(),
    )  # fmt: skip


def _part(name: str, rows: Sequence[Row]) -> Row:
    """A section: the activation's facts and the claims on it."""
    part = {"name": name, "section": sections()[name], "formula": None, "slider": None}
    part["claims"] = [row for row in rows if row["about"] == name]
    if name != "all":
        facts = spec(name)
        part |= {"formula": html.formula(facts.latex), "slider": curves.sliders(name), "reference": facts.reference}
    return part


def _place(measurement: Row) -> Row:
    """A measurement with its numbers as text, and where they lie in its picture: the claimed side, threshold, interval.

    One without a threshold is drawn beside 0.
    """
    value, low, high = measurement["value"], measurement["low"], measurement["high"]
    sign, threshold = measurement["claimed"].split() if measurement["claimed"] else ("", None)
    limit = float(threshold or 0.0)
    known = [number for number in (value, low, high, limit) if number is not None]
    least, most = min(known), max(known)
    unit = (WIDTH - 2 * MARGIN) / (most - least) if most > least else 0.0

    def x(number: float | None) -> float | None:
        return None if number is None else round(MARGIN + (number - least) * unit, 1)

    place = x(limit) or 0.0
    interval = (
        f"{low:.3g} … {high:.3g}".replace("-", MINUS)
        if measurement["seeds"] and low is not None and high is not None
        else ""
    )
    return {
        **measurement,
        "claimed": measurement["claimed"].replace("-", MINUS),
        "text": "–" if value is None else f"{value:.4g}".replace("-", MINUS),
        "interval": interval,
        "x": x(value),
        "x_low": x(low) if interval else None,
        "x_high": x(high) if interval else None,
        "limit": place,
        "claimed_from": place if sign == ">" else 0.0,
        "claimed_width": round(WIDTH - place if sign == ">" else place, 1),
    }
