"""Time beside torch, eager and compiled, alone and in a Transformer's block; bytes kept for backward.

Each time is taken twice: as called, with all that Python and launching take, and on the device alone, from a CUDA graph
of the same calls. Libraries take turns; times are medians, in seconds.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

import actfun as af
from actfun._accuracy.implementation import library_function
from gpu_checks.correct import Function, ours
from gpu_checks.run import Run, Section

ROUNDS = 5
STEPS = 101  # of a block: single ones vary by a tenth
FIRST = ("gelu", "silu", "relu", "tanh", "elu", "sigmoid")  # in this order, should time run out
DTYPES = (torch.bfloat16, torch.float32)
SHAPES = ((512, 4), (1024, 4), (1024, 8), (2048, 4), (2048, 8), (4096, 8))
Call = Callable[[], Any]


def theirs(name: str) -> Function | None:
    """torch's function of the name."""
    return library_function("torch", name)


def ordered(run: Run) -> list[str]:
    """The activations that torch has, the best known first."""
    known = [name for name in run.names if theirs(name) is not None]
    return sorted(known, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))


def times(run: Run, calls: Mapping[str, Call]) -> dict[str, dict[str, float | None]]:
    """What each call takes, as called and on the device alone: None where there is no device or no graph of it."""
    called = {name: repeated(run, call) for name, call in calls.items()}
    found = in_turn(run, called)
    alone: dict[str, float] = {}
    if run.device.type == "cuda":
        try:
            alone = in_turn(run, {name: _graphed(call, min(called[name][1] + 1, 10)) for name, call in calls.items()})
        except RuntimeError as error:  # what cannot be captured can still be called
            run.say(f"no CUDA graph: {str(error).splitlines()[0]}")
    return {name: {"called": value, "device": alone.get(name)} for name, value in found.items()}


def repeated(run: Run, call: Call) -> tuple[Call, int]:
    """A call, repeated often enough to be timed, and how often."""
    for _ in range(3):
        call()
    count = max(1, min(200, int(run.size.seconds / _elapsed(run, call))))

    def repeated() -> None:
        for _ in range(count):
            call()

    return repeated, count


def _graphed(call: Call, count: int) -> tuple[Call, int]:
    """Some calls as a CUDA graph: kernels alone."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(count):
            call()
    return graph.replay, count


def in_turn(run: Run, calls: Mapping[str, tuple[Call, int]], rounds: int = ROUNDS) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for k in range(rounds + 1):
        for name, (call, count) in calls.items():
            seconds = _elapsed(run, call) / count
            if k:
                taken[name].append(seconds)
    return {name: statistics.median(values) for name, values in taken.items()}


def _elapsed(run: Run, call: Call) -> float:
    if run.device.type != "cuda":
        begun = time.perf_counter()
        call()
        return time.perf_counter() - begun
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


def both_ways(function: Function, x: Tensor, g: Tensor) -> Call:
    """A call forward and backward."""
    leaf = x.detach().requires_grad_()
    return lambda: torch.autograd.grad(function(leaf), leaf, g)


def forward(function: Function, x: Tensor) -> Call:
    """A call forward, nothing recorded."""

    def call() -> None:
        with torch.no_grad():
            function(x)

    return call


def _cell(
    run: Run, section: Section, name: str, dtype: torch.dtype, size: int, functions: Mapping[str, Function]
) -> None:
    x, g = (torch.randn(size, device=run.device).to(dtype) for _ in range(2))
    ways = {
        "forward": {library: forward(function, x) for library, function in functions.items()},
        "both ways": {library: both_ways(function, x, g) for library, function in functions.items()},
    }
    for way, calls in ways.items():
        row = {"name": name, "dtype": str(dtype).removeprefix("torch."), "size": size, "way": way}
        section.rows.append({**row, **times(run, calls)})


def eager(run: Run, section: Section) -> None:
    """Each activation beside torch's, from the smallest size to the largest."""
    sizes = sorted(run.size.elements, key=lambda size: (size < run.size.large, size))  # those that count come first
    cells = [(name, dtype, size) for size in sizes for dtype in DTYPES for name in ordered(run)]
    for name, dtype, size in run.each(section, cells):
        _cell(run, section, name, dtype, size, {"torch": theirs(name), "actfun": ours(name)})


