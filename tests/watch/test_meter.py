"""What is counted at activations inside a network: dead, flat, zero, moments, gradients, pieces."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

import actfun as af
from actfun._operators.modules import hidden
from actfun._watch.meter import Meter
from actfun._watch.slopes import Slope
from actfun._watch.tally import DEAD, FLAT, OCTAVES, PER_OCTAVE, SHOWN, Tally, edges
from actfun._watch.weights import sample


def slope_of(module, z):
    return Slope(module.forward)(z)


def test_flat_follows_the_rule_for_tanh_and_sigmoid():
    for module, edge in ((af.nn.Tanh(), 2.0845), (nn.Sigmoid(), 4.169)):
        top = float(slope_of(module, torch.zeros(1)))
        below, above = (float(slope_of(module, torch.tensor([edge + d]))) for d in (-0.01, 0.01))
        assert above < FLAT * top < below


def test_dead_units_are_those_that_no_sample_wakes():
    z = torch.tensor([[-1.0, -1.0, 1.0], [-1.0, 2.0, 3.0]])
    for module, dead, flat in (
        (nn.ReLU(), 1 / 3, 3 / 6),
        (af.nn.ReLU(), 1 / 3, 3 / 6),
        (af.nn.LeakyReLU(0.1), 0.0, 0.0),
        (nn.Sigmoid(), 0.0, 0.0),
    ):
        with Meter(module) as meter:
            module(z)
        shares = meter.shares
        assert (shares.dead, shares.flat, shares.samples) == (pytest.approx(dead), pytest.approx(flat), 2)
    with Meter(maxout := af.get("maxout")) as meter:
        maxout(z[:, :2])
    assert meter.shares.dead == 0.0


@pytest.mark.parametrize(("z", "dead"), [(-6.8, False), (-7.0, True)])
def test_a_slope_of_a_thousandth_of_the_largest_is_death(z, dead):
    """ELU's slope is e^z: 0.0011 at -6.8, 0.0009 at -7."""
    assert (math.exp(z) < DEAD) is dead
    with Meter(module := af.nn.ELU()) as meter:
        module(torch.full((10, 1), z))
    assert meter[module].dead.item() is dead


def test_the_largest_slope_is_1_where_slopes_keep_growing():
    for name, top in (("relu_squared", 1.0), ("sigmoid", 0.25), ("gelu", 1.1289)):
        assert Slope(af.get(name).forward).top(torch.zeros(1, 1), 1) == pytest.approx(top, abs=1e-4)


def test_a_parameter_for_each_channel_counts_by_its_own_slope():
    """0.1·exp(-5) is below a thousandth of the largest slope, 4; 4·exp(-5) is not."""
    module = af.nn.ELU(learnable=True, num_parameters=2)
    module.alpha.data = torch.tensor([0.1, 4.0])
    for z in (torch.full((10, 2), -5.0), torch.full((10, 2, 3), -5.0)):  # channels are dimension 1
        with Meter(module) as meter:
            module(z)
        assert meter[module].dead.tolist() == [True, False]
        assert meter.samples == 10


def test_torchs_prelu_counts_by_the_slope_that_it_has_learned():
    module = nn.PReLU(2)
    module.weight.data = torch.tensor([0.0, 0.5])
    with Meter(module) as meter:
        module(torch.full((10, 2, 3), -5.0))
    assert meter[module].dead.tolist() == [True, False]


def test_moments_are_those_of_all_data_together():
    torch.manual_seed(0)
    parts = [torch.randn(50, 3) * k + k for k in (1.0, 2.0)]
    with Meter(module := af.nn.ELU()) as meter:
        for z in parts:
            module(z)
    z = torch.cat(parts)
    shares = meter.shares
    assert shares.mean == pytest.approx(float(af.elu(z).mean()), rel=1e-5)
    assert shares.std == pytest.approx(float(af.elu(z).std(correction=0)), rel=1e-5)
    assert shares.z_std == pytest.approx(float(z.std(correction=0)), rel=1e-5)
    assert meter[module].means.tolist() == pytest.approx(af.elu(z).mean(0).tolist(), rel=1e-5)


def test_where_nothing_passed_nothing_is_said():
    with Meter(module := nn.ReLU()) as meter:
        pass
    assert (meter.shares.dead, meter.shares.flat, meter.shares.zero, meter.samples) == (None, None, None, 0)
    for mask in ("dead", "flat", "zeroed", "means"):
        with pytest.raises(ValueError, match="no data"):
            getattr(meter[module], mask)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("library", [nn, af.nn])
