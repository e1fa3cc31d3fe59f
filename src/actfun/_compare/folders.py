"""A folder of images, with one sub-folder a class, and the small residual network for them."""

import functools
from pathlib import Path
from typing import Any

import numpy
import torch
from sklearn import model_selection
from torch import Tensor, nn
from torch.nn import functional

from actfun._compare import metrics
from actfun._compare.models import Candidate
from actfun._compare.problem import Problem, Split
from actfun._compare.tasks import TEST_SEED
from actfun._operators.modules import hidden

SIDE, WIDTH, FEWEST_OF_CLASS = 32, 16, 5
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")  # as torchvision has them
EPOCHS, MOST_STEPS, FEWEST_STEPS, BATCH_SIZE = 20, 1_000, 200, 32


def read(folder: Path) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Images of SIDE x SIDE pixels in 8 bits, (N, 3, SIDE, SIDE), their classes, and the classes' names.

    Raises ValueError where a folder has no two classes of images, or an image is broken.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ValueError("images need pillow: pip install 'actfun[data]'") from None
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    files = {name: sorted(p for p in (folder / name).rglob("*") if p.suffix.lower() in ENDINGS) for name in names}
    files = {name: found for name, found in files.items() if found}
    if len(files) < 2:
        raise ValueError(f"{folder} has {len(files)} sub-folders with images; each class needs one, with at least two")
    for name, found in files.items():
        if len(found) < FEWEST_OF_CLASS:
            raise ValueError(f"{folder / name} has {len(found)} images; each class needs {FEWEST_OF_CLASS}")
    images, classes = [], []
    for k, found in enumerate(files.values()):
        for path in found:
            try:
                with Image.open(path) as image:
                    images.append(numpy.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)))
            except (UnidentifiedImageError, OSError, SyntaxError) as error:
                raise ValueError(f"{path} is no image that can be read: {error}") from None
            classes.append(k)
    pixels = torch.from_numpy(numpy.stack(images)).permute(0, 3, 1, 2).contiguous()
    return pixels, torch.tensor(classes), tuple(files)


class Residual(nn.Module):
    """Two convolutions around an activation, and the input added: (N, channels, H, W) -> (N, width, H/stride, …)."""

    def __init__(self, channels: int, width: int, stride: int, activation: str) -> None:
        super().__init__()
        self.one, self.one_norm = nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.two, self.two_norm = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        same = stride == 1 and channels == width
        self.beside = nn.Identity() if same else nn.Conv2d(channels, width, 1, stride, bias=False)
        self.inner, self.outer = hidden(activation), hidden(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, width, H/stride, W/stride)."""
        h = self.inner(self.one_norm(self.one(x)))
        y: Tensor = self.outer(self.two_norm(self.two(h)) + self.beside(x))
        return y


def network(outputs: int, activation: str) -> nn.Module:
    """A small residual network: (N, 3, SIDE, SIDE) -> (N, outputs)."""
    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 3, 1, 1, bias=False),
        nn.BatchNorm2d(WIDTH),
        hidden(activation),
        Residual(WIDTH, WIDTH, 1, activation),
        Residual(WIDTH, 2 * WIDTH, 2, activation),
        Residual(2 * WIDTH, 4 * WIDTH, 2, activation),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * WIDTH, outputs),
    )


@functools.lru_cache(maxsize=2)
def problem(folder: str, name: str, metric: str | None = None) -> Problem:
    """The problem to tell the classes of a folder of images."""
    pixels, targets, names = read(Path(folder))
    shares = [float((targets == k).float().mean()) for k in range(len(names))]

    def apart(rows: Any, share: float, seed: int) -> tuple[Any, Any]:
        stay, away = model_selection.train_test_split(rows, test_size=share, random_state=seed, stratify=targets[rows])
        return stay, away

    rest, test = apart(numpy.arange(len(targets)), 0.2, TEST_SEED)

    @functools.lru_cache(maxsize=2)
    def split(seed: int) -> Split:
        train, validation = apart(rest, 0.25, seed)
        std, mean = torch.std_mean(pixels[train].float(), (0, 2, 3), keepdim=True)
        parts = [((pixels[rows] - mean) / std.clamp_min(1e-6), targets[rows]) for rows in (train, validation, test)]
        return Split(parts[0], parts[1], parts[2], len(names))

    def build(candidate: Candidate, split: Split) -> nn.Module:
        return network(split.outputs, candidate.activation)

    def details(outputs: Tensor, targets: Tensor) -> dict[str, Any]:
        return metrics.of_each_class(outputs, targets, names)

    known = metrics.of_classes(shares)
    decided = metrics.decided_by(known, metric or "accuracy")
    steps = round(EPOCHS * 0.6 * len(targets) / BATCH_SIZE)
    return Problem(
        name=name,
        description=f"images of {name}, {SIDE}x{SIDE} pixels, {len(names)} classes; residual network of 3 blocks",
        metrics=decided,
        seeds=10,
        steps=min(MOST_STEPS, max(FEWEST_STEPS, steps)),
        batch_size=BATCH_SIZE,
        split=split,
        build=build,
        loss=functional.cross_entropy,
        element_wise=True,
        facts={"images": len(targets), "classes": dict(zip(names, shares, strict=True))},
        details=details,
    )
