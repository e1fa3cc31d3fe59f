"""What is a finding: a number, a threshold that has a source, and the next experiment."""

import functools
import itertools
import math
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actfun._catalogue.names import resolve
from actfun._operators.gains import gain
from actfun._watch.history import ENOUGH, Record, Window
from actfun._watch.observer import Place

IN_A_ROW = 3  # windows in which a thing has to be, before it is said
SATURATED = 0.75  # of the way from the share on standard normal input to 1
DEAD, VANISHING, EXPLODING, GROWING = 0.3, 1e-3, 70.0, 100.0
OFF_CENTRE = 3.0  # healthy residual networks have 2.2 where sums of what ReLU gave go through it again
KINDS = ("non_finite", "dead", "saturated", "vanishing", "exploding", "off_centre")  # the gravest first
INSTEAD = {  # to try for another one: the first that it is not yet
    "dead": ("leaky_relu", "gelu"),
    "off_centre": ("elu", "tanh"),
    "vanishing": ("gelu", "elu"),
}
ENGLISH, CHINESE = 0, 1


@functools.cache
def texts() -> Mapping[str, Mapping[str, list[str]]]:
    """What is said, by part and key: English and Chinese."""
    return tomllib.loads((Path(__file__).parent / "texts.toml").read_text(encoding="utf-8"))


def say(part: str, key: str, language: int = ENGLISH, **values: Any) -> str:
    """A text, filled in; a value that is a pair has both languages."""
    spoken = {name: value[language] if isinstance(value, tuple) else value for name, value in values.items()}
    return texts()[part][key][language].format(**spoken)


@dataclass
class Finding:
    """Something that is wrong at a place.

    site: the place. kind: one of `KINDS`. value, threshold: the number and its limit; of gradients their ratio to
    that at the last activation. advice: the next experiment. since: the step at which it began. source: where the
    threshold is from. now: whether it was so in the last window.
    """

    site: str
    kind: str
    value: float
    threshold: float
    advice: str
    activation: str = ""
    since: int = 0
    source: str = ""
    now: bool = True
    rule: str = field(default="", repr=False)
    values: dict[str, Any] = field(default_factory=dict, repr=False)

    def text(self, part: str, language: int = ENGLISH) -> str:
        """A part of what is said of it: "findings", "sources", "advice", "kinds"."""
        key = {"advice": self.values.get("advice", self.rule), "kinds": self.kind}.get(part, self.rule)
        return say(part, key, language, **self.values)

    @property
    def said(self) -> str:
        """What it is, in a sentence."""
        return self.text("findings")

    def __str__(self) -> str:
        activation = f" ({self.activation})" if self.activation else ""
        return f"{self.site}{activation}: {self.said}. {self.advice}"


Judged = tuple[str, float, float]  # the rule, the value and its threshold


def judge(window: Window, first: Mapping[str, Record], places: Mapping[str, Place]) -> Iterator[tuple[Record, Judged]]:
    """What is beyond a threshold in a window. first: the earliest record of each place."""
    if (broken := _not_finite(window)) is not None:
        yield broken, ("non_finite", 1.0, 0.0)
    for record in window.records:
        natural = places[record["site"]].natural
        if record["non_finite"]:
            continue
        if record["units"] and record["dead"] / record["units"] > DEAD:
            yield record, ("dead", record["dead"] / record["units"], DEAD)
        limit = natural.flat + SATURATED * (1.0 - natural.flat)
        # A probability, which shall be sure.
        is_last = record is window.records[-1] and not places[record["site"]].feeds
        if natural.ends and record["flat"] > limit and not is_last:
            yield record, ("saturated", record["flat"], limit)
        limit = max(OFF_CENTRE, 2.0 * natural.ratio)
        if places[record["site"]].feeds and record["mean_std"] is not None and record["mean_std"] > limit:
            yield record, ("off_centre", record["mean_std"], limit)
        before = first[record["site"]]["z_std"]
        if not is_last and before > 0.0 and record["z_std"] / before > GROWING:
            yield record, ("growing", record["z_std"] / before, GROWING)
    yield from _flow(window)


def _not_finite(window: Window) -> Record | None:
    """Where it began: forward at the first place that has it, backward at the last."""
    forward = [r for r in window.records if {"input", "output"} & {*r["where_not_finite"]}]
    backward = [r for r in window.records if r["where_not_finite"] == ["gradient"]]
    return forward[0] if forward else backward[-1] if backward else None


