"""One registered operator for each activation: `torch.ops.actfun.gelu(x)`, in place `gelu_`, `elu.tensor` with tensors.

PyTorch's dispatcher tells the usual call from one that is traced, transformed by functorch, or of a nested tensor, and
calls the method of `Operator` for it. An operator is composite: one node in a graph, and plain torch operations, which
can be fused, where PyTorch compiles or decomposes the graph. The profiler shows it by its name.
"""

import functools
import hashlib
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.compiler.config
from torch import Tensor

from actfun._backends.lowering import fingerprint
from actfun._catalogue.registry import Activation, Parameter
from actfun._once import working
from actfun._operators.autograd import Elementwise, TransformableElementwise
from actfun._operators.dispatch import DTYPES, LAYOUTS, check_input, evaluate, kernels_for, overwrite, torch_operations
from actfun._operators.torch_private import apply_of, functorch_cannot_follow, in_dual_level, remove


class Operator:
    """What the registered operator of an activation does: a method for each kind of call.

    Each takes x, then the parameters in order: numbers, or tensors with one value or one a channel, which dimension
    `dim` of x holds.
    inputs: the arguments that are tensors of one shape.
    """

    inputs: tuple[str, ...] = ("x",)

    def __init__(self, activation: Activation) -> None:
        code = activation.formula.__code__
        self.activation, self.arguments = activation, code.co_varnames[: code.co_argcount]
        learnable = [name for name, p in activation.parameters.items() if isinstance(p, Parameter) and p.learnable]
        for argument in (*self.inputs, *learnable):
            _derive(activation, argument)  # now, for torch.compile could not trace that
        # A class each, for the profiler and grad_fn show its name.
        recorded: Any = types.new_class(activation.name, (Elementwise,))
        transformed: Any = types.new_class(activation.name, (TransformableElementwise,))
        self._record, self._transform = apply_of(recorded), transformed.apply

    def derives_from_output(self, parameters: tuple[Any, ...]) -> bool:
        """Whether the derivative is exact at the output, which the next layer often keeps anyway."""
        if self.activation.keeps != "output":
            return False
        return all(isinstance(value, float) and value > 0.0 for value in parameters)

    def _settle(self, x: Tensor, parameters: tuple[Any, ...], dim: int) -> tuple[Any, ...]:
        """The parameters in shapes that broadcast against x, which is checked."""
        if x.layout not in LAYOUTS or x.dtype not in DTYPES:
            check_input(self.activation.name, x)
        if parameters and [value for value in parameters if isinstance(value, Tensor)]:
            named = zip(self.arguments[1:], parameters, strict=True)
            return tuple([per_channel(self.activation.name, argument, value, x, dim) for argument, value in named])
        return parameters

    def _is_recorded(self, x: Tensor, parameters: tuple[Any, ...]) -> bool:
        """Whether a call is to have gradients."""
        if not torch.is_grad_enabled():
            return False
        return x.requires_grad or bool([v for v in parameters if isinstance(v, Tensor) and v.requires_grad])

    def call(self, x: Tensor, *parameters: float | Tensor, dim: int = 1) -> Tensor:
        """The usual call, eager or compiled."""
        if in_dual_level():
            return self.transform(x, *parameters, dim=dim)
        settled = self._settle(x, parameters, dim)
        if self._is_recorded(x, settled):
            return self._record(self, False, x, *settled)  # type: ignore[no-any-return]
        return evaluate(self.activation.formula, x, settled)

    def transform(self, x: Tensor, *parameters: float | Tensor, dim: int = 1) -> Tensor:
        """A call under functorch or in forward mode."""
        settled = self._settle(x, parameters, dim)
        if functorch_cannot_follow():
            backend = torch_operations(x, again=True)  # PyTorch differentiates
            return backend.evaluate(self.activation.formula, x, *settled)  # type: ignore[no-any-return]
        return self._transform(self, False, x, *settled)  # type: ignore[no-any-return]

    def trace(self, x: Tensor, *parameters: float | Tensor, dim: int = 1) -> Tensor:
        """A call under torch.jit.trace, which can keep neither a Function nor an operator that ONNX does not know."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]  # a parameter's shape holds for the whole graph
            settled = self._settle(x, parameters, dim)
        return torch_operations(x).evaluate(self.activation.formula, x, *settled)  # type: ignore[no-any-return]

    def call_nested(self, x: Tensor, *parameters: float | Tensor, dim: int = 1) -> Tensor:
        """A call with a nested tensor. One of jagged layout is a subclass, which takes any operation."""
        if dim in (0, -x.dim()):
            raise ValueError(f"{self.activation.name}: dim must not be the batch of a nested tensor, got {dim}")
        if x.layout is torch.jagged:
            return self.call(x, *parameters, dim=dim)
        within = dim - 1 if dim > 0 else dim  # of the parts, which have one dimension less
        return torch.nested.as_nested_tensor([self.call(part, *parameters, dim=within) for part in x.unbind()])

    def call_inplace(self, x: Tensor, *parameters: float | Tensor, dim: int = 1) -> Tensor:
        """x, overwritten with its activation."""
        settled = self._settle(x, parameters, dim)
        if kernels_for(x, *settled) is None or in_dual_level() or (x.requires_grad and x.is_leaf):
            return x.copy_(self.call(x.clone(), *parameters, dim=dim))  # the derivative may need what is overwritten
        if self._is_recorded(x, settled):
            return self._record(self, True, x, *settled)  # type: ignore[no-any-return]
        y = overwrite(self.activation.formula, x, settled)
        torch.autograd.graph.increment_version(y)
        return y

    def transform_inplace(self, x: Tensor, *parameters: float | Tensor, dim: int = 1) -> Tensor:
        """The same under functorch."""
        return x.copy_(self.transform(x.clone(), *parameters, dim=dim))

    def trace_inplace(self, x: Tensor, *parameters: float | Tensor, dim: int = 1) -> Tensor:
        """The same under torch.jit.trace."""
        return x.copy_(self.trace(x.clone(), *parameters, dim=dim))


def _derive(activation: Activation, argument: str) -> None:
    """Derive a derivative that nobody has written; what it costs in digits is known of the package's own."""
    activation.derivatives[argument]
    if argument in activation.derivatives.unchecked and not activation.formula.__module__.startswith("actfun."):
        from actfun._backends.derivation import settle  # and with it mpmath, half a second

        settle(activation, argument)
        activation.derivatives.unchecked.discard(argument)


