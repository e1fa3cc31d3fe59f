"""How gradients fare through depth, in a network as it is drawn, before any training: MLPs of width 256, float64."""

import math
from typing import Any

import torch
from torch import nn

from actfun._claims.evidence import Measurement, measure
from actfun._claims.experiment import Experiment, Measurements, Record, Scale, column
from actfun._claims.networks import HE, XAVIER, grid
from actfun._compare.models import MLP, Candidate
from actfun._watch.meter import Meter

WIDTH, WIDE, SAMPLES = 256, 1024, 64
# Variances of GELU's weights and biases at which mean and slope of a smooth activation's correlations are stable
# (Roberts, Yaida and Hanin, The Principles of Deep Learning Theory, section 5.3.3).
CRITICAL = (1.98305826, 0.17292239)
INITS = {"Xavier": (XAVIER, 0.0), "He": (HE, 0.0), "critical": (CRITICAL[0] ** 0.5, CRITICAL[1] ** 0.5)}
# Decades at depths 10 and 50, by mean-field theory (Schoenholz et al., arXiv:1611.01232), for infinite width.
PREDICTED = (
    ("sigmoid", "Xavier", -6.3, -31.4),
    ("tanh", "Xavier", -0.57, -0.92),
    ("relu", "Xavier", -1.5, -7.5),
    ("relu", "He", 0.0, 0.0),
    ("elu", "He", 0.38, 1.15),
    ("gelu", "He", -0.16, -5.7),
    ("gelu", "Xavier", -2.7, -14.7),
    ("silu", "He", -0.87, -6.9),
    ("gelu", "critical", -0.05, -0.26),
)
NARROW = ("gelu", "He", 50)  # where 256 units are too few for a theory of infinitely many: once more with WIDE
DEPTHS = (1, 10, 50)
LOST = -1.0  # a gradient has vanished that is ten times smaller


def run(activation: str, init: str, depth: int, seed: int, width: int = WIDTH) -> dict[str, Any]:
    """log10 of the gradient's norm at the first pre-activation over that `depth` layers on; inputs have variance 1."""
    weight_scale, bias_scale = INITS[init]
    generator = torch.Generator().manual_seed(seed)
    network = MLP(width, width, depth, width, Candidate(activation)).double()
    for layer in network.layers:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, weight_scale / math.sqrt(width), generator=generator)
            nn.init.normal_(layer.bias, 0.0, bias_scale, generator=generator)
    network.requires_grad_(False)
    x, back = torch.randn(2, SAMPLES, width, dtype=torch.float64, generator=generator)
    with Meter(network.activations[0]) as meter:
        torch.autograd.backward(network(x.requires_grad_()), back)
    return {"decades": math.log10(meter[network.activations[0]].gradient_norm / float(back.norm()))}


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """Each arm at each depth; but in a quick run, one of them with wider layers too."""
    arms: list[tuple[str, str, tuple[int, ...], int]] = [
        (activation, init, DEPTHS, WIDTH) for activation, init, *_ in PREDICTED
    ]
    arms += [] if scale.quick else [(NARROW[0], NARROW[1], NARROW[2:], WIDE)]
    return [
        {**job, "activation": activation, "init": init, "width": width}
        for activation, init, depths, width in arms
        for job in grid(scale, depth=depths)
    ]


def measurements(records: list[Record]) -> Measurements:
    """Sigmoid is said to lose gradients; Xavier is said to save ReLU's; GELU is said to keep them."""

    def decades(activation: str, init: str, depth: int, above: bool) -> Measurement:
        values = column(records, "decades", activation=activation, init=init, depth=depth, width=WIDTH)
        rule = f"{init} (Roberts 2021)" if init == "critical" else init
        return measure("decades", values, LOST, above=above, when="depth and init", depth=depth, init=rule)

    return {
        7: [decades("sigmoid", "Xavier", depth, above=False) for depth in DEPTHS],
        25: [decades("relu", "Xavier", 50, above=True)],
        44: [decades("gelu", init, depth, above=True) for init in INITS for depth in DEPTHS],
    }


EXPERIMENT = Experiment("depth", jobs, run, measurements)
