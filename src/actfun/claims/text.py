"""A small Transformer over characters with one activation or another: nats per character of unseen text."""

from typing import Any

from actfun.claims.evidence import Figure, measured
from actfun.claims.experiment import Experiment, Figures, Record, Scale, column
from actfun.claims.networks import grid, optimizer, score, train
from actfun.compare.models import Block, Contender, Network, draw
from actfun.compare.tasks import Split, task
from actfun.nn import FeedForward

ARMS = ("gelu", "relu", "silu", "relu_squared", "swiglu")
HIDDEN = 170  # of SwiGLU: two thirds of 256, for it has three matrices where the others have two
RATE = 0.003


def build(arm: str, split: Split) -> Network:
    """The task's network; SwiGLU has a gate (Shazeer, arXiv:2002.05202)."""
    network = task("text").build(Contender("silu" if arm == "swiglu" else arm), split)
    if arm == "swiglu":
        blocks = [module for module in network.modules() if isinstance(module, Block)]
        for block in blocks:
            block.feed = FeedForward(64, HIDDEN, "silu", gated=True)
        network.activations = [block.feed.activation for block in blocks]
        network.fed = [block.feed.down for block in blocks]
    return network


def run(arm: str, steps: int, seed: int) -> dict[str, Any]:
    """Nats per character on the test text after so many steps of Adam."""
    split = task("text").split(seed)
    network = build(arm, split)
    draw(network, seed, 1.0)
    train(network, "text", split, optimizer("Adam", network, RATE), seed, steps)
    return {"nats": score(network, "text", split.test)}


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """Each arm; in a quick run fewer steps."""
    return [{**job, "steps": 60 if scale.quick else task("text").steps} for job in grid(scale, arm=ARMS)]


def figures(records: list[Record]) -> Figures:
    """Nobody may be better than the best."""

    def behind(arm: str) -> Figure:
        pairs = zip(column(records, "nats", arm=arm), column(records, "nats", arm="gelu"), strict=True)
        return measured("nats more than GELU", [a - b for a, b in pairs], 0.0, when="compared with", arm=arm)

    return {43: [behind(arm) for arm in ARMS if arm != "gelu"]}


EXPERIMENT = Experiment("text", jobs, run, figures)
