"""The loop that trains: a step at a time, so that whoever asked may look in between, or stop."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as tree

from actfun._compare.problem import Rows, batches, outputs_of


def steps(
    network: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    part: Rows,
    batch_size: int,
    optimizer: torch.optim.Optimizer,
    seed: int,
    device: str = "cpu",
    schedule: Any = None,
) -> Iterator[float]:
    """Train without end; after each step comes the loss of its batch. seed: for the order of the data."""
    order = torch.Generator().manual_seed(seed)
    while True:
        for batch in batches(part, batch_size, order):
            x, y = on(device, batch)
            value = loss(outputs_of(network, x), y)
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if schedule is not None:
                schedule.step()
            yield float(value.detach())


def on(device: str, batch: Any) -> Any:
    """A batch on a device."""
    return batch if device == "cpu" else tree.tree_map_only(Tensor, lambda t: t.to(device, non_blocking=True), batch)
