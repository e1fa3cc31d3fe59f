"""The registered operators: one node where PyTorch records or exports, and torch's behaviour where it has one."""

import copy
import io
import os
import pickle
import re
import subprocess
import sys
from functools import partial

import pytest
import torch
from support import COMPILES, ELEMENTWISE, STEEP, others_slow
from torch import nn
from torch.profiler import ProfilerActivity, profile

import actfun as af
from actfun._backends import torch as torch_ops
from actfun._backends.tables import arguments
from actfun._catalogue.registry import Parameter, _registry, activation, derivative
from actfun._operators.autograd import Elementwise

each = pytest.mark.parametrize("name", [a.name for a in ELEMENTWISE])
torchs = pytest.mark.parametrize("name", others_slow(a.name for a in ELEMENTWISE))
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
in_each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
INPLACE = [a for a in ELEMENTWISE if a.inplace]
x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


def called(graph: torch.fx.Graph) -> list[str]:
    return [str(node.target) for node in graph.nodes if node.op == "call_function"]


@each
def test_a_graph_has_one_node_for_an_activation(name):
    module = af.get(name)
    exported = torch.export.export(module, (x,))
    assert len(called(exported.graph)) == 1
    assert name in called(exported.graph)[0]
    assert torch.equal(exported.module()(x), module(x))
    traced = torch.fx.symbolic_trace(module)
    assert len(called(traced.graph)) == 1
    assert torch.equal(traced(x), module(x))


@torchs
def test_decomposed_and_traced_graphs_are_in_the_dtype_of_the_input(name):
    module = af.get(name)
    decomposed = torch.export.export(module, (x,)).run_decompositions()
    kinds = {
        node.meta["val"].dtype for node in decomposed.graph.nodes if isinstance(node.meta.get("val"), torch.Tensor)
    }
    assert kinds <= {torch.float32, torch.bool}
    close = partial(torch.testing.assert_close, rtol=max(2e-6, STEEP.get(name, 0.0) * 2.0**-24), atol=1e-9)
    close(decomposed.module()(x), module(x))
    traced = torch.jit.trace(module, x)
    assert not re.search(r"Double\(\d", str(traced.inlined_graph))  # a number among the operands has no dimension
    close(traced(x), module(x))


@pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based ONNX export")
@pytest.mark.parametrize("dynamo", [True, False], ids=["default exporter", "by torch.jit.trace"])
def test_onnx_runtime_runs_what_both_exporters_write(dynamo, monkeypatch):
    """All activations in one network, so that one export and one session stand for all."""
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setitem(sys.modules, "torchvision", None)  # the exporter looks for it, and may find another torch's

    class Everything(nn.Module):
        def __init__(self):
            super().__init__()
            names = [a.name for a in ELEMENTWISE]
            self.parts = nn.ModuleList([*map(af.get, names), af.nn.ELU(0.5, learnable=True), af.nn.FeedForward(6, 6)])
            self.parts += [af.nn.Maxout(6, 6), af.nn.StochasticGELU(), af.nn.SiLU(inplace=True)]

        def forward(self, x):
            return torch.stack([part(x * 1.0) for part in self.parts])

    module, at = Everything().eval(), torch.linspace(-12.0, 12.0, 48).reshape(8, 6)
    file = io.BytesIO()
    more = {} if dynamo else {"dynamo": False, "opset_version": 18}
    torch.onnx.export(module, (at,), file, input_names=["x"], verbose=False, **more)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    got = torch.from_numpy(session.run(None, {"x": at.numpy()})[0])
    torch.testing.assert_close(got, module(at), rtol=1e-5, atol=1e-6)


@torchs
def test_the_profiler_shows_both_ways_by_name(name):
    leaf, function = x.clone().requires_grad_(), getattr(af, name)
    function(leaf).sum().backward()
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiled:  # without, 2.11 warns
        function(leaf).sum().backward()
    seen = [event.key for event in profiled.key_averages()]
    assert {f"actfun::{name}", f"{name}Backward"} <= {*seen} or {f"aten::{name}", "ReluBackward0"} <= {*seen}


def kept_by(module: nn.Module, width: int = 64, rows: int = 500) -> float:
    """Bytes that backward keeps for each hidden element of Linear, module, Linear."""
    network, at = nn.Sequential(nn.Linear(width, width), module, nn.Linear(width, width)), torch.randn(rows, width)
    sizes: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = network(at)
    for known in (at, *network.parameters()):
        sizes.pop(known.untyped_storage().data_ptr(), None)
    y.sum().backward()
    return sum(sizes.values()) / (rows * width)


