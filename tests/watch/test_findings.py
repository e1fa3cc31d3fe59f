"""What `af.watch` finds: planted faults, each with its name and place, and nothing in a healthy network."""

import math
from itertools import chain, pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

import actfun as af
from actfun._catalogue.names import spec
from actfun._watch import origin
from actfun._watch.history import ENOUGH
from actfun._watch.rules import IN_A_ROW, KINDS, texts
from actfun._watch.slopes import Slope

CLASSES = 5


def mlp(act=nn.ReLU, depth=3, width=64, inputs=20):
    torch.manual_seed(0)
    sizes = [inputs] + [width] * depth
    layers = chain.from_iterable((nn.Linear(a, b), act()) for a, b in pairwise(sizes))
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


def table(scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2_000, 20, generator=generator)
    return x * scale + shift, x[:, :CLASSES].argmax(1)


def train(
    model, data=None, steps=30, rate=1e-3, kind=torch.optim.Adam, batch=200, every=1, loss=None, zero=True, own=None
):
    x, y = data or table()
    optimizer = kind(own or model.parameters(), rate)
    loss = loss or functional.cross_entropy
    generator = torch.Generator().manual_seed(2)
    with af.watch(model, every=every, live=False) as watch:
        for _ in range(steps):
            rows = torch.randint(len(x), (batch,), generator=generator)
            if zero:
                optimizer.zero_grad()
            loss(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return watch


def found(watch):
    return {(finding.kind, finding.site) for finding in watch.findings()}


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(20, 64), nn.Linear(64, 64), nn.Linear(64, CLASSES)

    def forward(self, x):
        return self.last(functional.relu(self.second(torch.relu(self.first(x)))))


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.last = nn.Conv1d(1, 16, 3), nn.ReLU(), nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.last(self.act(self.conv(x[:, None])).mean(2))


@torch.no_grad()
def push(layer):
    """Push half of a layer's units dead."""
    layer.bias[: len(layer.bias) // 2] = -50.0


def test_half_a_linear_layer_that_is_dead():
    model = mlp()
    push(model[2])
    watch = train(model)
    (finding,) = watch.findings()
    assert (finding.kind, finding.site, finding.threshold, finding.since) == ("dead", "3", 0.3, 0)
    assert finding.value >= 0.5
    assert "af.gain" in finding.advice
    assert "from the first step" in finding.advice
    last = watch.windows[-1].records[1]
    assert last["dead"] >= 32
    assert last["dead_bound"] <= 3 / ENOUGH
    assert watch.diagnose()[0].key == "dead"


def test_half_a_convolution_that_is_dead():
    model = Convolutional()
    push(model.conv)
    assert found(train(model)) == {("dead", "act")}


def test_half_a_layer_that_is_dead_behind_a_function():
    model = Functional()
    push(model.second)
    assert found(train(model)) == {("dead", "second → F.relu")}


def test_units_that_die_later():
    model = mlp()
    x, y = table()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with af.watch(model, every=1, live=False) as watch:
        for step in range(50):
            rows = torch.arange(200) + 200 * (step % 10)
            functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()
            if step == 20:
                push(model[2])
    (finding,) = watch.findings()
    assert (finding.kind, finding.site, finding.since) == ("dead", "3", 21)
    assert "leaky_relu" in finding.advice
    assert "learning rate" in finding.advice


def test_a_saturated_tanh_stack():
    model = mlp(nn.Tanh, 4)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 2.0)
    watch = train(model)
    assert {("saturated", site) for site in "1357"} <= found(watch)
    assert watch.diagnose()[0].key == "saturated"
    assert "1.593/sqrt(fan_in)" in str(watch.diagnose()[0])


def test_the_vanishing_gradient_of_20_layers_of_sigmoid():
    watch = train(mlp(nn.Sigmoid, 20))
    assert ("vanishing", "1") in found(watch)
    assert sum(kind == "vanishing" for kind, _ in found(watch)) == 1
    assert watch.findings()[0].value < 1e-10
    assert watch.diagnose()[0].key == "vanishing"


def test_residual_branches_that_start_as_0_are_healthy():
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.act = nn.Linear(20, 64), nn.GELU()
            self.up, self.down, self.last = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, CLASSES)
            nn.init.constant_(self.down.weight, 1e-6)

        def forward(self, x):
            h = self.act(self.first(x))
            return self.last(torch.tanh(h + self.down(torch.relu(self.up(h)))))

    watch = train(Residual(), rate=1e-7)
    assert min(r["log10_gradient_ratio"] for r in watch.records()) < -3
    assert found(watch) == set()


