"""The short way in C++: the same bits as in Python, and only for tensors that may take it."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import pytest
import torch
from support import ELEMENTWISE
from torch.autograd import forward_ad

import actfun as af
from actfun import op, quick
from actfun.backends import cpu, disk, native
from actfun.functional import function_of
from actfun.registry import Activation, spec

COMPILER = (
    any(map(shutil.which, ("g++", "c++", "clang++"))) and Path(sysconfig.get_path("include"), "Python.h").exists()
)
pytestmark = [
    pytest.mark.skipif(not COMPILER, reason="needs a C++ compiler and Python's headers"),
    pytest.mark.xdist_group("native"),  # one process builds it
]
each = pytest.mark.parametrize("activation", ELEMENTWISE, ids=lambda activation: activation.name)
in_each_dtype = pytest.mark.parametrize("dtype", op.KERNEL_DTYPES, ids=str)


@pytest.fixture(scope="module", autouse=True)
def built(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(disk.SETTING, str(tmp_path_factory.mktemp("native")))
        native.build()
        quick.native_of.cache_clear()
        yield
    native.module.cache_clear()
    quick.native_of.cache_clear()


def in_cpp(activation: Activation) -> quick.Native:
    found = quick.native_of(activation)
    assert found is not None
    return found


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    whole = {2: torch.int16, 4: torch.int32}[a.dtype.itemsize]
    return a.shape == b.shape and torch.equal(a.contiguous().view(whole), b.contiguous().view(whole))


@in_each_dtype
@each
def test_bits_are_those_of_the_way_in_python(activation, dtype):
    numbers = in_cpp(activation).numbers
    for shape in ((), (0,), (7,), (40_001,), (3, 5, 100)):
        x, g = ((4.0 * torch.randn(shape)).to(dtype) for _ in range(2))
        leaf = x.clone().requires_grad_()
        y = function_of(activation)(leaf)
        assert type(y.grad_fn).__name__ == "CppFunction"
        assert same(y.detach(), cpu.evaluate(activation.formula, x, *numbers))
        (gradient,) = torch.autograd.grad(y, leaf, g)
        assert same(gradient, cpu.evaluate(activation.derivatives["x"], x, *numbers, times=g))
        assert same(function_of(activation)(x), y.detach())


def test_numbers_of_threads_make_no_difference():
    x, threads, found = torch.randn(200_003), torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(in_cpp(spec("silu"))(x))
    finally:
        torch.set_num_threads(threads)
    assert same(found[0], found[1])
    assert same(found[0], found[2])


def test_several_threads_at_once():
    x = torch.randn(100_003)
    right, wrong = in_cpp(spec("gelu"))(x), []

    def work() -> None:
        leaf = x.clone().requires_grad_()
        for _ in range(20):
            y = af.gelu(leaf)
            torch.autograd.grad(y, leaf, x)
            wrong.extend([1] * (not same(y.detach(), right)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


ONES = torch.ones(100_000)  # made before a fork: in the child torch's own operations must not be parallel


def _child(queue: "multiprocessing.Queue[float]") -> None:
    queue.put(af.sigmoid(ONES)[-1].item())


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_forked_child_works_after_a_parallel_kernel():
    assert af.sigmoid(ONES)[-1].item() == pytest.approx(0.731, abs=1e-3)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == pytest.approx(0.731, abs=1e-3)
    child.join(60)
    assert child.exitcode == 0


def test_gradients_of_gradients_are_those_of_formulas():
    x = torch.linspace(-3.0, 3.0, 50, requires_grad=True)
    (first,) = torch.autograd.grad(af.tanh(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    y = torch.tanh(x.detach().double())
    assert torch.allclose(second.double(), -2.0 * y * (1.0 - y * y), atol=1e-6)


@pytest.mark.parametrize("other", [torch.Tensor.double, lambda x: x[::2], lambda x: x.to(torch.bfloat16)])
def test_a_saved_tensor_that_a_hook_exchanges_takes_the_long_way(other):
    x = torch.linspace(-3.0, 3.0, 50, requires_grad=True)
    whole = x.detach().clone()

    def packed(saved: torch.Tensor) -> torch.Tensor:
        return other(saved)

    def unpacked(saved: torch.Tensor) -> torch.Tensor:
        return whole.double() if saved.shape != whole.shape else saved

    with torch.autograd.graph.saved_tensors_hooks(packed, unpacked):
        y = af.tanh(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.allclose(gradient.double(), 1.0 - torch.tanh(whole.double()) ** 2, atol=1e-2)


def test_an_input_that_was_overwritten_is_no_longer_used():
    leaf = torch.ones(5, requires_grad=True)
    x = 1.0 * leaf
    y = af.tanh(x)
    x.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def others() -> dict[str, torch.Tensor]:
    return {
        "float64": torch.ones(3).double(),
        "strided": torch.ones(4, 4).t()[:, ::2],
        "not negated yet": torch.tensor([1j]).conj().imag,
        "zero": torch._efficientzerotensor(3),
        "meta": torch.ones(3, device="meta"),
    }


@pytest.mark.parametrize("kind", others())
def test_other_tensors_go_another_way(kind):
    assert in_cpp(spec("relu")).call(others()[kind]) is None


def test_what_watches_operations_sees_them():
    x, ways = torch.ones(3), []

    def look(v: torch.Tensor) -> torch.Tensor:
        ways.append(in_cpp(spec("tanh")).call(v))
        return 2.0 * v

    in_cpp(spec("tanh"))(x)
    torch.func.grad(lambda v: look(v).sum())(x)
    torch.vmap(look)(x)
    torch.jit.trace(look, x, check_trace=False)
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
        look(x)
    with forward_ad.dual_level():
        look(forward_ad.make_dual(x, x))
    assert ways
    assert all(way is None for way in ways)


def test_transformations_work_beside_it():
    x = torch.linspace(-3.0, 3.0, 40)
    right = 1.0 - torch.tanh(x) ** 2
    assert torch.allclose(torch.func.grad(lambda v: af.tanh(v).sum())(x), right, atol=1e-6)
    assert torch.allclose(torch.func.jvp(af.tanh, (x,), (torch.ones(40),))[1], right, atol=1e-6)
    assert torch.allclose(torch.compile(af.tanh, fullgraph=True, backend="eager")(x), torch.tanh(x), atol=1e-6)
    with torch.inference_mode():
        assert same(af.tanh(x.clone()), af.tanh(x))


def test_a_learned_alpha_takes_the_long_way():
    layer = af.nn.ELU(learnable=True)
    layer(torch.tensor([-1.0, 2.0])).sum().backward()
    assert layer.alpha.grad.item() == pytest.approx(-0.632, abs=1e-3)
    assert af.elu(torch.tensor([-1.0]), alpha=2.0).item() == pytest.approx(-1.2642, abs=1e-3)


def test_a_build_that_fails_says_what_it_needs(tmp_path):
    environment = {**os.environ, disk.SETTING: str(tmp_path), "CXX": "no-such-compiler"}
    done = subprocess.run(
        [sys.executable, "-m", "actfun", "build"], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 2
    assert "it needs ninja (pip install ninja) and a C++ compiler" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("*"))


def test_what_autograd_keeps_is_guarded_as_in_torch():
    x = torch.randn(10, requires_grad=True)
    y = function_of(spec("silu"))(x)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.sum().backward()

    inner = 1.0 * x
    y = function_of(spec("silu"))(inner)
    inner.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()

    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t.double(), lambda t: t.float()):
        y = function_of(spec("silu"))(x)
    assert len(kept) == 1
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert same(gradient, cpu.evaluate(spec("silu").derivatives["x"], x.detach(), times=torch.ones(10)))
