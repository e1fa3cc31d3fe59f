"""Gated activations: values and gradients against exact ones, packed or not, under every transformation of PyTorch."""

import dataclasses
import itertools
import math

import mpmath
import pytest
import torch
from support import COMPILES, others_slow
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

import actfun as af
from actfun._accuracy.error import ulps, ulps_in_digits
from actfun._backends import mpmath as oracle
from actfun._backends import torch as torch_ops
from actfun._catalogue.formulas.gated import GATES, PARTS
from actfun._catalogue.kinds import GATED
from actfun._operators.behaviours import gated
from actfun._operators.behaviours.base import function_of

NAMES = af.names(GATED)
each = pytest.mark.parametrize("name", NAMES)
HALVES = ("first", "second", "interleaved")
SPECIAL = [-math.inf, -1e38, -100.0, -20.0, -5.5, -1.0, -0.1, -1e-20, -0.0, 0.0, 0.1, 1.0, 3.0, 7.0, 20.0, 100.0, 1e38]
SPECIAL += [math.inf, math.nan]


def numbers(name: str) -> list[float]:
    return [p.default for p in af.spec(name).parameters.values()]


def pair(dtype: torch.dtype = torch.float32, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = 2.0 * torch.randn(2, *(shape or (5, 6)), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return tuple(part.to(dtype).requires_grad_() for part in x.unbind())


def pack(x: torch.Tensor, up: torch.Tensor, gate: str, dim: int = -1) -> torch.Tensor:
    return gated.packed([x, up], gate, dim % x.dim())


def packs(name: str, gate: str, dim: int = -1):
    return lambda a: getattr(af, name)(a, gate=gate, dim=dim)


def exact_error(name: str, argument: str | None, formula=None) -> float:
    """The largest error of a value or gradient in float32, in ulp, against mpmath; near roots absolute."""
    at = [-30.0, -5.5, -2.0, -1.0, -0.5, -0.01, 0.3, 1.0, 3.0, 6.5, 7.5, 40.0]
    x, up = (torch.tensor(v, requires_grad=True) for v in zip(*itertools.product(at, at), strict=True))
    y = getattr(af, name)(x, up)
    got = y if argument is None else torch.autograd.grad(y.sum(), x if argument == "x" else up)[0]
    rounded = torch.tensor(numbers(name)).double().tolist()
    formula = formula or (af.spec(name).derivatives[argument] if argument else af.spec(name).formula)
    exact = [oracle.evaluate(formula, *given, *rounded) for given in zip(x.tolist(), up.tolist(), strict=True)]
    return float(ulps_in_digits(got.detach(), exact).max())


@each
@pytest.mark.parametrize("argument", [None, "x", "up"])
def test_values_and_gradients_are_those_of_fifty_digits(name, argument):
    assert exact_error(name, argument) < 2.0


def test_a_wrong_formula_would_be_seen():
    assert exact_error("swiglu", "x", af.spec("glu").derivatives["x"]) > 1e3


@each
@pytest.mark.parametrize("argument", ["x", "up"])
def test_derivatives_are_the_slopes_of_the_formula(name, argument):
    formula, given = oracle.lower(af.spec(name).formula), [mpmath.mpf(n) for n in numbers(name)]
    for x, up in itertools.product((-6.0, -2.0, -0.7, 0.4, 1.5, 6.0), (-8.0, -3.0, 0.2, 2.0)):
        of = (lambda t, up=up: formula(t, mpmath.mpf(up), *given)) if argument == "x" else None
        of = of or (lambda t, x=x: formula(mpmath.mpf(x), t, *given))
        slope = mpmath.diff(of, x if argument == "x" else up)
        stated = oracle.evaluate(af.spec(name).derivatives[argument], x, up, *numbers(name))
        assert abs(slope - stated) < 1e-9 * (1 + abs(slope)), (x, up)


@pytest.mark.parametrize("formula", PARTS, ids=lambda f: f.__name__)
def test_what_kernels_compute_by_is_the_formula(formula):
    gate, multiplies = PARTS[formula]
    x, up = (half.detach() for half in pair(torch.float64))
    by_parts = torch_ops.evaluate(gate, x) * (up if multiplies else 1.0)
    assert torch.allclose(torch_ops.evaluate(formula, x, up), by_parts, rtol=1e-15, atol=0.0)


@each
@pytest.mark.parametrize("gate", [None, *HALVES])
def test_gradients_hold_to_second_order_in_both_modes(name, gate):
    x, up = pair(torch.float64)
    given = (x, up) if gate is None else (pack(x, up, gate).detach().requires_grad_(),)
    function = getattr(af, name) if gate is None else packs(name, gate)
    assert gradcheck(function, given, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(function, given)


@each
def test_a_second_derivative_where_kernels_made_the_first(name):
    x, up = pair()
    packed = pack(x, up, "second").detach().requires_grad_()
    for given, function in (((x, up), getattr(af, name)), ((packed,), packs(name, "second"))):

        def second(*given, function=function):
            first = torch.autograd.grad(function(*given).sum(), given, create_graph=True)
            return torch.autograd.grad(sum(g.square().sum() for g in first), given)

        exact = second(*(v.detach().double().requires_grad_() for v in given))
        for got, right in zip(second(*given), exact, strict=True):
            torch.testing.assert_close(got.double(), right, rtol=1e-5, atol=1e-5)


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("gate", HALVES)
@pytest.mark.parametrize(("shape", "dim"), [((7, 40), -1), ((3, 4, 5), 1), ((64,), 0), ((4, 3, 33), 0), ((0, 4), 1)])
def test_a_packed_call_is_that_of_its_halves_to_the_last_bit(name, dtype, gate, shape, dim):
    x, up = pair(dtype, *shape)
    g = torch.randn(shape).to(dtype)
    y = getattr(af, name)(x, up)
    packed = pack(x, up, gate, dim).detach().requires_grad_()
    z = packs(name, gate, dim)(packed)
    assert torch.equal(y, z)
    assert z.stride() == y.stride()
    got = torch.autograd.grad(z, packed, g)[0]
    assert torch.equal(got, pack(*torch.autograd.grad(y, (x, up), g), gate, dim))


@each
def test_layouts_are_read_right(name):
    x, up = (half.detach() for half in pair(torch.float32, 2, 32, 6, 5))
    right = getattr(af, name)(x, up)
    last = torch.channels_last
    mixed = getattr(af, name)(x.to(memory_format=last), up)
    assert mixed.is_contiguous(memory_format=last)
    assert torch.equal(mixed, right)
    assert torch.equal(getattr(af, name)(x.transpose(0, 3), up.transpose(0, 3)), right.transpose(0, 3))
    assert torch.equal(getattr(af, name)(x[:1].expand(2, -1, -1, -1), up), getattr(af, name)(x[[0, 0]], up))
    packed = torch.cat([x, up], 1).to(memory_format=last).requires_grad_()
    y = packs(name, "first", 1)(packed)
    assert torch.equal(y, right)
    assert torch.equal(
        torch.autograd.grad(y.sum(), packed)[0],
        torch.autograd.grad(packs(name, "first", 1)(z := packed.detach().contiguous().requires_grad_()).sum(), z)[0],
    )


@pytest.mark.parametrize("name", GATES.values())
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_sixteen_bits_are_rounded_once(name, dtype):
    x, up = pair(dtype, 300, 300)
    g = torch.randn(300, 300, generator=torch.Generator().manual_seed(2)).to(dtype)
    y = getattr(af, name)(x, up)
    wide = [value.detach().double().requires_grad_() for value in (x, up)]
    right = getattr(af, name)(*wide)
    pairs = [
        (y, right),
        *zip(torch.autograd.grad(y, (x, up), g), torch.autograd.grad(right, wide, g.double()), strict=True),
    ]
    for got, exact in pairs:
        away = exact.abs() > 0.1  # of roots of a slope, where the error is small beside g·up
        assert float(ulps(got.detach(), exact.detach())[away].max()) < 0.52
    theirs = nn.functional.silu(x) * up if name == "swiglu" else None
    assert theirs is None or float(ulps(theirs.detach(), right.detach()).max()) > 0.9  # rounded twice


@each
def test_a_closed_gate_passes_nothing_and_nan_passes(name):
    x, up = (torch.tensor(v) for v in zip(*itertools.product(SPECIAL, SPECIAL), strict=True))
    y, one = getattr(af, name)(x, up), torch.ones_like(x)
    exact = torch_ops.evaluate(af.spec(name).formula, x.double(), up.double(), *numbers(name)).float()
    gate = torch_ops.evaluate(af.spec(name).derivatives["up"], x, one, *numbers(name), dtype=torch.float32)
    exact[(gate == 0.0) & ~up.isfinite() & (name not in ("swiglu_oai", "situ_glu"))] = 0.0
    assert torch.equal(y.isnan(), exact.isnan())
    assert y[x.isnan()].isnan().all()
    sure = ~exact.isnan() & ~(x.double() * up.double()).abs().gt(1e38)
    torch.testing.assert_close(y[sure], exact[sure], rtol=1e-6, atol=1e-38)


def test_infinity_times_a_closed_gate_is_0_where_torch_has_nan():
    a = torch.tensor([math.inf, -math.inf])
    assert nn.functional.glu(a).isnan().all()
    assert af.glu(a, gate="second").tolist() == [0.0]
    for name in ("glu", "reglu", "geglu", "swiglu"):
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            x, up = torch.tensor([-math.inf] * 3, dtype=dtype), torch.tensor([math.inf, -math.inf, 1.0], dtype=dtype)
            assert (getattr(af, name)(x, up) == 0.0).all()
            assert (getattr(af, name)(x.double(), up.double()) == 0.0).all()


def test_torchs_glu_is_ours_with_the_gate_second():
    for dim, dtype in ((-1, torch.float32), (0, torch.float64), (1, torch.float32)):
        x = torch.randn(4, 8, 2, dtype=dtype, requires_grad=True)
        ours, theirs = af.glu(x, gate="second", dim=dim), nn.functional.glu(x, dim)
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(af.nn.GLU(dim)(x), torch.nn.GLU(dim)(x))
        torch.testing.assert_close(*(torch.autograd.grad(y.square().sum(), x)[0] for y in (ours, theirs)))


@pytest.mark.parametrize("activation", ["identity", "sigmoid", "relu", "gelu", "silu", "mish", "tanh", "gelu_tanh"])
def test_any_activation_may_be_the_gates(activation):
    x, up = pair()
    function = (lambda v: v) if activation == "identity" else getattr(af, activation)
    right = function(x) * up
    for y in (
        af.glu(x, up, activation=activation),
        af.glu(pack(x, up, "first"), activation=activation, gate="first"),
        af.nn.GLU(activation=activation)(pack(x, up, "second")),
    ):
        torch.testing.assert_close(y, right)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@each
def test_transformations_agree_with_plain_calls(name):
    function, (x, up) = getattr(af, name), (half.detach() for half in pair())
    right = function(x, up)
    packed = pack(x, up, "first")
    close = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(torch.func.vmap(function)(x, up), right, **close)
    torch.testing.assert_close(torch.func.vmap(packs(name, "first"))(packed), right, **close)
    torch.testing.assert_close(
        torch.func.vmap(function, in_dims=(0, None))(x, up[0]), function(x, up[:1].expand(5, 6)), **close
    )
    of = packed.clone().requires_grad_()
    gradient = torch.autograd.grad(packs(name, "first")(of).sum(), of)[0]
    torch.testing.assert_close(torch.func.grad(lambda a: packs(name, "first")(a).sum())(packed), gradient, **close)
    value, tangent = torch.func.jvp(packs(name, "first"), (packed,), (torch.ones_like(packed),))
    torch.testing.assert_close(value, right, **close)
    torch.testing.assert_close(tangent.sum(), gradient.sum(), **close)
    exported = torch.export.export(af.get(name, gate="first"), (packed,), strict=False)
    torch.testing.assert_close(exported.module()(packed), right, **close)
    traced = torch.jit.trace(packs(name, "first"), (packed.clone().requires_grad_(),))
    torch.testing.assert_close(traced(packed), right, **close)
    nested = [torch.nested.nested_tensor([half[:2], half[2:, :4]]) for half in (x, up)]
    torch.testing.assert_close(function(*nested).unbind()[1], right[2:, :4], **close)


def test_fx_records_one_node():
    graph = torch.fx.symbolic_trace(lambda a, b: af.swiglu(a, b)).graph
    assert [node.target for node in graph.nodes if node.op == "call_function"] == [af.swiglu]
    graph = torch.export.export(af.nn.SwiGLU(), pair(), strict=False).graph
    assert torch.ops.actfun.swiglu.default in {node.target for node in graph.nodes}


@COMPILES
@pytest.mark.parametrize("name", others_slow(NAMES))
def test_compiled_calls_agree_in_one_graph(name):
    x, up = pair(torch.float32, 16, 48)
    packed = pack(x, up, "second").detach().requires_grad_()
    for function, given in ((getattr(af, name), (x, up)), (packs(name, "second"), (packed,))):
        compiled = torch.compile(function, fullgraph=True)
        y, right = compiled(*given), function(*given)
        torch.testing.assert_close(y, right, rtol=1e-5, atol=1e-6)
        for got, gradient in zip(*(torch.autograd.grad(v.square().sum(), given) for v in (y, right)), strict=True):
            torch.testing.assert_close(got, gradient, rtol=1e-5, atol=1e-5)


@each
def test_compiled_too_a_zero_passes_nothing_and_nan_passes(name):
    """As eager calls have it, but that subnormal numbers may count as 0, and infinity times a gradient of 0 is NaN."""
    wild = [-math.inf, -2.0, -0.0, 0.0, 1e-3, 3.0, math.inf, math.nan]
    x, up, g = (torch.tensor(v, requires_grad=True) for v in zip(*itertools.product(SPECIAL, wild, wild), strict=True))
    torch._dynamo.reset()
    compiled, found = torch.compile(getattr(af, name), fullgraph=True, backend="aot_eager"), []
    for function in (compiled, getattr(af, name)):
        y = function(x, up)
        found.append([y.detach(), *torch.autograd.grad(y, (x, up), g)])
    known, one = ~x.isnan(), torch.ones_like(up)
    for slope in af.spec(name).derivatives.values():
        size = torch_ops.evaluate(slope, x.double(), one.double(), *numbers(name)).abs()
        known &= (size == 0.0) | (size > 2.0**-126)
    known &= (g != 0.0) | (x.isfinite() & up.isfinite())
    for got, right in zip(*found, strict=True):
        torch.testing.assert_close(got[known], right[known], rtol=1e-4, atol=1e-37, equal_nan=True)
        unknown = x.isnan() & ((g != 0.0) | up.isfinite())
        assert torch.equal(got[unknown].isnan(), right[unknown].isnan())


@each
def test_autocast_changes_nothing(name):
    x, up = pair()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(getattr(af, name)(x, up), getattr(af, name)(x, up).float())


@each
@pytest.mark.parametrize("is_packed", [False, True])
def test_backward_keeps_the_inputs_and_nothing_else(name, is_packed):
    x, up = pair()
    packed = pack(x, up, "first").detach().requires_grad_()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda held: held):
        packs(name, "first")(packed) if is_packed else getattr(af, name)(x, up)
    assert {t.data_ptr() for t in saved} == ({packed.data_ptr()} if is_packed else {x.data_ptr(), up.data_ptr()})


@each
def test_what_is_said_of_the_gate_holds(name):
    made, up = af.spec(name), torch.tensor(1.5, dtype=torch.float64)

    def slope(*x: float) -> list[float]:
        at = torch.tensor(x, dtype=torch.float64)
        return torch_ops.evaluate(made.derivatives["x"], at, up.expand_as(at), *numbers(name)).tolist()

    assert {side for side, x in (("left", -1e6), ("right", 1e6)) if abs(slope(x)[0]) < 1e-9} == set(made.saturates)
    jumps = {float(x) for x in range(-8, 9) if abs(math.dist(*([v] for v in slope(x - 1e-9, x + 1e-9)))) > 1e-6}
    assert jumps == set(made.kinks)
    y = getattr(af, name)(*(100.0 * half.detach() for half in pair(torch.float64, 100, 100)))
    assert made.range[0] <= float(y.min())
    assert float(y.max()) <= made.range[1]
    wrong = dataclasses.replace(made, range=(-1.0, 1.0), kinks=(0.25,))
    assert float(y.max()) > wrong.range[1]
    assert jumps != set(wrong.kinks)


@each
def test_gains_are_those_of_independent_halves(name):
    x, up = torch.randn(2, 400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64).unbind()
    squares = function_of(af.spec(name))(x, up).square()
    assert abs(af.gain(name) ** -2 - float(squares.mean())) < 4 * float(squares.std()) / math.sqrt(len(x))
    halves = (x.requires_grad_(), up.requires_grad_())
    slopes = sum(g.square() for g in torch.autograd.grad(getattr(af, name)(*halves).sum(), halves)) / 2
    assert abs(af.gain(name, "backward") ** -2 - float(slopes.mean())) < 4 * float(slopes.std()) / math.sqrt(len(x))


def test_gains_known_in_closed_form():
    assert af.gain("bilinear") == pytest.approx(1.0, abs=1e-9)
    assert af.gain("reglu") == pytest.approx(math.sqrt(2.0), abs=1e-9)
    assert af.gain("swiglu") == pytest.approx(af.gain("silu"), abs=1e-9)  # the value's mean square is 1
    assert af.gain("glu", activation="mish") == pytest.approx(af.gain("mish"), abs=1e-9)


a, odd = torch.ones(2, 6), torch.ones(2, 5)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: af.glu(a), ValueError, "glu: gate must say .*'first' as in .*'second' as in torch.* got None"),
        (lambda: af.swiglu(a, gate="left"), ValueError, "swiglu: gate must say .* got 'left'"),
        (lambda: af.swiglu(a, gate=["first"]), ValueError, r"gate must say .* got \['first'\]"),
        (lambda: af.glu(a, a, gate="first"), ValueError, "glu: .*of two, a is the gate, so gate must be None"),
        (lambda: af.glu(odd, gate="first"), ValueError, r"glu: two halves need an even a.shape\[-1\], got 5"),
        (lambda: af.glu(odd, gate="interleaved"), ValueError, r"need an even a.shape\[-1\], got 5"),
        (
            lambda: af.glu(torch.tensor(1.0), gate="first"),
            ValueError,
            "glu: two halves need an even a.shape.*, got no dimensions",
        ),
        (lambda: af.glu(a, gate="first", dim=2), ValueError, "glu: dim must be from -2 to 1 for 2 dimensions, got 2"),
        (lambda: af.reglu(a, odd), ValueError, r"reglu: a and b must have one shape, got \(2, 6\) and \(2, 5\)"),
        (lambda: af.reglu(a, a.double()), TypeError, "reglu: a and b must have one dtype, got torch.float32"),
        (lambda: af.reglu(a, a.long()), TypeError, "reglu: expected a floating-point tensor .* got torch.int64"),
        (lambda: af.reglu(a, 1.0), TypeError, "reglu: expected a torch.Tensor, got float"),
        (
            lambda: af.glu(a, a, activation="swish7"),
            ValueError,
            "glu: activation must be an element-wise one, got 'swish7'",
        ),
        (lambda: af.glu(a, a, activation="maxout"), ValueError, "activation must be an element-wise one, got 'maxout'"),
        (lambda: af.glu(a, a, alpha=1.0), TypeError, "glu: unknown parameter 'alpha'"),
        (lambda: af.swiglu(a, a, activation="relu"), TypeError, "swiglu: unknown parameter 'activation'"),
        (lambda: af.swiglu_oai(a, a, limits=1.0), TypeError, "unknown parameter 'limits'; did you mean limit"),
        (lambda: af.swiglu_oai(a, a, alpha=0.0), ValueError, "swiglu_oai: alpha must not be 0"),
        (lambda: af.nn.SwiGLU(gate="left"), ValueError, "SwiGLU: gate must say"),
        (lambda: af.nn.SwiGLU()(a), ValueError, "swiglu: gate must say"),
        (lambda: af.nn.SwiGLU("first"), TypeError, "SwiGLU: dim must be a whole number, got str"),
        (lambda: af.nn.SwiGLU(inplace=True), TypeError, "SwiGLU: .*inplace.* the arguments are"),
        (lambda: af.nn.GLU(activation="swish7"), ValueError, "activation must be an element-wise one"),
        (lambda: af.gain("swiglu", limit=1.0), TypeError, "unknown parameter 'limit'"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("shape", [(3, 0), (3, 0, 4), (0, 4), (2, 4, 0), (0, 4, 2, 2)], ids=str)
def test_what_is_empty_stays_empty(shape):
    """In every dimension, forward and backward, packed and as two tensors."""
    a = torch.empty(shape, requires_grad=True)
    for dim in (d for d in range(len(shape)) if shape[d] % 2 == 0):
        for gate in ("first", "second", "interleaved"):
            y = af.swiglu(a, gate=gate, dim=dim)
            assert y.numel() == 0 and torch.autograd.grad(y.sum(), a)[0].shape == shape
    y = af.bilinear(a, a)
    assert y.shape == shape and torch.autograd.grad(y.sum(), a)[0].shape == shape
