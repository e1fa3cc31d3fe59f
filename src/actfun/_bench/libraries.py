"""The libraries that are timed: each makes a call that does an activation's work on a tensor, as its users would.

Forward makes a fresh result. Backward stands for both ways: the value, then the gradient in x for an incoming one.
"""

import functools
import importlib.metadata
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from actfun._accuracy.implementation import library_function
from actfun._catalogue.names import resolve
from actfun._catalogue.registry import Choice, names, spec
from actfun._version import __version__

Call = Callable[[], Any]


@dataclass(frozen=True)
class Library:
    """A library that may be timed.

    package: what is to be installed for it. needs_compiler: whether it takes a C++ compiler besides.
    prepare: (activation, x, incoming gradient or None for forward alone) -> the call, or None where it has no such.
    """

    name: str
    package: str
    prepare: Callable[[str, Tensor, Tensor | None], Call | None]
    needs_compiler: bool = False

    @property
    def version(self) -> str | None:
        """The version, or None where it cannot be timed."""
        return version(self.package) if has_compiler() or not self.needs_compiler else None

    @property
    def remedy(self) -> str:
        """What is to be done where it cannot be timed."""
        return "it needs a C++ compiler, such as g++" if self.needs_compiler else f"pip install {self.package}"


def version(package: str) -> str | None:
    """The version of an installed package, None of any other."""
    if package == "actfun":
        return __version__  # its source may be at work without being installed
    try:
        return importlib.metadata.version(package).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def has_compiler() -> bool:
    """Whether there is a C++ compiler, without which torch.compile does nothing on CPUs."""
    return any(map(shutil.which, ("g++", "c++", "clang++", "cl")))


def _call(function: Callable[[Tensor], Tensor] | None, x: Tensor, g: Tensor | None) -> Call | None:
    """Forward, or both ways, in torch."""
    if function is None:
        return None
    if g is None:
        return functools.partial(function, x)
    leaf = x.detach().requires_grad_()
    return lambda: torch.autograd.grad(function(leaf), leaf, g)


def _actfun(name: str, x: Tensor, g: Tensor | None) -> Call | None:
    return _call(library_function("actfun", name), x, g)


def _torch(name: str, x: Tensor, g: Tensor | None) -> Call | None:
    return _call(library_function("torch", name), x, g)


def _compiled(name: str, x: Tensor, g: Tensor | None) -> Call | None:
    function = library_function("torch", name)
    if function is None:
        return None
    torch.compiler.reset()  # else the ninth size is no longer compiled
    return _call(torch.compile(lambda t: function(t), dynamic=False), x, g)


def _copy(_: str, x: Tensor, g: Tensor | None) -> Call:
    """The least that memory takes: a copy, and both ways a product beside it."""
    return x.clone if g is None else lambda: (x.clone(), g * x)


def _option(name: str) -> tuple[str, dict[str, str]]:
    """The activation that has another as one of its options, and that option; or the activation itself."""
    for other in map(spec, names()):
        for argument, choice in other.parameters.items():
            for option, formula in choice.options.items() if isinstance(choice, Choice) else ():
                if formula is spec(name).formula:
                    return other.name, {argument: option}
    return name, {}


def _jax(name: str, x: Tensor, g: Tensor | None) -> Call | None:
    import jax

    of, option = _option(name)
    function = getattr(jax.nn, of, None) or getattr(jax.numpy, of, None)
    if function is None:
        return None
    if of == "gelu":  # whose default in JAX is the other form
        function = functools.partial(function, approximate=bool(option))

    def both_ways(a: Any, b: Any) -> Any:
        value, pull = jax.vjp(function, a)
        return value, pull(b)

    a, b = (None if t is None else jax.numpy.asarray(t.float().numpy()).astype(str(t.dtype)[6:]) for t in (x, g))
    compiled = jax.jit(function) if g is None else jax.jit(both_ways)
    arguments = (a,) if g is None else (a, b)
    return lambda: jax.block_until_ready(compiled(*arguments))


OPSET = 20  # of ONNX


def _means(operator: str, name: str) -> bool:
    """Whether an operator of ONNX is the activation of the name: its HardSigmoid has another slope."""
    try:
        return str(resolve(f"{operator}@onnx")) == name
    except ValueError:
        return False


def _onnxruntime(name: str, x: Tensor, g: Tensor | None) -> Call | None:
    if g is not None or x.dtype is not torch.float32:  # it has neither gradients nor 16 bits on a CPU
        return None
    import onnxruntime
    from onnx import TensorProto, defs, helper

    of, option = _option(name)
    operator = "".join(part.capitalize() for part in of.split("_"))
    if name == "silu":
        nodes = [helper.make_node("Sigmoid", ["x"], ["s"]), helper.make_node("Mul", ["x", "s"], ["y"])]
    elif defs.has(operator, OPSET) and _means(operator, of):
        nodes = [helper.make_node(operator, ["x"], ["y"], **option)]
    else:
        return None
    x_info, y_info = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [x.numel()]) for n in "xy")
    graph = helper.make_graph(nodes, name, [x_info], [y_info])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # its threads would take others' cores
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    feed = {"x": x.numpy()}
    return lambda: session.run(None, feed)


OURS, EAGER, COPY = "actfun", "torch", "copy"
LIBRARIES = {
    one.name: one
    for one in (
        Library(OURS, "actfun", _actfun),
        Library(EAGER, "torch", _torch),
        Library("compile", "torch", _compiled, needs_compiler=True),
        Library("jax", "jax", _jax),
        Library("onnxruntime", "onnxruntime", _onnxruntime),
        Library(COPY, "torch", _copy),
    )
}
PEERS = tuple(name for name in LIBRARIES if name not in (OURS, COPY))
