"""The classes that `actfun.nn` shows: those of activations, layers that hold one, the Transformer's block."""

import contextlib
import functools
import inspect
from collections.abc import Container, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from actfun._catalogue.kinds import ELEMENTWISE
from actfun._catalogue.names import Meaning, read_config, resolve, spec, write_kinks
from actfun._catalogue.registry import Activation, Choice
from actfun._catalogue.sides import Sided
from actfun._once import Once
from actfun._operators import functional  # noqa: F401  (makes the functions that modules call)
from actfun._operators.behaviours.base import behaviour_of
from actfun._operators.behaviours.elementwise import Elementwise as Elementwise
from actfun._operators.behaviours.gated import Gated as Gated
from actfun._operators.behaviours.reduction import MaxoutPieces as MaxoutPieces
from actfun._operators.feed_forward import in_one

PUBLIC = "actfun.nn"  # where users find the classes


def get(name: str | Mapping[str, Any], **params: Any) -> nn.Module:
    """A module for the activation of that name, ready to use; `params` go to its class, before what the name states.

    name: a canonical name ("gelu"), an alias ("swish"), or a framework's ("hard_sigmoid@keras2"), each with parameters
    or not ("leaky_relu(negative_slope=0.2)"); or what `config` gave. "maxout" gives `MaxoutPieces`, the activation
    without weights. A name that means different things in frameworks is taken as torch's, and a UserWarning says so,
    once in a process.
    Raises ValueError, with the nearest names, for an unknown name; TypeError for an unknown parameter, or what is no
    name.
    """
    return module_meant(read_config(name) if isinstance(name, Mapping) else resolve(name, ours_too=not params), params)


def module_named(name: str, **params: Any) -> nn.Module:
    """The same for a name that is settled, so that nothing needs to be said of it."""
    return module_meant(resolve(name), params)


def module_meant(meaning: Meaning, params: dict[str, Any]) -> nn.Module:
    """The module of a meaning. Parameters that a call gives replace those that a framework's name brings."""
    made = module_of(meaning.activation)
    constructor = inspect.signature(made).parameters
    settled = {_argument(name, constructor, meaning.activation): value for name, value in meaning.parameters.items()}
    return made(**{**settled, **params})


def _argument(name: str, constructor: Container[str], activation: Activation) -> str:
    """How a constructor names a parameter: as torch's does, PReLU's `init` is what its weight starts from."""
    return "init" if "init" in constructor and name not in constructor and name in activation.parameters else name


def config(module: nn.Module) -> dict[str, Any]:
    """What `get` makes the module of again: {"activation": canonical name, "parameters": {…}}, which JSON can hold.

    "kinks" is there where slopes at points are not the usual ones. Values that are learned are in the module's
    state_dict, not here. torch.nn's own activations give ours.
    Raises TypeError for a module that is no activation.
    """
    kind: Any = type(module)
    activation = getattr(kind, "activation", None)
    meaning = Meaning(activation.name) if isinstance(activation, Activation) else _of_torch(kind)
    if meaning is None:
        raise TypeError(f"config: {kind.__name__} is no activation of actfun.nn or torch.nn")
    if isinstance(activation, Sided):
        meaning = Meaning(activation.base.name, {}, activation.sides)
    parameters = {**meaning.parameters, **_arguments(module, activation or meaning.activation)}
    kinks = {"kinks": write_kinks(meaning.kinks)} if meaning.kinks else {}
    return {"activation": meaning.canonical, "parameters": parameters, **kinks}


def is_activation(kind: Any) -> bool:
    """Whether a class is an activation of actfun.nn or torch.nn, or inherits the forward of one."""
    return isinstance(getattr(kind, "activation", None), Activation) or _of_torch(kind) is not None


@functools.cache
def _of_torch(kind: Any) -> Meaning | None:
    """What a class of torch.nn means, or one that inherits its forward; None where it is no activation."""
    bases: tuple[Any, ...] = kind.__mro__
    for base in bases:
        if base in vars(nn).values() and base.forward is kind.forward:
            with contextlib.suppress(ValueError):
                return resolve(f"nn.{base.__name__}@torch")
    return None


