"""Why a model did not learn: causes in order of likelihood, each with its evidence and the next experiment."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from actfun._watch.history import Record, Window
from actfun._watch.rules import DEAD, ENGLISH, Finding, say

Spoken = tuple[str, str]  # English and Chinese

LEAP, CRAWL = 0.1, 1e-6  # |update|/|weight| of a step: 1e-3 is usual (Karpathy, "A Recipe for Training"), a tenth leaps
WIDE, BESIDE = 5.0, 2.0  # of the input: a deviation, and a mean in deviations, that standardising would change a lot
MOST = 3  # places that are named as evidence
FIRST = 5  # windows of which leaps are seen, though units that died since move no more
SOME = 100  # samples in which a unit was silent, from which on that is mentioned


@dataclass(frozen=True)
class Cause:
    """Why a model may not have learned.

    key: what it is, in a word. titles, evidences, experiments: that in words, what speaks for it, and what to try next,
    in English and Chinese.
    """

    key: str
    titles: Spoken
    evidences: tuple[Spoken, ...]
    experiments: Spoken

    @property
    def title(self) -> str:
        """What it is."""
        return self.titles[ENGLISH]

    @property
    def evidence(self) -> tuple[str, ...]:
        """What speaks for it, with numbers."""
        return tuple(spoken[ENGLISH] for spoken in self.evidences)

    @property
    def experiment(self) -> str:
        """What to try next."""
        return self.experiments[ENGLISH]

    def __str__(self) -> str:
        return f"{self.title}: {'; '.join(self.evidence)}. {self.experiment}"

    __repr__ = __str__


@dataclass(frozen=True)
class Case:
    """What is known of a training.

    trained: whether an optimizer made a step. kept: in how many windows gradients of earlier steps were there when
    backward began, of how many that were asked.
    """

    windows: list[Window]
    findings: list[Finding]
    trained: bool
    kept: tuple[int, int]


def both(part: str, key: str, **values: object) -> Spoken:
    """A text in both languages."""
    return say(part, key, 0, **values), say(part, key, 1, **values)


def causes(case: Case) -> list[Cause]:
    """All that may be a cause, the likeliest first; one that says so, where nothing is."""
    found: dict[str, Cause] = {}
    for key, evidence, experiment in _found(case):
        if evidence and key in found:
            found[key] = replace(found[key], evidences=(*found[key].evidences, *evidence))
        elif evidence:
            found[key] = Cause(key, both("causes", key), tuple(evidence), experiment)
    if not found and (silent := _silent(case.windows)):
        found["dead"] = Cause("dead", both("causes", "silent"), tuple(silent), both("experiments", "silent"))
    if found:
        return list(found.values())
    return [Cause("nothing", both("causes", "nothing"), (both("evidence", "nothing"),), both("experiments", "nothing"))]


def _found(case: Case) -> Iterator[tuple[str, list[Spoken], Spoken]]:
    """What is wrong with the loop comes before what is wrong with the model; what is first in time before the rest."""
    last = case.windows[-1] if case.windows else None
    severed = _without_gradient(case.windows) if case.trained else []
    still = _not_optimized(case.windows) if case.trained else []
    by_kind: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in case.findings:
        by_kind[finding.kind].append(finding)
    if last is not None and not case.trained:
        yield "no_steps", [both("evidence", "no_steps")], both("experiments", "no_steps")
    if last is not None and case.trained:
        yield "no_gradient", severed, both("experiments", "no_gradient")
    yield "not_optimized", still, both("experiments", "not_optimized")
    wide = _input(case.windows)
    at_once = [
        f for f in case.findings if f.kind in ("dead", "saturated", "vanishing", "exploding") and _is_early(f, case)
    ]
    large = _large(case)
    growing = [f for f in by_kind["exploding"] if f.rule == "growing"]
    diverging = bool(large or growing)
    if wide:
        yield "input_scale", wide, both("experiments", "input_scale")
    early = {f.kind for f in at_once}
    for kind in ("vanishing", "exploding", "saturated", "dead"):
        if kind in early and not wide:
            yield kind, _told([f for f in at_once if f.kind == kind]), _advice(by_kind[kind])
    kept, asked = case.kept
    if asked >= 2 and kept > asked / 2 and not still:  # of what no optimizer has, no zero_grad reaches either
        yield (
            "gradients_kept",
            [both("evidence", "gradients_kept", count=kept, all=asked)],
            both("experiments", "gradients_kept"),
        )
    rate = next((rate for window in case.windows if (rate := window.facts["rate"]) is not None), None)
    words = ("", "") if rate is None else (f" of {rate:g}", f" {rate:g} ")
    later = [f for f in case.findings if f.kind in ("dead", "saturated") and f not in at_once]
    if diverging:
        evidence = [*large, *_told(growing), *_told(later)]
        yield "rate_too_large", evidence, both("experiments", "rate_too_large", rate=words)
    if by_kind["non_finite"]:
        yield "non_finite", _told(by_kind["non_finite"]), _advice(by_kind["non_finite"])
    if not diverging:
        for kind in ("dead", "saturated"):
            yield kind, _told([f for f in later if f.kind == kind]), _advice([f for f in later if f.kind == kind])
    for kind in ("vanishing", "exploding"):
        late = [f for f in by_kind[kind] if f not in at_once and f.rule == kind]
        yield kind, _told(late), _advice(late)
    small = _small(case)
    if small and not at_once and not severed and not still:
        yield "rate_too_small", small, both("experiments", "rate_too_small", rate=words)
    yield "off_centre", _told(by_kind["off_centre"]), _advice(by_kind["off_centre"])


def _is_early(finding: Finding, case: Case) -> bool:
    """Whether it was so from the first window."""
    return bool(case.windows) and finding.rule != "growing" and finding.since <= case.windows[0].step


def _told(findings: list[Finding]) -> list[Spoken]:
    def one(finding: Finding) -> Spoken:
        said = finding.text("findings", 0), finding.text("findings", 1)
        if not finding.activation:
            return both("evidence", "said", said=said, since=finding.since)
        return both("evidence", "finding", site=finding.site, old=finding.activation, said=said, since=finding.since)

    shown = [one(finding) for finding in findings[:MOST]]
    return [*shown, both("evidence", "more", count=len(findings) - MOST)] if len(findings) > MOST else shown


def _advice(findings: list[Finding]) -> Spoken:
    return (findings[0].text("advice", 0), findings[0].text("advice", 1)) if findings else ("", "")


def _always(windows: list[Window], is_so: Callable[[Record], bool]) -> list[Record]:
    """The last records of places for which something was so in all windows."""
    by_site: defaultdict[str, list[Record]] = defaultdict(list)
    for window in windows:
        for record in window.records:
            by_site[record["site"]].append(record)
    return [records[-1] for records in by_site.values() if all(map(is_so, records))]


def _without_gradient(windows: list[Window]) -> list[Spoken]:
    """Evidence where gradients never came to places, or only to the last of them."""
    without = _always(
        windows, lambda r: r["trainable"] and not r["gradient_rms"] and "gradient" not in r["where_not_finite"]
    )
    return [both("evidence", "no_gradient", count=len(without), all=len(windows[-1].records))] if without else []


def _moved(windows: list[Window]) -> list[Record]:
    return [r for window in windows for r in window.records if r["update_ratio"] is not None]


def _not_optimized(windows: list[Window]) -> list[Spoken]:
    """Evidence where no optimizer has weights, though a gradient arrives."""
    stepped = [window for window in windows if window.facts["stepped"]]
    still = _always(stepped, lambda r: bool(r["trainable"] and not r["optimized"] and r["gradient_rms"]))
    if not still:
        return []
    sites = ", ".join(r["site"] for r in still[:MOST]) + (" …" if len(still) > MOST else "")
    return [both("evidence", "not_optimized", sites=sites, rms=still[0]["gradient_rms"])]


def _silent(windows: list[Window]) -> list[Spoken]:
    """Evidence where units were silent in all samples, which are too few to call them dead."""
    last = windows[-1].records if windows else []
    shares = [
        (r["silent"] / r["units"], r)
        for r in last
        if r["units"] and r["silent_samples"] >= SOME and not r["non_finite"]
    ]
    share, record = max(shares, key=lambda pair: pair[0], default=(0.0, {}))
    if share <= DEAD:
        return []
    values = {"site": record["site"], "old": record["activation"], "samples": record["silent_samples"]}
    return [both("evidence", "silent", share=share, **values)]


def _input(windows: list[Window]) -> list[Spoken]:
    seen: Mapping[str, float] = windows[0].facts.get("input", {}) if windows else {}
    if not seen or (seen["std"] <= WIDE and abs(seen["mean"]) <= BESIDE * max(seen["std"], 1.0)):
        return []
    return [both("evidence", "input_scale", mean=seen["mean"], std=seen["std"])]


def _large(case: Case) -> list[Spoken]:
    """Evidence for leaps, at the start or throughout."""
    value, site = max(_medians(case.windows), _medians(case.windows, FIRST))
    return [both("evidence", "update_large", value=value, site=site)] if value > LEAP else []


def _small(case: Case) -> list[Spoken]:
    """Evidence for steps that move nothing."""
    value, site = _medians(case.windows)
    return [both("evidence", "update_small", value=value)] if site and value < CRAWL else []


def _medians(windows: list[Window], count: int | None = None) -> tuple[float, str]:
    """The largest median of |update|/|weight| over time, or over the first so many windows, and where it is."""
    by_site: defaultdict[str, list[float]] = defaultdict(list)
    for record in _moved(windows):
        by_site[record["site"]].append(record["update_ratio"])
    known = {site: statistics.median(ratios[:count]) for site, ratios in by_site.items()}
    return max(((value, site) for site, value in known.items()), default=(0.0, ""))
