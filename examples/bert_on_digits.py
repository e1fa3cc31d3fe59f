"""A model of transformers, made of a configuration, on digits read pixel by pixel: inputs have names.

actfun compare examples/bert_on_digits.py --activations relu,gelu,silu
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification

import actfun as af

CONFIG = {
    "vocab_size": 17,  # shades of a pixel
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "max_position_embeddings": 64,
    "num_labels": 10,
}


class Digits(Dataset):
    """Each digit as 64 indices, by the name that the model knows them by."""

    def __init__(self):
        digits = load_digits()
        self.pixels, self.targets = torch.tensor(digits.data, dtype=torch.long), torch.tensor(digits.target)

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, place):
        return {"input_ids": self.pixels[place]}, self.targets[place]


task = af.Task(
    data=Digits(),
    model=lambda: BertForSequenceClassification(BertConfig(**CONFIG)),
    activation="gelu",  # which is exchanged; the pooler's tanh stays
    loss=nn.functional.cross_entropy,
    metrics=["accuracy", "log-loss"],
    steps=800,
    learning_rates=(0.001, 0.003, 0.01),
)
