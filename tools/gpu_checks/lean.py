"""Memory of training steps: `af.lean()`, `nn.FeedForward` and `nn.Maxout`, their gradients and what they keep."""

from typing import Any

import torch

import actfun as af
from actfun._bench import memory
from gpu_checks.run import Run, Section
from gpu_checks.speed import in_turn, repeated

ROUNDS = 11
DTYPES = ("bfloat16", "float32")
CELLS = [("block", name) for name in ("gelu", "tanh", "relu squared", "GELU's tanh form, written out", "SwiGLU")]
CELLS += [("feed-forward", name) for name in ("gelu", "silu, gated")]
CELLS += [("maxout", name) for name in ("2 pieces", "3 pieces")]


def _factory(run: Run, dtype: str) -> dict[str, Any]:
    return {"device": run.device.type, "dtype": getattr(torch, dtype)}


def _rows(run: Run) -> int:
    return 2**16 if run.device.type == "cuda" else 2**6


def check(run: Run, section: Section) -> None:
    """Gradients under lean() have the bits that they have under patched(), eager and with each dtype."""
    for (_, subject), dtype in run.each(section, [(c, d) for c in CELLS if c[0] == "block" for d in DTYPES]):
        torch.manual_seed(0)
        ways, x = memory.GROUPS["block"](subject, 2**10, False, _factory(run, dtype))
        model = ways["actfun"].model
        found = []
        for context in (af.patched, af.lean):
            with context():
                y = model(x)
            found.append(torch.autograd.grad(y, list(model.parameters()), torch.ones_like(y)))
        equal = all(map(torch.equal, *found))
        section.rows.append({"name": subject, "dtype": dtype, "equal": equal})
        if not equal:
            section.failures.append(f"gradients of {subject} in {dtype} under lean() are others")


def measure(run: Run, section: Section) -> None:
    """Bytes kept, the peak of a step, both for each hidden element, and the seconds of a step, in bfloat16."""
    for group, subject in run.each(section, CELLS):
        torch.manual_seed(0)
        rows = _rows(run)
        ways, x = memory.GROUPS[group](subject, rows, False, _factory(run, "bfloat16"))
        found, steps = {}, {}
        for name, way in ways.items():
            forward, steps[name] = memory.calls(way, x)
            found[name] = memory.measure(forward, steps[name], run.device.type)
        seconds = in_turn(run, {name: repeated(run, step) for name, step in steps.items()}, ROUNDS)
        for name, one in found.items():
            each = rows * memory.HIDDEN
            row = {"group": group, "name": subject, "way": name, "kept": one.kept / each, "peak": one.peak / each}
            section.rows.append({**row, "seconds": seconds[name], "share": seconds[name] / seconds["actfun"]})
