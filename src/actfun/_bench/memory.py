"""What training keeps for backward, and the most that it needs at a time: torch's way, and actfun's."""

import contextlib
import gc
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from actfun._bench.libraries import EAGER, OURS
from actfun._bench.networks import VOCABULARY, bert, gpt2, has_transformers, llama
from actfun._bench.timing import Timing, in_turn
from actfun._lean.scope import lean
from actfun._operators.layers import Maxout
from actfun._operators.modules import FeedForward
from actfun._operators.torch_private import allocations

ROWS, WIDTH, HIDDEN = 8_192, 256, 1_024
CHECKPOINT, LIGER, TOLD, AMAX = "checkpoint", "Liger's way", "torch, told to recompute", "torch, amax"
LEAN = "torch's layers in lean()"
SECONDS = 5.0  # of a step's budget, to one of an eager call's


class Memory(NamedTuple):
    """Bytes: those that a forward pass leaves allocated, its output aside, and the most during a whole step."""

    kept: int
    peak: int


def measure(forward: Callable[[], Tensor], step: Callable[[], Any], device: str = "cpu") -> Memory:
    """The memory of a forward pass, and of a step, beyond what is allocated before."""
    step()
    gc.collect()
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        y = forward()
        kept = torch.cuda.memory_allocated() - before - y.untyped_storage().nbytes()
        del y
        torch.cuda.reset_peak_memory_stats()
        step()
        return Memory(kept, torch.cuda.max_memory_allocated() - before)
    y, changes = allocations(forward)
    kept = sum(changes) - y.untyped_storage().nbytes()
    del y
    return Memory(kept, highest(allocations(step)[1]))


def highest(changes: Sequence[int]) -> int:
    """The most that is allocated at a time, by the changes in their order."""
    now = most = 0
    for change in changes:
        now += change
        most = max(most, now)
    return most


class Way(NamedTuple):
    """A way to train: the model, and the context of its forward pass."""

    model: Callable[[Tensor], Tensor]
    context: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext


@dataclass(frozen=True)
class Cell(Timing):
    """What one kind of block or model keeps and needs, and how long a step takes, eager or compiled.

    group: "block", "feed-forward", "maxout" or "model". batch: rows, or texts of 128 characters. budget: the seconds to
    spend on times, beyond what a few rounds take.
    """

    kind: ClassVar[str] = "memory"

    group: str
    subject: str
    compiled: bool
    batch: int
    budget: float

    @property
    def label(self) -> str:
        """What a reader knows it by."""
        return f"{self.subject} {'compiled' if self.compiled else 'eager'} {self.batch}"

    def run(self) -> dict[str, Any]:
        """Measure each way."""
        torch.compiler.reset()
        torch.manual_seed(0)
        ways, x = GROUPS[self.group](self.subject, self.batch, self.compiled, {"device": "cpu", "dtype": torch.float32})
        found, steps = {}, {}
        for name, way in ways.items():
            forward, step = calls(way, x)
            found[name] = measure(forward, step)
            steps[name] = step
        times = in_turn(steps, self.budget) if self.budget else {}
        memory = {name: one._asdict() for name, one in found.items()}
        return {"memory": memory, "elements": ELEMENTS.get(self.group, 0) * self.batch, **times}


def calls(way: Way, x: Tensor) -> tuple[Callable[[], Tensor], Callable[[], None]]:
    """The forward pass, and a whole step without an optimizer: its gradients are dropped."""
    parameters = [p for p in _module(way.model).parameters() if p.requires_grad]

    def forward() -> Tensor:
        with way.context():
            return way.model(x)

    def step() -> None:
        y = forward()
        torch.autograd.grad(y, parameters, torch.ones_like(y), allow_unused=True)

    return forward, step


def _module(model: Any) -> Any:
    return model if isinstance(model, nn.Module) else model.__self__


