"""How many ReLU networks are dead before they are trained: random ones, one input, no biases."""

from typing import Any

import torch

from actfun._claims.evidence import measure
from actfun._claims.experiment import Experiment, Measurements, Record, Scale, column
from actfun._claims.networks import grid

NETWORKS = 20_000
SHAPES = ((2, 10), (3, 10), (5, 10), (5, 20), (10, 10), (10, 50))  # width, layers of weights
FEW = 0.1


def run(width: int, layers: int, seed: int) -> dict[str, Any]:
    """The share of networks whose output does not depend on the input.

    Without biases a network of one input is linear on either side of 0, so two inputs tell all.
    """
    generator = torch.Generator().manual_seed(seed)
    h = torch.tensor([-1.0, 1.0]).expand(NETWORKS, 2)[:, :, None]
    for _ in range(layers - 1):
        h = torch.relu(h @ torch.randn(NETWORKS, h.shape[2], width, generator=generator))
        h = h / h.norm(dim=2, keepdim=True).clamp_min(1e-30)
    return {"born_dead": float((h == 0.0).all(2).all(1).float().mean())}


def jobs(scale: Scale) -> list[dict[str, Any]]:
    """Every shape."""
    return [{**job, "width": width, "layers": layers} for width, layers in SHAPES for job in grid(scale)]


def bounds(width: int, layers: int) -> tuple[float, float]:
    """From below and above (Lu et al., arXiv:1903.06733, theorems 3 and 4)."""
    n, half = width, 0.5**width
    upper = 1.0 - (1.0 - half) ** (layers - 1)
    one, two = 1.0 - half, 1.0 - 2.0 * half - (n - 1) * half * half
    share = (1.0 - 2.0 * half) * (1.0 - half) / (1.0 + (n - 1) * half)
    return 1.0 - one ** (layers - 2) + share * (two ** (layers - 2) - one ** (layers - 2)), upper


def measurements(records: list[Record]) -> Measurements:
    """The scale of the weights does not matter, so Xavier's are as good as any."""
    width, layers = SHAPES[0]
    return {25: [measure("born dead", column(records, "born_dead", width=width, layers=layers), FEW, above=False)]}


EXPERIMENT = Experiment("born", jobs, run, measurements)
