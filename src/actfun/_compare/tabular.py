"""The problem that a table is: its network, its loss, its metrics, and what a reader should know of it."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional

from actfun._compare import metrics
from actfun._compare.metrics import COUNTS, REGRESSION, SEVERAL, TWO
from actfun._compare.models import Candidate, Network, build_network
from actfun._compare.problem import Problem, Split
from actfun._compare.reading import read
from actfun._compare.tables import Held, Table, places, table, vectorised
from actfun._operators.modules import hidden

WIDTH, BLOCKS = 128, 2
USUAL = {"weight decay": 0.01, "dropout": 0.1}
TUNABLE = {"weight decay": (0.0, 0.1), "dropout": (0.0, 0.3)}
EPOCHS, MOST_STEPS, FEWEST_STEPS = 60, 1_500, 300


class TableNetwork(Network):
    """A residual network for rows of numbers: (N, in_features) -> (N, outputs).

    Blocks of normalisation, a wider hidden layer with the activation, and dropout (Gorishniy et al., Revisiting deep
    learning models for tabular data, arXiv:2106.11959, section 3.2, "ResNet").
    """

    def __init__(self, in_features: int, hidden_width: int, outputs: int, candidate: Candidate, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(in_features, WIDTH)
        self.norms = nn.ModuleList(nn.BatchNorm1d(WIDTH) for _ in range(BLOCKS + 1))
        self.activations = [hidden(candidate.activation) for _ in range(BLOCKS)]
        self.acts = nn.ModuleList(self.activations)
        self.up = nn.ModuleList(nn.Linear(WIDTH, int(hidden_width * candidate.pieces)) for _ in range(BLOCKS))
        self.fed = [nn.Linear(hidden_width, WIDTH) for _ in range(BLOCKS)]
        self.down = nn.ModuleList(self.fed)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(WIDTH, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features) -> (N, outputs)."""
        h = self.first(x)
        for norm, up, act, down in zip(self.norms, self.up, self.acts, self.down, strict=False):
            h = h + down(self.dropout(act(up(norm(h)))))
        logits: Tensor = self.head(self.norms[-1](h))
        return logits


def _adamw(decay: float, network: nn.Module, rate: float) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices alone."""
    decayed = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, rate)


def problem_of(found: Table, metric: str | None = None) -> Problem:
    """The problem that a table is."""
    return _problem(Held(found), metric, {})


def _problem(held: Held, metric: str | None, settings: Mapping[str, float]) -> Problem:
    found, values, chosen = held.table, held.table.values, {**USUAL, **settings}
    train = len(places(found, 0)[0])
    batch_size = min(256, max(16, 2 ** round(math.log2(max(train // 20, 1)))))
    steps = min(MOST_STEPS, max(FEWEST_STEPS, EPOCHS * train // batch_size))
    classes = len(found.classes)
    if found.kind in (TWO, SEVERAL):
        shares = [float((values == k).mean()) for k in range(classes)]
        known = metrics.of_classes(shares)
    elif found.kind == REGRESSION:
        known = metrics.of_numbers(float(values.std()))
    else:
        mean = float(values.mean())
        constant = torch.full((len(values),), mean)
        deviance = metrics.of_counts(mean, 1.0, 1.0)[0].score(constant[:, None], torch.from_numpy(values))
        known = metrics.of_counts(mean, float(values.std()), deviance)
    known = metrics.decided_by(known, metric)

    def split(seed: int) -> Split:
        numbers = vectorised(held, seed)
        both = zip(numbers.inputs, numbers.targets, strict=True)
        train, validation, test = ((torch.from_numpy(x), torch.from_numpy(y)) for x, y in both)
        return Split(train, validation, test, outputs=1 if found.kind != SEVERAL else classes)

    around = None if found.kind in (TWO, SEVERAL) else functools.partial(_scaled, found.kind)

    def build(candidate: Candidate, split: Split) -> nn.Module:
        inputs = split.train[0].shape[1]
        network = build_network(
            lambda w, c: TableNetwork(inputs, w, split.outputs, c, chosen["dropout"]), 2 * WIDTH, candidate
        )
        return network if around is None else around(network, split)

    def reference(name: str, seed: int) -> Mapping[str, float]:
        from actfun._compare.references import predict

        numbers = vectorised(held, seed)
        outputs = predict(name, found.kind, numbers, classes)
        targets = torch.from_numpy(numbers.targets[2])
        return {one.name: one.score(outputs, targets) for one in known}

    squares = functools.partial(_squares, float(values.std()))
    losses = {TWO: _two, SEVERAL: functional.cross_entropy, REGRESSION: squares, COUNTS: _poisson}
    return Problem(
        name=found.name,
        description=f"{found.target} of {found.name}, {found.kind}; residual network of {BLOCKS} blocks of {WIDTH}",
        metrics=known,
        seeds=20,
        steps=steps,
        batch_size=batch_size,
        split=split,
        build=build,
        around=around,
        loss=losses[found.kind],  # type: ignore[arg-type]
        optimizer=functools.partial(_adamw, chosen["weight decay"]),
        optimizer_name="AdamW",
        tunable=TUNABLE,
        tuned=functools.partial(_problem, held, metric),
        early=True,
        references=("linear", "gradient boosting"),
        reference=reference,
        facts=_facts(found),
        details=functools.partial(_details, found),
    )


class _Scaled(nn.Module):
    """A network whose outputs are in units of the targets: what it gives, times a deviation, plus a mean; or a rate."""

    def __init__(self, network: nn.Module, kind: str, mean: float, deviation: float) -> None:
        super().__init__()
        self.network, self.kind, self.mean, self.deviation = network, kind, mean, deviation

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features) -> (N, 1)."""
        y: Tensor = self.network(x).double()  # float32 has few digits for targets far from 0
        if self.kind == COUNTS:
            return self.mean * y.clamp(-20.0, 20.0).exp()
        return self.mean + self.deviation * y


