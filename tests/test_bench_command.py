"""`actfun bench`: what it times, what it prints and writes, and that a stopped run goes on."""

import json
import shutil
import subprocess
import sys
import time
from typing import Any

import pytest
import torch
from support import ELEMENTWISE
from torch import nn

from actfun.accuracy.subject import library_function
from actfun.bench import cells
from actfun.bench.contestants import CONTESTANTS, COPY, EAGER, OURS, PEERS
from actfun.compare.models import MLP, CharTransformer, Contender
from actfun.nn import Elementwise
from actfun.report import bench as report

COMMAND = [sys.executable, "-m", "actfun", "bench"]
INSTALLED = [name for name in (OURS, *PEERS) if CONTESTANTS[name].version]
NAMES = [activation.name for activation in ELEMENTWISE]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120)


def tensor(result: Any) -> torch.Tensor:
    """The result of a call, whatever its library."""
    while isinstance(result, list | tuple):
        result = result[-1]
    return result.detach() if isinstance(result, torch.Tensor) else torch.tensor(result.__array__())


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "both ways"])
@pytest.mark.parametrize("library", [name for name in INSTALLED if name != "compile"])
def test_contestants_do_the_same_work(library, backward):
    x, g = torch.linspace(-3.0, 3.0, 64), torch.linspace(1.0, 2.0, 64)
    for name in NAMES:
        ours, theirs = (CONTESTANTS[lib].prepared(name, x, g if backward else None) for lib in (OURS, library))
        assert theirs is not None or library_function(EAGER, name) is None or library == "onnxruntime"
        if theirs is not None:
            torch.testing.assert_close(tensor(theirs()), tensor(ours()), atol=2e-6, rtol=1e-5)


@pytest.mark.skipif(not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="torch.compile needs a C++ compiler")
def test_torch_compile_is_timed_compiled():
    call = CONTESTANTS["compile"].prepared("silu", torch.ones(8), None)
    assert torch.equal(call(), nn.functional.silu(torch.ones(8)))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0


def test_contestants_take_turns_and_a_slow_one_is_found_slow():
    order: list[str] = []

    def call(name: str, seconds: float) -> Any:
        return lambda: (order.append(name), time.sleep(seconds))

    found = cells.in_turn({"quick": call("quick", 0.001), "slow": call("slow", 0.003)}, 0.05)
    assert found["rounds"] >= cells.ROUNDS[0]
    turns = order[-4 * found["rounds"] :]
    rounds = [tuple(turns[k : k + 4]) for k in range(0, len(turns), 4)]
    assert set(rounds) == {("quick", "quick", "slow", "slow"), ("slow", "slow", "quick", "quick")}
    (low, middle, high), slow = found["seconds"]["quick"], found["seconds"]["slow"]
    assert low <= middle <= high
    assert 2.0 < slow[1] / middle < 3.5


def record(size: int, backward: bool = False, **seconds: float) -> dict[str, Any]:
    quartiles = {name: [0.9 * taken, taken, 1.1 * taken] for name, taken in seconds.items()}
    return {"activation": "gelu", "dtype": "float32", "size": size, "backward": backward, "seconds": quartiles}


CALL = record(16, actfun=2.0, torch=1.0, copy=1.0)


@pytest.mark.parametrize(
    ("cell", "bound"),
    [
        (record(4096, actfun=3.0, torch=2.0, copy=1.0), "calls"),
        (record(4096, actfun=30.0, torch=60.0, copy=20.0), "memory"),
        (record(4096, actfun=30.0, torch=60.0, copy=10.0), "arithmetic"),
    ],
    ids=str,
)
def test_what_binds_a_cell_is_told(cell, bound):
    assert report.bound(cell, [CALL, cell]) == bound


def test_the_summary_counts_from_the_smallest_size_on_and_names_who_is_behind():
    cells = [
        CALL,
        record(4096, actfun=1.0, torch=4.0, jax=0.5, copy=0.2),
        record(65_536, actfun=1.0, torch=2.0, jax=3.0, copy=0.2),
    ]
    text = " ".join(report.summary(cells))
    assert "torch takes 3.00 times as long as actfun in the median of 2 cells" in text
    assert "slower than actfun in 1 of 2" in text
    assert "Behind in float32, forward, 4,096: gelu 0.50." in text


@pytest.mark.parametrize(
    "network", [MLP(8, 8, 2, 2, Contender("gelu")), CharTransformer(5, 4, 8, 2, 8, Contender("gelu"))]
)
def test_the_activations_of_a_network_are_exchanged(network):
    x = torch.randn(3, 8) if isinstance(network, MLP) else torch.randint(5, (3, 4))
    before = network(x)
    assert any(isinstance(module, Elementwise) for module in network.modules())
    cells.exchange(network, EAGER)
    assert not any(isinstance(module, Elementwise) for module in network.modules())
    torch.testing.assert_close(network(x), before, atol=1e-5, rtol=1e-5)


def test_it_writes_tables_a_page_and_a_picture_and_goes_on(tmp_path):
    arguments = ["relu", "gelu", "--sizes", "16,4096", "--dtypes", "float32", "--against", "torch", "--no-steps"]
    arguments += ["--seconds", "0.05", "--out", str(tmp_path)]
    first = run(*arguments)
    assert first.returncode == 0, first.stderr
    assert "float32, forward + backward, 4,096 elements, per element" in first.stdout
    facts = json.loads((tmp_path / "bench.json").read_text())
    assert len(facts["cells"]) == 8
    assert all(set(cell["seconds"]) == {OURS, EAGER, COPY} for cell in facts["cells"])
    assert facts["versions"]["torch"] == facts["machine"]["torch"]
    page = (tmp_path / "speed.md").read_text()
    assert page.count("| relu |") == 4
    assert "Written by `actfun bench relu gelu --sizes 16,4096 --against torch --dtypes float32`" in page
    assert "<svg" in (tmp_path / "speed.svg").read_text()
    again = run(*arguments, "--resume")
    assert json.loads((tmp_path / "bench.json").read_text())["cells"] == facts["cells"]
    assert again.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gleu"], "gelu"),
        (["--sizes", "4096,many"], "'many' is not a number of elements"),
        (["--dtypes", "float23"], "float32"),
        (["--against", "numpy"], "--against: 'numpy' is not known"),
        (["--spread", "-1"], "--spread"),
    ],
    ids=str,
)
def test_bad_input_is_named(tmp_path, arguments, words):
    done = run(*arguments, "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
