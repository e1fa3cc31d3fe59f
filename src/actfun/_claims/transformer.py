"""A small Transformer over characters with one activation or another: nats per character of unseen text."""

from typing import Any

from actfun._claims.evidence import Measurement, measure
from actfun._claims.experiment import Experiment, Measurements, Record, Scale, column, less
from actfun._claims.networks import grid, optimizer, score, train
from actfun._compare.models import Block, Candidate, CharTransformer, Network, draw
from actfun._compare.problem import Split
from actfun._compare.tasks import LENGTH, task
from actfun._operators.modules import FeedForward

ARMS = ("gelu", "relu", "silu", "relu_squared", "swiglu")
WIDTH, HIDDEN = 64, 170  # of SwiGLU: two thirds of 256, for it has three matrices where the others have two
RATE, SHALLOW, TIE = 0.003, 2, task("text").decides.same_within
DEEP, LONGER, DEEP_SEEDS = 6, 5, 5


def build(arm: str, blocks: int, split: Split) -> Network:
    """The task's network, with any number of blocks; SwiGLU has a gate (Shazeer, arXiv:2002.05202)."""
    candidate = Candidate("silu" if arm == "swiglu" else arm)
    network = CharTransformer(split.outputs, LENGTH, WIDTH, blocks, 4 * WIDTH, candidate)
    if arm == "swiglu":
        gated = [module for module in network.modules() if isinstance(module, Block)]
        for block in gated:
            block.feed = FeedForward(WIDTH, HIDDEN, "silu", gated=True)
        network.activations = [block.feed.activation for block in gated]
        network.fed = [block.feed.down for block in gated]
    return network


def run(arm: str, blocks: int, steps: int, seed: int) -> dict[str, Any]:
    """Nats per character on the test text after so many steps of Adam."""
    split = task("text").split(seed)
    network, plain = build(arm, blocks, split), build("gelu", blocks, split)
    for drawn in (network, plain):
        draw(drawn, seed, 1.0)
    alike = {name: value for name, value in plain.state_dict().items() if ".feed." not in name}
    network.load_state_dict(alike, strict=False)  # the gate's layers have taken other draws from those behind them
    train(network, "text", split, optimizer("Adam", network, RATE), seed, steps)
    return {"nats": score(network, "text", split.test)}


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """Each arm; in a quick run fewer steps, in a full one deeper networks too."""
    few, usual = Scale(scale.seeds[:DEEP_SEEDS]), task("text").steps
    shallow = [{**job, "blocks": SHALLOW, "steps": 20 if scale.quick else usual} for job in grid(scale, arm=ARMS)]
    deep = [{**job, "blocks": DEEP, "steps": LONGER * usual} for job in grid(few, arm=ARMS)]
    return shallow + deep * scale.full


def measurements(records: list[Record]) -> Measurements:
    """Nobody may be better than the best, by more than a tie."""

    def behind(arm: str, blocks: int) -> Measurement:
        own, gelu = (column(records, "nats", arm=name, blocks=blocks) for name in (arm, "gelu"))
        return measure("nats more than GELU", less(own, gelu), -TIE, when="compared in", arm=arm, blocks=blocks)

    depths = sorted({record["blocks"] for record in records})
    return {43: [behind(arm, blocks) for blocks in depths for arm in ARMS if arm != "gelu"]}


EXPERIMENT = Experiment("text", jobs, run, measurements)