def test_gradients_are_those_at_the_pre_activations(library, inplace):
    torch.manual_seed(0)
    first, last = library.ReLU(inplace=inplace), library.Tanh()
    linear = nn.Linear(4, 4)
    parts = torch.randn(2, 8, 4)
    with Meter([first, last]) as meter:
        for x in parts:
            last(linear(first(linear(x)))).square().sum().backward()
    z = [linear(x).detach().requires_grad_() for x in parts]
    u = [linear(torch.relu(part)).detach().requires_grad_() for part in z]
    at_first = torch.autograd.grad(sum(torch.tanh(linear(torch.relu(part))).square().sum() for part in z), z)
    at_last = torch.autograd.grad(sum(torch.tanh(part).square().sum() for part in u), u)
    for module, expected in ((first, at_first), (last, at_last)):
        assert meter[module].gradient_norm == pytest.approx(math.hypot(*(float(g.norm()) for g in expected)), rel=1e-5)


def test_without_gradients_their_norm_is_0():
    with Meter(module := nn.ReLU()) as meter, torch.no_grad():
        module(torch.randn(4, 4))
    assert meter[module].gradient_norm == 0.0


def test_pieces_win_that_are_largest_on_some_sample():
    z = torch.tensor([[1.0, 2.0, 0.0, -1.0], [1.0, 3.0, -2.0, -1.0]])
    with Meter(maxout := af.get("maxout")) as meter:
        maxout(z)
    assert meter[maxout].winning.tolist() == [[False, True], [True, True]]
    with Meter(first := af.nn.MaxoutPieces(2, dim=1)) as meter:
        first(z[:, :, None])
    assert meter[first].winning.tolist() == [[False, True], [True, True]]
    with Meter(relu := nn.ReLU()) as meter:
        relu(z)
    with pytest.raises(ValueError, match="no data"):
        _ = meter[relu].winning


@pytest.mark.parametrize("make", [lambda: af.nn.Maxout(5, 3, 2), lambda: af.nn.MaxoutConv2d(5, 3, 1, 2)])
def test_layers_of_maxout_are_counted_by_their_pieces(make):
    torch.manual_seed(0)
    layer, x = make(), torch.randn(50, 5)
    x = x if isinstance(layer, nn.Linear) else x[..., None, None]
    with Meter(layer) as meter:
        layer(x.requires_grad_()).sum().backward()
    assert torch.equal(meter[layer].winning, layer.shares(x) > 0)
    assert meter[layer].gradient_norm == pytest.approx(math.sqrt(150))


LAYERS = {
    "linear": (nn.Linear(3, 4), (10, 3), 10),
    "linear, no batch": (nn.Linear(3, 4), (3,), 1),
    "tokens": (nn.Linear(3, 4), (10, 5, 3), 50),
    "image, channels last": (nn.Linear(3, 4), (10, 6, 6, 3), 10),
    "conv1d": (nn.Conv1d(3, 4, 1), (10, 3, 7), 10),
    "conv2d": (nn.Conv2d(3, 4, 1), (10, 3, 6, 6), 10),
    "conv2d, no batch": (nn.Conv2d(3, 4, 1), (3, 6, 6), 1),
    "conv3d": (nn.Conv3d(3, 4, 1), (10, 3, 5, 5, 5), 10),
    "transposed": (nn.ConvTranspose2d(3, 4, 1), (10, 3, 6, 6), 10),
    "norm": (nn.Sequential(nn.Conv1d(3, 4, 1), nn.BatchNorm1d(4)), (10, 3, 7), 10),
}


@pytest.mark.parametrize("call", [nn.ReLU(), functional.relu, torch.relu, torch.Tensor.relu, functional.relu_])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_unit_is_what_the_layer_before_it_makes(kind, call):
    """Half of them are pushed dead."""
    layer, shape, samples = LAYERS[kind]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer
            self.call = call

        def forward(self, x):
            return self.call(self.layer(x))

    torch.manual_seed(0)
    last = layer[-1] if isinstance(layer, nn.Sequential) else layer
    with torch.no_grad():
        last.bias.copy_(torch.tensor([-50.0, -50.0, 50.0, 50.0]))
        with Meter(net := Net()) as meter:
            net(torch.randn(shape))
    (tally,) = meter._observer.tallies.values()
    assert tally.dead.tolist() == [True, True, False, False]
    assert tally.samples == samples


def test_a_place_is_a_module_a_function_and_a_call():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.act = nn.Sequential(nn.Linear(4, 4), nn.GELU()), nn.ReLU()

        def forward(self, x):
            x = self.act(self.act(self.inner(x)))
            x = functional.leaky_relu(functional.leaky_relu(x, 0.1), 0.2)
            return torch.tanh(x) + af.gelu(x) + x.sigmoid()

    with Meter(net := Net()) as meter:
        net(torch.randn(3, 4))
        net(torch.randn(3, 4))
    assert [(p.name, p.activation) for p in meter._observer.places.values()] == [
        ("inner.1", "gelu"),
        ("act", "relu"),
        ("act #2", "relu"),
        ("inner.0 → F.leaky_relu", "leaky_relu(negative_slope=0.1)"),
        ("inner.0 → F.leaky_relu #2", "leaky_relu(negative_slope=0.2)"),
        ("inner.0 → torch.tanh", "tanh"),
        ("inner.0 → af.gelu", "gelu"),
        ("inner.0 → Tensor.sigmoid", "sigmoid"),
    ]
    assert meter.samples == 6


