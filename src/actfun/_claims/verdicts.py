"""From records to verdicts."""

from collections.abc import Iterable, Sequence
from typing import Any

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
from actfun._claims.experiment import Experiment, Figures, Job, Record, Scale, perform


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


def needed(claims: Iterable[Claim]) -> list[Experiment]:
    """The experiments that decide some claims."""
    names = {name for claim in claims for name in claim.decided_by}
    return [experiment for name, experiment in EXPERIMENTS.items() if name in names]


def jobs(claims: Iterable[Claim], scale: Scale) -> list[Job]:
    """All that has to run for them."""
    return [Job.of(experiment, arguments) for experiment in needed(claims) for arguments in experiment.jobs(scale)]


def run(job: Job) -> Record:
    """Do a job."""
    return perform(EXPERIMENTS[job.experiment], job)


def lost(job: Job) -> Record:
    """The record of a job whose worker process died twice."""
    return job.record({}, 0.0, "its worker process died")


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
