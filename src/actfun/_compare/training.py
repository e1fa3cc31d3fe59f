"""The loop that trains: a step at a time, so that whoever asked may look in between, or stop."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from actfun._compare.tasks import Part, batches


def steps(
    network: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    part: Part,
    batch_size: int,
    optimizer: torch.optim.Optimizer,
    seed: int,
) -> Iterator[float]:
    """Train without end; after each step comes the loss of its batch. seed: for the order of the data."""
    order = torch.Generator().manual_seed(seed)
    while True:
        for x, y in batches(part, batch_size, order):
            value = loss(network(x), y)
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            yield float(value.detach())
