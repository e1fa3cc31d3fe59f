"""What a sweep over values does not meet: special values, layouts, in place, learnable parameters, float64."""

import math
from typing import Any

import torch
from torch import Tensor

import actfun as af
from actfun._accuracy.error import DIGITS, nearest, ulps
from actfun._accuracy.implementation import Implementation
from actfun._backends import torch as torch_ops
from gpu_checks.correct import DTYPES, graded, ours
from gpu_checks.run import Run, Section


def reference(run: Run, section: Section) -> None:
    """Float64 on the device beside float64 on the CPU: what all else is held against."""
    line = torch.linspace(-40.0, 40.0, 4001, dtype=torch.float64)
    for name in run.each(section, run.names):
        activation = Implementation("actfun", name, False, torch.float64)
        function, x = ours(name), line.to(run.device)
        exact = torch_ops.evaluate(activation.formula, line, *activation.numbers)
        got = function(x).cpu()
        slope = Implementation("actfun", name, True, torch.float64).exact(line)
        pairs = {"value": (got, exact), "gradient": (graded(function, x, torch.ones_like(x)).cpu(), slope)}
        for kind, (mine, other) in pairs.items():
            off = (mine - other).abs()
            error = float(torch.where(off > 1e-15, off / other.abs(), 0.0).max())
            section.rows.append({"name": name, "kind": kind, "relative": error})
            if not error <= 1e-11 or mine.dtype is not torch.float64:  # exponents to 800 cost 2^-43
                section.failures.append(f"{name} float64 {kind}: relative error {error:.2e} between device and CPU")


def right(got: Tensor, exact: Tensor) -> Tensor:
    """Where special results are right: the nearest number within 4 ulp, zeros with their sign, NaN for NaN."""
    zero = (exact == 0.0) & (got == 0.0)
    close = (ulps(got, exact) <= 4.0) | (got == nearest(exact, got.dtype))
    return torch.where(zero, got.signbit() == exact.signbit(), close)


def special(run: Run, section: Section) -> None:
    """±0, ±inf, NaN, subnormals, the largest numbers, kinks and their neighbours; inf and NaN above a slope of 0."""
    for name, dtype in run.each(section, [(name, dtype) for dtype in DTYPES for name in run.names]):
        implementation, function = Implementation("actfun", name, False, dtype), ours(name)
        x = _specials(implementation, dtype).to(run.device)
        exact = (
            getattr(torch, name)(x).double() if af.spec(name).torch_is_exact else implementation.exact(x)
        )  # relu(-0.0)
        fine = {"value": right(function(x), exact)}
        flat = Implementation("actfun", name, True, dtype).exact(x) == 0.0
        for g in (1.0, math.inf, -math.inf, math.nan):
            passed = graded(function, x, torch.full_like(x, g))
            fine[f"a slope of 0 passes nothing of {g}"] = (passed == 0.0) | ~flat
            fine[f"no NaN from {g}"] = ~passed.isnan() | x.isnan() | math.isnan(g)
        fine["a gradient of 0 stays 0"] = (graded(function, x, torch.zeros_like(x)) == 0.0) | x.isnan()
        for kind, places in fine.items():
            row = {"name": name, "dtype": str(dtype).removeprefix("torch."), "kind": kind, "places": len(x)}
            section.rows.append(row)
            if not places.all():
                section.failures.append(f"{name} {row['dtype']}, {kind}: wrong at x = {x[~places].tolist()[:4]}")


def _specials(implementation: Implementation, dtype: torch.dtype) -> Tensor:
    info = torch.finfo(dtype)
    sizes = [0.0, math.inf, info.max, info.tiny, info.smallest_normal, info.smallest_normal * info.eps, 1e3, 1.0]
    at = torch.tensor([*af.spec(implementation.name).kinks, 0.0], dtype=dtype).view(_integers(dtype))
    beside = torch.cat([at, at + 1]).view(dtype)
    values = torch.tensor([*sizes, math.nan], dtype=torch.float64).to(dtype)
    return torch.cat([values, -values, beside, -beside])


def _integers(dtype: torch.dtype) -> torch.dtype:
    return torch.int32 if dtype is torch.float32 else torch.int16


def layouts(run: Run, section: Section) -> None:
    """Tensors that are not contiguous or not aligned, of any size: the values and strides of a plain copy's."""
    whole = torch.randn(6, 5, 4, 66, device=run.device)
    views: dict[str, Tensor] = {
        "transposed": whole.transpose(0, 3),
        "every second": whole[..., ::2],
        "unaligned": whole.flatten()[1:],
        "expanded": whole[:1, :, :, :1].expand(6, 5, 4, 66),
        "channels last": whole.contiguous(memory_format=torch.channels_last),
        "one": whole.flatten()[:1],
        "empty": whole[:0],
        "no dimensions": whole.flatten()[0],
    }
    for name in run.each(section, run.names):
        function = ours(name)
        for kind, x in views.items():
            g = torch.randn_like(x)
            want = function(x.contiguous().clone()), graded(function, x.contiguous(), g.contiguous())
            leaf = x.detach().requires_grad_()
            y = function(leaf)
            got = y.detach(), torch.autograd.grad(y, leaf, g)[0]
            section.rows.append({"name": name, "kind": kind})
            if not all(map(torch.equal, got, want)) or y.stride() != torch.empty_like(x).stride():
                section.failures.append(f"{name}, {kind}: not what the contiguous copy gives")


def in_place(run: Run, section: Section) -> None:
    """Functions with inplace=True: the same values and gradients, in the tensor's own memory."""
    x, g = (torch.randn(1000, device=run.device) for _ in range(2))
    for name in run.each(section, [name for name in run.names if af.spec(name).inplace]):
        function: Any = ours(name)
        leaf = x.clone().requires_grad_()
        own = leaf * 1.0
        y = function(own, inplace=True)
        grads = torch.autograd.grad(y, leaf, g)[0], graded(function, x, g)
        section.rows.append({"name": name})
        if y.data_ptr() != own.data_ptr() or not torch.equal(y, function(x)) or not torch.equal(*grads):
            section.failures.append(f"{name} in place: not what the other gives")


def learnable(run: Run, section: Section) -> None:
    """The gradient of a learnable parameter, one value for all and one for each channel, against float64."""
    x = torch.randn(64, 24, 50, device=run.device)
    g = torch.randn_like(x)
    for name in run.each(section, [name for name in run.names if af.spec(name).learnable]):
        for dtype in DTYPES:
            for count in (1, 24):
                inputs = x.to(dtype), g.to(dtype)
                found, exact = (_learned(name, *(v.to(kind) for v in inputs), count) for kind in (dtype, torch.float64))
                error = float(((found.double() - exact).abs() / exact.abs().clamp(min=1.0)).max())
                section.rows.append({"name": name, "dtype": str(dtype), "count": count, "relative": error})
                limit = 1e-5 if dtype is torch.float32 else 2.0 ** -DIGITS[dtype] * 1.02  # rounded once
                if not error <= limit:
                    section.failures.append(f"{name} {dtype}, {count} learned: gradient off by {error:.2e}")


def _learned(name: str, x: Tensor, g: Tensor, count: int) -> Tensor:
    more = {} if af.spec(name).learned else {"learnable": True}
    module = af.get(name, num_parameters=count, device=x.device, dtype=x.dtype, **more)
    module(x).backward(g)
    return torch.cat([parameter.grad for parameter in module.parameters() if parameter.grad is not None])
