"""The Triton pair without a GPU: compiled to machine code for sm_90, and run in Triton's interpreter against mpmath."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support import CASES, Case, assert_close, points

from actfun.backends import mpmath as oracle

triton = pytest.importorskip("triton", reason="Triton is there on Linux only")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache folder of its own, so that every kernel is really compiled."""
    folder = tmp_path_factory.mktemp("triton")
    os.environ["TRITON_CACHE_DIR"] = str(folder)
    yield folder
    del os.environ["TRITON_CACHE_DIR"]


def cubin(case: Case, element: str, streams: bool) -> bytes:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from actfun.backends import triton as gpu

    count = len(case.parameters)
    signature = {"x": f"*{element}"} | ({"g": f"*{element}"} if case.argument else {})
    signature |= {"y": f"*{element}", "n": "i32"}
    signature["numbers"] = () if streams else ("fp32",) * count
    signature["streams"] = ("*fp32",) * count if streams else ()
    source = ASTSource(
        fn=gpu.backward_kernel if case.argument else gpu.forward_kernel,
        signature=signature | {"formula": "constexpr", "BLOCK": "constexpr"},
        constexprs={
            "formula": gpu.lower(case.formula, torch.float32 if element == "fp32" else torch.float16),
            "BLOCK": gpu.BLOCK,
        },
    )
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False}).asm["cubin"]


@pytest.mark.parametrize("element", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_kernel_compiles_for_sm_90(case, element, cache):
    assert cubin(case, element, streams=False).startswith(b"\x7fELF")


def test_kernels_take_parameters_by_element(cache):
    case = next(case for case in CASES if str(case) == "elu")
    assert cubin(case, "fp32", streams=True).startswith(b"\x7fELF")


RUN = """
import sys, torch
from support import CASES, points
from actfun.backends import triton as gpu
results = {}
for case in CASES:
    for dtype in (torch.float32, torch.float16):
        x = points(count=400).to(dtype)
        g = torch.full_like(x, 0.5) if case.argument else None
        results[str(case), str(dtype)] = gpu.evaluate(case.formula, x, *case.parameters, times=g)
        if case.parameters and dtype is torch.float32:
            streams = [torch.full_like(x, value) for value in case.parameters]
            assert torch.equal(gpu.evaluate(case.formula, x, *streams, times=g), results[str(case), str(dtype)])
torch.save(results, sys.argv[1])
"""


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory) -> dict:
    """What every kernel gives in the interpreter; Triton settles on it at import, hence a process of its own."""
    path = tmp_path_factory.mktemp("interpreter") / "results.pt"
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", RUN, str(path)], env=environment, check=True, timeout=240)
    return torch.load(path)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_interpreted_kernels_agree_with_mpmath(case, interpreted):
    x, scale = points(count=400), 0.5 if case.argument else 1.0
    exact = [scale * oracle.evaluate(case.formula, value, *case.rounded) for value in x.double().tolist()]
    assert_close(
        interpreted[str(case), "torch.float32"],
        exact,
        7.0 if case.argument else 4.0,
        2.0**-21 if case.argument else 0.0,
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_interpreted_kernels_round_once_to_float16(case, interpreted):
    x, scale = points(count=400).half(), 0.5 if case.argument else 1.0
    exact = [scale * oracle.evaluate(case.formula, value, *case.rounded) for value in x.double().tolist()]
    assert_close(interpreted[str(case), "torch.float16"], exact, 0.51, 2.0**-21)
