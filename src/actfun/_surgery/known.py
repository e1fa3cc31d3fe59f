"""Which classes of modules, and which functions of torch, are which activation."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from actfun._catalogue.kinds import ELEMENTWISE, GATED, RANDOM
from actfun._catalogue.names import Meaning, read_config, resolve
from actfun._catalogue.registry import Parameter, names, spec
from actfun._operators.dispatch import DTYPES, LAYOUTS
from actfun._operators.functional import function_of
from actfun._operators.modules import config, is_activation

KINDS = (ELEMENTWISE, RANDOM, GATED)


def _xielu(module: Any) -> Meaning:
    beta = module.beta
    if beta.is_meta:
        return Meaning("xielu")
    alpha_p, alpha_n = (nn.functional.softplus(p.detach()) for p in (module.alpha_p, module.alpha_n))  # in their dtype
    return Meaning("xielu", {"alpha_p": float(alpha_p), "alpha_n": float(beta + alpha_n), "beta": float(beta)})


def _hard_sigmoid(module: Any) -> Meaning | None:
    usual = (module.bias, module.divisor, module.min_value, module.max_value) == (3.0, 6.0, 0.0, 1.0)
    return Meaning("hard_sigmoid") if usual else None


# Classes of other libraries that stand for an activation and nothing else. A class with parameters says where an
# instance keeps them: ours -> its attribute; or a function reads them off.
Written = str | tuple[str, Mapping[str, str]] | Callable[[Any], Meaning | None]
_TIMM: dict[str, Written] = {
    "Swish": "silu",
    "SwishMe": "silu",
    "Mish": "mish",
    "MishMe": "mish",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "HardSwish": "hard_swish",
    "HardSwishMe": "hard_swish",
    "HardSigmoid": "hard_sigmoid",
    "HardSigmoidMe": "hard_sigmoid",
    "HardMish": "hard_mish",
    "HardMishMe": "hard_mish",
    "PReLU": ("prelu", {"weight": "weight"}),
    "GELU": "gelu",
    "GELUTanh": "gelu_tanh",
    "QuickGELU": "quick_gelu",
    "SquaredReLU": "relu_squared",
    "StarReLU": ("star_relu", {"scale": "scale", "bias": "bias"}),
}
_TRANSFORMERS: dict[str, Written] = {
    "GELUActivation": "gelu",
    "GELUTanh": "gelu_tanh",
    "PytorchGELUTanh": "gelu_tanh",
    "NewGELUActivation": "gelu_tanh",
    "FastGELUActivation": "gelu_tanh",
    "AccurateGELUActivation": "gelu_tanh",
    "BloomGelu": "gelu_tanh",
    "QuickGELUActivation": "quick_gelu",
    "SiLUActivation": "silu",
    "MishActivation": "mish",
    "LaplaceActivation": "laplace",
    "ReLUSquaredActivation": "relu_squared",
    "XIELUActivation": _xielu,
    "SqrtSoftplusActivation": "sqrtsoftplus",
    "ClippedGELUActivation": lambda module: Meaning("gelu_10") if (module.min, module.max) == (-10, 10) else None,
    "GeLU": "gelu",  # lxmert's
}
_MMCV: dict[str, Written] = {
    "Swish": "silu",
    "HSwish": "hard_swish",
    "HSigmoid": _hard_sigmoid,
    "Clamp": ("hard_tanh", {"min_val": "min", "max_val": "max"}),
}
CLASSES: dict[str, dict[str, Written]] = {
    "timm": _TIMM,
    "transformers": _TRANSFORMERS,
    "diffusers": {"FP32SiLU": "silu", "QuickGELU": "quick_gelu", "NewGELUActivation": "gelu_tanh"},
    "mmcv": _MMCV,
    "mmengine": _MMCV,
}
NORMS = ("InPlaceABN", "InPlaceABNSync", "InplaceAbn")  # norms whose activation is inside the operation
RECURRENT = (nn.RNNBase, nn.RNNCellBase)


def meaning_of_module(module: nn.Module) -> Meaning | None:
    """The activation that a module is, with the parameters that it holds; None where it is none that is known."""
    if "forward" in vars(module):  # exchanged on this instance: it may do anything
        return None
    kind = type(module)
    other = CLASSES.get(kind.__module__.partition(".")[0], {}).get(kind.__name__)
    if callable(other):
        return other(module)
    if other is not None:
        name, kept = (other, {}) if isinstance(other, str) else other
        held = {ours: getattr(module, theirs) for ours, theirs in kept.items()}
        return Meaning(name, {k: _number(v) for k, v in held.items() if _is_plain(v)})
    if not is_activation(kind):
        return None
    found = read_config(config(module))
    if (
        spec(found.canonical).kind not in KINDS
        or found.canonical == "identity"
        or not _is_usual(found.canonical, found.parameters)
    ):
        return None
    stated = spec(found.canonical).parameters
    return Meaning(found.canonical, {k: v for k, v in found.parameters.items() if k in stated}, found.kinks)


def is_known(kind: type[nn.Module]) -> bool:
    """Whether instances of a class may be activations that are known."""
    return is_activation(kind) or kind.__name__ in CLASSES.get(kind.__module__.partition(".")[0], {})


def meaning_inside(module: nn.Module) -> Meaning | None:
    """The activation that a norm computes within its operation; None for other modules."""
    if type(module).__name__ not in NORMS:
        return None
    return resolve(str(getattr(module, "act_name", None) or module.activation))


def _number(value: Any) -> Any:
    """A parameter; of several that are learned the first stands for all."""
    return value.detach().flatten()[0].item() if isinstance(value, Tensor) else value


def _functions() -> dict[Any, tuple[str, bool]]:
    """torch's functions and methods -> the name of ours, and whether they work in place."""
    owners = (nn.functional, torch, torch.special, Tensor, torch._C._nn)
    found: dict[Any, tuple[str, bool]] = {torch.special.expit: ("sigmoid", False)}
    for name in names():
        activation = spec(name)
        if activation.torch and activation.kind in KINDS and name != "identity":
            for owner in owners:
                for suffix in ("", "_"):
                    function = getattr(owner, activation.torch + suffix, None)
                    if function is not None:
                        found[function] = name, bool(suffix)
    return found