def _flow(window: Window) -> Iterator[tuple[Record, Judged]]:
    """The gradient on its way back, judged once: at the first place, where it has left it, and where it is largest.

    Branches beside a way that it takes may have little: those of residual blocks that start as 0.
    """

    least, most_allowed = math.log10(VANISHING), math.log10(EXPLODING)
    flows = [record for record in window.records if record["log10_gradient_ratio"] is not None]
    if flows and flows[0]["log10_gradient_ratio"] < least:
        for record in itertools.takewhile(lambda r: r["log10_gradient_ratio"] < least, flows):
            record["status"] = "vanishing"
        yield flows[0], ("vanishing", 10.0 ** flows[0]["log10_gradient_ratio"], VANISHING)
    if flows and (most := max(flows, key=lambda r: r["log10_gradient_ratio"]))["log10_gradient_ratio"] > most_allowed:
        yield most, ("exploding", 10.0 ** most["log10_gradient_ratio"], EXPLODING)


class Rules:
    """Findings, raised when a thing was so in some windows in a row."""

    def __init__(self) -> None:
        self.raised: dict[tuple[str, str], Finding] = {}
        self._began: dict[tuple[str, str], int] = {}
        self._windows: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._first: dict[str, Record] = {}
        self.broken: Finding | None = None  # where numbers stopped being finite, if that is known

    def look(self, window: Window, places: Mapping[str, Place], start: int) -> list[Finding]:
        """Judge a window; the findings that are new. start: the first step that was watched."""
        for record in window.records:
            self._first.setdefault(record["site"], record)
        seen, new = set(), []
        for record, (rule, value, threshold) in judge(window, self._first, places):
            key = record["site"], rule
            if rule == "non_finite" and self.broken is not None:  # what follows from it
                record["status"] = rule
                continue
            seen.add(key)
            self._windows[key] += 1
            self._began.setdefault(key, window.step)
            record["status"] = record["status"] or ("exploding" if rule == "growing" else rule)
            if self._windows[key] >= IN_A_ROW or rule == "non_finite":
                finding = self._finding(record, rule, value, threshold, start)
                if key not in self.raised:
                    new.append(finding)
                self.raised[key] = finding
        for key in [key for key in self._windows if key not in seen]:
            del self._windows[key], self._began[key]
            if key in self.raised:
                self.raised[key].now = False
        return new

    def _finding(self, record: Record, rule: str, value: float, threshold: float, start: int) -> Finding:
        old = record["activation"]
        name = old.partition("(")[0]
        since = self._began[record["site"], rule]
        if rule == "dead" and record["dead_since"] is not None:
            since = record["dead_since"]
        values: dict[str, Any] = {"value": value, "enough": ENOUGH, "site": record["site"], "old": name, "since": since}
        values |= {"z_std": record["z_std"], "gain": _gain(old), "where": _where(record)}
        values["new"] = next(other for other in INSTEAD.get(rule, INSTEAD["vanishing"]) if other != name)
        values["advice"] = rule
        if rule in ("dead", "saturated"):
            values["advice"] = f"{rule}_{'at_once' if since <= start else 'later'}"
        kind = "exploding" if rule == "growing" else rule
        made = Finding(record["site"], kind, value, threshold, "", old, since, rule=rule, values=values)
        made.advice, made.source = made.text("advice"), made.text("sources")
        return made

    @property
    def findings(self) -> list[Finding]:
        """All that were raised, the gravest and earliest first."""
        found = [*self.raised.values(), *([self.broken] if self.broken else [])]
        return sorted(found, key=lambda f: (not f.now, KINDS.index(f.kind), f.since))


def _gain(activation: str) -> float:
    try:
        return gain(resolve(activation).canonical, **resolve(activation).parameters)
    except (TypeError, ValueError):
        return 1.0


def _where(record: Record) -> tuple[str, str]:
    """Which of a place's numbers are not finite, in both languages."""
    chinese = {"input": "输入", "output": "输出", "gradient": "梯度"}
    found = record["where_not_finite"]
    english = " and ".join(f"the {word}" for word in found)
    return f"{english} of {record['site']}", f"{record['site']} 的{'与'.join(chinese[word] for word in found)}"
