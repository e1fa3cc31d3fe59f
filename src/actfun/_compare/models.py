"""The networks of the tasks; they differ between candidates in the activation alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actfun._operators.gains import gain
from actfun._operators.modules import FeedForward, hidden, inputs

EQUAL = " (equal parameters)"


@dataclass(frozen=True)
class Candidate:
    """An activation in a comparison.

    equal_parameters: hidden layers made narrower, so that the network has no more parameters than the others (maxout).
    """

    activation: str
    equal_parameters: bool = False

    @property
    def label(self) -> str:
        """How the candidate is named in results."""
        return self.activation + (EQUAL if self.equal_parameters else "")

    @property
    def pieces(self) -> float:
        """How many pre-activations a hidden unit has."""
        return inputs(hidden(self.activation))


def candidate_of(label: str) -> Candidate:
    """The candidate of a label."""
    return Candidate(label.removesuffix(EQUAL), label.endswith(EQUAL))


class Network(nn.Module):
    """What the tasks' networks have in common.

    activations: the activation modules; fed: the linear layers whose input is an activation's output.
    """

    activations: list[nn.Module]
    fed: list[nn.Linear]


class MLP(Network):
    """Layers of equal width: (N, in_features) -> (N, out_features).

    made: gives a hidden layer's activation; the candidate's own if None.
    """

    def __init__(
        self,
        in_features: int,
        width: int,
        depth: int,
        out_features: int,
        candidate: Candidate,
        make: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.activations = [make() if make else hidden(candidate.activation) for _ in range(depth)]
        layers: list[nn.Module] = []
        for k, activation in enumerate(self.activations):
            layers += [nn.Linear(width if k else in_features, int(width * candidate.pieces)), activation]
        self.layers = nn.Sequential(*layers, nn.Linear(width, out_features))
        self.fed = [layer for layer in list(self.layers)[1:] if isinstance(layer, nn.Linear)]

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features) -> logits (N, out_features)."""
        logits: Tensor = self.layers(x)
        return logits


class Block(nn.Module):
    """A pre-norm Transformer block with causal attention: (N, length, d_model) -> the same."""

    def __init__(self, d_model: int, heads: int, d_hidden: int, activation: str) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.qkv, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.feed = FeedForward(d_model, d_hidden, activation)

    def forward(self, x: Tensor) -> Tensor:
        """(N, length, d_model) -> the same."""
        q, k, v = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1)).transpose(1, -2).unbind(2)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(-2))
        y: Tensor = x + self.feed(self.feed_norm(x))
        return y


class CharTransformer(Network):
    """A small causal Transformer over characters: (N, length) of indices -> logits (N, length, characters)."""

    def __init__(
        self, characters: int, length: int, d_model: int, depth: int, d_hidden: int, candidate: Candidate
    ) -> None:
        super().__init__()
        self.embedding, self.position = nn.Embedding(characters, d_model), nn.Embedding(length, d_model)
        self.blocks = nn.ModuleList(Block(d_model, 2, d_hidden, candidate.activation) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(d_model), nn.Linear(d_model, characters)
        feeds = [block.feed for block in self.blocks if isinstance(block, Block)]
        self.activations = [feed.activation for feed in feeds]
        self.fed = [feed.down for feed in feeds]

    def forward(self, x: Tensor) -> Tensor:
        """(N, length) of indices -> logits (N, length, characters)."""
        h = self.embedding(x) + self.position.weight[: x.shape[1]]
        for block in self.blocks:
            h = block(h)
        logits: Tensor = self.head(self.norm(h))
        return logits


def parameters(network: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def widest(build: Callable[[int], nn.Module], width: int, budget: int) -> int:
    """The largest width up to `width` at which build(width) has at most `budget` parameters."""
    while width > 1 and parameters(build(width)) > budget:
        width -= 1
    return width


def build_network(build: Callable[[int, Candidate], Network], width: int, candidate: Candidate) -> Network:
    """A candidate's network of that width, or narrower, where it may have no more parameters than ReLU's."""
    if candidate.equal_parameters:
        budget = parameters(build(width, Candidate("relu")))
        width = widest(lambda narrower: build(narrower, candidate), width, budget)
    return build(width, candidate)


def initialise(network: Network, candidate: Candidate, seed: int, matched: bool) -> None:
    """Draw the weights with a scale of 1, or, if `matched`, the activation's own forward gain in layers fed by it."""
    draw(network, seed, gain(candidate.activation) if matched else 1.0)


def draw(network: Network, seed: int, after: float) -> None:
    """Draw the weights: N(0, g²/fan_in), biases 0, embeddings N(0, 0.02²).

    g is `after` in layers fed by an activation, else 1. Each layer draws from a generator of its own, so layers of the
    same shape get the same draws whatever the activation.
    """
    for k, layer in enumerate(network.modules()):
        generator = torch.Generator().manual_seed(1_000 * seed + k)
        if isinstance(layer, nn.Linear):
            scale = after if any(layer is fed for fed in network.fed) else 1.0
            nn.init.normal_(layer.weight, 0.0, scale / math.sqrt(layer.in_features), generator=generator)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Embedding):
            nn.init.normal_(layer.weight, 0.0, 0.02, generator=generator)