def _arguments(module: Any, activation: Activation) -> dict[str, Any]:
    """What a module was made with: all of its parameters, and of other arguments those that are not the default."""
    constructor, found = inspect.signature(module_of(activation)).parameters, {}
    learned = dict(module.named_parameters(recurse=False))
    lengths = [tensor.numel() for tensor in learned.values()]
    others = {"learnable": bool(learned), "num_parameters": max(lengths, default=1)}
    kept = {**vars(module), **vars(module).get("given", {})}  # some classes keep their arguments together
    for name, parameter in activation.parameters.items():
        default = parameter.default
        if name in learned:
            found[name] = _start(module, name, learned[name], default)
        elif isinstance(parameter, Choice) and name not in kept:
            found[name] = next(o for o in parameter.options if activation.variant({name: o}) is module.variant)
        else:
            found[name] = kept.get(name, default)
    for name, argument in constructor.items():
        value = kept.get(name, others.get(name, argument.default))
        if name not in ("init", "device", "dtype", *found) and value != argument.default:
            found[name] = value
    return found


def _start(module: nn.Module, name: str, learned: Tensor, default: Any) -> Any:
    """What a learned parameter started from, or, where that is not kept, its value if it has one."""
    values = set() if learned.is_meta else set(learned.tolist())
    return getattr(module, "start", {}).get(name, values.pop() if len(values) == 1 else default)


def hidden(name: str) -> nn.Module:
    """A module for a layer whose units are along the last dimension: what is packed has the gate first.

    name: as `get` takes it. Raises ValueError where there is none.
    """
    return module_named(name, **behaviour_of(spec(name)).along_last())


def inputs(module: nn.Module) -> float:
    """How many pre-activations a module has for each output; 1 where it is not of actfun.nn."""
    activation = getattr(module, "activation", None)
    return behaviour_of(activation).inputs(module) if isinstance(activation, Activation) else 1.0


@Once
def module_of(activation: Activation) -> type[nn.Module]:
    """The class of an activation, made once."""
    made = behaviour_of(activation).module()
    made.__module__ = PUBLIC
    return made


class FeedForward(nn.Module):
    """The Transformer's position-wise block: up to d_hidden, an activation, dropout, down to d_model.

    gated: act(gate(x)) * up(x) in place of act(up(x)) (arXiv:2002.05202). activation: a name, or a module; "maxout",
    "swiglu" and the like take two pre-activations for each hidden unit and are not allowed with a gate. A module that
    learns one value for each hidden unit gets dim=-1, which holds them. device and dtype are for what is made here.
    Input and output (…, d_model).

    Backward keeps the pre-activations (and a byte an element for dropout's mask), and has the rest for some rows at a
    time. Where a part has hooks, is of another class, or the call is compiled, the parts are called one by one.
    """

    def __init__(
        self,
        d_model: int,
        d_hidden: int,
        activation: str | nn.Module = "gelu",
        gated: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        module = activation if isinstance(activation, nn.Module) else hidden(activation).to(**factory)
        if isinstance(module, Elementwise) and module.start and module.num_parameters == d_hidden:
            module.dim = -1
        width = d_hidden * inputs(module)
        if gated and width != d_hidden:
            name = module.activation.name  # type: ignore[union-attr]
            raise ValueError(
                f"FeedForward: activation {name!r} is not allowed with gated=True; use an element-wise one"
            )
        if not width.is_integer():
            raise ValueError(f"FeedForward: d_hidden must be even, for crelu gives two outputs for one, got {d_hidden}")
        self.up = nn.Linear(d_model, int(width), bias, **factory)
        self.gate = nn.Linear(d_model, d_hidden, bias, **factory) if gated else None
        self.activation = module
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(d_hidden, d_model, bias, **factory)

    def forward(self, x: Tensor) -> Tensor:
        """(…, d_model) -> (…, d_model)."""
        first = [self.up] if self.gate is None else [self.gate, self.up]
        if not torch.compiler.is_compiling() and is_by_rows(self.activation):
            y = in_one(x, first, self.activation, self.dropout, self.down)
            if y is not None:
                return y
        hidden = self.activation(first[0](x))
        if self.gate is not None:
            hidden = hidden * self.up(x)
        out: Tensor = self.down(self.dropout(hidden))
        return out


def is_by_rows(activation: nn.Module) -> bool:
    """Whether each row of its output depends on that row of the input alone, which stays as it is."""
    made = getattr(activation, "activation", None)
    if not isinstance(made, Activation) or type(activation) is not module_of(made):  # a class of one's own may mix rows
        return False
    if isinstance(activation, Elementwise) and made.kind is ELEMENTWISE:
        return not activation.inplace and (activation.num_parameters == 1 or activation.dim == -1)
    return isinstance(activation, Gated) and activation.dim == -1