class Between(nn.Module):
    """A linear layer, something element-wise, a linear layer: (rows, WIDTH) -> the same; gated with two before."""

    def __init__(self, function: Callable[..., Tensor], gated: bool, factory: dict[str, Any]) -> None:
        super().__init__()
        self.function = function
        self.up, self.down = nn.Linear(WIDTH, HIDDEN, **factory), nn.Linear(HIDDEN, WIDTH, **factory)
        self.gate = nn.Linear(WIDTH, HIDDEN, **factory) if gated else None

    def forward(self, x: Tensor) -> Tensor:
        """(rows, WIDTH) -> (rows, WIDTH)."""
        pre = (self.up(x),) if self.gate is None else (self.gate(x), self.up(x))
        y: Tensor = self.down(self.function(*pre))
        return y

    def checkpointed(self, x: Tensor) -> Tensor:
        """The same, the activation and the last layer computed again in backward."""
        pre = (self.up(x),) if self.gate is None else (self.gate(x), self.up(x))
        y: Tensor = checkpoint(lambda *pre: self.down(self.function(*pre)), *pre, use_reentrant=False)
        return y

    def gated_in_place(self, x: Tensor) -> Tensor:
        """The same with Liger's gate, for silu(gate)·up."""
        assert self.gate is not None
        y: Tensor = self.down(SiluMul.apply(self.gate(x), self.up(x)))  # type: ignore[no-untyped-call]
        return y


class SiluMul(torch.autograd.Function):
    """silu(gate)·up as Liger computes it: both are kept, and backward writes their gradients over them."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return functional.silu(gate) * up

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        s = gate.sigmoid()
        silu = gate * s
        slope = s.mul_(gate.sub_(silu).add_(1.0))
        gate.copy_(g).mul_(up).mul_(slope)
        up.copy_(g).mul_(silu)
        return gate, up


def quick_gelu(x: Tensor) -> Tensor:
    """x·σ(1.702·x), written out as CLIP's code has it."""
    return x * torch.sigmoid(1.702 * x)


def gelu_new(x: Tensor) -> Tensor:
    """GELU's tanh form, written out as GPT-2's code has it."""
    return 0.5 * x * (1.0 + torch.tanh(0.7978845608028654 * (x + 0.044715 * torch.pow(x, 3.0))))


BLOCKS: dict[str, tuple[Callable[..., Tensor], bool, int]] = {  # function, gated, the fewest bytes in float32
    "relu": (functional.relu, False, 4),
    "leaky_relu": (functional.leaky_relu, False, 4),
    "sigmoid": (torch.sigmoid, False, 4),
    "tanh": (torch.tanh, False, 4),
    "gelu": (functional.gelu, False, 4),
    "silu": (functional.silu, False, 4),
    "elu": (functional.elu, False, 4),
    "mish": (functional.mish, False, 4),
    "softplus": (functional.softplus, False, 4),
    "hardswish": (functional.hardswish, False, 4),
    "relu squared": (lambda x: functional.relu(x).square(), False, 4),
    "QuickGELU, written out": (quick_gelu, False, 4),
    "GELU's tanh form, written out": (gelu_new, False, 4),
    "gelu, dropout": (lambda x: functional.dropout(functional.gelu(x), 0.1), False, 5),
    "ReGLU": (lambda g, u: functional.relu(g) * u, True, 8),
    "GEGLU": (lambda g, u: functional.gelu(g) * u, True, 8),
    "SwiGLU": (lambda g, u: functional.silu(g) * u, True, 8),
}

Found = tuple[dict[str, Way], Tensor]


def _block(subject: str, rows: int, compiled: bool, factory: dict[str, Any]) -> Found:
    function, gated, _ = BLOCKS[subject]
    model = Between(function, gated, factory)
    ways = {OURS: Way(_maybe(model, compiled), lean), EAGER: Way(_maybe(model, compiled))}
    if compiled:
        # With options of its own, though the usual ones: else Dynamo takes what it compiled for the way before.
        ways[TOLD] = Way(torch.compile(model, options={"max_autotune": False}), _recompute)
    else:
        ways[CHECKPOINT] = Way(model.checkpointed)
        if subject == "SwiGLU":
            ways[LIGER] = Way(model.gated_in_place)
    return ways, _rows(rows, factory)


def _recompute() -> AbstractContextManager[Any]:
    """Inductor's own wish to keep less."""
    from torch._functorch import config

    told: AbstractContextManager[Any] = config.patch(aggressive_recomputation=True)
    return told


