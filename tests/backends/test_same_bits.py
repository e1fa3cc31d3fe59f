"""The bits of a result: the same for any number of threads, position, alignment and width of vectors."""

import hashlib
import os
import platform
import subprocess
import sys

import pytest
import torch
from support import CASES, CORE, Case, others_slow, points
from test_primitives import NAMES, inside
from torch import Tensor

from actfun._backends import cpu
from actfun._catalogue import primitives

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
in_each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
each = pytest.mark.parametrize("case", others_slow(CASES), ids=str)


def evaluated(case: Case, x: Tensor, g: Tensor) -> Tensor:
    return cpu.evaluate(case.formula, x, *case.parameters, times=g if case.argument else None)


def same(a: Tensor, b: Tensor) -> bool:
    """Bit for bit, the sign of zero included."""
    whole = {2: torch.int16, 4: torch.int32}[a.dtype.itemsize]
    return torch.equal(a.contiguous().view(whole), b.contiguous().view(whole))


def inputs(count: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(3)
    x, g = (torch.randn(count, generator=random) for _ in range(2))
    return (4.0 * x).to(dtype), g.to(dtype)


@in_each_dtype
@each
def test_threads_make_no_difference(case, dtype):
    x, g = inputs(100_003, dtype)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            results.append(evaluated(case, x, g))
    finally:
        torch.set_num_threads(threads)
    assert all(same(result, results[0]) for result in results)


@in_each_dtype
@each
def test_position_alignment_and_length_make_no_difference(case, dtype):
    """Whether a vector, its remainder or a lone element; a byte-wise odd start included."""
    x, g = inputs(200, dtype)
    whole = evaluated(case, x, g)
    for start in range(20):
        for stop in (start + 1, start + 7, start + 16, 150 + start):
            assert same(evaluated(case, x[start:stop], g[start:stop]), whole[start:stop])
    assert same(evaluated(case, x[::3], g[::3]), whole[::3])
    data = bytearray(b"\0") + bytearray(x.view(torch.uint8).numpy().tobytes())
    unaligned = torch.frombuffer(data, dtype=dtype, offset=1)
    assert same(evaluated(case, unaligned, g), whole)


def digest() -> str:
    """Of kernels' results in float32, of 16 bits' where they are computed, not looked up, and of primitives'."""
    found = hashlib.sha256()
    for case in CORE:
        for dtype in (torch.float32, torch.bfloat16):
            x = points(count=3_000).to(dtype)
            y = evaluated(case, x, torch.full_like(x, 0.7))
            found.update(y.contiguous().view(torch.uint8).numpy().tobytes())
    for primitive in (getattr(primitives, name) for name in NAMES):
        found.update(cpu.evaluate(primitive, inside(primitive)).numpy().tobytes())
    return found.hexdigest()


NARROWER = {
    "256 bits": {"ACTFUN_CPU": "haswell:+avx2,+fma"},
    "128 bits, fma in software": {"ACTFUN_CPU": "x86-64:+sse2"},
}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names processors of x86")
@pytest.mark.parametrize("settings", NARROWER.values(), ids=NARROWER.keys())
def test_the_width_of_vectors_makes_no_difference(settings):
    code = "import test_same_bits; print(test_same_bits.digest())"
    environment = {**os.environ, **settings, "PYTHONPATH": os.pathsep.join(sys.path)}
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert other.stdout.strip() == digest()


def test_the_digest_sees_a_changed_bit(monkeypatch):
    before, changed = digest(), CORE[0].formula
    kernels = cpu.evaluate

    def one_bit_off(formula, x, *parameters, **more):
        y = kernels(formula, x, *parameters, **more)
        if formula is changed and x.dtype is torch.float32:
            y.view(torch.int32)[17] ^= 1
        return y

    monkeypatch.setattr(cpu, "evaluate", one_bit_off)
    assert digest() != before
