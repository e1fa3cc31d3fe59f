"""Measurements that speak for or against a claim, and the rule that makes a verdict of them. No verdict is typed in."""

import functools
import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from actfun._compare.statistics import mean_interval

HOLDS, ONLY_WHEN, REFUTED, INCONCLUSIVE = "holds", "holds only when", "refuted", "inconclusive"
VERDICTS = {HOLDS: "成立", ONLY_WHEN: "仅在以下条件下成立", REFUTED: "被推翻", INCONCLUSIVE: "尚无定论"}


class Text(NamedTuple):
    """The same in English and in Chinese."""

    en: str
    zh: str


TEXTS = Path(__file__).with_name("texts.toml")


@functools.cache
def texts() -> dict[str, tuple[Text, Text]]:
    """The words for measurements and conditions, by key, and the reason for a measurement's threshold, if any."""
    entries = tomllib.loads(TEXTS.read_text(encoding="utf-8"))
    return {key: (Text(*words[:2]), Text(*words[2:] or ("", ""))) for key, words in entries.items()}


def text(key: str, **numbers: float | str) -> Text:
    """A text with its numbers filled in; nothing for no key."""
    words = texts()[key][0] if key else Text("", "")
    return Text(*(language.format(**numbers) for language in words))


@dataclass(frozen=True)
class Measurement:
    """What was measured, and what the claim says of it: that it is above `threshold`, or below it.

    threshold: None where the claim says nothing of it, and it only goes with the others.
    value, low, high: a mean with its 95% interval over `seeds`. An exact measurement has three equal ones and no seeds.
    One seed alone has no interval.
    what, condition: keys of `texts`, with numbers to fill in. A condition names a case, where a claim may hold in some
    cases and not in others.
    """

    what: str
    value: float
    low: float | None
    high: float | None
    threshold: float | None
    above: bool
    condition: str = ""
    seeds: int = 0
    numbers: tuple[tuple[str, float | str], ...] = ()

    def text(self, key: str) -> Text:
        """A text with this measurement's numbers filled in."""
        return text(key, **dict(self.numbers))

    @property
    def reason(self) -> Text:
        """Why the threshold is where it is; nothing where any difference counts, or only rounding is let pass."""
        return texts()[self.what][1]

    @property
    def side(self) -> str:
        """Whether it speaks "for" the claim or "against" it, as its whole interval has to; else "open", or "beside"."""
        if self.threshold is None:
            return "beside"
        if self.low is None or self.high is None or math.isnan(self.value):
            return "open"
        low, high = (self.low, self.high) if self.above else (-self.high, -self.low)
        threshold = self.threshold if self.above else -self.threshold
        return "for" if low > threshold else "against" if high <= threshold else "open"

    @property
    def more_seeds(self) -> int | None:
        """About how many more would settle it, if mean and deviation stay; None where nobody can tell."""
        if self.side != "open" or self.threshold is None or self.low is None or self.high is None:
            return None
        if self.value == self.threshold:
            return None
        widths = (self.high - self.low) / 2.0 / abs(self.value - self.threshold)
        return max(1, math.ceil(self.seeds * widths**2) - self.seeds)


def exact(
    what: str, value: float, threshold: float, *, above: bool = False, when: str = "", **numbers: float | str
) -> Measurement:
    """A measurement without chance in it: below the threshold, or above, or not."""
    return Measurement(what, value, value, value, threshold, above, when, 0, tuple(numbers.items()))


def measure(
    what: str,
    values: Sequence[float],
    threshold: float | None,
    *,
    above: bool = True,
    when: str = "",
    **numbers: float | str,
) -> Measurement:
    """A measurement with a value for each seed."""
    finite = [value for value in values if math.isfinite(value)]
    mean, low, high = mean_interval(finite) if finite else (math.nan, None, None)
    if len(finite) < len(values):  # a seed that gave nothing leaves the matter open
        low = high = None
    return Measurement(what, mean, low, high, threshold, above, when, len(values), tuple(numbers.items()))


