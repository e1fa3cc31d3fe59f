"""What `watch` saw, for a terminal: a table of the places, the findings, how much was seen and what that cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from actfun._report.formatting import MINUS, MISSING, is_number
from actfun._report.tables import fit_columns
from actfun._watch.history import ENOUGH, Record
from actfun._watch.rules import CHINESE, ENGLISH
from actfun._watch.watcher import Watcher

SHOWN = 3  # findings below a table that is drawn again and again
HEADINGS = {  # of columns, in the order in which a narrow terminal keeps them
    "layer": "层",
    "activation": "激活",
    "status": "状态",
    "dead": "死亡",
    "flat": "平坦",
    "zero": "为零",
    "|mean|/std": "|均值|/标准差",
    "gradient": "梯度",
    "update": "更新",
    "mean": "均值",
    "std": "标准差",
    "gradient RMS": "梯度均方根",
    "shape": "形状",
    "samples": "样本",
}
WORDS = ("layer", "activation", "status", "shape")


def cells(record: Record) -> list[str]:
    """A row of the table."""
    ratio = record["gradient_ratio"]
    return [
        record["site"],
        record["activation"],
        record["status"].replace("_", " ") or "ok",
        dead(record),
        percent(record["flat"]),
        percent(record["zero"]),
        number(record["mean_std"], ".2f"),
        f"10^{ratio:.1f}".replace("-", MINUS) if is_number(ratio) else MISSING,
        number(record["update_ratio"], ".0e"),
        number(record["mean"], ".2g"),
        number(record["std"], ".2g"),
        number(record["gradient_rms"], ".1e"),
        record["shape"],
        f"{record['samples']:,}",
    ]


def dead(record: Record) -> str:
    """How many units are dead; before enough samples how many have been silent so far, in parentheses."""
    if record["dead"] or record["silent_samples"] >= ENOUGH or not record["silent"]:
        return f"{record['dead']}/{record['units']}"
    return f"({record['silent']}/{record['units']})"


def percent(share: Any) -> str:
    """A share in percent."""
    return f"{share:.0%}" if is_number(share) else MISSING


def number(value: Any, form: str) -> str:
    """A number; a dash where there is none."""
    return format(value, form).replace("-", MINUS) if is_number(value) else MISSING


def columns(records: list[Record]) -> dict[str, list[str]]:
    """The table by heading."""
    rows = [cells(record) for record in records]
    return {heading: [row[k] for row in rows] for k, heading in enumerate(HEADINGS)}


def table(watcher: Watcher, width: int) -> RenderableType:
    """The last window as a table with what was found below, for so many characters."""
    if not watcher.windows:
        return Text(f"Nothing was seen yet. {watcher.coverage()}.")
    last = watcher.windows[-1]
    drawn = fit_columns(f"Step {last.step:,}", columns(last.records), width, WORDS)
    return Group(drawn, *(Text(line) for line in lines(watcher)))


def lines(watcher: Watcher) -> Iterator[str]:
    """What stands below the table."""
    findings = watcher.findings()
    yield from (f"• {finding}" for finding in findings[:SHOWN])
    if len(findings) > SHOWN:
        yield f"  and {len(findings) - SHOWN} more: .findings()"
    yield f"{summary(watcher)}."


def verdict(watcher: Watcher, language: int = ENGLISH) -> str:
    """A sentence: what is wrong, or that nothing is."""
    found = watcher.findings()
    if not watcher.windows:
        return ("No step was seen.", "没有看到任何一步。")[language]
    if not found:
        return ("Nothing is wrong with the activations.", "激活没有异常。")[language]
    first, kind = found[0], found[0].text("kinds", language)
    if language == CHINESE:
        return f"共 {len(found)} 项异常，首先是 {first.site} 处：{kind}。"
    more = (
        f", and {len(found) - 1} more findings" if len(found) > 2 else ", and 1 more finding" if len(found) > 1 else ""
    )
    return f"{kind[:1].upper()}{kind[1:]} at {first.site}{more}."


def summary(watcher: Watcher, language: int = ENGLISH) -> str:
    """How much was seen, and what it cost."""
    steps, cost = watcher.steps, watcher.overhead
    english = f"{watcher.watched_steps:,} of {steps:,} steps watched"
    chinese = f"{steps:,} 步中观察了 {watcher.watched_steps:,} 步"
    if cost is not None:
        english, chinese = f"{english} at {cost:.1%} of the time", f"{chinese}，耗时占 {cost:.1%}"
    return "; ".join([(english, chinese)[language], watcher.coverage(language)])