def test_backward_keeps_no_more_than_it_needs():
    """The input, or the output where it determines the derivative; the next layer keeps the output anyway."""
    kept = {a.name: kept_by(af.get(a.name)) for a in ELEMENTWISE}
    assert kept == {a.name: 4.0 if a.keeps == "output" else 8.0 for a in ELEMENTWISE}
    assert kept_by(af.nn.ReLU(inplace=True)) == kept_by(af.nn.LeakyReLU(0.1, inplace=True)) == 4.0
    assert kept_by(af.nn.LeakyReLU(-0.1)) == 8.0, "the output of a negative slope does not determine it"
    assert kept_by(af.nn.StochasticGELU()) == 5.0, "the output, and a mask of a byte"


def differs_at_output(formula, slope, dtype: torch.dtype, *parameters: float) -> bool:
    """Whether a derivative at the output is another than at the input, for any number of 16 bits."""
    at = arguments(dtype)
    y = torch_ops.evaluate(formula, at, *parameters)
    there, here = (torch_ops.evaluate(slope, v, *parameters) for v in (y, at))
    return not torch.equal(there.view(torch.int16), here.view(torch.int16))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_the_output_determines_the_derivative_where_it_is_kept(dtype):
    """Proven for every number of 16 bits, for slopes of every size."""
    for a in ELEMENTWISE:
        wanted = [p.default for p in a.parameters.values() if isinstance(p, Parameter)]
        for scale in (1.0, 1e-30, 1e-4, 40.0) if wanted else (1.0,):
            parameters = [scale * value for value in wanted]
            if a.keeps == "output":
                assert not differs_at_output(a.formula, a.derivatives["x"], dtype, *parameters), (a.name, parameters)
    tanh = af.spec("tanh")
    assert differs_at_output(tanh.formula, tanh.derivatives["x"], dtype)
    leaky = af.spec("leaky_relu")
    assert differs_at_output(leaky.formula, leaky.derivatives["x"], dtype, -0.1)


def test_a_function_that_is_torchs_own_has_its_bits():
    """Where `torch_is_exact` says so, values and gradients are those of the formula, for every number of 16 bits."""
    exact = [a for a in ELEMENTWISE if a.torch_is_exact]
    assert [a.name for a in exact] == ["relu"]
    for dtype in (torch.bfloat16, torch.float16):
        at = arguments(dtype).requires_grad_()
        for a in exact:
            y = getattr(torch, a.name)(at)
            (slope,) = torch.autograd.grad(y, at, torch.ones_like(y))
            for got, formula in ((y, a.formula), (slope, a.derivatives["x"])):
                assert torch.equal(got.view(torch.int16), torch_ops.evaluate(formula, at.detach()).view(torch.int16))


@in_each_dtype
@pytest.mark.parametrize("a", others_slow(INPLACE), ids=lambda a: a.name)
def test_inplace_is_the_same_in_every_memory_layout(a, dtype):
    function = getattr(af, a.name)
    base = torch.randn(4, 3, 8, 8).to(dtype)
    for view in (lambda t: t, lambda t: t[:, ::2], lambda t: t.transpose(0, 3), lambda t: t[1, 2, 3]):
        leaf = base.clone().requires_grad_()
        expected = function(view(leaf))
        (gradient,) = torch.autograd.grad(expected.sum(), leaf)
        part = view(leaf * 1.0)
        version = part._version
        y = function(part, inplace=True)
        assert y is part
        assert y._version > version
        assert torch.equal(y, expected)
        assert torch.equal(torch.autograd.grad(y.sum(), leaf)[0], gradient)
        quiet = view(base.clone())
        version = quiet._version
        assert torch.equal(function(quiet, inplace=True), expected)
        assert quiet._version > version, "autograd would not notice the change"


@pytest.mark.parametrize("a", others_slow(INPLACE), ids=lambda a: a.name)
def test_inplace_of_a_leaf_is_refused_and_changes_nothing(a):
    leaf = x.clone().requires_grad_()
    with pytest.raises(RuntimeError, match="leaf"):
        getattr(af, a.name)(leaf, inplace=True)
    assert torch.equal(leaf, x)


@pytest.mark.parametrize("a", others_slow(INPLACE), ids=lambda a: a.name)
def test_inplace_modules_compile_export_and_are_traced(a):
    module = nn.Sequential(nn.Linear(6, 6), af.get(a.name, inplace=True), nn.Linear(6, 6))
    expected = module(x)
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    close = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(compiled(x), expected, **close)
    torch.testing.assert_close(torch.export.export(module, (x,)).run_decompositions().module()(x), expected, **close)
    torch.testing.assert_close(torch.jit.trace(module, x)(x), expected, **close)


