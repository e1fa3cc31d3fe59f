"""Training steps of whole networks, with torch's activations and with ours: the time, and what is kept for backward."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from actfun._accuracy.implementation import library_function
from actfun._bench.libraries import EAGER, OURS
from actfun._bench.networks import NETWORKS
from actfun._bench.timing import Timing, in_turn
from actfun._operators.modules import module_named
from actfun._surgery.replace import replace

ACTIVATIONS = ("relu", "gelu", "silu", "tanh", "elu")
SECONDS = 10.0  # of a step's budget, to one of an eager call's: its differences are percents


class Function(nn.Module):
    """A function as a module without parameters, as torch's own activations are: the same shape and dtype."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """The function of x."""
        return self.function(x)


def module(library: str, activation: str) -> nn.Module:
    """A library's module of an activation. Raises ValueError where it has none."""
    if library == OURS:
        return module_named(activation)
    function = library_function(library, activation)
    if function is None:
        raise ValueError(f"{library} has no {activation}")
    return Function(function)


@dataclass(frozen=True)
class Step(Timing):
    """A training step: forward, loss, backward and SGD, float32, with the same weights and data for both libraries.

    compiled: the network goes through torch.compile. budget: the seconds to spend, beyond what a few rounds take.
    """

    kind: ClassVar[str] = "step"

    activation: str
    network: str
    compiled: bool
    budget: float

    @property
    def label(self) -> str:
        """What a reader knows it by."""
        mode = "compiled" if self.compiled else "eager"
        return f"{self.activation} {mode} step of {self.network}"

    def run(self) -> dict[str, Any]:
        """Time the step with both libraries."""
        torch.compiler.reset()
        calls, kept = {}, {}
        for library in (OURS, EAGER):
            calls[library], kept[library] = self._prepare(library)
        return {**in_turn(calls, self.budget), "kept": kept}

    def _prepare(self, library: str) -> tuple[Callable[[], None], int]:
        """The step, and the bytes that it keeps."""
        torch.manual_seed(0)
        network, x, y = NETWORKS[self.network]()
        replace(network, {"*": module(library, self.activation)})
        optimizer = torch.optim.SGD(network.parameters(), 1e-3)
        model = torch.compile(network) if self.compiled else network

        def loss() -> Tensor:
            return nn.functional.cross_entropy(model(x).flatten(0, -2), y.flatten())

        def step() -> None:
            optimizer.zero_grad()
            loss().backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        return step, kept_bytes(loss, [x, y, *network.parameters(), *network.buffers()])


def kept_bytes(forward: Callable[[], Tensor], others: Iterable[Tensor]) -> int:
    """The memory that a forward pass keeps for backward, each storage once, but for that of others: weights, inputs."""
    storages: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage  # as long as it is held, no other takes its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    left_out = {tensor.untyped_storage().data_ptr() for tensor in others}
    return sum(storage.nbytes() for address, storage in storages.items() if address not in left_out)


def steps(activations: Sequence[str], networks: Sequence[str], modes: Sequence[bool], seconds: float) -> list[Step]:
    """Every network with every activation, eager first; modes: whether compiled."""
    return [
        Step(name, network, compiled, SECONDS * seconds)
        for compiled in modes
        for network in networks
        for name in activations
    ]
