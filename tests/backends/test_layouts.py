"""Results lie in memory as torch's do, and nothing is copied that lies right already."""

import random
from collections.abc import Iterator

import pytest
import torch
from support import ELEMENTWISE
from torch import Tensor

import actfun as af
from actfun._backends import cpu
from actfun._backends.layout import alike, lay_out_like
from actfun._operators.functional import function_of


def layouts(count: int) -> Iterator[Tensor]:
    """Views of every kind, at random: permuted, cut, stepped, expanded, with any stride where the size is 1."""
    draw = random.Random(0)
    for _ in range(count):
        dims = draw.randint(1, 5)
        x = torch.randn([draw.choice([1, 1, 2, 3, 4]) for _ in range(dims)])
        for _ in range(draw.randint(0, 3)):
            dim, strides = draw.randrange(dims), x.stride()
            free = [s if n > 1 else draw.choice([0, 1, 7, 100]) for s, n in zip(strides, x.shape, strict=True)]
            views = [
                lambda x, order: x.permute(order),
                lambda x, _, dim=dim: x.narrow(dim, 0, max(1, x.shape[dim] - 1)),
                lambda x, _, dim=dim: x.index_select(dim, torch.arange(0, x.shape[dim], 2)),
                lambda x, _, dim=dim: x.transpose(dim, 0)[::2].transpose(dim, 0),
                lambda x, order: x.expand([3 if n == 1 and k % 2 else n for k, n in zip(order, x.shape, strict=True)]),
                lambda x, _, free=free: x.as_strided(x.shape, free),
                lambda x, _: x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x,
            ]
            x = draw.choice(views)(x, draw.sample(range(dims), dims))
        yield x


LAYOUTS = list(layouts(1_000))


@pytest.mark.parametrize("activation", ELEMENTWISE, ids=lambda activation: activation.name)
def test_results_have_torchs_strides(activation):
    function = function_of(activation)
    for x in LAYOUTS:
        y, theirs = function(x), torch.tanh(x)
        assert y.stride() == theirs.stride(), (x.shape, x.stride())
        assert torch.equal(y, function(x.clone(memory_format=torch.contiguous_format)))


def test_results_of_other_kernels_have_torchs_strides_too():
    """16 bits, and a parameter by channel."""
    elu = function_of(next(activation for activation in ELEMENTWISE if activation.name == "elu"))
    for x in LAYOUTS:
        assert elu(x, torch.ones(1)).stride() == torch.tanh(x).stride()
        if alike(half := x.bfloat16(), x):
            assert elu(half).stride() == torch.tanh(half).stride()


def test_the_layouts_are_of_every_kind():
    assert sum(x.is_contiguous() for x in LAYOUTS) > 100
    assert sum(torch.empty_like(x).stride() != torch.tanh(x).stride() for x in LAYOUTS) > 30
    assert sum(0 in x.stride() and not alike(torch.empty_like(x), x) for x in LAYOUTS) > 30


def test_nothing_is_copied_for_the_strides_of_a_dimension_of_size_1(monkeypatch):
    copied = []

    def watched(y: Tensor, value: Tensor, dtype: torch.dtype) -> Tensor:
        result = lay_out_like(y, value, dtype)
        copied.append(result is not value)
        return result

    monkeypatch.setattr(cpu, "lay_out_like", watched)
    dense = [x for x in LAYOUTS if alike(torch.empty_like(x), x)]
    odd = [x for x in dense if x.stride() != torch.tanh(x).stride()]
    for x in dense:
        cpu.evaluate(af.spec("elu").derivatives["x"], x, 1.0, times=torch.ones_like(x))
    assert len(odd) > 30
    assert not any(copied)
    cpu.evaluate(af.spec("elu").derivatives["x"], torch.ones(4, 6)[:, ::2], 1.0)
    assert copied[-1]
