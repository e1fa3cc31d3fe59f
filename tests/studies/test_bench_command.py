"""`actfun bench`: what it times, that it times it right, what it writes, and that a stopped run goes on."""

import json
import math
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from support import COMPILES, ELEMENTWISE
from torch import nn

import actfun as af
from actfun._accuracy.implementation import library_function
from actfun._bench import timing
from actfun._bench.compiled import PLACES, Compiled, count_graphs
from actfun._bench.libraries import COPY, EAGER, LIBRARIES, OURS, PEERS
from actfun._bench.networks import NETWORKS, networks
from actfun._bench.steps import Function, Step, kept_bytes, module
from actfun._cli import main
from actfun._operators.modules import Elementwise

COMMAND = [sys.executable, "-m", "actfun", "bench"]
INSTALLED = [name for name in (OURS, *PEERS) if LIBRARIES[name].version]
NAMES = [activation.name for activation in ELEMENTWISE]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | environment
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=600, env=env)


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
        ours, theirs = (LIBRARIES[lib].prepare(name, x, g if backward else None) for lib in (OURS, library))
        assert theirs is not None or library_function(EAGER, name) is None or library == "onnxruntime"
        if theirs is not None:
            torch.testing.assert_close(tensor(theirs()), tensor(ours()), atol=2e-6, rtol=1e-5)


@COMPILES
def test_torch_compile_is_timed_compiled():
    call = LIBRARIES["compile"].prepare("silu", torch.ones(8), None)
    assert torch.equal(call(), nn.functional.silu(torch.ones(8)))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0


class Clock:
    """A clock that calls move on."""

    def __init__(self) -> None:
        self.now, self.order = 0.0, []

    def __call__(self) -> float:
        return self.now

    def call(self, name: str, *seconds: float) -> Any:
        """A call that takes these seconds, one after another and again from the first."""

        def take() -> None:
            self.now += seconds[self.order.count(name) % len(seconds)]
            self.order.append(name)

        return take


def test_contestants_take_turns_and_a_slow_one_is_found_slow():
    clock = Clock()
    found = timing.in_turn({OURS: clock.call(OURS, 1.0), "slow": clock.call("slow", 3.0)}, 200.0, clock)
    assert found["rounds"] == 25  # of twice 1 s and twice 3 s
    turns = clock.order[-4 * found["rounds"] :]
    rounds = {tuple(turns[k : k + 4]) for k in range(0, len(turns), 4)}
    assert rounds == {(OURS, OURS, "slow", "slow"), ("slow", "slow", OURS, OURS)}
    assert found["seconds"] == {OURS: [1.0] * 3, "slow": [3.0] * 3}
    assert found["ratios"] == {"slow": [3.0] * 3}


def test_a_ratio_compares_calls_of_the_same_round():
    """A machine that is twice as slow half of the time leaves it alone."""
    clock = Clock()
    both = {name: clock.call(name, *(s * k for k in (1, 1, 2, 2))) for name, s in ((OURS, 1.0), ("slow", 1.5))}
    found = timing.in_turn(both, 0.0, clock)
    assert found["rounds"] == timing.ROUNDS[0]
    assert found["seconds"][OURS][0] < found["seconds"][OURS][2]
    assert found["ratios"] == {"slow": [1.5] * 3}


@pytest.mark.parametrize("n", [6, 7, 11, 25, 100, 2000])
def test_the_interval_holds_the_median_as_often_as_it_says_and_is_no_wider(n):
    low, middle, high = timing.interval([float(k) for k in reversed(range(n))])
    assert (low + high) / 2 == middle == (n - 1) / 2

    def holds(cut: int) -> float:
        """How often the true median lies between the values that are left when so many are cut off at each end."""
        return 1 - 2 * sum(math.comb(n, k) for k in range(cut + 1)) / 2**n

    assert holds(int(low)) >= timing.CONFIDENCE > holds(int(low) + 1)


@pytest.mark.parametrize(("activation", "tensors"), [(nn.ReLU, 1), (nn.Tanh, 1), (nn.GELU, 2)])
def test_kept_bytes_are_those_of_a_known_network(activation, tensors):
    """ReLU and tanh keep their output, which the next layer keeps anyway; GELU keeps its input beside it."""
    network, x = nn.Sequential(nn.Linear(4, 8), activation(), nn.Linear(8, 2)), torch.ones(3, 4)
    assert kept_bytes(lambda: network(x), [x, *network.parameters()]) == tensors * 3 * 8 * 4
    assert kept_bytes(lambda: network(x), network.parameters()) == tensors * 3 * 8 * 4 + 3 * 4 * 4


@pytest.mark.parametrize("name", NETWORKS)
def test_all_activations_of_a_network_are_exchanged_and_it_computes_the_same(name):
    if name not in networks():
        pytest.skip("needs transformers")
    logits = {}
    for library in (OURS, EAGER):
        torch.manual_seed(0)
        network, x, y = NETWORKS[name]()
        assert af.replace(network.eval(), {"*": module(library, "silu")}).sites
        left = {type(one) for one in network.modules() if "GELU" in type(one).__name__}
        kinds = {type(one) for one in network.modules() if isinstance(one, Function | Elementwise)}
        assert (left, kinds) == (set(), {type(module(library, "silu"))})
        with torch.no_grad():
            logits[library] = network(x)
        assert logits[library].flatten(0, -2).shape[0] == y.numel()
    torch.testing.assert_close(logits[OURS], logits[EAGER], atol=1e-4, rtol=1e-4)


