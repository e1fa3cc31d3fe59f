"""Gradients of parameters: their sums are accurate, and the same for any number of threads."""

import math

import pytest
import torch

import actfun as af
from actfun._accuracy.error import ulps
from actfun._backends.sums import ROW, sum_to

SHAPES = [
    ((3 * ROW * 100 + 777,), ()),
    ((5_000, 8), (8,)),
    ((70, 6, 11, 13), (6, 1, 1)),
    ((2, 3), (1, 1)),
    ((0, 4), (4,)),
    ((), ()),
]


def hard(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Numbers of very different sizes and both signs, whose sums cancel."""
    random = torch.Generator().manual_seed(5)
    sizes = torch.exp2(torch.randint(-12, 12, shape, generator=random).float())
    return (torch.randn(shape, generator=random) * sizes).to(dtype)


@pytest.mark.parametrize(("shape", "to"), SHAPES, ids=str)
def test_sums_are_those_of_exact_addition(shape, to):
    y = hard(shape)
    whole = (1,) * (len(shape) - len(to)) + to
    kept = [d for d, size in enumerate(whole) if size != 1]
    dropped = [d for d in range(len(shape)) if d not in kept]
    rows = y.permute((*kept, *dropped)).reshape(math.prod(to), -1)
    exact = torch.tensor([math.fsum(row.tolist()) for row in rows], dtype=torch.float64).reshape(to)
    assert sum_to(y, to).shape == torch.Size(to)
    assert bool((ulps(sum_to(y, to).float(), exact) <= 0.51).all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("count", [1, 6])
def test_alphas_gradient_does_not_depend_on_threads(dtype, channels_last, count):
    x = hard((40, 6, 33, 35), dtype).clamp(-100.0, 100.0)
    x = x.to(memory_format=torch.channels_last) if channels_last else x
    g, threads, gradients = hard(tuple(x.shape), dtype).clamp(-100.0, 100.0), torch.get_num_threads(), []
    try:
        for number in (1, 2, 3, 7, 2):
            torch.set_num_threads(number)
            alpha = torch.full((count,), 0.75, dtype=torch.float32, requires_grad=True)
            gradients += torch.autograd.grad(af.elu(x, alpha), alpha, g)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)
    parts = g.double() * torch.expm1(x.double().clamp(max=0.0))
    exact = parts.sum((0, 2, 3)) if count > 1 else parts.sum().reshape(1)
    size = parts.abs().sum((0, 2, 3)) if count > 1 else parts.abs().sum().reshape(1)
    assert bool(((gradients[0].double() - exact).abs() <= 2.0**-24 * (size / 100 + exact.abs())).all())
