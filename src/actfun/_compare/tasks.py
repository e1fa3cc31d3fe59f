"""The tasks: real data that comes with scikit-learn and with Python itself, so nothing is downloaded."""

import pydoc_data.topics
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import Tensor
from torch.nn import functional

from actfun._catalogue.registry import nearest
from actfun._compare.models import MLP, Candidate, CharTransformer, Network, build_network
from actfun._compare.problem import Metric, Problem, Split

TEST_SEED = 20_260  # what is held back for testing never depends on a trial's seed, so tuning cannot have seen it


def _split_rows(x: numpy.ndarray, y: numpy.ndarray, seed: int, outputs: int) -> Split:
    """20% test, the same for every seed; of the rest 60% training, 20% validation, drawn by the seed.

    Inputs are standardised by the training part.
    """
    order = numpy.random.default_rng(TEST_SEED).permutation(len(x))
    test, rest = numpy.split(order, [round(0.2 * len(x))])
    train, validation = numpy.split(numpy.random.default_rng(seed).permutation(rest), [round(0.6 * len(x))])
    mean, std = x[train].mean(0), x[train].std(0)
    scaled = torch.from_numpy(((x - mean) / numpy.where(std > 0, std, 1.0)).astype(numpy.float32))
    targets = torch.from_numpy(y)
    parts = [(scaled[rows], targets[rows]) for rows in (train, validation, test)]
    return Split(parts[0], parts[1], parts[2], outputs)


@cache
def _digits() -> tuple[numpy.ndarray, numpy.ndarray]:
    data = load_digits()
    return data.data, data.target


@cache
def _breast_cancer() -> tuple[numpy.ndarray, numpy.ndarray]:
    data = load_breast_cancer()
    return data.data, data.target.astype(numpy.float32)


LENGTH, BLOCKS = 64, 100


@cache
def _text(file: str | None) -> tuple[Tensor, int]:
    """A text as indices of characters, and how many there are; without a file all of Python's help topics."""
    topics = pydoc_data.topics.topics
    text = Path(file).read_text(encoding="utf-8") if file else "\n\n".join(topics[name] for name in sorted(topics))
    characters = {character: k for k, character in enumerate(sorted(set(text)))}
    return torch.tensor([characters[character] for character in text]), len(characters)


def _split_text(seed: int, file: str | None = None) -> Split:
    """The text cut into 100 blocks: 5 for testing, the same for every seed, 5 for validation, 90 for training.

    Inputs are windows of 64 characters, targets the characters that follow each of them.
    """
    text, characters = _text(file)
    order = numpy.random.default_rng(TEST_SEED).permutation(BLOCKS)
    test, rest = order[:5].tolist(), numpy.random.default_rng(seed).permutation(order[5:]).tolist()
    blocks = text[: len(text) // BLOCKS * BLOCKS].chunk(BLOCKS)

    def windows(chosen: list[int]) -> tuple[Tensor, Tensor]:
        rows = torch.cat([blocks[k].unfold(0, LENGTH + 1, LENGTH) for k in sorted(chosen)])
        return rows[:, :-1], rows[:, 1:]

    return Split(windows(rest[5:]), windows(rest[:5]), windows(test), characters)


def _mlp(width: int, depth: int) -> Callable[[Candidate, Split], Network]:
    def build(candidate: Candidate, split: Split) -> Network:
        def of_width(width: int, candidate: Candidate) -> MLP:
            return MLP(split.train[0].shape[1], width, depth, split.outputs, candidate)

        return build_network(of_width, width, candidate)

    return build


def _transformer(candidate: Candidate, split: Split) -> Network:
    def of_width(d_hidden: int, candidate: Candidate) -> CharTransformer:
        return CharTransformer(split.outputs, LENGTH, 64, 2, d_hidden, candidate)

    return build_network(of_width, 256, candidate)


def accuracy(logits: Tensor, targets: Tensor) -> float:
    """The share of rows whose largest logit is their target's."""
    return float((logits.argmax(-1) == targets).float().mean())


def _binary_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits.squeeze(-1), targets)


def _binary_score(logits: Tensor, targets: Tensor) -> float:
    return float(_binary_loss(logits, targets))


def _token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten())


def _token_score(logits: Tensor, targets: Tensor) -> float:
    return float(_token_loss(logits, targets))


TASKS = {
    task.name: task
    for task in (
        Problem(
            name="digits",
            description="handwritten digits, 8x8 pixels, 10 classes (scikit-learn); MLP with 3 hidden layers of 64",
            metrics=(Metric("accuracy", accuracy, higher_is_better=True, worst=0.0, same_within=0.005),),
            seeds=40,
            steps=320,
            batch_size=64,
            split=lambda seed: _split_rows(*_digits(), seed, outputs=10),
            build=_mlp(64, 3),
            loss=functional.cross_entropy,
        ),
        Problem(
            name="breast_cancer",
            description="tumours, 30 features, malignant or not (scikit-learn); MLP with 2 hidden layers of 32, "
            "sigmoid output",
            metrics=(Metric("log-loss", _binary_score, False, worst=float(numpy.log(2.0)) * 10, same_within=0.01),),
            seeds=40,
            steps=200,
            batch_size=32,
            split=lambda seed: _split_rows(*_breast_cancer(), seed, outputs=1),
            build=_mlp(32, 2),
            loss=_binary_loss,
        ),
        Problem(
            name="text",
            description="next character of Python's own help texts; causal Transformer, 2 blocks, d_model 64",
            metrics=(Metric("nats per character", _token_score, False, worst=10.0, same_within=0.01),),
            seeds=10,
            steps=300,
            batch_size=32,
            split=_split_text,
            build=_transformer,
            loss=_token_loss,
        ),
    )
}


def task(name: str) -> Problem:
    """The task of that name; ValueError with the closest names where there is none."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; {nearest(name, tuple(TASKS))}")
    return TASKS[name]


FEWEST_CHARACTERS = 20_000  # 100 blocks of three windows each


@cache
def text_task(file: str, name: str) -> Problem:
    """The problem to guess the next character of a text. Raises ValueError where it is none, or too short."""
    try:
        indices, characters = _text(file)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text in UTF-8: {error.reason} at byte {error.start}") from None
    if len(indices) < FEWEST_CHARACTERS or characters < 2:
        raise ValueError(f"{file} has {len(indices):,} characters; at least {FEWEST_CHARACTERS:,} are needed")
    facts = {"characters": len(indices), "different characters": characters}
    return replace(
        TASKS["text"],
        name=name,
        description=f"next character of {name}; causal Transformer, 2 blocks, d_model 64",
        split=partial(_split_text, file=file),
        facts=facts,
    )