class _ScaledNetwork(_Scaled, Network):
    """The same of a network whose weights are drawn here, and whose activations are looked at."""

    def __init__(self, network: Network, kind: str, mean: float, deviation: float) -> None:
        super().__init__(network, kind, mean, deviation)
        self.activations, self.fed = network.activations, network.fed


def _scaled(kind: str, network: nn.Module, split: Split) -> nn.Module:
    numbers = split.train[1].double()
    scale = kind, float(numbers.mean()), float(numbers.std(correction=0)) or 1.0
    return _ScaledNetwork(network, *scale) if isinstance(network, Network) else _Scaled(network, *scale)


def _two(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits.squeeze(-1), targets)


def _squares(deviation: float, outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean square in units of the deviation of all targets, so that a rate means the same for all tables."""
    return ((outputs.squeeze(-1) - targets.to(outputs.dtype)) / deviation).square().mean()


def _poisson(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.poisson_nll_loss(outputs.squeeze(-1), targets.to(outputs.dtype), log_input=False)


def _facts(found: Table) -> dict[str, Any]:
    """What a reader should know of a table: its size, its target, and what looks wrong."""
    train, validation, test = places(found, 0)
    facts: dict[str, Any] = {
        "rows": len(found.values),
        "columns": len(found.frame.columns),
        "target": found.target,
        "kind": found.kind,
        "missing": float(found.frame.isna().to_numpy().mean()),
        "split": "by time, the latest fifth for testing"
        if found.by_time
        else "groups kept together"
        if found.groups is not None
        else "at random, classes with equal shares"
        if found.classes
        else "at random",
    }
    if found.classes:
        facts["classes"] = {name: float((found.values == k).mean()) for k, name in enumerate(found.classes)}
    else:
        numbers = found.values.astype(float)
        facts |= {"mean": float(numbers.mean()), "deviation": float(numbers.std())}
    seen = {*map(tuple, found.frame.iloc[[*train, *validation]].astype(str).to_numpy())}
    twice = sum(tuple(row) in seen for row in found.frame.iloc[test].astype(str).to_numpy())
    said = list(found.warnings)
    if twice:
        said.append(f"{twice} of {len(test)} test rows are in the other parts too")
    return {**facts, "warnings": said}


def _details(found: Table, outputs: Tensor, targets: Tensor) -> dict[str, Any]:
    """Of classes, how often a share that was given came true, and how many of each class were found; else residuals."""
    if found.classes:
        return metrics.of_each_class(outputs, targets, found.classes)
    wrong = (outputs.squeeze(-1).double() - targets).numpy()
    edges = numpy.quantile(targets.numpy(), numpy.linspace(0.0, 1.0, 6)[1:-1])
    fifth = numpy.searchsorted(edges, targets.numpy())
    parts = [wrong[fifth == k] for k in range(5)]
    return {
        "residuals": [float(q) for q in numpy.quantile(wrong, [0.05, 0.25, 0.5, 0.75, 0.95])],
        "by_fifth": [float(numpy.sqrt(numpy.mean(part**2))) if len(part) else None for part in parts],
    }


def problem(asked: Mapping[str, str]) -> Problem:
    """The problem that a description is: `table`, `name`, `target`, and other options where they were given."""
    name, options = asked["name"], [asked.get(key) for key in ("kind", "group", "time")]
    return problem_of(table(name, read(asked["table"]), asked["target"], *options), asked.get("metric"))