@torchs
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=str)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_are_computed_part_by_part(name, layout):
    parts, function = [torch.randn(2, 4), torch.randn(3, 4)], getattr(af, name)
    nested = torch.nested.nested_tensor(parts, layout=layout, requires_grad=True)
    y = function(nested)
    assert y.layout is layout
    for got, part in zip(y.unbind(), parts, strict=True):
        torch.testing.assert_close(got, function(part), rtol=1e-5, atol=1e-7)
    torch.nested.to_padded_tensor(y, 0.0).sum().backward()
    for got, part in zip(nested.grad.unbind(), parts, strict=True):
        leaf = part.clone().requires_grad_()
        torch.testing.assert_close(got, torch.autograd.grad(function(leaf).sum(), leaf)[0], rtol=1e-5, atol=1e-6)


@each
@pytest.mark.filterwarnings("ignore:Sparse")
def test_sparse_layouts_are_refused(name):
    square = torch.randn(4, 4)
    for sparse in (
        square.to_sparse(),
        square.to_sparse_csr(),
        square.to_sparse_csc(),
        square.to_sparse_bsr((2, 2)),
        square.to_sparse_bsc((2, 2)),
    ):
        with pytest.raises(TypeError, match=f"^{name}: expected a dense tensor, got layout torch.sparse"):
            getattr(af, name)(sparse)


class Subclass(torch.Tensor):
    """A tensor with torch's own __torch_function__."""


@torchs
def test_a_subclass_stays_one_when_compiled(name):
    torch._dynamo.reset()
    compiled = torch.compile(getattr(af, name), backend="eager", fullgraph=True)
    assert type(compiled(x.as_subclass(Subclass))) is Subclass


@each
@in_each_dtype
def test_a_gradient_of_a_gradient_is_there_where_it_is_zero(name, dtype):
    leaf = torch.tensor([-1.5, -0.2, 0.7], dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(getattr(af, name)(leaf).sum(), leaf, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), leaf)
    assert second.isfinite().all()
    if name in ("relu", "leaky_relu"):
        assert second.tolist() == [0.0, 0.0, 0.0]


def test_no_module_recompiles_on_account_of_another():
    """torch.compile gives up on a code object after eight versions, and there are more activations."""
    torch._dynamo.reset()
    for a in ELEMENTWISE:
        module = af.get(a.name)
        torch.testing.assert_close(
            torch.compile(module, fullgraph=True, backend="aot_eager")(x), module(x), rtol=1e-5, atol=1e-6
        )


def test_a_graph_with_a_learned_alpha_is_saved_loaded_and_keeps_its_bound():
    module = nn.Sequential(nn.Linear(6, 6), af.nn.ELU(learnable=True), nn.Linear(6, 2)).eval()
    graph = torch.fx.symbolic_trace(module)
    file = io.BytesIO()
    torch.save(graph, file)
    file.seek(0)
    others = (
        graph,
        torch.load(file, weights_only=False),
        pickle.loads(pickle.dumps(graph)),
        copy.deepcopy(graph),
        torch.fx.symbolic_trace(graph),
    )
    assert all(torch.equal(other(x), module(x)) for other in others)
    with torch.no_grad():
        module[1].alpha.fill_(-5.0)
    assert torch.equal(torch.fx.symbolic_trace(module)(x), module(x))
    two = torch.fx.symbolic_trace(lambda z, alpha: af.elu(z, alpha))
    assert torch.equal(two(x, torch.tensor([0.7])), af.elu(x, torch.tensor([0.7])))


def test_an_activation_written_again_replaces_its_operator():
    def write(factor: float):
        text = f"def written_again(x):\n    return {factor} * x\n"
        names: dict[str, object] = {"__name__": __name__}
        exec(text, names)
        formula = activation(monotonic=True, convex=True, latex="x", reference="a test")(names["written_again"])
        exec(f"def slope(x):\n    return {factor} + 0.0 * x\n", names)
        derivative(formula, "x")(names["slope"])

    try:
        for factor in (2.0, 3.0):
            write(factor)
            leaf = x.clone().requires_grad_()
            y = af.written_again(leaf)
            assert torch.equal(y, factor * x)
            assert torch.equal(torch.autograd.grad(y.sum(), leaf)[0], torch.full_like(x, factor))
    finally:
        _registry.pop("written_again", None)


