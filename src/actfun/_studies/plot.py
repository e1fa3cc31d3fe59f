"""`af.plot`: curves of activations in one chart."""

from collections.abc import Mapping
from typing import Any

from actfun._catalogue.names import Meaning, read_config, resolve
from actfun._report.curves import Chart, overlay


def plot(*activations: str | Mapping[str, Any], derivative: bool = False) -> Chart:
    """Curves of activations over one another, as an Altair chart, which notebooks draw.

    activations: names as `actfun.get` takes them, with parameters or not ("leaky_relu(negative_slope=0.2)"), or what
    `config` gave. derivative: whether their derivatives are drawn too. Of a gated one the value is 1, of a random one
    it is the mean; of one along an axis it is an entry beside another, which is 0.
    Raises ValueError for an unknown name, for none, and for parameters that a curve cannot show; TypeError for an
    activation that is neither a name nor a dictionary, and where `derivative` is neither True nor False.
    """
    if not activations:
        raise ValueError('plot: name at least one activation, such as plot("gelu")')
    if not isinstance(derivative, bool):
        raise TypeError(f"plot: derivative must be True or False, got {derivative!r}")
    return overlay([_meaning(activation) for activation in activations], derivative)


def _meaning(activation: Any) -> Meaning:
    if isinstance(activation, str):
        return resolve(activation)
    if isinstance(activation, Mapping):
        return read_config(activation)
    raise TypeError(f"plot: an activation is a name, or what `config` gave, got {activation!r}")
