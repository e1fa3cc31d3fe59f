"""Large results: huge pages, memory that serves the next one, and the same bits as small ones."""

import copy
import mmap
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from support import ELEMENTWISE

import actfun as af
from actfun.backends import cpu, pages
from actfun.registry import Parameter


def advised(y: torch.Tensor) -> bool:
    """Whether Linux was asked for huge pages in the middle of a tensor's memory; it may have none left to give."""
    middle, inside = y.data_ptr() + y.nbytes // 2, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            low, high = (int(end, 16) for end in line.split(" ")[0].split("-"))
            inside = low <= middle < high
        elif inside and line.startswith("VmFlags:"):
            return "hg" in line.split()
    raise AssertionError("no such memory")


SYSTEM = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not SYSTEM.exists() or "[madvise]" not in SYSTEM.read_text(), reason="no huge pages on request here"
)
def test_huge_pages_are_asked_for_under_large_results():
    x = torch.linspace(-9.0, 9.0, 2**24)
    assert advised(af.sigmoid(x))


def test_without_the_offer_memory_comes_from_torch(monkeypatch):
    """Its flags would not tell: torch may get memory that NumPy had huge pages asked for, and freed."""
    monkeypatch.delattr(mmap, "MADV_FREE", raising=False)  # as on another system
    monkeypatch.setattr(pages, "_block", lambda size: pytest.fail("asked for a block"))
    assert torch.equal(af.sigmoid(torch.zeros(2**24)), torch.full((2**24,), 0.5))


@pytest.fixture
def kept(monkeypatch) -> list[mmap.mmap]:
    if not hasattr(mmap, "MADV_FREE"):
        pytest.skip("this system cannot be offered memory")
    monkeypatch.setattr(pages, "_kept", [])
    return pages._kept


LARGE = pages.LARGE // 4  # float32


def test_memory_of_a_large_result_serves_the_next_and_never_two_at_once(kept):
    x = torch.randn(LARGE)
    first, second = af.relu(x), af.tanh(x)
    assert first.data_ptr() != second.data_ptr()
    place = first.data_ptr()
    view = first[1:]
    del first
    assert not kept  # a view still needs it
    del view
    assert len(kept) == 1
    third = af.silu(x)
    assert third.data_ptr() == place
    assert not kept
    assert torch.equal(third[:100], af.silu(x[:100]))
    assert torch.equal(second[:100], af.tanh(x[:100]))


def test_memory_that_is_kept_has_a_limit(kept, monkeypatch):
    monkeypatch.setattr(pages, "KEPT_AT_MOST", 2 * pages.LARGE)
    x = torch.randn(LARGE)
    results = [af.relu(x) for _ in range(4)]
    results.clear()
    assert sum(map(len, kept)) == 2 * pages.LARGE
    monkeypatch.setattr(pages, "KEPT_AT_MOST", 0)
    af.relu(x)
    assert not kept


def test_large_results_are_tensors_like_others(kept):
    x = torch.randn(8, 4, 2**10, 2**10).contiguous(memory_format=torch.channels_last)
    y = af.relu(x)
    assert y.stride() == x.stride()
    assert not y._is_view()
    assert torch.equal(y, torch.relu(x))
    array = y.numpy()
    del y
    assert not kept  # NumPy still needs it
    assert array.min() == 0.0
    leaf = torch.randn(LARGE, requires_grad=True)
    z = af.relu(leaf)
    z.mul_(2.0).sum().backward()
    assert torch.equal(leaf.grad, 2.0 * (leaf > 0))
    shared = af.relu(leaf.detach()).share_memory_()
    assert shared.is_shared()
    assert torch.equal(shared, torch.relu(leaf))
    assert torch.equal(copy.deepcopy(shared), shared)


@pytest.mark.parametrize("activation", ELEMENTWISE, ids=lambda activation: activation.name)
def test_large_results_have_the_bits_of_small_ones(activation):
    x = 4.0 * torch.randn(LARGE + 13)  # common and rare ones, and a last vector that is not whole
    numbers = [p.default for p in activation.parameters.values() if isinstance(p, Parameter)]
    formulas = [(activation.formula, {}), (activation.derivatives["x"], {"times": x})]
    for formula, times in formulas:
        large = cpu.evaluate(formula, x, *numbers, **times)
        assert pages.past_caches(large)
        for first in (0, 12_345, LARGE - 100):
            part = slice(first, first + 10_000)
            small = cpu.evaluate(formula, x[part], *numbers, **{key: value[part] for key, value in times.items()})
            assert torch.equal(large[part].view(torch.int32), small.view(torch.int32))


def test_many_threads_share_what_is_kept(kept):
    inputs = [torch.full((LARGE,), float(k)) for k in range(4)]

    def work(x: torch.Tensor) -> bool:
        return all(bool((af.relu(x) == x).all()) for _ in range(5))

    with ThreadPoolExecutor(4) as threads_of_python:
        assert all(threads_of_python.map(work, inputs))