def test_an_exploding_gradient():
    model = mlp(nn.ReLU, 12)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.6)
    watch = train(model, rate=1e-6)
    assert {("exploding", "1")} == found(watch)
    assert watch.diagnose()[0].key == "exploding"


def test_outputs_that_are_off_centre():
    model = mlp(nn.Softplus)
    with torch.no_grad():
        model[2].bias += 20.0
    watch = train(model)
    assert ("off_centre", "3") in found(watch)
    (finding,) = [f for f in watch.findings() if f.site == "3"]
    assert "elu" in finding.advice


def test_outputs_that_no_layer_takes_are_not_off_centre():
    """A gate's, and what a norm centres."""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.gate, self.last = nn.Linear(20, 64), nn.Linear(20, 64), nn.Linear(64, CLASSES)
            self.norm = nn.LayerNorm(64)

        def forward(self, x):
            return self.last(self.norm(functional.softplus(self.up(x) + 20.0) * torch.sigmoid(self.gate(0.01 * x))))

    assert found(train(Gated())) == set()


@pytest.mark.parametrize("every", [1, 7])
def test_the_place_where_nan_began(every):
    """In a step that is watched or in one that is not."""

    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Linear(20, 32), nn.Linear(32, 32), nn.Linear(32, CLASSES)
            self.act, self.calls, self.scale = nn.ReLU(), 0, 1.0

        def forward(self, x):
            h = self.act(self.first(x))
            return self.last(torch.tanh((self.scale * (self.second(h).square() + 0.1)).sqrt()))

    model = Root()
    x, y = table()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with af.watch(model, every=every, live=False) as watch:
        for step in range(20):
            model.scale = -1.0 if step == 10 else 1.0
            optimizer.zero_grad()
            functional.cross_entropy(model(x[:64]), y[:64]).backward()
            optimizer.step()
    findings = [finding for finding in watch.findings() if finding.kind == "non_finite"]
    assert [(finding.site, finding.since) for finding in findings] == [("Tensor.sqrt in the model", 10)]
    assert watch.diagnose()[0].key == "non_finite"
    assert "Tensor.sqrt" in str(watch.diagnose()[0])


@pytest.mark.parametrize(
    ("loss", "place"),
    [
        (lambda out, y: (out - out).sum().sqrt() + out.sum(), "the loss, for the model's output is finite"),
        (lambda out, y: functional.cross_entropy(out, y) * math.inf, "the loss"),
    ],
)
def test_a_loss_that_is_not_finite(loss, place):
    watch = train(mlp(), loss=loss, steps=6)
    (finding,) = [finding for finding in watch.findings() if finding.kind == "non_finite"]
    assert place in finding.site
    assert finding.since == 0


def test_an_input_that_is_not_finite():
    x, y = table()
    x[1000:, 3] = math.nan
    watch = train(mlp(), data=(x, y), steps=6)
    (finding,) = [finding for finding in watch.findings() if finding.kind == "non_finite"]
    assert finding.site == "the model's input"


def test_infinities_that_are_meant_are_not_named():
    """Those of a mask of attention, before the logarithm that makes NaN."""

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp(nn.GELU)

        def forward(self, x):
            scores = (x[:, :, None] * x[:, None]).masked_fill(torch.ones(20, 20).triu(1).bool(), -math.inf)
            return self.inner((scores.softmax(-1) @ x[:, :, None])[..., 0]).log()

    model = Masked()
    assert origin.find(model, (table()[0][:50],), {}, dict.fromkeys(map(id, model.modules()), "")) == (
        "Tensor.log in the model"
    )


@pytest.mark.parametrize("act", [nn.ReLU, nn.GELU, nn.Tanh, nn.ELU, nn.SiLU, nn.LeakyReLU, nn.Hardtanh, nn.ReLU6])
def test_a_healthy_network_raises_nothing(act):
    watch = train(mlp(act), steps=150, every=3)
    assert found(watch) == set()
    assert [cause.key for cause in watch.diagnose()] == ["nothing"]


def test_a_thing_is_said_when_it_was_so_three_windows_in_a_row():
    model = mlp(nn.Tanh)
    x, y = table()
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    new = []
    with af.watch(model, every=1, live=False) as watch:
        watch.listeners.append(lambda watch, window, more: new.extend((window.step, f.site, f.since) for f in more))
        for step in range(12):
            scale = 100.0 if step in (2, 3, 6, 7, 8, 9) else 1.0
            functional.cross_entropy(model(x[:100] * scale), y[:100]).backward()
            optimizer.step()
            optimizer.zero_grad()
    assert [said for said in new if said[1] == "1"] == [(6 + IN_A_ROW - 1, "1", 6)]
    assert [finding.now for finding in watch.findings() if finding.site == "1"] == [False]


