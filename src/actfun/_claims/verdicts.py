"""From records to verdicts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from actfun._claims import (
    born,
    centring,
    depth,
    dying,
    exact_linear,
    exact_smooth,
    fitting,
    images,
    learned,
    mask,
    pairing,
    revival,
    speed,
    text,
    zoo,
)
from actfun._claims.catalogue import Claim
from actfun._claims.evidence import HOLDS, Figure, as_record, verdict
from actfun._claims.experiment import Experiment, Figures, Scale
from actfun._runs.job import Job, Record


def _exact(_: list[Record]) -> Figures:
    return _merged([exact_smooth.figures(), exact_linear.figures()])


def _merged(parts: Iterable[Figures]) -> Figures:
    found: Figures = {}
    for part in parts:
        for claim, figures in part.items():
            found.setdefault(claim, []).extend(figures)
    return found


EXACT = Experiment("exact", lambda scale: [], dict, _exact)  # nothing to wait for
EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        EXACT, *(module.EXPERIMENT for module in (
            born, depth, speed, mask, learned, zoo, dying, revival, pairing, fitting, centring, text, images,
        )),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Run(Job):
    """A call of an experiment's `run`; arguments: as JSON, so that equal ones are equal."""

    studies: ClassVar[tuple[str, ...]] = ("_claims", "_compare")

    experiment: str
    arguments: str

    @classmethod
    def of(cls, experiment: Experiment, arguments: Mapping[str, Any]) -> "Run":
        """The run with these arguments."""
        return cls(experiment.name, json.dumps(dict(arguments), sort_keys=True))

    @property
    def label(self) -> str:
        """What a reader knows the run by."""
        return self.experiment

    def run(self) -> dict[str, Any]:
        """What the experiment measures."""
        measured: dict[str, Any] = EXPERIMENTS[self.experiment].run(**json.loads(self.arguments))
        return measured

    def record(self, found: Mapping[str, Any], seconds: float) -> Record:
        """What is kept: the arguments one by one, and what was measured."""
        base = {"experiment": self.experiment, "seconds": round(seconds, 3), "failed": False, "error": None}
        return {**base, **json.loads(self.arguments), **found}


def needed(claims: Iterable[Claim]) -> list[Experiment]:
    """The experiments that decide some claims."""
    names = {name for claim in claims for name in claim.decided_by}
    return [experiment for name, experiment in EXPERIMENTS.items() if name in names]


def jobs(claims: Iterable[Claim], scale: Scale) -> list[Run]:
    """All that has to run for them."""
    return [Run.of(experiment, arguments) for experiment in needed(claims) for arguments in experiment.jobs(scale)]


def judged(claims: Sequence[Claim], records: Sequence[Record]) -> list[dict[str, Any]]:
    """The claims with their verdicts, as claims.json has them; records: of the jobs of these claims, all finished."""
    found = _merged(
        experiment.figures([r for r in records if r["experiment"] == experiment.name]) for experiment in needed(claims)
    )
    seconds: dict[str, float] = {}
    for record in records:
        seconds[record["experiment"]] = seconds.get(record["experiment"], 0.0) + record["seconds"]
    return [_row(claim, found.get(claim.id, []), seconds) for claim in claims]


def _row(claim: Claim, figures: Sequence[Figure], seconds: dict[str, float]) -> dict[str, Any]:
    result = verdict(claim.rule, figures)
    instead = claim.instead if claim.instead and result.kind != HOLDS else ("", "")
    return {
        "id": claim.id,
        "about": claim.about,
        "claim": claim.en,
        "claim_zh": claim.zh,
        "verdict": result.kind,
        "verdict_text": result.text.en,
        "verdict_text_zh": result.text.zh,
        "instead": instead[0],
        "instead_zh": instead[1],
        "expected": claim.standing,
        "rule": claim.rule,
        "measured": [as_record(figure) for figure in figures],
        "why": "; ".join(_said(figure) for figure in figures),
        "seeds": max((figure.seeds for figure in figures), default=0),
        "seconds": round(sum(seconds.get(name, 0.0) for name in claim.decided_by), 1),
    }


def _said(figure: Figure) -> str:
    """A figure in a few words."""
    record = as_record(figure)
    number = "nothing finite" if record["value"] is None else f"{figure.value:.4g}"
    if figure.seeds and figure.low is not None and figure.high is not None:
        number += f" ({figure.low:.4g} to {figure.high:.4g})"
    where = f", {record['condition']}" if record["condition"] else ""
    return f"{record['what']}{where}: {number}" + (f", claimed {record['claimed']}" if record["claimed"] else "")