def per_channel(name: str, argument: str, value: Any, x: Tensor, dim: int) -> Any:
    """A parameter in a shape that broadcasts against x, whose channels are in `dim`; 1 means dim 0 of a 1-D input."""
    if not isinstance(value, Tensor):
        return value
    if value.numel() == 1:
        return value.reshape(())
    dims = x.dim()
    place = 0 if (dim, dims) == (1, 1) else dim
    if dims and not -dims <= place < dims:
        raise ValueError(f"{name}: dim must be from {-dims} to {dims - 1} for {dims} dimensions, got {dim}")
    channels = x.shape[place] if dims else 1
    if value.dim() != 1 or value.numel() != channels:
        raise ValueError(
            f"{name}: {argument} must hold 1 value or one per channel ({channels} in dim {dim} of an input of shape "
            f"{tuple(x.shape)}), got shape {tuple(value.shape)}"
        )
    return value.reshape(-1, *[1] * (dims - place % dims - 1))


_registered: dict[str, tuple[Activation, torch.library.Library]] = {}  # an operator lives as long as its library


def register(activation: Activation, make: type[Operator] = Operator) -> None:
    """Make the operators of an activation and its variants; those of an earlier activation of the name go."""
    with working:
        for variant in activation.variants:
            earlier, library = _registered.get(variant.name, (None, None))
            if earlier is not variant and not variant.torch_is_exact:
                if library is not None:
                    remove(library)
                library = torch.library.Library("actfun", "FRAGMENT")  # type: ignore[no-untyped-call]
                _define(make(variant), library)
                _registered[variant.name] = variant, library
                _tell_caches(variant)


