"""A small convolutional network on scikit-learn's digits: `actfun compare examples/cnn_on_digits.py`."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import actfun as af

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16.0


def model(activation):
    """activation() makes a new module."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        activation(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        activation(),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )


task = af.Task(
    data=(images, torch.tensor(digits.target)),
    model=model,
    loss=nn.functional.cross_entropy,
    metrics=["accuracy", "log-loss"],
    steps=200,
)
