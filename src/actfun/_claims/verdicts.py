"""From records to verdicts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from actfun._claims import (
    dead_at_init,
    depth,
    dying,
    exact_linear,
    exact_smooth,
    gelu_mask,
    hidden_and_output,
    images,
    learned_alpha,
    maxout_fit,
    revival,
    side_by_side,
    speed,
    transformer,
    zero_centring,
)
from actfun._claims.evidence import HOLDS, Measurement, as_record, verdict
from actfun._claims.experiment import Experiment, Measurements, Scale
from actfun._claims.statements import Claim
from actfun._runs.job import Job, Record


def _exact(_: list[Record]) -> Measurements:
    return _merge([exact_smooth.measurements(), exact_linear.measurements()])


def _merge(parts: Iterable[Measurements]) -> Measurements:
    found: Measurements = {}
    for part in parts:
        for claim, measurements in part.items():
            found.setdefault(claim, []).extend(measurements)
    return found


EXACT = Experiment("exact", lambda scale: [], dict, _exact)  # nothing to wait for
EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        EXACT, *(module.EXPERIMENT for module in (
            dead_at_init, depth, speed, gelu_mask, learned_alpha, side_by_side, dying, revival, hidden_and_output,
            maxout_fit, zero_centring, transformer, images,
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


def experiments_of(claims: Iterable[Claim]) -> list[Experiment]:
    """The experiments that decide some claims."""
    names = {name for claim in claims for name in claim.decided_by}
    return [experiment for name, experiment in EXPERIMENTS.items() if name in names]


def jobs(claims: Iterable[Claim], scale: Scale) -> list[Run]:
    """All that has to run for them."""
    return [
        Run.of(experiment, arguments) for experiment in experiments_of(claims) for arguments in experiment.jobs(scale)
    ]


def judge(claims: Sequence[Claim], records: Sequence[Record]) -> list[dict[str, Any]]:
    """The claims with their verdicts, as claims.json has them; records: of the jobs of these claims, all finished."""
    found = _merge(
        experiment.measurements([r for r in records if r["experiment"] == experiment.name])
        for experiment in experiments_of(claims)
    )
    seconds: dict[str, float] = {}
    for record in records:
        seconds[record["experiment"]] = seconds.get(record["experiment"], 0.0) + record["seconds"]
    return [_row(claim, found.get(claim.id, []), seconds) for claim in claims]


def _row(claim: Claim, measurements: Sequence[Measurement], seconds: dict[str, float]) -> dict[str, Any]:
    result = verdict(claim.rule, measurements)
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
        "measured": [as_record(measurement) for measurement in measurements],
        "why": "; ".join(_describe(measurement) for measurement in measurements),
        "seeds": max((measurement.seeds for measurement in measurements), default=0),
        "seconds": round(sum(seconds.get(name, 0.0) for name in claim.decided_by), 1),
    }


def _describe(measurement: Measurement) -> str:
    """A measurement in a few words."""
    record = as_record(measurement)
    number = "nothing finite" if record["value"] is None else f"{measurement.value:.4g}"
    if measurement.seeds and measurement.low is not None and measurement.high is not None:
        number += f" ({measurement.low:.4g} to {measurement.high:.4g})"
    where = f", {record['condition']}" if record["condition"] else ""
    return f"{record['what']}{where}: {number}" + (f", claimed {record['claimed']}" if record["claimed"] else "")
