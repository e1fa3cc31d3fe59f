"""A model of timm on scikit-learn's digits.

actfun compare examples/timm_on_digits.py --activations relu,gelu,silu
"""

import timm
import torch
from sklearn.datasets import load_digits
from torch import nn

import actfun as af

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16.0

task = af.Task(
    data=(nn.functional.interpolate(images, scale_factor=4), torch.tensor(digits.target)),
    model=lambda: timm.create_model("resnet10t", in_chans=1, num_classes=10),
    activation="relu",  # which is exchanged
    loss=nn.functional.cross_entropy,
    metrics=["accuracy", "log-loss"],
    steps=200,
    learning_rates=(0.0003, 0.001, 0.003),
)
