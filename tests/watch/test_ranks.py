"""`af.watch` in distributed training: two processes on this machine, whose statistics are those of all their data."""

import json
import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing, nn
from torch.nn import functional

import actfun as af

RANKS, STEPS, ROWS = 2, 6, 2_000


class Net(nn.Module):
    """`narrow`: units of the first layer that only rank 1 wakes, and units that none does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 4)
        self.act, self.more = nn.ReLU(inplace=True), False
        with torch.no_grad():
            self.first.weight[:8], self.first.bias[:8] = 0.0, -5.0  # dead, but where the first input is large
            self.first.weight[:4, 0] = 1.0

    def forward(self, x):
        h = self.second(self.act(self.first(x)))
        return self.last(functional.gelu(torch.tanh(h) if self.more else h))


def data(rank):
    x = torch.randn(ROWS, 8, generator=torch.Generator().manual_seed(rank))
    x[:, 0] = 100.0 if rank == 1 else 0.0
    return x, x[:, 1:5].argmax(1)


def work(rank, folder, kind):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS)
    model = Net()
    if kind == "FSDP2":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cpu", (RANKS,))
        for layer in (model.first, model.second, model.last):
            fully_shard(layer, mesh=mesh)
        called = watched = fully_shard(model, mesh=mesh)
    else:
        called = nn.parallel.DistributedDataParallel(model)
        watched = model if kind == "inside of DDP" else called
        model.more = kind == "DDP, a branch" and rank == 1
    optimizer = torch.optim.SGD(called.parameters(), 0.01)
    with af.watch(watched, every=2, live=False) as watch:
        for _ in range(STEPS):
            x, y = data(rank)
            optimizer.zero_grad()
            functional.cross_entropy(called(x), y).backward()
            optimizer.step()
            if kind == "DDP" and rank == 0:  # validation, on one rank alone
                with torch.no_grad():
                    model(x)
    found = {"records": watch.records(), "findings": [[f.kind, f.site] for f in watch.findings()], "steps": watch.steps}
    Path(folder, f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


@pytest.mark.parametrize("kind", ["DDP", "inside of DDP", "FSDP2"])
def test_statistics_are_those_of_all_ranks(tmp_path, kind):
    multiprocessing.spawn(work, (str(tmp_path), kind), RANKS)
    one, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(RANKS))
    assert one == other
    first, second = one["records"][:2]
    assert [r["step"] for r in one["records"]] == [0, 0, 2, 2, 4, 4]
    assert (first["samples"], first["units"], second["samples"]) == (RANKS * ROWS, 16, RANKS * ROWS)
    torch.manual_seed(0)
    model, whole = Net(), torch.cat([data(rank)[0] for rank in range(RANKS)])
    z = model.first(whole)
    y = z.relu()
    assert first["mean"] == pytest.approx(float(y.detach().mean()), rel=1e-5)
    assert first["std"] == pytest.approx(float(y.detach().std(correction=0)), rel=1e-5)
    assert first["dead"] == int((z <= 0).all(0).sum()) == 4  # and the 4 that only rank 1 wakes are not
    assert math.isfinite(second["update_ratio"])
    assert second["update_ratio"] > 0.0
    assert one["steps"] == STEPS


def test_ranks_that_see_other_places_keep_their_own_and_go_on(tmp_path):
    multiprocessing.spawn(work, (str(tmp_path), "DDP, a branch"), RANKS)
    one, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(RANKS))
    assert [r["site"] for r in one["records"][:3]] == ["module.act", "module.second → F.gelu", "module.act"]
    assert [r["site"] for r in other["records"][:3]] == [
        "module.act",
        "module.second → torch.tanh",
        "module.second → F.gelu",
    ]
    assert {r["samples"] for r in (*one["records"], *other["records"])} == {ROWS}
    assert one["steps"] == other["steps"] == STEPS
