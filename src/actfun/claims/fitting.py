"""What Maxout can fit: convex and other functions of one number on [-1, 1]; and what its pieces do on digits."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from actfun.claims.evidence import measured
from actfun.claims.experiment import Experiment, Figures, Record, Scale, column
from actfun.claims.networks import grid, metered, mlp, optimizer, train
from actfun.compare.tasks import task
from actfun.gains import gain
from actfun.nn import Maxout

TARGETS: dict[str, Callable[[Tensor], Tensor]] = {
    "square": lambda x: x * x,
    "minus square": lambda x: -x * x,
}
PIECES, FITTING_STEPS, RATE = (2, 4, 16), 2_000, 0.01
CLOSE = 0.01
POWER = 12  # of errors, so that the largest counts


def _fit(target: str, pieces: int, seed: int) -> float:
    """The largest error on [-1, 1] of a fit by the least mean of a high power of errors."""
    torch.manual_seed(seed)
    model = Maxout(1, 1, pieces)
    x = torch.linspace(-1.0, 1.0, 401)[:, None]
    at = torch.linspace(-1.0, 1.0, pieces) + 0.1 * torch.randn(pieces)  # lines that touch a parabola, all over
    model.weight.data, model.bias.data = 2.0 * at[:, None], -at * at
    y, by = TARGETS[target](x), optimizer("Adam", model, RATE)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(by, FITTING_STEPS)
    for _ in range(FITTING_STEPS):
        by.zero_grad()
        error = model(x) - y
        (error / error.detach().abs().max()).pow(POWER).mean().backward()
        by.step()
        rates.step()
    with torch.no_grad():
        return float((model(x) - y).abs().max())


def run(what: str, seed: int, pieces: int = 2) -> dict[str, Any]:
    """The largest error of a fit; or, on digits, the shares of dead units, of units with an idle piece, of zeros."""
    if what != "digits":
        return {"error_left": _fit(what, pieces, seed)}
    split = task("digits").split(seed)
    network = mlp(split, "maxout", 64, 3, seed, gain("maxout"))
    train(network, "digits", split, optimizer("Adam", network, 0.003), seed, 320)
    shares, losing, h = metered(network, split.train[0]).shares(), 0, split.train[0]
    with torch.no_grad():
        for layer in list(network.layers)[:-1]:
            if not isinstance(layer, nn.Linear):
                winners = h.unflatten(-1, (-1, 2)).argmax(-1)  # type: ignore[no-untyped-call]
                losing += int((winners == winners[0]).all(0).sum())
            h = layer(h)
    return {"dead": shares.dead, "zero": shares.zero, "losing": losing / (3 * 64)}


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """x² with more and more pieces, what one unit cannot do, and digits."""
    return [
        *grid(scale, what=("square",), pieces=PIECES),
        *grid(scale, what=("minus square",), pieces=PIECES[-1:]),
        *grid(scale, what=("digits",)),
    ]


def figures(records: list[Record]) -> Figures:
    """One unit fits convex functions as well as its pieces allow; units live, pieces may not."""

    def left(what: str, pieces: int) -> list[float]:
        return column(records, "error_left", what=what, pieces=pieces)

    digits = {key: column(records, key, what="digits") for key in ("dead", "zero", "losing")}
    return {
        47: [measured("error left", left("square", k), CLOSE, above=False, when="pieces", k=k, f="x²") for k in PIECES],
        49: [measured("share of exact zeros", digits["zero"], 0.1)],
        50: [
            measured("dead units", digits["dead"], 1e-9, above=False, when="units"),
            measured("pieces that never win", digits["losing"], 1e-9, above=False, when="single pieces"),
        ],
    }


EXPERIMENT = Experiment("fitting", jobs, run, figures)