def test_a_step_trains_and_tells_what_both_libraries_keep():
    found = Step("gelu", "MLP, batch 64", False, 0.0).run()
    assert found["rounds"] == timing.ROUNDS[0]
    hidden = 64 * 512 * 4
    assert 6 * hidden < found["kept"][EAGER] < 6.1 * hidden  # of each activation what goes in and out, and the loss
    assert set(found["seconds"]) == {OURS, EAGER}
    assert set(found["ratios"]) == {EAGER}


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "both ways"])
@pytest.mark.parametrize("place", PLACES)
def test_compiled_cells_do_the_same_work_with_both_libraries(place, backward):
    cell, results = Compiled("silu", "float32", 2048, backward, place, 0.0), {}
    with torch.compiler.set_stance("force_eager"), torch.set_grad_enabled(backward):
        for library in (OURS, EAGER):
            call = cell._call(library)
            torch.manual_seed(0)
            results[library] = call()
    torch.testing.assert_close(results[OURS], results[EAGER], atol=2e-6, rtol=1e-5)


@COMPILES
def test_compiled_calls_are_timed_compiled():
    found = Compiled("relu", "float32", 4096, True, "gate", 0.0).run()
    assert set(found["compiling"]) == set(found["seconds"]) == {OURS, EAGER}
    assert min(found["compiling"].values()) > 3 * max(found["seconds"][EAGER])


def test_graphs_and_breaks_are_counted():
    def breaking(x: torch.Tensor) -> torch.Tensor:
        torch._dynamo.graph_break()
        return x.relu()

    def by_size(x: torch.Tensor) -> torch.Tensor:
        return x.relu() if len(x) < 90 else x.relu() + 0.0 if len(x) < 110 else x.relu() + 1.0

    graphs, breaks = count_graphs(torch.relu)
    assert breaks == 0
    assert count_graphs(library_function(OURS, "gelu"))[1] == 0
    assert count_graphs(breaking)[1] > 0
    assert count_graphs(by_size)[0] > graphs


def test_it_writes_tables_and_a_page_and_goes_on(tmp_path):
    arguments = ["relu", "gelu", "--eager", "--sizes", "16,4096", "--dtypes", "float32", "--against", "torch"]
    arguments += ["--seconds", "0.05", "--threads", "1", "--out", str(tmp_path)]
    first = run(*arguments)
    assert first.returncode == 0, first.stderr
    assert "Eager calls: torch / actfun, float32, forward + backward" in first.stdout
    facts = json.loads((tmp_path / "bench.json").read_text())
    assert len(facts["cells"]) == 12  # of the second spread the larger size alone
    assert all(set(cell["seconds"]) == {OURS, EAGER, COPY} for cell in facts["cells"])
    assert facts["versions"]["torch"] == facts["machine"]["torch"]
    page = (tmp_path / "speed.md").read_text()
    command = (
        "actfun bench relu gelu --eager --sizes 16,4096 --dtypes float32 --against torch --seconds 0.05 --threads 1"
    )
    assert f"Written by `{command}`" in page
    assert f"{facts['vectors']} vectors" in page
    assert not (tmp_path / "speed.svg").exists()
    again = run(*arguments, "--resume")
    assert json.loads((tmp_path / "bench.json").read_text())["cells"] == facts["cells"]
    assert again.returncode == 0


@pytest.mark.slow
def test_steps_are_drawn_and_without_a_compiler_they_are_eager(tmp_path):
    done = run("relu", "--steps", "--seconds", "0", "--threads", "1", "--out", str(tmp_path), PATH="")
    assert done.returncode == 0, done.stderr
    cells = json.loads((tmp_path / "bench.json").read_text())["cells"]
    there = "from actfun._bench.networks import networks; print(*networks(), sep='|')"  # as another process finds it
    told = subprocess.run([sys.executable, "-c", there], capture_output=True, text=True, check=True).stdout
    assert [cell["network"] for cell in cells] == told.strip().splitlines()[-1].split("|")
    assert not any(cell["compiled"] for cell in cells)
    assert "](speed.svg)" in (tmp_path / "speed.md").read_text()
    assert "ResNet" in (tmp_path / "speed.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gleu"], "gelu"),
        (["--sizes", "4096,many"], "'many' is not a number of elements"),
        (["--sizes", ","], "--sizes names nothing"),
        (["--dtypes", "float23"], "float32"),
        (["--against", "numpy"], "--against: 'numpy' is not known"),
        (["--against", "compile"], "--against: compile is not there; it needs a C++ compiler"),
        (["--spreads", "1,-1"], "--spreads: '-1' is not a standard deviation"),
        (["--spreads", "wide"], "--spreads: 'wide' is not a standard deviation"),
        (["--seconds", "-1"], "--seconds"),
        (["--compiled"], "--compiled: torch.compile needs a C++ compiler"),
        (["relu_squared", "--steps"], "torch has no relu_squared"),
    ],
    ids=str,
)
def test_bad_input_is_named(tmp_path, capsys, monkeypatch, arguments, words):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # the other tests keep theirs
    assert main(["bench", *arguments, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