class Pooled(nn.Module):
    """A convolution whose gradient is spread over a large image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.up, self.last = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8, 32), nn.Linear(32, CLASSES)

    def forward(self, x):
        image = x[:, :1, None, None] + torch.zeros(1, 1, 64, 64)
        return self.last(torch.relu(self.up(torch.relu(self.conv(image)).mean((2, 3)))))


def test_a_large_image_is_no_vanishing_gradient():
    assert found(train(Pooled(), steps=5, batch=20)) == set()


def test_a_minor_loss_at_the_end_is_no_explosion():
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.main, self.minor = mlp(), nn.Linear(CLASSES, CLASSES), nn.Linear(CLASSES, CLASSES)

        def forward(self, x):
            h = torch.tanh(self.body(x))
            return self.main(torch.relu(h)) + 1e-3 * self.minor(functional.gelu(h))

    assert found(train(Heads())) == set()


def test_a_probability_that_is_sure_is_not_saturated():
    model = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
    x, y = table()
    y = (x[:, 0] > 0).float()
    loss = lambda out, y: functional.binary_cross_entropy(out[:, 0], y)  # noqa: E731
    watch = train(model, data=(x, y), rate=0.05, steps=120, loss=loss)
    assert watch.records()[-1]["flat"] > 0.75
    assert found(watch) == set()


def test_a_mask_of_infinities_before_a_gate_is_finite():
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(20, 16), nn.Linear(16, CLASSES)

        def forward(self, x):
            return self.last(torch.sigmoid(self.first(x).masked_fill(x[:, :16] > 1.0, -math.inf)))

    assert found(train(Masked())) == set()


def test_a_backbone_that_is_frozen_is_no_lost_gradient():
    model = nn.Sequential(mlp(), nn.ReLU(), nn.Linear(CLASSES, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    model[0].requires_grad_(False)
    causes = train(model, own=list(model[2:].parameters())).diagnose()
    assert not {"no_gradient", "not_optimized"} & {cause.key for cause in causes}


# Why a model did not learn.

CAUSES = {
    "rate_too_large": lambda: train(mlp(), rate=1.0, steps=60),
    "rate_too_small": lambda: train(mlp(), rate=1e-9, steps=60),
    "input_scale": lambda: train(mlp(nn.Tanh), data=table(30.0, 100.0), steps=60),
    "not_optimized": lambda: train(model := mlp(), own=list(model[2:].parameters()), steps=60),
    "gradients_kept": lambda: train(mlp(), rate=0.003, kind=torch.optim.SGD, zero=False, steps=60),
    "no_gradient": lambda: train(
        mlp(), loss=lambda out, y: (out.detach() * nn.Parameter(torch.ones(CLASSES))).sum(), steps=6
    ),
    "vanishing": lambda: train(mlp(nn.Sigmoid, 15), steps=20),
    "nothing": lambda: train(mlp(), steps=60),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_the_likeliest_cause_comes_first(cause):
    watch = CAUSES[cause]()
    assert next(one.key for one in watch.diagnose()) == cause, [str(one) for one in watch.diagnose()]


def test_no_step_at_all():
    with af.watch(model := mlp(), live=False) as watch:
        model(table()[0])
    assert watch.diagnose()[0].key == "no_steps"


def test_what_is_said_is_there_in_both_languages():
    parts = texts()
    assert set(parts["kinds"]) == set(KINDS)
    for part in parts.values():
        for key, pair in part.items():
            english, chinese = pair
            assert english, key
            assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese), key


# What an activation does by itself.


@pytest.mark.parametrize(
    ("name", "flat", "ratio", "ends"),
    [
        ("relu", 0.5, 0.3989 / 0.5838, False),
        ("tanh", 0.0371, 0.0, True),
        ("sigmoid", 0.0, 0.5 / 0.2083, True),
        ("identity", 0.0, 0.0, False),
        ("relu6", 0.5, 0.3989 / 0.5838, True),
    ],
)
def test_what_standard_normal_input_gives(name, flat, ratio, ends):
    natural = Slope(getattr(af, spec(name).name)).natural(torch.randn(10, 4), 1)
    assert natural.flat == pytest.approx(flat, abs=0.004)
    assert natural.ratio == pytest.approx(ratio, abs=0.01)
    assert natural.ends is ends