def ratios(
    what: str,
    over: Sequence[float],
    under: Sequence[float],
    threshold: float,
    *,
    above: bool = True,
    when: str = "",
    **numbers: float | str,
) -> Measurement:
    """The geometric mean of ratios, seed by seed: it does not depend on which of the two stands below the line."""
    logarithms = [math.log(a / b) for a, b in zip(over, under, strict=True)]
    measurement = measure(what, logarithms, math.log(threshold), above=above, when=when, **numbers)
    low, high = (None if x is None else math.exp(x) for x in (measurement.low, measurement.high))
    return replace(measurement, value=math.exp(measurement.value), low=low, high=high, threshold=threshold)


@dataclass(frozen=True)
class Verdict:
    """kind: one of VERDICTS; conditions: when the claim holds, where else it does not; undecided: when it may hold."""

    kind: str
    conditions: tuple[Text, ...] = ()
    undecided: tuple[Text, ...] = ()
    more_seeds: int | None = None

    @property
    def text(self) -> Text:
        """The verdict in words."""
        en, zh = self.kind, VERDICTS[self.kind]
        if self.conditions:
            en += ": " + "; or ".join(condition.en for condition in self.conditions)
            zh += "：" + "；或".join(condition.zh for condition in self.conditions)
        if self.undecided:
            en += " (undecided: " + "; ".join(condition.en for condition in self.undecided) + ")"
            zh += "（未定：" + "；".join(condition.zh for condition in self.undecided) + "）"
        if self.more_seeds:
            en += f" (about {self.more_seeds} more seeds may settle it)"
            zh += f"（大约再用 {self.more_seeds} 个种子可以定论）"
        return Text(en, zh)


def verdict(rule: str, measurements: Sequence[Measurement]) -> Verdict:
    """The verdict on a claim.

    rule "every": it holds if all measurements speak for it, and is refuted if one speaks against it.
    rule "some": it holds if one speaks for it, and is refuted if all speak against it.
    rule "conditions": as "every", but a condition is met if all its measurements speak for the claim. The claim holds
    only when such conditions are met, if measurements of other conditions speak against it. It is refuted if that is so
    for every condition.
    Whatever is left is inconclusive. Measurements without a threshold do not count.
    """
    measurements = [measurement for measurement in measurements if measurement.threshold is not None]
    if not measurements:
        return Verdict(INCONCLUSIVE)
    sides = [measurement.side for measurement in measurements]
    cases: dict[Text, set[str]] = {}
    for measurement in measurements:
        cases.setdefault(measurement.text(measurement.condition), set()).add(measurement.side)
    if (rule == "some" and "for" in sides) or set(sides) == {"for"}:
        return Verdict(HOLDS)
    if (rule == "every" and "against" in sides) or set(sides) == {"against"}:
        return Verdict(REFUTED)
    if rule == "conditions" and {"for"} in cases.values() and "against" in sides:
        met = tuple(condition for condition, of_it in cases.items() if of_it == {"for"})
        undecided = tuple(condition for condition, of_it in cases.items() if "open" in of_it and "against" not in of_it)
        return Verdict(ONLY_WHEN, met, undecided)
    if rule == "conditions" and all("against" in of_it for of_it in cases.values()):
        return Verdict(REFUTED)
    more = [measurement.more_seeds for measurement in measurements if measurement.side == "open"]
    return Verdict(INCONCLUSIVE, more_seeds=max((count for count in more if count), default=None))


def as_record(measurement: Measurement) -> dict[str, Any]:
    """A measurement as JSON has it."""

    def number(value: float | None) -> float | None:
        return value if value is not None and math.isfinite(value) else None

    return {
        "what": measurement.text(measurement.what).en,
        "what_zh": measurement.text(measurement.what).zh,
        "condition": measurement.text(measurement.condition).en,
        "condition_zh": measurement.text(measurement.condition).zh,
        "value": number(measurement.value),
        "low": number(measurement.low),
        "high": number(measurement.high),
        "claimed": ""
        if measurement.threshold is None
        else f"{'>' if measurement.above else '<'} {measurement.threshold:g}",
        "reason": measurement.reason.en,
        "reason_zh": measurement.reason.zh,
        "side": measurement.side,
        "seeds": measurement.seeds,
    }
