"""Networks of the kinds in which activations are used, so small that a step takes 5 to 300 ms on two cores."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from actfun._compare.models import MLP, Candidate, CharTransformer

VOCABULARY, LENGTH, WIDTH, HEADS = 1024, 128, 256, 4
ANY = Candidate("gelu")  # to be exchanged


class Task(NamedTuple):
    """A network with a batch of inputs, and the right class for each of its rows of logits."""

    network: nn.Module
    x: Tensor
    y: Tensor


class Residual(nn.Module):
    """Two 3x3 convolutions with batch normalisation, around which the input goes: (N, in, H, W) -> (N, out, H', W')."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm, self.second_norm = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.around = nn.Conv2d(channels_in, channels, 1, stride, bias=False) if stride > 1 else nn.Identity()
        self.inner, self.outer = nn.GELU(), nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H/stride, W/stride)."""
        h = self.inner(self.first_norm(self.first(x)))
        y: Tensor = self.outer(self.second_norm(self.second(h)) + self.around(x))
        return y


class Logits(nn.Module):
    """The logits of a model of transformers: (N, length) of indices -> (N, length, classes)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """(N, length) of indices -> (N, length, classes)."""
        logits: Tensor = self.model(input_ids=x).logits
        return logits


def _mlp(batch: int) -> Task:
    return Task(MLP(784, 512, 3, 10, ANY), torch.randn(batch, 784), torch.randint(10, (batch,)))


def _resnet() -> Task:
    stem = [nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.GELU()]
    blocks = [Residual(32, 32, 1), Residual(32, 64, 2), Residual(64, 128, 2)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)]
    return Task(nn.Sequential(*stem, *blocks, *head), torch.randn(32, 3, 32, 32), torch.randint(10, (32,)))


def _text(network: nn.Module, batch: int) -> Task:
    x, y = torch.randint(VOCABULARY, (2, batch, LENGTH)).unbind()
    return Task(network, x, y)


def _gpt() -> Task:
    return _text(CharTransformer(VOCABULARY, LENGTH, WIDTH, 1, 4 * WIDTH, ANY), 8)


def gpt2(layers: int, activation: str) -> nn.Module:
    """A small GPT-2 with an activation by transformers' name: (N, LENGTH) of indices -> logits."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"vocab_size": VOCABULARY, "n_positions": LENGTH, "n_embd": WIDTH, "n_layer": layers, "n_head": HEADS}
    config = GPT2Config(**sizes, activation_function=activation, bos_token_id=0, eos_token_id=0)
    return Logits(GPT2LMHeadModel(config))


def bert(layers: int) -> nn.Module:
    """A small BERT with gelu: (N, LENGTH) of indices -> logits."""
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(**_sizes(layers), intermediate_size=4 * WIDTH, hidden_act="gelu")
    return Logits(BertForMaskedLM(config))


def llama(layers: int) -> nn.Module:
    """A small Llama with SwiGLU: (N, LENGTH) of indices -> logits."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**_sizes(layers), intermediate_size=688, bos_token_id=0, eos_token_id=0)
    return Logits(LlamaForCausalLM(config))


def _sizes(layers: int) -> dict[str, Any]:
    sizes = {"vocab_size": VOCABULARY, "max_position_embeddings": LENGTH, "hidden_size": WIDTH}
    return sizes | {"num_hidden_layers": layers, "num_attention_heads": HEADS}


NETWORKS: dict[str, Callable[[], Task]] = {
    "MLP, batch 64": lambda: _mlp(64),
    "MLP, batch 512": lambda: _mlp(512),
    "ResNet": _resnet,
    "GPT block": _gpt,
    "GPT-2": lambda: _text(gpt2(2, "gelu"), 4),
    "BERT": lambda: _text(bert(2), 4),
}
OF_TRANSFORMERS = ("GPT-2", "BERT")


def has_transformers() -> bool:
    """Whether the models of the library transformers can be made here."""
    try:
        from transformers import BertForMaskedLM, GPT2LMHeadModel, LlamaForCausalLM  # noqa: F401
    except ImportError:  # also where it is installed beside a torchvision that does not go with torch
        return False
    return True


def networks() -> list[str]:
    """Those that can be made here: some need the library transformers."""
    return [name for name in NETWORKS if has_transformers() or name not in OF_TRANSFORMERS]