WITHOUT = """
import sys, torch
from torch.autograd import forward_ad
for owner, name in ((torch._C, "_dispatch_keys"), (forward_ad, "_current_level"),
                    (torch._C._functorch, "get_interpreter_stack")):
    if name == sys.argv[1]:
        delattr(owner, name)
if sys.argv[1] == "_FunctionBase":
    import actfun._operators.torch_private
    torch._C._FunctionBase = None
import actfun as af
x = torch.linspace(-3.0, 3.0, 7, requires_grad=True)
exact = torch.sigmoid(x.detach().double())
y = af.sigmoid(x)
y.sum().backward()
torch.testing.assert_close(y.double(), exact, rtol=1e-6, atol=0.0)
torch.testing.assert_close(x.grad.double(), exact * (1.0 - exact), rtol=1e-6, atol=0.0)
module = af.nn.ELU(learnable=True)
module(x).sum().backward()
assert module.alpha.grad is not None
"""


@pytest.mark.parametrize("name", ["_dispatch_keys", "_current_level", "_FunctionBase"])
def test_it_works_without_a_private_name_of_torch(name):
    subprocess.run([sys.executable, "-c", WITHOUT, name], check=True)


FIRST_CALLS = """
import sys, threading, torch, actfun as af, actfun._backends.cpu, actfun._operators.op
from actfun._catalogue.kinds import ELEMENTWISE
from actfun._catalogue.registry import activation, derivative, names, spec
from actfun._once import working
sys.setswitchinterval(1e-6)

@activation(monotonic=True, convex=True, latex="x", reference="a test")
def my_own(x):
    return x

@derivative(my_own, "x")
def slope(x):
    return 1.0

def held(work):
    def checked(*args):
        assert working._is_owned(), "two threads may work at once"
        return work(*args)
    return checked

actfun._backends.cpu.kernels.kernel = held(actfun._backends.cpu.kernels.kernel)
actfun._operators.op._define = held(actfun._operators.op._define)
for name in [name for name in names(ELEMENTWISE) if spec(name).torch]:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        together, results = threading.Barrier(4), []
        def call():
            x = torch.ones(8, dtype=dtype, requires_grad=True)
            together.wait()
            y = getattr(af, name)(x)
            y.sum().backward()
            results.append((y.tolist(), x.grad.tolist(), getattr(af.nn, spec(name).module)))
        threads = [threading.Thread(target=call) for _ in range(4)]
        [thread.start() for thread in threads], [thread.join() for thread in threads]
        assert len(results) == 4 and all(result == results[0] for result in results), (name, dtype)
"""


WITHOUT_LOCK = """
import contextlib, actfun._once, actfun._backends.cpu.jit
for module in (actfun._once, actfun._operators.op, actfun._backends.cpu.jit):
    module.working = contextlib.nullcontext()
"""


def test_threads_may_make_the_first_calls_together(tmp_path):
    """Bits, operators and classes are the same, and none works anything out while another does."""
    environment = os.environ | {"ACTFUN_CACHE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", FIRST_CALLS], env=environment, check=True)
    planted = [sys.executable, "-c", FIRST_CALLS.replace("sys.setswitch", f"{WITHOUT_LOCK}\nsys.setswitch")]
    done = subprocess.run(planted, env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and "two threads may work at once" in done.stderr


def test_what_autograd_runs_is_one_class_for_each_way():
    """The subclass that bears an activation's name adds nothing."""
    leaf = x.clone().requires_grad_()
    node = af.silu(leaf).grad_fn
    assert type(node).__name__ == "siluBackward"
    assert node._forward_cls.__mro__[1] is Elementwise


COMPILED_FROM_CACHE = """
import sys, torch, actfun as af
from actfun._catalogue.registry import activation, derivative
names = {"__name__": "__main__"}
exec(f"def scaled(x):\\n    return {sys.argv[1]} * x\\n", names)
activation(monotonic=True, convex=True, latex="x", reference="a test")(names["scaled"])
if sys.argv[2] == "untold":
    af.scaled
    torch.compiler.config.cache_key_tag = ""
torch.set_grad_enabled(False)
print(float(torch.compile(lambda x: af.scaled(x), fullgraph=True)(torch.ones(4))[0]))
"""


@pytest.mark.slow
@COMPILES
def test_caches_of_torch_compile_do_not_outlive_a_formula(tmp_path):
    """PyTorch's caches on disk know an operator by its name; without the tag the second run would find the first's."""
    printed = []
    for factor, told in (("2.0", "told"), ("3.0", "told"), ("2.0", "untold"), ("3.0", "untold")):
        done = subprocess.run(
            [sys.executable, "-c", COMPILED_FROM_CACHE, factor, told],
            env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / told)},
            capture_output=True,
            text=True,
            check=True,
        )
        printed.append(done.stdout.strip())
    assert printed[:2] == ["2.0", "3.0"]
    assert printed[2:] == ["2.0", "2.0"], "the tag is no longer what keeps them apart"
