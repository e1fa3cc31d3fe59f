"""Every wrong call gets an error that names the argument, what came, and what is allowed."""

from functools import partial

import numpy
import pytest
import torch
from support import given

import actfun as af

x = torch.ones(2, 6)
CALLS = {name: partial(getattr(af, name), **given(name)) for name in af.names()}
BAD = {
    "int64": x.long(),
    "bool": x.bool(),
    "complex64": x.to(torch.complex64),
    "sparse": x.to_sparse(),
    "quint8": None,  # made in the test: torch warns that it will go
    "float8": x.to(torch.float8_e5m2),
    "list": [1.0],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("name", CALLS)
def test_wrong_kinds_of_tensors_are_named(name, kind):
    with pytest.raises(TypeError, match=rf"^{name}: expected .*{kind}"):
        CALLS[name](torch.quantize_per_tensor(x, 0.1, 0, torch.quint8) if kind == "quint8" else BAD[kind])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: af.gelu(x, "tahn"), ValueError, "approximate must be one of 'none', 'tanh', got 'tahn'"),
        (lambda: af.maxout(x, 4), ValueError, r"pieces must divide x.shape\[-1\] = 6, got 4"),
        (lambda: af.maxout(x, 0), ValueError, "pieces must be at least 1"),
        (lambda: af.maxout(x, 2.0), TypeError, "pieces must be a whole number, got float"),
        (lambda: af.maxout(x, 2, 5), ValueError, "dim must be from -2 to 1"),
        (
            lambda: af.elu(x, torch.ones(4)),
            ValueError,
            r"alpha must hold 1 value or one per channel \(6 .* got shape \(4,\)",
        ),
        (lambda: af.elu(x, torch.ones(2, 6)), ValueError, "alpha must hold 1 value or one per channel"),
        (
            lambda: af.elu(x, torch.ones(6, dtype=torch.int64)),
            TypeError,
            "alpha must be a number or a dense floating-point tensor",
        ),
        (lambda: af.elu(x, "1"), TypeError, "alpha must be a number, got str"),
        (lambda: af.leaky_relu(x, torch.ones(1)), TypeError, "negative_slope must be a number, got a tensor"),
        (lambda: af.leaky_relu(x, slope=0.1), TypeError, "unknown parameter 'slope'; .*negative_slope"),
        (lambda: af.relu(x, 1.0), TypeError, "inplace must be True or False, got 1.0"),
        (lambda: af.relu(x, True, 1.0), TypeError, "expected at most 1 arguments after the input, got 2"),
        (lambda: af.tanh(x, True), TypeError, "expected at most 0 arguments after the input, got 1"),
        (lambda: af.relu(), TypeError, "relu: expected a torch.Tensor, got NoneType"),
        (lambda: af.relu(inplace=True), TypeError, "relu: input is missing"),
        (lambda: af.silu(x, input=x), TypeError, "silu: input was given twice"),
        (lambda: af.elu(x, 1.0, True, inplace=True), TypeError, "elu: inplace was given twice"),
        (lambda: af.softplus(x, threshold="20"), TypeError, "softplus: threshold must be a number, got str"),
        (lambda: af.nn.Softplus(1.0, None), TypeError, "softplus: threshold must be a number, got NoneType"),
        (lambda: af.elu(x, True), TypeError, "alpha must be a number, got bool"),
        (lambda: af.elu(x, numpy.ones(6)), TypeError, "alpha must be a number, got ndarray"),
        (lambda: af.elu(x, numpy.array(1j)), TypeError, "alpha must be a number, got ndarray"),
        (lambda: af.elu(x, torch.ones(6), dim=2), ValueError, "elu: dim must be from -2 to 1 for 2 dimensions, got 2"),
        (lambda: af.elu(x, torch.ones(6), dim="1"), TypeError, "elu: dim must be a whole number, got str"),
        (lambda: af.nn.ELU(dim=1.0), TypeError, "ELU: dim must be a whole number, got float"),
        (lambda: af.nn.PReLU(2.0), TypeError, "PReLU: num_parameters must be a whole number, got float"),
        (lambda: af.nn.PReLU(0), ValueError, "PReLU: num_parameters must be at least 1, got 0"),
        (lambda: af.nn.PReLU(init="a"), TypeError, "prelu: weight must be a number, got str"),
        (lambda: af.nn.PReLU(init=torch.ones(1)), TypeError, "PReLU: weight must be a number, got a tensor"),
        (lambda: af.rrelu(x, 0.5, 0.25), ValueError, "rrelu: upper must be at least lower, 0.5, got 0.25"),
        (lambda: af.nn.RReLU(0.5, 0.25), ValueError, "rrelu: upper must be at least lower, 0.5, got 0.25"),
        (lambda: af.hard_tanh(x, 1.0, -1.0), ValueError, "hard_tanh: max_val must be at least min_val, 1.0, got -1.0"),
        (lambda: af.nn.Hardtanh(2.0), ValueError, "hard_tanh: max_val must be at least min_val, 2.0, got 1.0"),
        (lambda: af.rrelu(x, training="yes"), TypeError, "rrelu: training must be True or False, got 'yes'"),
        (lambda: af.rrelu(x, generator=3), TypeError, "rrelu: generator must be a torch.Generator or None, got int"),
        (lambda: af.stochastic_gelu(x, rate=0.1), TypeError, "unknown parameter 'rate'; it takes none"),
        (lambda: af.elu(x, 1.0, alpha=1.0), TypeError, "alpha was given twice"),
        (lambda: af.get("gelo"), ValueError, "unknown activation 'gelo'; did you mean gelu"),
        (lambda: af.spec("zzz"), ValueError, "unknown activation 'zzz'; known: acon_c"),
        (lambda: af.gain("relu", "sideways"), ValueError, "preserve must be 'forward' or 'backward', got 'sideways'"),
        (lambda: af.gain("maxout", pieces=0), ValueError, "pieces must be at least 1"),
        (lambda: af.nn.GELU(approximate="erf"), ValueError, "approximate must be one of"),
        (
            lambda: af.nn.ReLU(learnable=True),
            TypeError,
            "ReLU: got an unexpected keyword argument 'learnable'; the arguments are",
        ),
        (
            lambda: af.nn.Softplus(1.0, 20.0, 0.0),
            TypeError,
            "Softplus: too many positional arguments; .*beta: float = 1.0",
        ),
        (lambda: af.nn.ELU(alpha=-1.0, learnable=True), ValueError, "a learnable alpha must be at least"),
        (lambda: af.nn.ELU(torch.ones(6)), TypeError, "ELU: alpha must be a number, got a tensor"),
        (
            lambda: af.nn.ELU(float("nan"), learnable=True),
            ValueError,
            "a learnable alpha must be at least 0.01, got nan",
        ),
        (lambda: af.nn.ELU(learnable="no"), TypeError, "learnable must be True or False, got 'no'"),
        (lambda: af.nn.ELU(num_parameters=6), ValueError, "num_parameters must be 1 unless learnable=True, got 6"),
        (lambda: af.nn.ReLU("no"), TypeError, "inplace must be True or False, got 'no'"),
        (lambda: af.relu(x, inplace="no"), TypeError, "inplace must be True or False, got 'no'"),
        (lambda: af.elu(x, torch.ones(6).to_sparse()), TypeError, "alpha must be a number or a dense .*sparse"),
        (lambda: af.gelu(x, []), ValueError, r"approximate must be one of .* got \[\]"),
        (lambda: af.get([]), TypeError, r"must be a str, got \[\]"),
        (lambda: af.maxout(x, 2, "a"), TypeError, "maxout: dim must be a whole number, got str"),
        (lambda: af.gain("maxout", dim=-1), TypeError, "unknown parameter 'dim'"),
        (lambda: af.nn.ELU(learnable=True, num_parameters=0), ValueError, "num_parameters must be at least 1"),
        (lambda: af.nn.Maxout(3, 4, pieces=0), ValueError, "Maxout: pieces must be at least 1, got 0"),
        (lambda: af.nn.FeedForward(4, 8, "maxout", gated=True), ValueError, "'maxout' is not allowed with gated=True"),
        (lambda: af.nn.FeedForward(4, 8, "gelo"), ValueError, "did you mean gelu"),
        (lambda: af.nn.Gelu, AttributeError, "no attribute 'Gelu'; did you mean GELU"),
        (lambda: af.nonsense, AttributeError, "no attribute 'nonsense'"),
    ],
)
def test_wrong_values_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
