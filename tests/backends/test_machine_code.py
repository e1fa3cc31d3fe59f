"""The machine code of CPU kernels, for one processor whatever this one is."""

import re

import llvmlite.binding as llvm
import pytest
import torch
from support import CASES, Case

from actfun._backends.cpu import kernels, polynomials

# A load of 64 bytes from a fixed place on the stack by the instruction for any address: spilled constants are read so
# where nothing promises that they start a cache line.
UNALIGNED = re.compile(r"vmov(?:ups|dqu64)\s+-?\d*\(%rsp\), %zmm")


@pytest.fixture(scope="module")
def zen5():
    try:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        return llvm.Target.from_triple("x86_64-unknown-linux-gnu").create_target_machine(cpu="znver5", opt=3)
    except RuntimeError as error:
        pytest.skip(f"this LLVM makes no code for x86: {error}")


def text_of(case: Case) -> str:
    dtypes, common = (torch.float32, torch.float32), polynomials.of(case.formula, case.parameters)
    per_element, numbers = ([False] * len(case.parameters), ()) if common is None else ([], case.parameters)
    return kernels.kernel("kernel", case.formula, dtypes, case.argument is not None, per_element, 16, common, numbers)


def assembly(text: str, target) -> str:
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = target.triple, str(target.target_data)
    passes = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(module, passes)
    return target.emit_assembly(module)


# gelu_10's formula runs out of registers; it has no polynomials, and is nobody's inner loop.
@pytest.mark.parametrize("case", [case for case in CASES if str(case) != "gelu_10"], ids=str)
def test_no_constant_lies_across_two_cache_lines(case, zen5):
    assert UNALIGNED.findall(assembly(text_of(case), zen5)) == []


def test_a_stack_of_any_alignment_is_caught(zen5):
    found = [UNALIGNED.findall(assembly(text_of(case).replace("alignstack(64)", ""), zen5)) for case in CASES]
    assert any(found)
