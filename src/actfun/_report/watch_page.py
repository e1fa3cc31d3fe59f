"""What `watch` saw as a page: verdict, findings, causes, pictures; English and Chinese."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actfun._report import html, watch_charts
from actfun._report import watch as words
from actfun._watch.rules import CHINESE, ENGLISH, Finding, texts
from actfun._watch.watcher import Watcher

TOP = 3  # findings that are shown; the rest can be opened


def write_watch(path: Path, watcher: Watcher, machine: dict[str, Any]) -> None:
    """Write the page to `path`, all or nothing."""
    html.save(path, watch_page(watcher, machine))


def watch_page(watcher: Watcher, machine: dict[str, Any]) -> str:
    """The page as HTML text."""
    findings = [_finding(*found) for found in words.grouped(watcher.findings())]
    charts = {f"heat-{name}": watch_charts.heatmap(watcher, name) for name in watch_charts.MEASURES}
    charts |= {
        "curve": watch_charts.curve_chart(watcher),
        "gradients": watch_charts.gradient_chart(watcher),
        "deaths": watch_charts.deaths_chart(watcher),
        "updates": watch_charts.update_chart(watcher),
    }
    records = watcher.last.records if watcher.last else []
    return html.environment().get_template("watch.html.j2").render(
        verdict=[words.verdict(watcher, language) for language in (ENGLISH, CHINESE)],
        summary=[words.summary(watcher, language) for language in (ENGLISH, CHINESE)],
        model=type(watcher.model).__name__,
        top=findings[:TOP],
        rest=findings[TOP:],
        causes=watcher.diagnose() if watcher.windows else [],
        headings=list(words.HEADINGS.items()),
        wide=[heading in words.WORDS for heading in words.HEADINGS],
        rows=[(record["status"], texts()["kinds"].get(record["status"]), words.cells(record)) for record in records],
        step=[words.title(watcher, language) for language in (ENGLISH, CHINESE)],
        places=[place.name for place in watch_charts.worth_showing(watcher) if place.slope.draws],
        measures=[name for name in watch_charts.MEASURES if charts[f"heat-{name}"]],
        first=watch_charts.telling(watcher),
        specs={name: spec for name, spec in charts.items() if spec},
        strips=watch_charts.strips(watcher),
        machine=machine,
        library=html.library(),
    )  # fmt: skip


def _finding(finding: Finding, others: list[str]) -> dict[str, Any]:
    """A finding with its words in both languages."""
    spoken = {
        part: [finding.text(part, k) for k in (ENGLISH, CHINESE)] for part in ("kinds", "findings", "advice", "sources")
    }
    shown = {"value": words.number(finding.value, ".3g"), "threshold": words.number(finding.threshold, ".3g")}
    spoken["findings"] = [f"{said[:1].upper()}{said[1:]}" for said in spoken["findings"]]
    more = [words.elsewhere(others, language) for language in (ENGLISH, CHINESE)]
    return {"finding": finding, "more": more, **spoken, **shown}
