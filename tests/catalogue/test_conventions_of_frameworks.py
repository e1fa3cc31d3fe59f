"""The table of conventions against the frameworks that are installed: values on a grid, slopes at the kinks.

torch is always there; the extra `peers` brings others.
"""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

import actfun as af
from actfun._catalogue.kinds import ELEMENTWISE
from actfun._catalogue.names import Convention, table

X = numpy.linspace(-10.0, 10.0, 401).astype(numpy.float32)
OFF = 5e-6  # what float32 formulas of frameworks lose; the tanh form of gelu is 4.7e-4 off
NO_DEFAULTS = {"threshold": (1.0, 0.0)}  # of torch and Keras
Function = Callable[
    [numpy.ndarray], tuple[numpy.ndarray, numpy.ndarray | None]
]  # values, and slopes where there are any


def of_tensors(call: Callable[[Tensor], Tensor]) -> Function:
    """A function of tensors."""

    def function(x: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        taken = torch.from_numpy(x.copy()).requires_grad_()
        y = call(taken)
        y.sum().backward()
        assert taken.grad is not None
        return y.detach().numpy(), taken.grad.numpy()

    return function


def in_evaluation(module: nn.Module) -> nn.Module:
    return module.eval()


def options(name: str) -> tuple[str, dict[str, Any]]:
    """What stands before a name's parentheses, and what is settled in them."""
    head, _, rest = name.partition("(")
    return head, eval(f"dict({rest}") if rest else {}


def of_torch(row: Convention) -> Function | None:
    head, settled = options(row.name)
    made = eval(head, {"torch": torch, "nn": nn, "F": nn.functional})
    needed = NO_DEFAULTS.get(row.canonical, ())
    if inspect.isclass(made):
        return of_tensors(in_evaluation(made(*needed, **settled)))
    if row.canonical == "prelu":
        return of_tensors(lambda x: made(x, torch.tensor([row.parameters["weight"]])))
    return of_tensors(lambda x: made(x, *needed, **settled))


def of_jax(row: Convention) -> Function | None:
    jax = pytest.importorskip("jax")
    head, settled = options(row.name)
    call = getattr(jax.nn, head)

    def function(x: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        def one(x: Any) -> Any:
            return call(x, **settled)

        return numpy.asarray(jax.vmap(one)(x)), numpy.asarray(jax.vmap(jax.grad(one))(x))

    return function


def of_transformers(row: Convention) -> Function | None:
    names = pytest.importorskip("transformers.activations").ACT2FN
    return of_tensors(in_evaluation(names[row.name])) if row.name in names and row.name != "xielu" else None


def of_timm(row: Convention) -> Function | None:
    layers = importlib.import_module("timm.layers")
    if row.name.endswith("_me"):
        return of_tensors(getattr(importlib.import_module("timm.layers.activations_me"), row.name))
    made = layers.get_act_layer(row.name) if row.name == row.name.lower() else None
    return None if made is None else of_tensors(in_evaluation(made()))


def of_keras(row: Convention) -> Function | None:
    keras = importlib.import_module("keras")
    if keras.backend.backend() != "torch":
        return None
    place, _, name = row.name.rpartition(".")
    made = getattr(getattr(keras, place or "activations"), name)
    if not place.startswith("layers"):
        return of_tensors(lambda x: made(x, *NO_DEFAULTS.get(row.canonical, ())))
    return None if row.canonical == "prelu" else of_tensors(made())


def of_onnx(row: Convention) -> Function | None:
    """ONNX Runtime's operators, which have no slopes."""
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    if row.name.startswith(("Clip", "PRelu", "com.microsoft.BiasGelu", "Swish", "Shrink(")):
        return None  # these take more than a tensor, or are newer than opset 20
    head, settled = options(row.name)
    domain, _, operator = head.rpartition(".")
    kinds = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None]) for name in "xy"]
    node = onnx.helper.make_node(operator, ["x"], ["y"], domain=domain, **settled)
    sets = [onnx.helper.make_opsetid("", 20)] + [onnx.helper.make_opsetid(domain, 1)] * bool(domain)
    graph = onnx.helper.make_graph([node], "g", kinds[:1], kinds[1:])
    model = onnx.helper.make_model(graph, opset_imports=sets, ir_version=9)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda x: (session.run(None, {"x": x})[0], None)


ASK: dict[str, Callable[[Convention], Function | None]] = {
    "torch": of_torch,
    "jax": of_jax,
    "flax": of_jax,  # which exports jax.nn's
    "transformers": of_transformers,
    "timm": of_timm,
    "keras": of_keras,
    "onnx": of_onnx,
    "onnxruntime": of_onnx,
}
NEEDED = {"onnx": "onnxruntime"}  # what runs it


def is_there(framework: str) -> bool:
    """Whether it can be asked."""
    try:
        importlib.import_module(NEEDED.get(framework, framework))
    except (ImportError, RuntimeError, AttributeError):  # also one that does not go with torch
        return False
    return True


def asked() -> list[Convention]:
    """The rows of frameworks that are there."""
    there = {framework for framework in ASK if is_there(framework)}
    known = [row for row in table() if row.framework in there and row.known]
    return [row for row in known if af.spec(row.canonical).kind is ELEMENTWISE]


def disagreements(row: Convention, theirs: Function) -> list[str]:
    """Where a framework's function is not what its row states."""
    stated = {"activation": row.canonical, "parameters": row.parameters, "kinks": row.kinks}
    ours = of_tensors(in_evaluation(af.get(stated)))
    low = 1e-3 if row.canonical == "log1mexp" else -numpy.inf
    x = X[low <= X]
    values = zip(x, theirs(x)[0], ours(x)[0], strict=True)
    wrong = [f"value at {at}: {a}, not {b}" for at, a, b in values if _off(a, b)]
    kinks = numpy.array(sorted({*row.meaning.slopes()}), numpy.float32)
    slopes = theirs(kinks)[1] if len(kinks) else None
    if slopes is not None:
        pairs = zip(kinks, slopes, ours(kinks)[1], strict=True)
        wrong += [f"slope at {at}: {a}, not {b}" for at, a, b in pairs if _off(a, b)]
    return wrong


def _off(theirs: float, ours: float) -> bool:
    return not abs(theirs - ours) <= OFF * max(1.0, abs(ours))


@pytest.mark.parametrize("row", asked(), ids=lambda row: row.asked)
def test_a_framework_does_what_its_row_states(row):
    theirs = ASK[row.framework](row)
    if theirs is None:
        pytest.skip("not a function of a tensor alone")
    assert disagreements(row, theirs) == []


FAULTS = [
    Convention("gelu_tanh", "torch", "F.gelu", {}, {}, ""),
    Convention("leaky_relu", "torch", "F.leaky_relu", {"negative_slope": 0.02}, {}, ""),
    Convention("leaky_relu", "torch", "F.leaky_relu", {"negative_slope": 0.01}, {0.0: "right"}, ""),
    Convention("relu", "torch", "nn.ReLU", {}, {0.0: 0.5}, ""),
]


@pytest.mark.parametrize("row", FAULTS, ids=str)
def test_a_wrong_row_is_noticed(row):
    assert disagreements(row, of_torch(row)) != []
