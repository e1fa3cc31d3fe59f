"""All that is needed to write an activation: `from actfun.formula import activation, derivative, ...`.

A formula is a function of x and its parameters. It has assignments, + - * /, < <= > >=, and calls of the vocabulary
below and of other formulas; literals are floats. What leaves that language is refused when the formula is registered.

>>> import actfun as af, torch
>>> from actfun.formula import Parameter, absolute, activation, derivative

>>> @activation(
...     range=(-1.0, 1.0), saturates=("left", "right"), zero_centred=True, monotonic=True, convex=False,
...     sharpness=Parameter(1.0), latex=r"\\frac{s x}{1 + |s x|}", reference="my notebook",
... )
... def my_softsign(x, sharpness):
...     "A tanh without an exponential."
...     z = sharpness * x
...     return z / (1.0 + absolute(z))

>>> @derivative(my_softsign, "x")
... def my_softsign_dx(x, sharpness):
...     c = 1.0 + absolute(sharpness * x)
...     return sharpness / (c * c)

It is then an activation as all others are: a function, a module, with gradients, a gain, kernels.

>>> x = torch.tensor([-1.0, 0.0, 3.0], requires_grad=True)
>>> y = af.my_softsign(x)
>>> y.tolist()
[-0.5, 0.0, 0.75]
>>> torch.autograd.grad(y.sum(), x)[0].tolist()
[0.25, 1.0, 0.0625]
>>> af.get("my_softsign", sharpness=3.0)(torch.tensor(1.0)).item()
0.75
"""

from actfun.primitives import INFINITY as INFINITY
from actfun.primitives import absolute as absolute
from actfun.primitives import copysign as copysign
from actfun.primitives import cubic_decay as cubic_decay
from actfun.primitives import decay as decay
from actfun.primitives import exp as exp
from actfun.primitives import expm1 as expm1
from actfun.primitives import gaussian_decay as gaussian_decay
from actfun.primitives import log1p as log1p
from actfun.primitives import maximum as maximum
from actfun.primitives import minimum as minimum
from actfun.primitives import ndtr_scaled as ndtr_scaled
from actfun.primitives import tanh as tanh
from actfun.primitives import where as where
from actfun.registry import Choice as Choice
from actfun.registry import Parameter as Parameter
from actfun.registry import activation as activation
from actfun.registry import derivative as derivative

__all__ = [name for name in dir() if not name.startswith("_")]  # what is imported above