@functools.cache
def _fingerprint() -> str:
    """Of the code that operators are taken apart by."""
    package = Path(__file__).parents[1]
    parts = ("_operators/*.py", "_backends/*.py", "_catalogue/**/*.py")
    files = sorted(path for part in parts for path in package.glob(part))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def _tell_caches(activation: Activation) -> None:
    """Put what an operator means into the key of torch.compile's caches on disk, which know it by its name alone.

    Without that a new version of this package, or a formula written again, would run what the old one compiled.
    """
    tag = _fingerprint()
    if not activation.formula.__module__.startswith("actfun."):
        told = repr([fingerprint(formula) for formula in (activation.formula, *activation.derivatives.values())])
        tag = f"{activation.name}:{hashlib.sha256(told.encode()).hexdigest()[:16]}"
    if tag not in torch.compiler.config.cache_key_tag:
        torch.compiler.config.cache_key_tag += f" actfun:{tag}"


def _define(operator: Operator, library: torch.library.Library) -> None:
    activation = operator.activation
    parameters = {argument: p for argument, p in activation.parameters.items() if isinstance(p, Parameter)}
    schemas = {"": "".join(f", float {argument}" for argument in parameters)}
    if activation.learnable:
        kinds = ("Tensor" if p.learnable else "float" for p in parameters.values())
        tensors = "".join(f", {kind} {argument}" for kind, argument in zip(kinds, parameters, strict=True))
        schemas[".tensor"] = f"{tensors}, *, int dim=1"
    ways = {
        "CompositeImplicitAutograd": (operator.call, operator.call_inplace),
        "CompositeImplicitAutogradNestedTensor": (operator.call_nested, None),
        "FuncTorchDynamicLayerFrontMode": (operator.transform, operator.transform_inplace),
        "Tracer": (operator.trace, operator.trace_inplace),
    }
    inputs = ", ".join(f"Tensor {argument}" for argument in operator.inputs)
    for overload, rest in schemas.items():
        forms = [f"({inputs}{rest}) -> Tensor", f"(Tensor(a!) x{rest}) -> Tensor(a!)"]
        for inplace, schema in enumerate(forms[: 1 if len(operator.inputs) > 1 else 2]):
            name = f"{activation.name}{'_' * inplace}{overload}"
            library.define(name + schema, tags=torch.Tag.pt2_compliant_tag)  # type: ignore[no-untyped-call]
            for key, methods in ways.items():
                if methods[inplace] is not None:
                    library.impl(name, methods[inplace], key)  # type: ignore[no-untyped-call]


def overload_of(activation: Activation, inplace: bool, tensors: bool = False) -> Callable[..., Tensor]:
    """What PyTorch calls for an activation: its operator, in place or not, with tensors or numbers for parameters."""
    name = f"{activation.name}_" if inplace else activation.name
    if activation.torch_is_exact:
        return getattr(torch, name)  # type: ignore[no-any-return]
    packet = getattr(torch.ops.actfun, name)
    return packet.tensor if tensors else packet.default  # type: ignore[no-any-return]


def activation_of(overload: Any) -> tuple[Activation, bool] | None:
    """Of a registered operator its activation, and whether it works in place; None for anything else."""
    if type(overload) is not torch._ops.OpOverload or overload.namespace != "actfun":
        return None
    name = overload._schema.name.removeprefix("actfun::")
    inplace = name not in _registered
    activation, _ = _registered[name.removesuffix("_") if inplace else name]
    return activation, inplace


def call(activation: Activation, x: Tensor, parameters: tuple[Any, ...], inplace: bool = False, dim: int = 1) -> Tensor:
    """An activation, its arguments settled by `bind`, of a tensor; dim: which dimension of x holds the channels."""
    if not isinstance(inplace, bool):
        raise TypeError(f"{activation.name}: inplace must be True or False, got {inplace!r}")
    if not isinstance(x, Tensor) and not torch.overrides.has_torch_function_unary(x):
        check_input(activation.name, x)
    if activation.torch_is_exact and isinstance(x, Tensor):
        check_input(activation.name, x)
    if all(isinstance(value, float) for value in parameters):
        return overload_of(activation, inplace)(x, *parameters)
    kinds = [p.learnable for p in activation.parameters.values() if isinstance(p, Parameter)]
    wide = torch.float64 if x.dtype is torch.float64 else torch.float32
    tensors = (  # where one is a tensor, all that may be are
        torch.tensor(value, dtype=wide, device=x.device if isinstance(x, Tensor) else None)
        if learnable and isinstance(value, float)
        else value
        for learnable, value in zip(kinds, parameters, strict=True)
    )
    more = {} if dim == 1 else {"dim": dim}
    return overload_of(activation, inplace, tensors=True)(x, *tensors, **more)
