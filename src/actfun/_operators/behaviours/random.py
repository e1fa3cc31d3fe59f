"""Activations that are random in training: x times a slope, made of noise."""

import inspect
import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from actfun._backends import torch as torch_ops
from actfun._catalogue.kinds import RANDOM
from actfun._catalogue.registry import Activation, spec
from actfun._operators.arguments import bind, collect
from actfun._operators.behaviours.base import Slider, function_of, implement
from actfun._operators.behaviours.elementwise import Elementwise, ElementwiseBehaviour, named
from actfun._operators.dispatch import DTYPES, check_input, torch_operations
from actfun._operators.op import call
from actfun._operators.quadrature import normal_mean


class Random(Elementwise):
    """An activation that is random in training, and its mean in evaluation."""

    def forward(self, input: Tensor) -> Tensor:
        """The activation of a tensor; same shape and dtype."""
        more = {"inplace": True} if self.inplace else {}
        return self._function(input, *self.values(), training=self.training, **more)


@implement(RANDOM)
class RandomBehaviour(ElementwiseBehaviour):
    """x times a slope that is drawn; its mean in evaluation, and where one number is wanted."""

    made_from: ClassVar[type[Elementwise]] = Random

    def __init__(self, activation: Activation) -> None:
        super().__init__(activation)
        if activation.mean is None:
            raise ValueError(f"{activation.name}: a random activation states mean=, what it is in evaluation")

    def _mean(self, numbers: tuple[float, ...]) -> tuple[Activation, tuple[float, ...]]:
        """The activation that is the mean over the noise, and its parameters."""
        assert self.activation.mean is not None
        formula, values = self.activation.mean(*numbers)
        return spec(formula.__name__), values

    def function(self) -> Callable[..., Tensor]:
        """It draws; torch.compile cannot trace the lowering of the slope's formula, so that is done here."""
        activation, name = self.activation, self.activation.name
        (_, *further) = self._arguments()
        defaults = {argument.name: argument.default for argument in further}

        def draw(x: Any = None, *values: Any, **named: Any) -> Tensor:
            x, given = collect(name, tuple(defaults), x, values, named)
            if type(x) is not Tensor and torch.overrides.has_torch_function_unary(x):
                return torch.overrides.handle_torch_function(draw, (x,), x, **given)
            check_input(name, x)
            training, generator, inplace = (
                given.pop(argument, defaults.get(argument)) for argument in ("training", "generator", "inplace")
            )
            for argument, value in (("training", training), ("inplace", inplace or False)):
                if not isinstance(value, bool):
                    raise TypeError(f"{name}: {argument} must be True or False, got {value!r}")
            if generator is not None and not isinstance(generator, Generator):
                raise TypeError(f"{name}: generator must be a torch.Generator or None, got {type(generator).__name__}")
            _, numbers = bind(activation, given)
            if not training:
                mean, of_mean = self._mean(numbers)
                return call(mean, x, of_mean, inplace or False)
            if x.is_nested and x.layout is torch.strided:
                more = {**given, "training": True, "generator": generator}
                parts: Tensor = torch.nested.as_nested_tensor([draw(part, **more) for part in x.unbind()])
                return x.copy_(parts) if inplace else parts
            with torch.no_grad():  # the gradient is the slope, which is all that backward needs
                wide = torch.float64 if x.dtype is torch.float64 else torch.float32
                noise = torch.empty_like(x, dtype=wide)
                (noise.values() if x.layout is torch.jagged else noise).uniform_(generator=generator)
                slope = torch_operations(x).evaluate(activation.derivatives["x"], x, *numbers, noise)
            y: Tensor
            if activation.keeps == "mask":  # of a byte, and right for infinities
                dropped = slope == 0.0
                y = x.masked_fill_(dropped, 0.0) if inplace else x.masked_fill(dropped, 0.0)
            else:
                y = x.mul_(slope) if inplace else x * slope
            return y

        for dtype in DTYPES:
            draw(torch.zeros(1, dtype=dtype), training=True, generator=torch.Generator())  # the user's stays as it is
        return self._name(draw)

    def _arguments(self) -> list[inspect.Parameter]:
        """`training` comes before torch's `inplace`, with torch's default; `generator` comes last."""
        activation = self.activation
        arguments = [argument for argument in super()._arguments() if argument.name != "inplace"]
        theirs = inspect.signature(getattr(nn.functional, activation.torch)) if activation.torch else None
        training = theirs.parameters["training"].default if theirs else True
        inplace = {"inplace": (False, bool)} if activation.inplace else {}
        return arguments + named({"training": (training, bool), **inplace, "generator": (None, Generator | None)})

    def slope(self, module: Any, z: Tensor) -> Tensor:
        """The mean's, for the mean of the drawn slopes would not show where a unit has died."""
        mean, values = self._mean(module.values())
        return torch_ops.evaluate(mean.derivatives["x"], z, *values)

    def gain(self, preserve: str, parameters: dict[str, Any]) -> float:
        """By quadrature, over the noise too: E[f²] = E[z²·s²] and E[f'²] = E[s²], s the slope that is drawn."""
        _, numbers = bind(self.activation, parameters)
        mean, values = self._mean(numbers)
        import numpy  # which calls of activations do without

        nodes, weights = (torch.from_numpy(part) for part in numpy.polynomial.legendre.leggauss(8))

        def squared(z: Tensor) -> Tensor:
            if self.activation.keeps == "mask":  # m² = m, whose mean is that of m·z over z
                return torch_ops.evaluate(mean.formula, z, *values) / z
            noise = 0.5 * (nodes + 1.0)
            drawn = torch_ops.evaluate(
                self.activation.derivatives["x"], z[..., None].expand(*z.shape, len(nodes)), *numbers, noise
            )
            return (drawn * drawn * 0.5 * weights).sum(-1)

        forward = preserve == "forward"
        return 1.0 / math.sqrt(normal_mean(lambda z: (z * z if forward else 1.0) * squared(z), self.activation.kinks))

    def slider(self) -> Slider:
        """The mean."""
        return Slider.fixed(lambda x: function_of(self.activation)(x, training=False))
