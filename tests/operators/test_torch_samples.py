"""PyTorch's own samples for the functions that it has: shapes, strides and values that its own tests use."""

import functools

import pytest
import torch
from support import ELEMENTWISE
from torch.autograd import gradcheck, gradgradcheck

import actfun as af
from actfun._catalogue.registry import Ignored

database = pytest.importorskip("torch.testing._internal.common_methods_invocations", reason="a private module of torch")

SAMPLES = {
    activation.name: info
    for activation in ELEMENTWISE
    for info in database.op_db
    if activation.torch and info.name in (activation.torch, f"nn.functional.{activation.torch}")
    if torch.float32 in info.dtypes
}
each = pytest.mark.parametrize("name", SAMPLES)
# In float64 torch's softplus is off by exp(-20) = 2.1e-9 at 20, from where it takes it for a line, and the slope of its
# hardsigmoid by 5e-9, for it is the 1/6 of float32.
TOLERANCE = {torch.bfloat16: 2e-2, torch.float16: 2e-3, torch.float32: 1e-5, torch.float64: 6e-9}


def calls(name: str, dtype: torch.dtype):
    """The input of each sample, and torch's function and ours with its other arguments.

    Those that we ignore are left out, of torch's call too: the threshold from which its softplus is a line.
    """
    parameters = af.spec(name).parameters
    info, known = SAMPLES[name], {"inplace", *(a for a, p in parameters.items() if not isinstance(p, Ignored))}
    for sample in info.sample_inputs("cpu", dtype, requires_grad=True):
        named = {key: value for key, value in sample.kwargs.items() if key in known}
        bound = [functools.partial(_call, function, sample.args, named) for function in (info.op, getattr(af, name))]
        yield sample.input, *bound


def _call(function, more, named, x):
    return function(x, *more, **named)


def test_there_are_samples_for_what_torch_has():
    assert set(SAMPLES) == {activation.name for activation in ELEMENTWISE if activation.torch}


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@each
def test_values_gradients_and_strides_are_torchs(name, dtype):
    count = 0
    for x, theirs, ours in calls(name, dtype):
        y, expected = ours(x), theirs(x)
        close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
        torch.testing.assert_close(y, expected, check_stride=True, **close)
        g = torch.ones_like(expected)
        torch.testing.assert_close(torch.autograd.grad(y, x, g), torch.autograd.grad(expected, x, g), **close)
        count += 1
    assert count > 0


@each
def test_gradients_of_the_samples_hold_to_second_order(name):
    for x, _, ours in calls(name, torch.float64):
        assert gradcheck(ours, x, check_forward_ad=True)
        assert gradgradcheck(ours, x)
