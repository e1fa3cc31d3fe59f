"""All that is needed to write an activation: `from actfun.formula import activation, derivative, ...`.

A formula is a function of x and its parameters. It has assignments, + - * /, < <= > >=, and calls of the vocabulary
below and of other formulas; literals are floats. What leaves that language is refused when the formula is registered.

A formula alone is an activation as all others are: a function, a module, with gradients, a gain, kernels.

>>> import actfun as af, torch
>>> from actfun.formula import Parameter, absolute, activation, derivative

>>> @activation
... def my_square(x):
...     return x * absolute(x)

>>> x = torch.tensor([-1.0, 0.0, 3.0], requires_grad=True)
>>> torch.autograd.grad(af.my_square(x).sum(), x)[0].tolist()
[2.0, 0.0, 6.0]
>>> af.nn.MySquare(), af.spec("my_square").monotonic
(MySquare(), True)

Facts that are not stated are found by trying numbers, derivatives are derived. Both may be written:

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

>>> y = af.my_softsign(x)
>>> y.tolist()
[-0.5, 0.0, 0.75]
>>> torch.autograd.grad(y.sum(), x)[0].tolist()
[0.25, 1.0, 0.0625]
>>> af.get("my_softsign", sharpness=3.0)(torch.tensor(1.0)).item()
0.75
"""

from actfun._catalogue.primitives import INFINITY as INFINITY
from actfun._catalogue.primitives import absolute as absolute
from actfun._catalogue.primitives import copysign as copysign
from actfun._catalogue.primitives import cos as cos
from actfun._catalogue.primitives import cubic_decay as cubic_decay
from actfun._catalogue.primitives import decay as decay
from actfun._catalogue.primitives import erf as erf
from actfun._catalogue.primitives import exp as exp
from actfun._catalogue.primitives import expm1 as expm1
from actfun._catalogue.primitives import gaussian_decay as gaussian_decay
from actfun._catalogue.primitives import log as log
from actfun._catalogue.primitives import log1p as log1p
from actfun._catalogue.primitives import maximum as maximum
from actfun._catalogue.primitives import minimum as minimum
from actfun._catalogue.primitives import ndtr_scaled as ndtr_scaled
from actfun._catalogue.primitives import sin as sin
from actfun._catalogue.primitives import sqrt as sqrt
from actfun._catalogue.primitives import tanh as tanh
from actfun._catalogue.primitives import where as where
from actfun._catalogue.registry import Choice as Choice
from actfun._catalogue.registry import Ignored as Ignored
from actfun._catalogue.registry import Parameter as Parameter
from actfun._catalogue.registry import activation as activation
from actfun._catalogue.registry import derivative as derivative

__all__ = [name for name in dir() if not name.startswith("_")]  # what is imported above
