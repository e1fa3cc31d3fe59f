"""The protocol: tune all on the same grid, extend it where the best is at an edge, confirm on fresh seeds."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from actfun._catalogue.kinds import ELEMENTWISE, RANDOM
from actfun._catalogue.names import resolve
from actfun._catalogue.registry import names, nearest
from actfun._compare.models import Candidate
from actfun._compare.problem import Problem
from actfun._compare.statistics import Rounds
from actfun._compare.trial import Trial
from actfun._runs.job import Record

MOST_SEEDS = 60  # where seeds are added until all is decided
EXTENSIONS = 2  # how often the grid may grow on either side
QUICK_SEEDS = 10  # with 8 or fewer, seven comparisons could not reach p < 0.05 by Holm's method: 7·2/2^8 is 0.055
TUNING_SEEDS, FIRST_SEED = 2, 1_000  # tuning seeds are 0, 1; confirmation starts at 1000, so they never meet

Settings = tuple[tuple[str, float], ...]  # by name
Runner = Callable[[Sequence[Trial]], list[Record]]  # the records of trials, in order


@dataclass(frozen=True)
class Chosen:
    """What tuning found for a candidate: its learning rate, how long to train, and settings that are not the usual."""

    rate: float
    steps: int
    settings: Settings = ()


@dataclass(frozen=True)
class Plan:
    """What a comparison will do.

    task: what trials know the problem by. labels: the candidates. learning_rates: the grid that each is tuned on.
    seeds: of confirmation; with `until_decided` so many at most.
    """

    problem: Problem
    labels: tuple[str, ...]
    learning_rates: tuple[float, ...]
    tuning_seeds: tuple[int, ...]
    seeds: tuple[int, ...]
    steps: int
    init: str = "matched"
    quick: bool = False
    task: str = ""
    device: str = "cpu"
    until_decided: bool = False
    tune: bool = False

    def tuning(self, label: str, rates: Iterable[float]) -> list[Trial]:
        """The tuning trials of a candidate at some learning rates."""
        return [self._trial("tune", label, rate, seed, self.steps) for rate in rates for seed in self.tuning_seeds]

    def confirmation(
        self, chosen: Mapping[str, "Chosen"], labels: Sequence[str] | None = None, seeds: Sequence[int] | None = None
    ) -> list[Trial]:
        """The confirmation trials: candidates as they were tuned, all candidates of a seed one after another."""
        return [
            self._trial("confirm", label, chosen[label].rate, seed, chosen[label].steps, chosen[label].settings)
            for seed in (self.seeds if seeds is None else seeds)
            for label in (self.labels if labels is None else labels)
        ]

    def settings(self, label: str, chosen: "Chosen", name: str, values: Sequence[float]) -> list[Trial]:
        """The tuning trials of a candidate with other values of a setting, all else as it was chosen."""
        others = tuple((key, value) for key, value in chosen.settings if key != name)
        each = [(*others, (name, value)) for value in values]
        return [
            self._trial("tune", label, chosen.rate, seed, self.steps, one) for one in each for seed in self.tuning_seeds
        ]

    def _trial(self, stage: str, label: str, rate: float, seed: int, steps: int, settings: Settings = ()) -> Trial:
        task = self.task or self.problem.name
        return Trial(task, stage, label, rate, seed, steps, self.init, self.device, settings)

    @property
    def size(self) -> int:
        """The number of trials, extensions of the grid aside."""
        settings = sum(map(len, self.problem.tunable.values())) if self.tune else 0
        each = (len(self.learning_rates) + settings) * len(self.tuning_seeds) + len(self.seeds)
        return len(self.labels) * each

    def trials(self) -> list[Trial]:
        """All that are certain or possible before tuning is done: the grid, and confirmations at any rate of it.

        Where tuning also finds how long to train, the grid alone.
        """
        tuning = [trial for label in self.labels for trial in self.tuning(label, self.learning_rates)]
        if self.problem.early:
            return tuning
        each = (Chosen(rate, self.steps) for rate in self.learning_rates)
        possible = (self.confirmation(dict.fromkeys(self.labels, chosen)) for chosen in each)
        return tuning + [trial for trials in possible for trial in trials]


def candidates(activations: Sequence[str], element_wise: bool = False) -> tuple[str, ...]:
    """The labels of a comparison: the activations, and maxout once more at an equal number of parameters.

    element_wise: whether only such fit. Raises ValueError for one that does not, for an unknown activation, for one
    named twice, and for none.
    """
    if not activations:
        raise ValueError("name at least one activation; known: " + ", ".join(names()))
    labels: list[str] = []
    for name in activations:
        meaning = resolve(name)
        if element_wise and meaning.activation.kind not in (ELEMENTWISE, RANDOM):
            raise ValueError(f"{name} is {meaning.activation.kind.name}; this network takes element-wise activations")
        candidate = Candidate(str(meaning))
        if candidate.label in labels:
            raise ValueError(f"activation {name!r} is named twice")
        labels.append(candidate.label)
        if candidate.pieces > 1:
            labels.append(Candidate(candidate.activation, equal_parameters=True).label)
    return tuple(labels)


def plan(
    problem: Problem,
    labels: Sequence[str],
    seeds: int | None = None,
    learning_rates: Sequence[float] | None = None,
    init: str = "matched",
    quick: bool = False,
    task: str = "",
    device: str = "cpu",
    until_decided: bool = False,
    tune: bool = False,
) -> Plan:
    """A plan with the problem's seeds and grid filled in; `quick`: 10 seeds, every second rate, half the steps.

    Raises ValueError for fewer seeds than 1, learning rates that are not positive, and an unknown init.
    """
    usual = MOST_SEEDS if until_decided else QUICK_SEEDS if quick else problem.seeds
    confirmations = usual if seeds is None else seeds
    if confirmations < 1:
        raise ValueError(f"`seeds` must be at least 1, got {confirmations}")
    rates = (
        problem.learning_rates[:: 2 if quick else 1] if learning_rates is None else tuple(sorted(set(learning_rates)))
    )
    if not rates or not all(0.0 < rate < math.inf for rate in rates):
        raise ValueError(f"learning rates must be positive numbers, got {list(rates)}")
    if tune and not problem.tunable:
        raise ValueError(f"`tune`: {problem.name} has the learning rate alone to tune; tables have more")
    if init not in ("matched", "shared"):
        raise ValueError(f"`init` must be matched or shared, got {init!r}; {nearest(init, ('matched', 'shared'))}")
    return Plan(
        problem=problem,
        labels=tuple(labels),
        learning_rates=rates,
        tuning_seeds=tuple(range(1 if quick else TUNING_SEEDS)),
        seeds=tuple(range(FIRST_SEED, FIRST_SEED + confirmations)),
        steps=problem.steps // 2 if quick else problem.steps,
        init=init,
        quick=quick,
        task=task,
        device=device,
        until_decided=until_decided,
        tune=tune,
    )


@dataclass(frozen=True)
class Outcome:
    """chosen: what each candidate was confirmed with. records: of all trials that the outcome rests on.

    confirmed: those of each candidate's confirmation, by seed.
    """

    chosen: dict[str, Chosen]
    records: list[Record]
    confirmed: dict[str, list[Record]]


def execute(plan: Plan, run: Runner) -> Outcome:
    """Carry a plan out. run: gives the records of trials; it may be asked for those of a trial more than once."""
    rates = dict.fromkeys(plan.labels, plan.learning_rates)
    growing = set(plan.labels)
    while growing:
        tuning = [trial for label in plan.labels for trial in plan.tuning(label, rates[label])]
        records = run(tuning)
        for label in sorted(growing):
            wider = _extend(rates[label], best_rate(plan, label, records), plan.learning_rates)
            if wider == rates[label]:
                growing.discard(label)
            rates[label] = wider
    best = {label: choose(plan, label, records) for label in plan.labels}
    for name, values in plan.problem.tunable.items() if plan.tune else ():
        more = [trial for label in plan.labels for trial in plan.settings(label, best[label], name, values)]
        records = [*records, *run(more)]
        best = {label: choose(plan, label, records) for label in plan.labels}
    confirmation = _until_decided(plan, best, run) if plan.until_decided else run(plan.confirmation(best))
    confirmed = {label: [r for r in confirmation if r["activation"] == label] for label in plan.labels}
    return Outcome(best, records + confirmation, confirmed)


def choose(plan: Plan, label: str, records: Sequence[Record]) -> Chosen:
    """The best learning rate of a candidate, its best settings at that rate, and how long to train.

    Where trials stop early, that is as long as the chosen ones took to be best. Of equal settings the first counts.
    """
    plain = [record for record in records if not record.get("settings")]
    rate = best_rate(plan, label, plain)
    found: dict[Settings, list[Record]] = {}
    for record in records:
        if record["activation"] == label and record["learning_rate"] == rate:
            settings = tuple((name, value) for name, value in record.get("settings", ()))
            found.setdefault(settings, []).append(record)
    sign = 1.0 if plan.problem.decides.higher_is_better else -1.0
    settings = max(found, key=lambda one: sign * statistics.fmean(record["score"] for record in found[one]))
    if not plan.problem.early:
        return Chosen(rate, plan.steps, settings)
    best_steps = [r["best_step"] for r in found[settings] if r["best_step"] is not None]  # None of one that failed
    return Chosen(rate, round(statistics.fmean(best_steps)) if best_steps else plan.steps, settings)


def _until_decided(plan: Plan, chosen: Mapping[str, Chosen], run: Runner) -> list[Record]:
    """Confirm on ever more seeds; a candidate that is worse gets no more. The records of all."""
    metric, records = plan.problem.decides, []
    rounds = Rounds(plan.labels, plan.seeds, metric.higher_is_better, metric.same_within)
    while rounds.undecided and (seeds := rounds.next_seeds()):
        found = run(plan.confirmation(chosen, rounds.undecided, seeds))
        records += found
        rounds.add(scores_by_seed(found, rounds.undecided))
    return records


def scores_by_seed(records: Sequence[Record], labels: Sequence[str]) -> dict[str, dict[int, float]]:
    """Of each candidate the score of each seed."""
    return {label: {r["seed"]: r["score"] for r in records if r["activation"] == label} for label in labels}


def best_rate(plan: Plan, label: str, records: Sequence[Record]) -> float:
    """The learning rate with the best mean validation score of a candidate's tuning trials; of equals the smaller."""
    sign = 1.0 if plan.problem.decides.higher_is_better else -1.0
    scores: dict[float, list[float]] = {}
    for record in records:
        if record["activation"] == label:
            scores.setdefault(record["learning_rate"], []).append(record["score"])
    return max(scores, key=lambda rate: (sign * statistics.fmean(scores[rate]), -rate))


def _extend(rates: tuple[float, ...], best: float, grid: tuple[float, ...]) -> tuple[float, ...]:
    """The rates with one more beyond the edge where the best is, as far as the grid may still grow there."""
    down, up = (grid[0] / grid[1], grid[-1] / grid[-2]) if len(grid) > 1 else (1 / 3, 3.0)
    below, above = sum(rate < grid[0] for rate in rates), sum(rate > grid[-1] for rate in rates)
    if best == rates[0] and below < EXTENSIONS:
        return (float(f"{rates[0] * down:.1g}"), *rates)
    if best == rates[-1] and above < EXTENSIONS:
        return (*rates, float(f"{rates[-1] * up:.1g}"))
    return rates
