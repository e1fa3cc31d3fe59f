"""Activations that are random in training: x times a mask, made of noise."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn

from actfun._backends import torch as torch_ops
from actfun._catalogue.kinds import RANDOM
from actfun._catalogue.registry import spec
from actfun._operators.arguments import bind
from actfun._operators.behaviours.base import Behaviour, Slider, implement
from actfun._operators.dispatch import DTYPES, check_input, torch_operations
from actfun._operators.op import call


def stochastic_gelu(x: Tensor, training: bool = True, generator: Generator | None = None) -> Tensor:
    """x times a Bernoulli(Φ(x)) mask in training, else gelu(x), its mean.

    x: a float16, bfloat16, float32 or float64 tensor of any shape; the gradient is that of the mask drawn.
    generator: where the mask's randomness comes from; the device's default when None.
    Source: Hendrycks and Gimpel, arXiv:1606.08415, section 2.
    """
    if type(x) is not Tensor and torch.overrides.has_torch_function_unary(x):
        masked: Tensor = torch.overrides.handle_torch_function(stochastic_gelu, (x,), x, training, generator)
        return masked
    check_input("stochastic_gelu", x)
    if not training:
        return call(spec("gelu"), x, ())
    wide = torch.float64 if x.dtype is torch.float64 else torch.float32
    with torch.no_grad():  # the gradient is that of the mask, which is all that backward needs
        noise = torch.empty_like(x, dtype=wide).uniform_(generator=generator)
        dropped = torch_operations(x).evaluate(spec("stochastic_gelu").derivatives["x"], x, noise) == 0.0
    return x.masked_fill(dropped, 0.0)


class StochasticGELU(nn.Module):
    """x times a Bernoulli(Φ(x)) mask in training, gelu(x) in evaluation (arXiv:1606.08415, section 2)."""

    activation = spec("stochastic_gelu")

    def forward(self, x: Tensor) -> Tensor:
        """Same shape and dtype as x."""
        return stochastic_gelu(x, self.training)


@implement(RANDOM)
class RandomBehaviour(Behaviour):
    """The mask's mean, gelu, stands for it where one number is wanted."""

    only = "stochastic_gelu"

    def function(self) -> Callable[..., Tensor]:
        """Written above; torch.compile cannot trace the lowering of its formula, so that is done here."""
        for dtype in DTYPES:
            stochastic_gelu(torch.zeros(1, dtype=dtype))
        return stochastic_gelu

    def module(self) -> type[nn.Module]:
        """Written above."""
        return StochasticGELU

    def slope(self, module: nn.Module, z: Tensor) -> Tensor:
        """The mean's, for the mean of the mask's slope would not show where a unit has died."""
        return torch_ops.evaluate(spec("gelu").derivatives["x"], z)

    def gain(self, preserve: str, parameters: dict[str, Any]) -> float:
        """The same both ways, and over the mask too: E[m·z²] = E[Φ(z)·z²] = 1/2 and E[m²] = E[Φ(z)] = 1/2."""
        bind(self.activation, (), parameters)
        return math.sqrt(2.0)

    def slider(self) -> Slider:
        """The mean."""
        return Slider.fixed(lambda x: stochastic_gelu(x, training=False))