FUNCTIONS = _functions()


Argument = tuple[int, str, Any, Any]  # its place, its name, its default and the value that is looked for


def label(function: Any) -> str:
    """How a call is written."""
    name = function.__name__
    if isinstance(function, type(Tensor.relu)):
        return f"Tensor.{name}"
    in_torch = getattr(torch, name, None) is function
    return f"torch.{name}" if in_torch and getattr(nn.functional, name, None) is not function else f"F.{name}"


@functools.cache
def _signature(name: str) -> inspect.Signature:
    return inspect.signature(function_of(spec(name)))


def twins() -> dict[Any, Callable[..., Tensor]]:
    """torch's functions -> ours, which take the same arguments."""
    made = {function: (function_of(spec(name)), inplace) for function, (name, inplace) in FUNCTIONS.items()}
    return {f: functools.partial(own, inplace=True) if inplace else own for f, (own, inplace) in made.items()}


def meaning_of_call(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Meaning | None:
    """The activation that a call of torch's function computes; None where it is none, or not of a dense tensor."""
    if function not in FUNCTIONS:
        return None
    name, _ = FUNCTIONS[function]
    try:
        given = _signature(name).bind(*args, **kwargs).arguments
    except TypeError:  # `out=` and the like
        return None
    if not takes(args, kwargs) or not _is_usual(name, given):
        return None
    known = spec(name).parameters
    return Meaning(name, {k: _number(v) for k, v in given.items() if k in known and _is_plain(v)})


def input_of(given: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """The tensor that a function of torch's is called with."""
    return given[0] if given else named.get("input", named.get("self"))


def takes(given: tuple[Any, ...], named: Mapping[str, Any]) -> bool:
    """Whether actfun takes the arguments of a call: a dense floating-point tensor, and no `out`."""
    x = input_of(given, named)
    return isinstance(x, Tensor) and x.dtype in DTYPES and x.layout in LAYOUTS and "out" not in named


def is_ours(function: Any, given: tuple[Any, ...], named: Mapping[str, Any]) -> bool:
    """Whether a call of torch's function is one of ours. Plain Python, for torch.compile traces it."""
    threshold = given[2] if function is nn.functional.softplus and len(given) > 2 else named.get("threshold", 20)
    return takes(given, named) and (FUNCTIONS.get(function, ("",))[0] != "softplus" or threshold == 20)


def _is_usual(name: str, parameters: Mapping[str, Any]) -> bool:
    """Whether it is a function of ours: torch's softplus is another one above its threshold."""
    return name != "softplus" or bool(parameters.get("threshold", 20.0) == 20.0)


def arguments(function: Any, meaning: Meaning) -> tuple[Argument, ...]:
    """The arguments that tell a call of torch's function from calls of its other forms."""
    name, _ = FUNCTIONS[function]
    taken = _signature(name).parameters
    return tuple(
        (place, key, taken[key].default, meaning.parameters.get(key, taken[key].default))
        for place, key in enumerate(taken)
        if key in spec(name).parameters and key != spec(name).learned  # a tensor
    )


def _is_plain(value: Any) -> bool:
    """Whether a parameter has a value."""
    return isinstance(value, int | float | str) or (isinstance(value, Tensor) and not value.is_meta)


def meaning_of_function(function: Any) -> Meaning | None:
    """The activation that a function of torch's or of ours is, be it with arguments bound."""
    bound: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        bound = {**function.keywords, **bound}
        if function.args:
            return None
        function = function.func
    try:
        known = function in FUNCTIONS
    except TypeError:  # not hashable
        return None
    if known:
        name, _ = FUNCTIONS[function]
        return Meaning(name, {k: v for k, v in bound.items() if k in spec(name).parameters})
    name = getattr(function, "__name__", "")
    if name in names() and spec(name).kind in KINDS and function_of(spec(name)) is function:
        return Meaning(name, {k: v for k, v in bound.items() if k in spec(name).parameters})
    return None


def text(meaning: Meaning) -> str:
    """What `actfun.get` takes for a meaning: of a form with a name of its own, that."""
    variant, _ = meaning.bound()
    known = meaning.activation.parameters
    inside = ", ".join(f"{k}={v!r}" for k, v in meaning.changed.items() if isinstance(known.get(k), Parameter))
    return f"{variant.name}({inside})" if inside else variant.name


def same(one: Meaning, other: Meaning) -> bool:
    """Whether two meanings are one function, learned parameters aside."""
    (first, numbers), (second, others) = one.bound(), other.bound()
    return first is second and numbers == others


def matches(wanted: Meaning, found: Meaning) -> bool:
    """Whether a meaning is what is wanted: of the same form, with the numbers that were stated."""
    if wanted.bound()[0] is not found.bound()[0] or wanted.kinks != found.kinks:
        return False
    known = found.activation.parameters
    numbers = [name for name in wanted.parameters if isinstance(known.get(name), Parameter)]
    return all(found.parameters.get(name, known[name].default) == wanted.parameters[name] for name in numbers)