def _maybe(model: nn.Module, compiled: bool) -> Any:
    return torch.compile(model) if compiled else model


def _rows(rows: int, factory: dict[str, Any]) -> Tensor:
    return torch.randn(rows, WIDTH, **factory)


def _feed_forward(subject: str, rows: int, compiled: bool, factory: dict[str, Any]) -> Found:
    gated = subject != "gelu"
    ours = FeedForward(WIDTH, HIDDEN, "silu" if gated else "gelu", gated).to(**factory)
    theirs = Between(BLOCKS["SwiGLU" if gated else "gelu"][0], gated, factory)
    if compiled:
        return {OURS: Way(torch.compile(ours), lean), EAGER: Way(torch.compile(theirs))}, _rows(rows, factory)
    ways = {OURS: Way(ours), EAGER: Way(theirs), LEAN: Way(theirs, lean), CHECKPOINT: Way(theirs.checkpointed)}
    if gated:
        ways[LIGER] = Way(theirs.gated_in_place)
    return ways, _rows(rows, factory)


class Naive(nn.Module):
    """Maxout as it is usually written: a linear layer, then torch's maximum over pieces."""

    def __init__(self, pieces: int, amax: bool, factory: dict[str, Any]) -> None:
        super().__init__()
        self.linear, self.pieces, self.amax = nn.Linear(WIDTH, HIDDEN * pieces, **factory), pieces, amax

    def forward(self, x: Tensor) -> Tensor:
        """(rows, WIDTH) -> (rows, HIDDEN)."""
        parts = self.linear(x).unflatten(-1, (-1, self.pieces))
        y: Tensor = parts.amax(-1) if self.amax else parts.max(-1).values
        return y


def _maxout(subject: str, rows: int, compiled: bool, factory: dict[str, Any]) -> Found:
    pieces = int(subject.split()[0])
    models = {OURS: Maxout(WIDTH, HIDDEN, pieces, **factory), EAGER: Naive(pieces, False, factory)}
    if not compiled:
        models[AMAX] = Naive(pieces, True, factory)
    after = nn.Linear(HIDDEN, 16, **factory)
    ways = {name: Way(_maybe(nn.Sequential(model, after), compiled)) for name, model in models.items()}
    return ways, _rows(rows, factory)


class Loss(nn.Module):
    """The mean loss of a network for texts, at the next character."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(N, length) of indices -> a number."""
        return functional.cross_entropy(self.network(x).flatten(0, 1), x.flatten())


MODELS: dict[str, Callable[[], nn.Module]] = {
    "GPT-2": lambda: gpt2(4, "gelu_new"),
    "BERT": lambda: bert(4),
    "Llama": lambda: llama(4),
}


def _model(subject: str, batch: int, compiled: bool, factory: dict[str, Any]) -> Found:
    model = Loss(MODELS[subject]()).to(**factory)
    x = torch.randint(VOCABULARY, (batch, 128), device=factory["device"])
    return {OURS: Way(_maybe(model, compiled), lean), EAGER: Way(_maybe(model, compiled))}, x


GROUPS: Mapping[str, Callable[[str, int, bool, dict[str, Any]], Found]] = {
    "block": _block,
    "feed-forward": _feed_forward,
    "maxout": _maxout,
    "model": _model,
}
ELEMENTS = {"block": HIDDEN, "feed-forward": HIDDEN, "maxout": HIDDEN}  # of a row
PIECES = ("2 pieces", "3 pieces", "4 pieces", "8 pieces")
BATCHES = (4, 8)  # of models: what a further text adds tells how many fit


def jobs(modes: Sequence[bool], seconds: float) -> list[Cell]:
    """Every block and model, eager first; modes: whether compiled."""
    budget, found = SECONDS * seconds, []
    for compiled in modes:
        found += [Cell("block", name, compiled, ROWS, budget) for name in BLOCKS]
        found += [Cell("feed-forward", name, compiled, ROWS, budget) for name in ("gelu", "silu, gated")]
        found += [Cell("maxout", name, compiled, ROWS, budget) for name in PIECES]
        models = MODELS if has_transformers() else ()
        found += [Cell("model", name, compiled, batch, budget) for name in models for batch in BATCHES]
    return found
