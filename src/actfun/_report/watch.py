"""What `watch` saw, for a terminal: a table of the places, the findings, how much was seen and what that cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from actfun._report.formatting import MINUS, MISSING, is_number
from actfun._report.tables import fit_columns
from actfun._watch.history import ENOUGH, Record
from actfun._watch.rules import ENGLISH, IN_A_ROW, Finding
from actfun._watch.watcher import Watcher

SHOWN = 3  # names of a list; of more it says so
HEADINGS = {  # of columns, in the order in which a narrow terminal keeps them
    "layer": "层",
    "activation": "激活",
    "status": "状态",
    "dead": "死亡",
    "flat": "平坦",
    "gradient": "梯度",
    "update": "更新",
    "zero": "为零",
    "|mean|/std": "|均值|/标准差",
    "mean": "均值",
    "std": "标准差",
    "gradient RMS": "梯度均方根",
    "shape": "形状",
    "samples": "样本",
}
MISSED = {
    "idle": ("not called", "未被调用"),
    "hidden": ("hidden inside an operation", "藏在算子内部"),
    "unmeasured": ("not measured", "未被测量"),
}
WORDS = ("layer", "activation", "status", "shape")


def cells(record: Record) -> list[str]:
    """A row of the table."""
    ratio = record["log10_gradient_ratio"]
    return [
        record["site"],
        record["activation"],
        record["status"].replace("_", " ") or "ok",
        dead(record),
        percent(record["flat"]),
        f"10^{ratio:.1f}".replace("-", MINUS) if is_number(ratio) else MISSING,
        number(record["update_ratio"], ".0e"),
        percent(record["zero"]),
        number(record["mean_std"], ".2f"),
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
        return Text(f"Nothing was seen yet. {coverage(watcher)}.")
    last = watcher.last or watcher.windows[-1]
    drawn = fit_columns(title(watcher), columns(last.records), width, WORDS)
    return Group(drawn, *(Text(line) for line in lines(watcher)))


def title(watcher: Watcher, language: int = ENGLISH) -> str:
    """Which step the table is of."""
    last = watcher.last
    if last is None:
        return ("No step yet", "尚无任何一步")[language]
    spoilt = last is not watcher.windows[-1]
    english, chinese = f"Step {last.step:,}", f"第 {last.step:,} 步"
    if spoilt:
        english, chinese = f"{english}, the last with finite numbers", f"{chinese}，数值仍有限的最后一步"
    return (english, chinese)[language]


def grouped(findings: list[Finding]) -> list[tuple[Finding, list[str]]]:
    """Findings of one kind together: the first, and at which other places it is so too."""
    found: dict[str, tuple[Finding, list[str]]] = {}
    for finding in findings:
        if finding.rule in found:
            found[finding.rule][1].append(finding.site)
        else:
            found[finding.rule] = finding, []
    return list(found.values())


def elsewhere(others: list[str], language: int = ENGLISH) -> str:
    """Where a finding is so too."""
    if not others:
        return ""
    more = " and others" if len(others) > SHOWN else ""
    english = (
        f"The same at {len(others)} more {'places' if len(others) > 1 else 'place'}: {', '.join(others[:SHOWN])}{more}."
    )
    chinese = f"另有 {len(others)} 处相同：{'、'.join(others[:SHOWN])}{' 等' * bool(more)}。"
    return (english, chinese)[language]


def lines(watcher: Watcher) -> Iterator[str]:
    """What stands below the table."""
    yield from (f"• {finding} {elsewhere(others)}".rstrip() for finding, others in grouped(watcher.findings()))
    yield f"{summary(watcher)}."


def verdict(watcher: Watcher, language: int = ENGLISH) -> str:
    """A sentence: what is wrong, or that nothing is."""
    if not watcher.windows:
        return ("No step was seen.", "没有看到任何一步。")[language]
    found, (cause, *_) = grouped(watcher.findings()), watcher.diagnose()
    if not found and cause.key == "nothing":
        if len(watcher.windows) < IN_A_ROW:
            return ("Too few steps were watched to say.", "观察的步数太少，尚无结论。")[language]
        return ("Nothing is wrong with the activations.", "激活没有异常。")[language]
    said = [f"{cause.titles[language]}"]
    for finding, others in found[:1]:
        kind, more = finding.text("kinds", language), len(others)
        at = (f"at {finding.site}" + f" and {more} more" * bool(more), finding.site + f" 等 {more + 1} 处" * bool(more))
        if finding.kind == cause.key:
            said[0] = (f"{said[0]}, {at[0]}", f"{said[0]}（{at[1]}）")[language]
        else:
            said.append((f"{kind} {at[0]}", f"{at[1]}{kind}")[language])
    return ("; ".join(said) + ".", "；".join(said) + "。")[language]


def summary(watcher: Watcher, language: int = ENGLISH) -> str:
    """How much was seen, and what it cost."""
    steps, cost = watcher.steps, watcher.overhead
    english = f"{watcher.watched_steps:,} of {steps:,} steps watched"
    chinese = f"{steps:,} 步中观察了 {watcher.watched_steps:,} 步"
    if cost is not None:
        english, chinese = f"{english}, which took {cost:.1%} of the time", f"{chinese}，用去 {cost:.1%} 的时间"
    return ("; ", "；")[language].join([(english, chinese)[language], coverage(watcher, language)])


def coverage(watcher: Watcher, language: int = ENGLISH) -> str:
    """How many of the nonlinearities that are known were seen, and which were not."""
    missed, seen = watcher.unwatched(), len(watcher.places)
    whole = seen + sum(map(len, missed.values()))
    parts = [(f"{seen} of {whole} nonlinearities watched", f"{whole} 处非线性中观察了 {seen} 处")[language]]
    for key, names in missed.items():
        if names:
            parts.append(f"{MISSED[key][language]}: {', '.join(names[:SHOWN])}{' …' if len(names) > SHOWN else ''}")
    return ("; ", "；")[language].join(parts)
