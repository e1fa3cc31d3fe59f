"""MNIST and CIFAR-10 as the user has them on disk: read by torchvision, never downloaded."""

import functools
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from actfun._compare.problem import Part, Split

NAMES = {"MNIST": "MNIST/raw", "CIFAR10": "cifar-10-batches-py"}  # torchvision's classes, and where each looks
VALIDATION = 5_000  # of the training images (GELU paper, arXiv:1606.08415, section 3.1)


def _datasets() -> Any:
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:  # RuntimeError: one that was built for another torch
        raise ValueError(f"`data` needs torchvision, which cannot be imported: {error}") from None
    return datasets


def find(folder: Path) -> tuple[str, ...]:
    """Those of NAMES that a folder holds. Raises ValueError where it holds none, or torchvision is missing."""
    names = tuple(name for name, place in NAMES.items() if (folder / place).is_dir())
    if not names:
        places = " or ".join(str(folder / place) for place in NAMES.values())
        raise ValueError(f"`data` must be a folder with MNIST or CIFAR-10 as torchvision keeps them; no {places}")
    for name in names:
        _read(name, folder, train=False)
    return names


def _read(name: str, folder: Path, train: bool) -> Part:
    try:
        images = getattr(_datasets(), name)(str(folder), train=train)
    except RuntimeError as error:
        raise ValueError(f"`data`: {name} in {folder} is not whole: {error}") from None
    pixels = torch.from_numpy(numpy.asarray(images.data)).flatten(1)
    return pixels, torch.as_tensor(images.targets)


@functools.lru_cache(maxsize=1)  # hundreds of megabytes each
def split(name: str, folder: str, seed: int) -> Split:
    """Pixels in rows, standardised by the training part; 5,000 of the training images, by the seed, for validation."""
    pixels, targets = _read(name, Path(folder), train=True)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    validation, train = order[:VALIDATION], order[VALIDATION:]
    std, mean = torch.std_mean(pixels[train].float())

    def standardise(rows: Tensor) -> Tensor:
        return (rows.float() - mean) / std

    test_pixels, test_targets = _read(name, Path(folder), train=False)
    return Split(
        (standardise(pixels[train]), targets[train]),
        (standardise(pixels[validation]), targets[validation]),
        (standardise(test_pixels), test_targets),
        int(targets.max()) + 1,
    )
