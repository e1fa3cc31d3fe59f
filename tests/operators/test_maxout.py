"""Maxout: places in bits, layers whose pre-activations never exist whole, and weights of other libraries."""

import copy
import math

import pytest
import torch
from support import COMPILES, peak_bytes, stored_bytes
from torch import nn

import actfun as af
from actfun._operators import maxout

F = nn.functional


@pytest.fixture(autouse=True)
def _no_call_is_small(monkeypatch):
    monkeypatch.setattr(maxout, "SMALL", 0)


DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def naive(x, pieces, dim):
    return x.unflatten(dim, (-1, pieces)).max(dim % x.dim() + 1).values


def ties(*shape, dtype=torch.float32):
    """Few values, so that many are equal, and some NaN."""
    generator = torch.Generator().manual_seed(len(shape))
    x = torch.randint(-2, 3, shape, generator=generator).to(dtype)
    return x.masked_fill(torch.rand(shape, generator=generator) < 0.02, math.nan)


def bits_equal(a, b):
    return a.shape == b.shape and a.dtype is b.dtype and bool(((a == b) | (a.isnan() & b.isnan())).all())


def check(function, other, *inputs):
    """Values and gradients are those of another function."""
    ours, theirs = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
    y, right = function(*ours), other(*theirs)
    assert bits_equal(y, right)
    g = torch.randn(right.shape, generator=torch.Generator().manual_seed(1)).to(right.dtype)
    for a, b in zip(torch.autograd.grad(y, ours, g), torch.autograd.grad(right, theirs, g), strict=True):
        assert bits_equal(a, b)
    return y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pieces", [1, 2, 3, 4, 5, 8, 16, 17, 300])
def test_values_gradients_ties_and_nan_are_those_of_torchs_maximum(pieces, dtype):
    for shape, dim in (
        ((37, 11 * pieces), -1),
        ((3, 5 * pieces, 7, 3), 1),
        ((2, 3 * pieces, 4), -2),
        ((4 * pieces, 1), 0),
        ((pieces,), 0),
        ((0, pieces), 1),
    ):
        check(
            lambda x, dim=dim: af.maxout(x, pieces, dim),
            lambda x, dim=dim: naive(x, pieces, dim),
            ties(*shape, dtype=dtype),
        )


@pytest.mark.parametrize("pieces", [2, 3, 5])
def test_many_elements_are_shared_out_among_threads(pieces):
    for shape, dim in (((700, 128 * pieces), 1), ((7, 64 * pieces, 13, 13), 1), ((2, 3 * pieces, 40_001), 1)):
        check(lambda x, dim=dim: af.maxout(x, pieces, dim), lambda x, dim=dim: naive(x, pieces, dim), ties(*shape))


@pytest.mark.parametrize("dims", [4, 5])
def test_channels_last_stays(dims):
    order = {4: torch.channels_last, 5: torch.channels_last_3d}[dims]
    x = ties(2, 12, *range(3, dims + 1)).contiguous(memory_format=order)
    y = check(lambda x: af.maxout(x, 3, 1), lambda x: naive(x, 3, 1), x)
    assert y.is_contiguous(memory_format=order) and not y.is_contiguous()
    check(lambda x: af.maxout(x, 3, 1), lambda x: naive(x, 3, 1), ties(6, 12, 5).transpose(0, 2))


def test_what_transforms_functions_gives_what_it_did():
    x = torch.randn(5, 12, dtype=torch.float64)
    for dtype in (torch.float32, torch.float64):
        z = x.to(dtype)
        assert torch.equal(torch.func.vmap(lambda row: af.maxout(row, 3))(z), naive(z, 3, 1))
        y, tangent = torch.func.jvp(lambda x: af.maxout(x, 3), (z,), (torch.ones_like(z),))
        assert torch.equal(y, naive(z, 3, 1)) and torch.equal(tangent, torch.ones_like(y))
        assert torch.func.grad(lambda x: af.maxout(x, 3).sum())(z).sum() == 20.0
    x.requires_grad_()
    for k in (2, 3, 4):
        assert torch.autograd.gradcheck(lambda x: af.maxout(x, k), x, check_forward_ad=True)  # noqa: B023
        assert torch.autograd.gradgradcheck(lambda x: af.maxout(x, k).square(), x)  # noqa: B023


def test_small_calls_are_torchs_own(monkeypatch):
    monkeypatch.setattr(maxout, "SMALL", 2**15)
    check(lambda x: af.maxout(x, 3), lambda x: naive(x, 3, 1), ties(5, 12))
    layer = af.nn.Maxout(4, 3)
    check(layer, lambda x: plain(layer, x), torch.randn(5, 4))


