"""The factor by which to scale weights so that an activation keeps the size of what passes through it."""

from typing import Any

from actfun._catalogue.names import resolve
from actfun._operators.behaviours.base import behaviour_of


def gain(name: str, preserve: str = "forward", **params: Any) -> float:
    """1/√E[f(z)²] (preserve="forward") or 1/√E[f'(z)²] ("backward"), z ~ N(0, 1), to 1e-9.

    Weights of standard deviation gain/√fan_in (fan_out for "backward") keep the mean square of the pre-activations
    (of their gradients) from layer to layer; for relu this is He's rule (arXiv:1502.01852). For stochastic_gelu the
    mean is over the mask too. For maxout z are `pieces` independent normals, and the backward gain is for each piece,
    with all pieces counted in fan_out.

    name: as `actfun.get` takes it.

    Raises ValueError for an unknown name or `preserve`; TypeError or ValueError for parameters that are not allowed.
    """
    if preserve not in ("forward", "backward"):
        raise ValueError(f"gain: preserve must be 'forward' or 'backward', got {preserve!r}")
    meaning = resolve(name)
    return behaviour_of(meaning.activation).gain(preserve, {**meaning.parameters, **params})