def compiled(run: Run, section: Section) -> None:
    """The same, both compiled, for fixed sizes."""
    cells = [(name, dtype, size) for size in run.size.compiled for dtype in DTYPES for name in ordered(run)]
    for name, dtype, size in run.each(section, cells):
        torch._dynamo.reset()
        pair = {"torch": theirs(name), "actfun": ours(name)}
        functions = {library: torch.compile(function, dynamic=False) for library, function in pair.items()}
        _cell(run, section, name, dtype, size, functions)


class Block(nn.Module):
    """A block of a GPT: causal attention and a feed-forward network, each on a normalised residual stream."""

    def __init__(self, width: int, heads: int, activation: Function) -> None:
        super().__init__()
        self.heads, self.activation = heads, activation
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, width) -> the same."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.project(self.before(x)).chunk(3, -1)
        )
        attended = scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.merge(attended)
        y: Tensor = x + self.down(self.activation(self.up(self.after(x))))
        return y


def _step(run: Run, activation: Function, compile: bool) -> Call:
    torch.manual_seed(0)
    batch, length, width, heads = run.size.block
    block = Block(width, heads, activation).to(run.device, torch.bfloat16)
    x = torch.randn(batch, length, width, device=run.device, dtype=torch.bfloat16)
    network = torch.compile(block, dynamic=False) if compile else block
    optimizer = torch.optim.SGD(block.parameters(), 1e-4)

    def step() -> None:
        optimizer.zero_grad()
        network(x).square().mean().backward()
        optimizer.step()

    return step


def blocks(run: Run, section: Section) -> None:
    """Training steps of a bfloat16 GPT block: torch's activation in it, or ours."""
    cells = [(name, compile) for compile in (False, True) for name in ordered(run)[: 1 if compile else 4]]
    for name, compile in run.each(section, cells):
        torch._dynamo.reset()
        steps = {"torch": _step(run, theirs(name), compile), "actfun": _step(run, ours(name), compile)}
        called = in_turn(run, {library: repeated(run, step) for library, step in steps.items()}, STEPS)
        section.rows.append({"name": name, "compiled": compile, **called})


def memory(run: Run, section: Section) -> None:
    """Bytes that the forward pass of Linear-activation-Linear leaves for backward, for each hidden element."""
    batch, width = (1024, 4096) if run.device.type == "cuda" else (8, 16)
    for name, dtype in run.each(section, [(name, dtype) for name in ordered(run) for dtype in DTYPES]):
        row: dict[str, Any] = {"name": name, "dtype": str(dtype).removeprefix("torch.")}
        for library, function in (("torch", theirs(name)), ("actfun", ours(name))):
            assert function is not None
            up, down = (nn.Linear(*sizes, device=run.device, dtype=dtype) for sizes in ((16, width), (width, 16)))
            x = torch.randn(batch, 16, device=run.device, dtype=dtype)
            own = [x, *up.parameters(), *down.parameters()]
            row[library] = _kept(run, lambda up=up, down=down, f=function, x=x: down(f(up(x))), own) / (batch * width)
        section.rows.append(row)


def _kept(run: Run, call: Callable[[], Tensor], own: list[Tensor]) -> int:
    """The bytes that stay allocated with a result; on a CPU those that autograd keeps, without its `own` tensors."""
    if run.device.type == "cuda":
        call()  # what libraries allocate once
        before = torch.cuda.memory_allocated()
        y = call()
        return torch.cuda.memory_allocated() - before - y.nbytes
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        call()
    return sum(size for place, size in storages.items() if place not in {t.untyped_storage().data_ptr() for t in own})


def shapes(run: Run, section: Section) -> None:
    """Kernels with other numbers of elements and warps to a block than they have: seconds at 2^26 elements."""
    if run.device.type != "cuda":
        return
    from actfun._backends import gpu as gpu

    count = 2**26
    cells = [(name, dtype, block, warps) for name in ("gelu", "relu") for dtype in DTYPES for block, warps in SHAPES]
    for name, dtype, block, warps in run.each(section, cells):
        x = torch.randn(count, device=run.device).to(dtype)
        arguments = x, torch.empty_like(x), count, (), (), gpu.lower(af.spec(name).formula, dtype), block
        options = {"num_warps": warps, "enable_fp_fusion": False}
        kernel = gpu.forward_kernel[(count // block, 1, 1)]
        taken = in_turn(run, {"": repeated(run, lambda k=kernel, a=arguments, o=options: k(*a, **o))})
        section.rows.append({"name": name, "dtype": str(dtype), "block": block, "warps": warps, "seconds": taken[""]})
