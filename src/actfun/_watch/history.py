"""What was counted over time: a record for each place and window, and since when each unit is silent."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from actfun._watch.observer import Key, Place
from actfun._watch.tally import RULE_OF_THREE, Tally, moments

Record = dict[str, Any]

ENOUGH = 3_000  # samples without a sign of life before a unit counts as dead: then it responds to less than 0.1%
LATE = 3  # places at the end whose largest gradient is what others are small beside: one may be of a minor loss
MOST_WINDOWS = 512  # that are kept; then every second one goes


@dataclass
class Life:
    """Of the units of a place: for how many samples each has been silent, and the last step at which it was not."""

    silent: Tensor
    active: Tensor

    @classmethod
    def of(cls, units: int) -> "Life":
        """Units of which nothing is known."""
        return cls(torch.zeros(units, dtype=torch.float64), torch.full((units,), -1, dtype=torch.int64))

    def count(self, step: int, active: Tensor, samples: int) -> None:
        """Count which units were active in a step."""
        self.silent = torch.where(active, 0.0, self.silent + samples)
        self.active = torch.where(active, step, self.active)


@dataclass
class Window:
    """What was counted in one step that was watched. records: one for each place; bins: their histograms."""

    step: int
    records: list[Record]
    bins: dict[str, list[int]] = field(default_factory=dict, repr=False)
    facts: dict[str, Any] = field(default_factory=dict, repr=False)


class History:
    """The windows so far, and the lives of units."""

    def __init__(self) -> None:
        self.lives: dict[Key, Life] = {}
        self._kept: list[Window] = []
        self._latest: list[Window] = []
        self._every, self._seen = 1, 0  # window that is kept, and how many there were

    @property
    def windows(self) -> list[Window]:
        """Those that are kept, and the latest."""
        return [*self._kept, *self._latest]

    def add(self, window: Window) -> None:
        """Add a window; where there are many, they become thinner."""
        if self._seen % self._every == 0:
            self._kept.append(window)
        self._seen += 1
        if len(self._kept) >= MOST_WINDOWS:
            self._kept = self._kept[::2]
            self._every *= 2
        self._latest = [] if self._kept[-1] is window else [window]

    def record(
        self,
        step: int,
        found: Mapping[Key, Tally],
        places: Mapping[Key, Place],
        updates: Mapping[Key, tuple[Tensor, Tensor] | None],
    ) -> list[Record]:
        """The records of a step, in the order of the network."""
        ordered = sorted((places[key] for key in found), key=lambda place: place.order)
        records = [self._record(step, place, found[place.key], updates.get(place.key)) for place in ordered]
        known = [(r, r["gradient_norm"]) for r in records if r["gradient_norm"]]
        ends = known[:-1] if len(known) > 1 and not places_feed(ordered, records, known[-1][0]) else known
        late = [norm for _, norm in ends[-max(min(LATE, len(ends) // 2), 1) :]]
        for record, norm in known:
            record["log10_gradient_ratio"] = math.log10(norm / max(late))
        return records

    def _record(self, step: int, place: Place, tally: Tally, update: tuple[Tensor, Tensor] | None) -> Record:
        units = torch.zeros(4, 0, dtype=torch.float64) if tally.units is None else tally.units.cpu()
        squares, z_sum, z_squares, g_squares = [0.0] * 4 if tally.sums is None else tally.sums.tolist()
        _, flat, zero, y_sum = units.sum(1).tolist()
        count = units.shape[1]
        life = self.lives.setdefault(place.key, Life.of(count))
        if tally.samples:
            life.count(step, units[0] > 0, tally.samples)
        silent, responses = life.silent, max(tally.responses, 1)
        dead = silent >= ENOUGH
        died = bool(dead.any())
        mean, std = moments(y_sum, squares, tally.responses)
        z_mean, z_std = moments(z_sum, z_squares, tally.inputs)
        # An input of -inf, as a mask makes it, is fine where the output is.
        finite = [math.isfinite(z_sum) or (math.isinf(z_sum) and math.isfinite(y_sum))]
        finite += [math.isfinite(y_sum), math.isfinite(g_squares)]
        rms = math.sqrt(g_squares / tally.gradients) if tally.gradients and finite[2] else None
        return {
            "step": step,
            "site": place.name,
            "activation": place.activation,
            "kind": place.kind,
            "shape": "x".join(map(str, place.shape)),
            "samples": tally.samples,
            "z_mean": z_mean,
            "z_std": z_std,
            "mean": mean,
            "std": std,
            "mean_std": abs(mean) / std if std > 0.0 else None,
            "zero": zero / responses,
            "flat": flat / responses,
            "dead": int(dead.sum()) if died else 0,
            "units": count,
            "silent": int((silent > 0).sum()),
            "silent_samples": int(silent.max()) if count else 0,
            "dead_bound": RULE_OF_THREE / float(silent[dead].min()) if died else None,
            "dead_since": int(life.active[dead].median()) + 1 if died else None,
            "gradient_rms": rms,
            "gradient_norm": None if rms is None else rms * math.sqrt(tally.slots),
            "log10_gradient_ratio": None,
            "update_ratio": _ratio(update),
            "weighed": place.weight is not None,
            "trainable": place.weight is not None and bool(getattr(*place.weight).requires_grad),
            "optimized": update is not None,
            "non_finite": not all(finite),
            "where_not_finite": [] if all(finite) else [w for w, f in zip(PARTS, finite, strict=True) if not f],
            "status": "",
        }


def places_feed(places: list[Place], records: list[Record], record: Record) -> bool:
    """Whether the output of a record's place is taken by a layer with weights."""
    return next(place.feeds for place, one in zip(places, records, strict=True) if one is record)


PARTS = ("input", "output", "gradient")


def _ratio(update: tuple[Tensor, Tensor] | None) -> float | None:
    if update is None:
        return None
    change, size = (float(part) for part in update)
    return math.sqrt(change / size) if size > 0.0 else None