@pytest.mark.parametrize(("pieces", "least"), [(2, 0.125), (3, 0.25), (4, 0.25), (8, 0.375), (16, 0.5), (100, 0.875)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_backward_keeps_bits(pieces, least, dtype):
    layer, after = af.nn.Maxout(32, 256, pieces, dtype=dtype), nn.Linear(256, 4, dtype=dtype)
    x = torch.randn(2_048, 32, dtype=dtype)
    size = x.element_size()
    assert stored_bytes(lambda: layer(x)) / (2_048 * 256) == pytest.approx(least, rel=0.03)
    assert stored_bytes(lambda: after(layer(x))) / (2_048 * 256) == pytest.approx(size + least, rel=0.03)
    assert stored_bytes(lambda: naive(F.linear(x, layer.weight, layer.bias), pieces, 1)) / (2_048 * 256) >= 8.0 * 0.97


def test_pre_activations_never_exist_whole():
    rows, width, pieces = 32_768, 512, 3
    layer, x = af.nn.Maxout(16, width, pieces), torch.randn(rows, 16, requires_grad=True)
    whole = rows * width * pieces * 4
    output = rows * width * 4
    held = {}

    def forward():
        held["y"] = layer(x)
        return held["y"]

    workspace = peak_bytes(forward) - output * (1 + 0.25 / 4)
    assert workspace < 0.05 * whole
    g = torch.randn_like(held["y"])
    gradients = x.nbytes + sum(p.nbytes for p in layer.parameters())
    assert peak_bytes(lambda: torch.autograd.grad(held["y"], [x, *layer.parameters()], g)) - gradients < 0.06 * whole
    assert peak_bytes(lambda: naive(F.linear(x, layer.weight, layer.bias), pieces, 1)) > whole  # the measure sees it


LAYERS = {
    "linear": (lambda k: af.nn.Maxout(6, 5, k), (7, 6)),
    "linear, no bias": (lambda k: af.nn.Maxout(6, 5, k, bias=False), (2, 3, 6)),
    "1-D": (lambda k: af.nn.MaxoutConv1d(4, 6, 3, k, padding=1, groups=2), (3, 4, 9)),
    "2-D": (lambda k: af.nn.MaxoutConv2d(4, 6, 3, k, stride=2, padding=1, bias=False), (3, 4, 9, 8)),
    "2-D same": (lambda k: af.nn.MaxoutConv2d(4, 6, (3, 2), k, padding="same", dilation=2), (3, 4, 9, 8)),
    "2-D reflected": (lambda k: af.nn.MaxoutConv2d(4, 6, 3, k, padding=2, padding_mode="reflect"), (3, 4, 9, 8)),
    "2-D of one image": (lambda k: af.nn.MaxoutConv2d(4, 6, 3, k), (4, 9, 8)),
    "3-D": (lambda k: af.nn.MaxoutConv3d(2, 3, 3, k, padding=(0, 1, 2)), (2, 2, 5, 4, 3)),
}


def plain(layer, x):
    """What the layer is by definition."""
    z = layer.pre_activations(x)
    return naive(z, layer.pieces, layer.dim(z))


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 17])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_a_product_and_a_maximum(name, pieces, monkeypatch):
    make, shape = LAYERS[name]
    layer, x = make(pieces), torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for dtype in DTYPES:
        for workspace in (2**23, 512):  # all at once, and in blocks
            monkeypatch.setattr(maxout, "WORKSPACE", workspace)
            monkeypatch.setattr(maxout, "FEWEST_ROWS", 16 if workspace == 512 else 256)
            one, given = copy.deepcopy(layer).to(dtype), x.to(dtype).requires_grad_()
            tensors = [given, *one.parameters()]
            y, right = one(given), plain(one, given)
            exact = 1e-5 if dtype is torch.float32 else 1e-12 if dtype is torch.float64 else 0.05
            torch.testing.assert_close(y, right, rtol=exact, atol=exact)
            g = torch.randn(right.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
            for a, b in zip(torch.autograd.grad(y, tensors, g), torch.autograd.grad(right, tensors, g), strict=True):
                torch.testing.assert_close(a, b, rtol=exact, atol=exact * 20)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_can_be_differentiated_twice_and_transformed(name):
    make, shape = LAYERS[name]
    layer = make(3)
    x = torch.randn(shape, requires_grad=True)
    tensors = [x, *layer.parameters()]

    def twice(function):
        first = torch.autograd.grad(function(layer, x).square().sum(), tensors, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), tensors)

    for a, b in zip(twice(lambda layer, x: layer(x)), twice(plain), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)
    several = torch.randn(2, *shape)
    torch.testing.assert_close(torch.func.vmap(layer)(several), torch.stack([plain(layer, one) for one in several]))
    _, tangent = torch.func.jvp(layer, (x.detach(),), (torch.ones_like(x),))
    _, right = torch.func.jvp(lambda x: plain(layer, x), (x.detach(),), (torch.ones_like(x),))
    torch.testing.assert_close(tangent, right)