@pytest.mark.parametrize("name", [name for name in af.names() if name not in ("softmax2d", "log1mexp", "identity")])
def test_every_activation_is_counted(name):
    module = hidden(name)
    x = torch.randn(20, 8, requires_grad=True)
    with Meter(module) as meter:
        y = module(x)
        y.square().sum().backward()
    tally = meter[module]
    assert len(tally.dead) == y.shape[1]
    assert 0.0 <= tally.shares.dead < 1.0
    assert tally.shares.mean == pytest.approx(float(y.detach().mean()), rel=1e-4, abs=1e-6)
    assert tally.gradient_norm > 0.0


def test_calls_behind_other_layers_are_other_places():
    """A loop over layers, and a module that all of them share."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.act = nn.ModuleList(nn.Linear(4, 4) for _ in range(12)), nn.ReLU()

        def forward(self, x):
            for layer in self.layers:
                x = self.act(torch.sigmoid(layer(x)))
            return x

    with Meter(net := Net()) as meter:
        net(torch.randn(3, 4))
    names = [place.name for place in meter._observer.places.values()]
    assert len(names) == len({*names}) == 24
    assert names[:4] == ["layers.0 → torch.sigmoid", "act", "layers.1 → torch.sigmoid", "layers.1 → act"]


def test_a_layer_is_known_by_what_it_made_not_by_its_shape():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.up, self.conv = nn.Linear(4, 6), nn.Linear(4, 6), nn.Conv1d(4, 5, 1)

        def forward(self, x):
            gate, up = self.gate(x), self.up(x)
            y = functional.silu(gate) * up
            z = torch.relu(self.conv(x[:, :, None].expand(-1, -1, 7)).transpose(1, 2))
            return y.sum() + z.sum()

    with Meter(net := Net()) as meter:
        net(torch.randn(3, 4))
    places = list(meter._observer.places.values())
    assert [(place.name, place.key.units) for place in places] == [("gate → F.silu", 6), ("conv → torch.relu", 5)]


def test_a_sample_of_numbers_falls_in_with_no_dimension():
    weight = torch.arange(9.0).repeat(256 * 256).view(256, 256, 3, 3)
    assert sample(weight).mean() == pytest.approx(4.0, abs=0.01)
    z = torch.full((4096, 64), -5.0)
    z[:, 0] = 5.0
    tally = Tally(bins=True)
    tally.before(z, torch.ones_like(z), 1.0, 1, 4096)
    positive = tally.bins[len(edges()) // 2 + 1 :].sum() / tally.bins.sum()
    assert positive == pytest.approx(1 / 64, abs=0.003)


def test_a_histogram_counts_every_number_by_size_and_sign():
    ends = edges()
    assert list(ends) == sorted(ends) == [-end for end in reversed(ends)]
    assert ends[-1] == 2.0**OCTAVES
    z = torch.tensor([[0.0, 1.5, -1.5, 1e9, -1e9, 1e-9]])
    tally = Tally(bins=True)
    tally.before(z, torch.ones_like(z), 1.0, 1, 1)
    middle = len(ends) // 2
    at = {0: 1, len(ends): 1, middle: 2}
    at |= {k: 1 for k in range(len(ends) + 1) for v in (1.5, -1.5) if 0 < k < len(ends) and ends[k - 1] <= v < ends[k]}
    assert {k: int(n) for k, n in enumerate(tally.bins.tolist()) if n} == at
    assert len(tally.bins) == PER_OCTAVE * 2 * OCTAVES * 2 + 3
    tally = Tally(bins=True)
    tally.before(z := torch.randn(100, 1000), torch.ones_like(z), 1.0, 1, 100)
    assert SHOWN / 2 < tally.bins.sum() <= SHOWN


def test_tallies_of_parts_add_up_to_that_of_the_whole():
    torch.manual_seed(0)
    z = torch.randn(40, 6)

    def tally_of(part):
        with Meter(module := nn.GELU()) as meter:
            x = part.clone().requires_grad_()
            module(x).square().sum().backward()
        return meter[module]

    whole, parts = tally_of(z), tally_of(z[:15])
    parts.add(tally_of(z[15:]))
    assert torch.allclose(whole.units, parts.units)
    assert torch.allclose(whole.sums, parts.sums)
    assert (whole.samples, whole.responses, whole.inputs, whole.gradients) == (40, 240, 240, 240)
    assert (parts.samples, parts.responses, parts.inputs, parts.gradients) == (40, 240, 240, 240)
