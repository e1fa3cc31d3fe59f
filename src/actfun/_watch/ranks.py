"""Statistics over the processes of distributed training: one sum of all counts, whatever the number of activations."""

import hashlib
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from actfun._operators.torch_private import is_within_ddp
from actfun._watch.tally import Tally

COUNTS = ("samples", "responses", "inputs", "gradients", "slots")


def is_shared(model: nn.Module) -> bool:
    """Whether other processes train the same model in step: it is DistributedDataParallel's, or sharded by FSDP."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return False
    kinds = [kind.__name__ for module in model.modules() for kind in type(module).__mro__]
    return any(name in ("DistributedDataParallel", "FSDPModule") for name in kinds) or is_within_ddp(model)


def total(
    names: Sequence[str], tallies: Sequence[Tally], others: Sequence[Tensor], interval: int, device: torch.device
) -> int:
    """Make tallies, and other sums, those of all ranks, in place; the largest interval that a rank asks for.

    names: of the places, in their order. device: where the model is. Where ranks have seen different places, each
    rank's stay its own.
    """
    packed = [part.reshape(-1) for part in _parts(tallies, others)]
    lengths = [len(part) for part in packed]
    text = repr((list(names), lengths)).encode()
    digest = int.from_bytes(hashlib.sha256(text).digest()[:6])  # 48 bits, which float64 holds
    agreed = torch.tensor([digest, -digest, interval], dtype=torch.float64, device=device)
    dist.all_reduce(agreed, dist.ReduceOp.MAX)
    if packed and int(agreed[0]) == -int(agreed[1]):
        counts = [[getattr(tally, name) for name in COUNTS] for tally in tallies]
        whole = torch.cat([*packed, torch.tensor(counts, dtype=torch.float64, device=device).reshape(-1)])
        dist.all_reduce(whole)
        *parts, sums = whole.split([*lengths, len(COUNTS) * len(tallies)])  # type: ignore[no-untyped-call]
        for part, summed in zip(packed, parts, strict=True):
            part.copy_(summed)
        for tally, row in zip(tallies, sums.view(-1, len(COUNTS)).tolist(), strict=True):
            for name, count in zip(COUNTS, row, strict=True):
                setattr(tally, name, int(count))
    return int(agreed[2])


def _parts(tallies: Sequence[Tally], others: Sequence[Tensor]) -> list[Tensor]:
    """All sums, as float64 tensors that are the tallies' own."""
    found = []
    for tally in tallies:
        for name in ("units", "sums", "bins"):
            value = getattr(tally, name)
            if value is not None:
                setattr(tally, name, value := value.to(torch.float64).contiguous())
                found.append(value)
    return [*found, *others]