def test_layers_in_half_precision_by_autocast_on_meta_and_in_channels_last():
    layer, x = af.nn.Maxout(6, 5, 3), torch.randn(7, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        assert y.dtype is torch.bfloat16 and bits_equal(y, plain(layer, x))
    y.float().sum().backward()
    assert layer.weight.grad.dtype is torch.float32 and layer.weight.grad.abs().sum() > 0
    assert af.nn.Maxout(6, 5, 3, device="meta")(torch.empty(7, 6, device="meta")).shape == (7, 5)
    conv = af.nn.MaxoutConv2d(4, 6, 3, 2)
    y = conv(torch.randn(2, 4, 8, 8).contiguous(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    with pytest.raises(RuntimeError):
        layer(torch.randn(7, 5))
    with pytest.raises(RuntimeError):
        layer(torch.randn(7, 6, dtype=torch.float64))


def test_sums_in_16_bits_are_rounded_once():
    layer, x = af.nn.Maxout(2, 64, 2, dtype=torch.bfloat16), torch.ones(40_000, 2, dtype=torch.bfloat16)
    (bias,) = torch.autograd.grad(layer(x), [layer.bias], torch.ones(40_000, 64, dtype=torch.bfloat16))
    assert float(bias.double().sum()) == pytest.approx(64 * 40_000, rel=0.004)


@COMPILES
@pytest.mark.parametrize("pieces", [2, 3])
def test_compiled_layers_keep_bits_too(pieces):
    torch._dynamo.reset()
    layer, after = af.nn.Maxout(32, 256, pieces), nn.Linear(256, 4)
    model = nn.Sequential(layer, after)
    compiled, x = torch.compile(model, fullgraph=True), torch.randn(2_048, 32)
    assert stored_bytes(lambda: compiled(x)) / (2_048 * 256) == pytest.approx(4 + {2: 0.125, 3: 0.25}[pieces], rel=0.03)
    ours = torch.autograd.grad(compiled(x).square().sum(), list(model.parameters()))
    for a, b in zip(ours, torch.autograd.grad(model(x).square().sum(), list(model.parameters())), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    exported = torch.export.export(layer, (x,)).module()
    torch.testing.assert_close(exported(x), layer(x))


# Layers.


def test_widths_are_those_of_the_output():
    layer, conv = af.nn.Maxout(6, 3, pieces=4), af.nn.MaxoutConv2d(3, 4, 3)
    assert layer.out_features == 3 and conv.out_channels == 4 and layer.weight.shape == (12, 6)
    assert repr(layer) == "Maxout(in_features=6, out_features=3, bias=True, pieces=4)"
    assert repr(conv) == "MaxoutConv2d(3, 4, kernel_size=(3, 3), stride=(1, 1), pieces=2)"
    same = copy.deepcopy(layer)
    assert torch.equal(same(torch.ones(1, 6)), layer(torch.ones(1, 6)))


@pytest.mark.parametrize("pieces", [2, 3, 5])
def test_weights_start_so_that_the_mean_square_stays(pieces):
    torch.manual_seed(0)
    for layer, x in (
        (af.nn.Maxout(512, 256, pieces), torch.randn(256, 512)),
        (af.nn.MaxoutConv2d(64, 64, 3, pieces), torch.randn(16, 64, 12, 12)),
    ):
        assert float(layer(x).detach().square().mean()) == pytest.approx(1.0, rel=0.06)


def test_dead_pieces_can_be_read_off():
    layer = af.nn.Maxout(4, 3, pieces=3)
    with torch.no_grad():
        layer.bias[4] = -100.0  # of output 1 the second piece
    shares = layer.shares(torch.randn(3_000, 4))
    assert shares.shape == (3, 3) and shares[1, 1] == 0.0 and bool((shares.sum(1) - 1.0).abs().max() < 1e-6)
    assert int((shares == 0.0).sum()) == 1
    conv = af.nn.MaxoutConv2d(3, 4, 3, pieces=2)
    with torch.no_grad():
        conv.bias[0] = -100.0
    assert conv.shares(torch.randn(8, 3, 6, 6))[0].tolist() == [0.0, 1.0]


def test_weights_of_other_libraries():
    x, out, pieces = torch.randn(9, 6), 4, 3
    layer = af.nn.Maxout(6, out, pieces)
    thinc, bias = torch.randn(out, pieces, 6), torch.randn(out, pieces)
    layer.load_layout("thinc", thinc, bias)
    torch.testing.assert_close(layer(x), (torch.einsum("bi,opi->bop", x, thinc) + bias).amax(-1))
    dense, bias = torch.randn(6, out * pieces), torch.randn(out * pieces)
    layer.load_layout("paddle", dense, bias)
    torch.testing.assert_close(layer(x), (x @ dense + bias).view(9, out, pieces).amax(-1))
    layer.load_layout("tensorflow_addons", dense, bias)
    torch.testing.assert_close(layer(x), (x @ dense + bias).view(9, pieces, out).amax(1))
    conv, images = af.nn.MaxoutConv2d(3, out, 3, pieces, bias=False), torch.randn(2, 3, 5, 5)
    kernel = torch.randn(3, 3, 3, out * pieces)  # height, width, in, out
    conv.load_layout("tensorflow_addons", kernel)
    right = F.conv2d(images, kernel.permute(3, 2, 0, 1)).unflatten(1, (pieces, out)).amax(1)
    torch.testing.assert_close(conv(images), right)
    for wrong, said in (
        (("keras", dense, bias), "layout: 'keras' is not known"),
        (("thinc", dense, bias), "Maxout: weight of shape .* is none of thinc"),
        (("paddle", dense), "Maxout: bias is missing"),
    ):
        with pytest.raises(ValueError, match=said):
            layer.load_layout(*wrong)
    with pytest.raises(ValueError, match="the layer has none"):
        conv.load_layout("tensorflow_addons", kernel, bias)


def test_groups_must_divide_the_outputs():
    with pytest.raises(ValueError, match="out_channels must be divisible by groups = 4, got 6"):
        af.nn.MaxoutConv2d(4, 6, 3, pieces=2, groups=4)


# Parts of a batch.


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_parts_of_a_convolution_may_be_of_different_sizes(count, order, monkeypatch):
    layer = af.nn.MaxoutConv3d(2, 8, 3, 4, padding=1)
    x = torch.randn(count, 2, 6, 6, 6).contiguous(memory_format=order).requires_grad_()
    monkeypatch.setattr(maxout, "WORKSPACE", 2 * 32 * 216 * 4)  # two images
    tensors = [x, *layer.parameters()]
    y, right = layer(x), plain(layer, x)
    torch.testing.assert_close(y, right)
    g = torch.randn(right.shape)
    for a, b in zip(torch.autograd.grad(y, tensors, g), torch.autograd.grad(right, tensors, g), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def test_channels_last_has_the_gradients_too():
    layer = af.nn.MaxoutConv2d(4, 6, 3, 2)
    for last in (False, True):
        if last:
            layer = layer.to(memory_format=torch.channels_last)
        x = torch.randn(5, 4, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
        y, right = layer(x), plain(layer, x)
        assert y.is_contiguous(memory_format=torch.channels_last)
        for a, b in zip(*(torch.autograd.grad(z.square().sum(), [x, layer.weight]) for z in (y, right)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def test_sums_of_many_parts_are_those_of_one(monkeypatch):
    monkeypatch.setattr(maxout, "WORKSPACE", 1)
    layer = af.nn.MaxoutConv2d(1, 2, 1, 2, dtype=torch.bfloat16)
    x = torch.ones(2_000, 1, 4, 4, dtype=torch.bfloat16)
    (bias,) = torch.autograd.grad(layer(x), [layer.bias], torch.ones(2_000, 2, 4, 4, dtype=torch.bfloat16))
    assert float(bias.double().sum()) == pytest.approx(2 * 32_000, rel=0.004)
    linear = af.nn.Maxout(2, 64, 2, dtype=torch.bfloat16)
    x = torch.ones(40_000, 2, dtype=torch.bfloat16)
    monkeypatch.setattr(maxout, "FEWEST_ROWS", 16)
    (weight,) = torch.autograd.grad(linear(x), [linear.weight], torch.ones(40_000, 64, dtype=torch.bfloat16))
    assert float(weight.double().sum()) == pytest.approx(2 * 64 * 40_000, rel=0.004)


def test_a_convolutions_backward_needs_no_gradients_of_all_parts_at_a_time(monkeypatch):
    layer, x = af.nn.MaxoutConv2d(256, 64, 3, 2), torch.randn(16, 256, 4, 4)
    g = torch.randn(16, 64, 2, 2)

    def peak():
        y = layer(x)
        return peak_bytes(lambda: torch.autograd.grad(y, [layer.weight], g))

    whole = peak()
    monkeypatch.setattr(maxout, "WORKSPACE", 1)
    assert peak() < whole + 3 * layer.weight.nbytes


def test_no_outputs_are_allowed_as_in_torch():
    assert af.nn.Maxout(5, 0)(torch.randn(2, 5)).shape == (2, 0)
    assert af.nn.MaxoutConv2d(3, 0, 3).weight.shape == (0, 3, 3, 3)
