"""`af.watch`: what it sees of training, in all the ways in which networks are trained, and that it changes nothing."""

import copy
import gc
import io
import itertools
import math
import pickle
import subprocess
import sys
import threading
import warnings
import weakref
from contextlib import nullcontext

import pytest
import torch
from support import COMPILES, models_of_transformers
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import actfun as af
from actfun._operators.torch_private import compiler_counts
from actfun._watch.history import MOST_WINDOWS, History, Window
from actfun._watch.schedule import CLOSEST, Schedule


class Net(nn.Module):
    """An activation of each kind: a module, a function, a method, in place, and one that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.up, self.down = nn.Linear(6, 16), nn.Linear(16, 4)
        self.gelu = af.nn.GELU()

    def forward(self, x):
        h = self.act(self.norm(self.conv(x)))
        h = functional.relu(h - 0.1).mean((2, 3))
        return self.down(self.gelu(self.up(h).tanh()))


SEEN = ["act", "conv → F.relu", "up → Tensor.tanh", "gelu"]


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(16, 2, 8, 8, generator=generator), torch.randint(4, (16,), generator=generator)


def train(model, steps=6, optimizer=None, **options):
    """A training as users write it; options go to watch, if there are any."""
    optimizer = optimizer or torch.optim.Adam(model.parameters(), 1e-3)
    with af.watch(model, live=False, **options) if options else nullcontext() as watch:
        for step in range(steps):
            x, y = batch(step)
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    return watch


def made(make=Net, seed=0):
    torch.manual_seed(seed)
    return make()


def test_all_kinds_are_seen_and_training_is_the_same():
    plain, watched = made(), made()
    train(plain)
    watch = train(watched, every=1)
    assert [r["site"] for r in watch.windows[-1].records] == SEEN
    assert [w.step for w in watch.windows] == list(range(6))
    for a, b in zip(plain.state_dict().values(), watched.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert watch.coverage() == "4 of 4 nonlinearities watched"


def test_a_record_says_what_the_network_did():
    model = made()
    x, _ = batch()
    h = model.norm(model.conv(x))
    z = model.act(h.clone()) - 0.1
    record = train(made(), steps=1, every=1).records()[1]
    y = functional.relu(z)
    assert (record["site"], record["activation"], record["kind"]) == ("conv → F.relu", "relu", "function")
    assert (record["shape"], record["samples"], record["units"]) == ("16x6x6x6", 16, 6)
    assert record["mean"] == pytest.approx(y.mean().item(), rel=1e-5)
    assert record["std"] == pytest.approx(y.std(correction=0).item(), rel=1e-5)
    assert record["z_std"] == pytest.approx(z.std(correction=0).item(), rel=1e-5)
    assert record["zero"] == record["flat"] == pytest.approx((z <= 0).float().mean().item())
    assert record["gradient_rms"] > 0.0
    assert record["update_ratio"] > 0.0


def test_gradients_and_updates_are_those_of_autograd_and_the_optimizer():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3), nn.Tanh(), nn.Linear(3, 1))
    x, before = torch.randn(20, 5), copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with af.watch(model, every=1, live=False) as watch:
        model(x).square().mean().backward()
        optimizer.step()
    z = before[0](x).detach().requires_grad_()
    (g,) = torch.autograd.grad(before[1:](z).square().mean(), z)
    first, last = watch.records()
    with torch.no_grad():
        assert first["gradient_rms"] == pytest.approx(float(g.square().mean().sqrt()), rel=1e-4)
        for record, place in ((first, 0), (last, 2)):
            old, new = before[place].weight, model[place].weight
            assert record["update_ratio"] == pytest.approx(float((new - old).norm() / old.norm()), rel=1e-4)
    assert last["log10_gradient_ratio"] == 0.0
    assert first["gradient_norm"] == pytest.approx(float(g.norm()), rel=1e-4)
    assert first["log10_gradient_ratio"] == pytest.approx(math.log10(first["gradient_norm"] / last["gradient_norm"]))


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_are_counted_once(reentrant):
    class Checked(Net):
        def forward(self, x):
            h = checkpoint(lambda x: self.act(self.norm(self.conv(x))), x, use_reentrant=reentrant)
            h = checkpoint(self.later, h, use_reentrant=reentrant)
            return self.down(self.gelu(self.up(h).tanh()))

        def later(self, h):
            return functional.relu(h - 0.1).mean((2, 3))

    def run(make):
        model = made(make)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        with af.watch(model, every=1, live=False) as watch:
            for step in range(4):
                x, y = batch(step)
                optimizer.zero_grad()
                functional.cross_entropy(model(x.requires_grad_()), y).backward()
                optimizer.step()
        assert "gradients_kept" not in [cause.key for cause in watch.diagnose()]
        return watch.records()

    for a, b in zip(run(Net), run(Checked), strict=True):
        assert (a["site"], a["samples"]) == (b["site"], b["samples"])
        assert a["mean"] == pytest.approx(b["mean"], rel=1e-4)
        if b["gradient_rms"] is not None or not reentrant:
            assert a["gradient_rms"] == pytest.approx(b["gradient_rms"], rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_is_counted_in_float32(dtype):
    model = made()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with af.watch(model, every=1, live=False) as watch:
        x, y = batch()
        with torch.autocast("cpu", dtype):
            loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    assert [r["site"] for r in watch.records()] == SEEN
    for a, b in zip(watch.records(), train(made(), steps=1, every=1).records(), strict=True):
        assert a["mean"] == pytest.approx(b["mean"], rel=0.05, abs=0.01)
        assert not a["non_finite"]


@pytest.mark.parametrize("overflows", [range(6), (6, 7, 20)])
def test_a_scaler_that_skips_a_step_is_no_finding(overflows):
    """At the start, or in the middle of training."""
    model = made()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", growth_interval=10**6)
    with af.watch(model, every=1, live=False) as watch:
        for step in range(30):
            x, y = batch(step)
            optimizer.zero_grad()
            more = math.inf if step in overflows else 1.0
            scaler.scale(more * functional.cross_entropy(model(x), y)).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
    assert watch.findings() == []
    assert watch.steps == 30 - len(overflows)
    assert [w.step for w in watch.windows] == list(range(watch.steps))
    assert {r["samples"] for r in watch.records()} == {16}
    assert all(math.isfinite(r["log10_gradient_ratio"]) for r in watch.records())


def test_gradients_that_are_accumulated_belong_to_one_step():
    model = made()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with af.watch(model, every=1, live=False) as watch:
        for step in range(12):
            x, y = batch(step)
            functional.cross_entropy(model(x), y).backward()
            if step % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
    assert [w.step for w in watch.windows] == [0, 1, 2]
    assert [w.records[0]["samples"] for w in watch.windows[1:]] == [64, 64]
    assert not [cause for cause in watch.diagnose() if cause.key == "gradients_kept"]


def test_what_is_accumulated_for_the_first_step_is_told_once():
    model, told = made(), []
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with af.watch(model, every=1, live=False, log=lambda numbers, step: told.append(step)) as watch:
        for step in range(12):
            x, y = batch(step)
            functional.cross_entropy(model(x), y).backward()
            if step % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
    assert told == [0, 1, 2]
    assert [w.records[0]["samples"] for w in watch.windows] == [64, 64, 64]


def test_passes_without_gradients_beside_training_are_left_alone():
    """A target network's, in every step."""
    model = made()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with af.watch(model, every=1, live=False) as watch:
        for step in range(5):
            x, y = batch(step)
            with torch.no_grad():
                model(x)
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert [(w.step, w.records[0]["samples"]) for w in watch.windows] == [(k, 16) for k in range(5)]


def test_a_model_that_is_called_twice_in_a_step():
    model = made()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with af.watch(model, every=1, live=False) as watch:
        for step in range(4):
            optimizer.zero_grad()
            (
                functional.cross_entropy(model(batch(step)[0]), batch(step)[1]) + model(batch(9)[0]).square().mean()
            ).backward()
            optimizer.step()
    assert [(w.step, w.records[0]["samples"]) for w in watch.windows] == [(k, 32) for k in range(4)]
    assert all(r["gradient_rms"] for r in watch.records())
    assert "gradients_kept" not in [cause.key for cause in watch.diagnose()]


def test_validation_is_left_alone():
    model = made()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def validate():
        model.eval()
        with torch.no_grad():
            for _ in range(3):
                model(batch()[0])
        model.train()

    with af.watch(model, every=1, live=False) as watch:
        validate()
        for step in range(4):
            x, y = batch(step)
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            if step == 1:
                validate()
    assert [(w.step, w.records[0]["samples"]) for w in watch.windows] == [(k, 16) for k in range(4)]
    assert all(r["gradient_rms"] for w in watch.windows for r in w.records)


def test_a_network_that_does_not_train_is_watched_too():
    model = made().eval()
    with af.watch(model, every=1, live=False) as watch, torch.no_grad():
        for step in range(5):
            model(batch(step)[0])
    assert [(w.step, w.records[0]["samples"]) for w in watch.windows] == [(k, 16) for k in range(5)]
    with af.watch(model, live=False) as watch, torch.inference_mode():
        model(batch()[0])
    assert [r["site"] for r in watch.records()] == SEEN
    assert watch.diagnose()[0].key == "no_steps"


def test_without_an_optimizer_of_torch_a_pass_is_a_step():
    model = made()
    with af.watch(model, every=1, live=False) as watch:
        for step in range(4):
            x, y = batch(step)
            functional.cross_entropy(model(x), y).backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 0.1 * parameter.grad
                    parameter.grad = None
    assert [(w.step, w.records[0]["samples"]) for w in watch.windows] == [(k, 16) for k in range(4)]


def test_two_optimizers_make_one_step():
    model = made()
    first = torch.optim.SGD(model.conv.parameters(), 0.1)
    second = torch.optim.Adam([*model.up.parameters(), *model.down.parameters()], 0.1)
    other = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1)
    with af.watch(model, every=1, live=False) as watch:
        for step in range(4):
            x, y = batch(step)
            functional.cross_entropy(model(x), y).backward()
            for optimizer in (first, second, other):
                optimizer.step()
                optimizer.zero_grad()
    assert watch.steps == 4
    assert all(r["update_ratio"] for r in watch.windows[-1].records if r["site"] in ("act", "gelu"))


def test_lbfgs_calls_the_model_within_its_step():
    model = made()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    x, y = batch()

    def closure():
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        return loss

    with af.watch(model, every=1, live=False) as watch:
        for _ in range(3):
            optimizer.step(closure)
    assert watch.steps >= 3
    assert [r["site"] for r in watch.windows[-1].records] == SEEN


@COMPILES
@pytest.mark.parametrize("way", ["torch.compile", "method", "function"])
def test_a_compiled_model_is_not_compiled_again(way):
    counts = compiler_counts()

    def run(watched):
        torch.compiler.reset()
        counts.clear()
        model = made(lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)))
        called = torch.compile(model) if way == "torch.compile" else model
        if way == "method":
            model.compile()
        loss = lambda x, y: functional.cross_entropy(called(x), y)  # noqa: E731
        loss = torch.compile(loss) if way == "function" else loss
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        x, y = torch.randn(6, 5), torch.randint(3, (6,))

        def steps():
            for _ in range(8):
                optimizer.zero_grad()
                loss(x, y).backward()
                optimizer.step()

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with af.watch(called, every=3, live=False) if watched else nullcontext() as watch:
                steps()
            steps()
        if watched:
            assert [w.step for w in watch.windows] == [0, 3, 6]
            assert watch.records()[0]["site"] == "1"
        return dict(counts["stats"]), dict(counts["graph_break"]), dict(counts["frames"])

    assert run(True) == run(False)


def test_a_model_keeps_nothing_of_it():
    model = made()
    state = {
        name: len(vars(model)[name]) for name in vars(model) if "hook" in name and hasattr(vars(model)[name], "__len__")
    }
    with af.watch(model, every=1, live=False) as watch:
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for step in range(3):
            x, y = batch(step)
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            twin = copy.deepcopy(model)
            loaded = pickle.loads(pickle.dumps(model))
            torch.save(model, io.BytesIO())
            for other in (twin, loaded):
                assert torch.equal(other.eval()(x), copy.deepcopy(model).eval()(x))
    assert {name: len(vars(model)[name]) for name in state} == state
    assert not torch.nn.modules.module._global_forward_hooks
    seen = weakref.ref(watch)
    del watch, twin, loaded
    gc.collect()
    assert seen() is None


def test_no_tensor_of_a_step_stays():
    model, kept = made(), []
    hook = model.act.register_forward_hook(lambda module, inputs, output: kept.append(weakref.ref(output)))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with af.watch(model, every=1, live=False):
        for step in range(3):
            x, y = batch(step)
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        del x, y
        assert [one() for one in kept] == [None] * 3
    hook.remove()


def test_a_pass_that_raises_leaves_nothing_behind():
    class Failing(Net):
        def forward(self, x):
            self.act(self.conv(x))
            raise KeyError("mine")

    model = made(Failing)
    with pytest.raises(KeyError, match="mine"), af.watch(model, every=1, live=False):
        model(batch()[0])
    assert torch.overrides._get_current_function_mode_stack() == []
    assert not torch.nn.modules.module._global_forward_hooks
    with af.watch(model, every=1, live=False):
        for _ in range(3):
            with pytest.raises(KeyError, match="mine"):
                model(batch()[0])
    assert torch.overrides._get_current_function_mode_stack() == []


def test_functions_that_are_called_by_names_do_not_stop_training():
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.last = nn.Conv1d(3, 4, 1), nn.Linear(4, 2)

        def forward(self, x):
            y = self.conv(input=x).transpose(dim0=1, dim1=2)
            y = functional.relu(input=torch.permute(y, dims=(0, 1, 2)))
            return self.last(functional.gelu(input=y, approximate="tanh").flatten(start_dim=0, end_dim=1))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with af.watch(model := Named(), live=False) as watch:
            model(torch.randn(5, 3, 7)).sum().backward()
    assert [place.activation for place in watch.places] == ["relu", "gelu_tanh"]


def test_an_interrupt_leaves_nothing_behind():
    class Interrupted(Net):
        def forward(self, x):
            self.act(self.conv(x))
            raise KeyboardInterrupt

    before = list(warnings.filters)
    with pytest.raises(KeyboardInterrupt), af.watch(model := made(Interrupted), every=1, live=False):
        model(batch()[0])
    assert torch.overrides._get_current_function_mode_stack() == []
    assert not torch.nn.modules.module._global_forward_hooks
    assert not model._forward_pre_hooks
    assert list(warnings.filters) == before


def test_a_log_that_fails_does_not_stop_training():
    def fail(numbers, step):
        raise OSError("the disk is full")

    with pytest.warns(UserWarning, match="OSError in a log: the disk is full"):
        watch = train(made(), every=1, log=fail)
    assert watch.steps == 6
    assert not torch.nn.modules.module._global_forward_hooks


@pytest.mark.parametrize("parameters", ["sparse", "float16"])
def test_gradients_of_other_kinds_do_not_stop_training(parameters):
    if parameters == "sparse":
        model = nn.Sequential(nn.Embedding(50, 8, sparse=True), nn.ReLU(), nn.Linear(8, 3))
        optimizer, x = torch.optim.SGD(model.parameters(), 0.1), torch.randint(50, (6,))
    else:  # each gradient is finite, and their sum is not
        model = nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 3)).half()
        optimizer, x = torch.optim.SGD(model.parameters(), 1e-7), torch.full((60, 40), 30.0).half()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with af.watch(model, every=1, live=False) as watch:
            for k in range(4):
                optimizer.zero_grad()
                (model(x).sum() * (math.nan if k == 3 and parameters == "sparse" else 1.0)).backward()
                if parameters == "float16":
                    model[0].bias.grad.fill_(6e4)
                optimizer.step()
    assert [f.kind for f in watch.findings()] == (["non_finite"] if parameters == "sparse" else [])


def test_the_arguments_of_the_first_call_are_known():
    class Named(Net):
        def forward(self, *, x):
            return super().forward(x).sqrt()

    model = made(Named)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with af.watch(model, every=1, live=False) as watch:
        model(x=batch()[0]).sum().backward()
        optimizer.step()
    assert watch.findings()[0].site == "Tensor.sqrt in the model"


def test_parameters_that_an_optimizer_gets_later():
    model, other = made(), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([other], 0.1)
    with af.watch(model, every=1, live=False) as watch:
        other.grad = torch.ones(1)
        optimizer.step()
        optimizer.add_param_group({"params": list(model.parameters())})
        for step in range(3):
            x, y = batch(step)
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert watch.steps == 3
    assert watch.trained


def test_the_first_watch_leaves_random_numbers_alone():
    code = (
        "import torch, actfun as af; a = torch.get_rng_state(); af.watch; assert torch.equal(a, torch.get_rng_state())"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_two_watches_leave_the_compiler_as_it_was():
    import torch._dynamo

    models = [made(), made()]
    optimizers = [torch.optim.SGD(model.parameters(), 0.1) for model in models]
    x, y = batch()
    with af.watch(models[0], every=3, live=False), af.watch(models[1], every=2, live=False):
        for _ in range(9):
            for model, optimizer in zip(models, optimizers, strict=True):
                functional.cross_entropy(model(x), y).backward()
                optimizer.step()
    assert torch._dynamo.eval_frame._stance.stance == "default"


def test_hooks_of_tensors_that_stay_go():
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.gate = nn.Linear(4, 4), nn.Parameter(torch.zeros(4))

        def forward(self, x):
            return torch.tanh(self.linear(x)) * torch.sigmoid(self.gate)

    model = Gated()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with af.watch(model, every=1, live=False) as watch:
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.randn(3, 4)).sum().backward()
            optimizer.step()
    assert not model.gate._backward_hooks
    assert all(r["gradient_rms"] for r in watch.windows[-1].records)


def test_threads_leave_nothing_behind():
    """Validation in another thread while this one trains."""
    model, done = made(), threading.Event()

    def validate():
        while not done.is_set():
            with torch.no_grad():
                model(batch()[0])

    thread = threading.Thread(target=validate)
    thread.start()
    try:
        watch = train(model, steps=30, every=1)
    finally:
        done.set()
        thread.join()
    assert watch.steps in (30, 31)  # a pass of the other thread may have begun before training did
    assert len(watch.windows) >= 25
    assert torch.overrides._get_current_function_mode_stack() == []
    assert not torch.nn.modules.module._global_forward_hooks


def test_a_step_is_known_by_the_optimizer_that_there_is():
    model = made()
    with af.watch(model, every=1, live=False) as watch:
        for _ in range(3):
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
            for step in range(4):
                x, y = batch(step)
                optimizer.zero_grad()
                functional.cross_entropy(model(x), y).backward()
                optimizer.step()
    assert watch.steps == 12 or watch.steps == 10  # the old one lives until the new one has taken its name


def test_what_cannot_be_measured_does_not_stop_training(monkeypatch):
    monkeypatch.setattr("actfun._watch.tally.Tally.before", lambda *_: _raise())
    model = made()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        watch = train(model, steps=2, every=1)
    assert [str(one.message) for one in said if "planted" in str(one.message)] == [
        f"actfun.watch: {site} cannot be measured: RuntimeError: planted"
        for site in ("act", "F.relu", "Tensor.tanh", "gelu")
    ]
    assert "not measured: act" in watch.coverage()


def _raise():
    raise RuntimeError("planted")


def test_what_is_not_seen_is_said():
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.idle, self.act = nn.LSTM(4, 4), nn.SiLU(), nn.Tanh()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            return self.act(self.linear(self.lstm(x)[0])) + self.linear(x).clamp(min=0)

    model = Hidden()
    with af.watch(model, live=False) as watch:
        model(torch.randn(3, 2, 4)).sum().backward()
    assert watch.coverage() == (
        "1 of 4 nonlinearities watched; not called: idle; hidden inside an operation: lstm (LSTM); not measured: clamp"
    )
    assert watch.coverage(1).startswith("4 处非线性中观察了 1 处")


def test_large_calls_are_sampled_and_small_ones_are_not(monkeypatch):
    monkeypatch.setattr("actfun._watch.watcher.LIMIT", 4_000)
    model = nn.Sequential(nn.Linear(10, 100), nn.ReLU())
    with af.watch(model, every=1, live=False) as watch, torch.no_grad():
        model(torch.randn(40, 10))
        model(torch.randn(400, 10))
    assert [r["samples"] for r in watch.records()] == [40, 40]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"every": 0}, ValueError, 'every must be "auto" or a whole number of at least 1, got 0'),
        ({"every": "often"}, ValueError, "every must be"),
        ({"every": True}, ValueError, "every must be"),
        ({"budget": 0}, ValueError, "budget must be a share of the time"),
        ({"budget": "3%"}, ValueError, "budget must be a share of the time"),
        ({"budget": True}, ValueError, "budget must be"),
        ({"budget": 3}, ValueError, "budget must be"),
        ({"log": 3}, TypeError, "log must be an object with add_scalar, log_metrics or log"),
    ],
)
def test_bad_arguments_are_named(options, error, words):
    with pytest.raises(error, match=words):
        af.watch(nn.ReLU(), **options)
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got function"):
        af.watch(lambda x: x)


def test_a_watch_may_pause():
    model = made()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    watch = af.watch(model, every=2, live=False)
    for epoch in range(3):
        with watch:
            for step in range(3):
                x, y = batch(3 * epoch + step)
                optimizer.zero_grad()
                functional.cross_entropy(model(x), y).backward()
                optimizer.step()
        model(batch()[0])
    assert [w.step for w in watch.windows] == [0, 2, 4, 6, 8]
    assert watch.steps == 9
    with pytest.raises(RuntimeError, match="entered already"), watch, watch:
        pass


@pytest.mark.parametrize("context", [af.lean, af.patched])
def test_other_contexts_of_this_library_go_with_it(context):
    def run(watched):
        model = made()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        with af.watch(model, every=1, live=False) if watched else nullcontext() as watch:
            for step in range(3):
                x, y = batch(step)
                optimizer.zero_grad()
                with context():
                    loss = functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
        return model, watch

    (plain, _), (watched, watch) = run(False), run(True)
    for a, b in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [place.name for place in watch.places] == SEEN
    assert all(r["gradient_rms"] for r in watch.windows[-1].records)


def test_functorch_goes_by_unseen():
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh())
    parameters = dict(model.named_parameters())

    def loss(values, x):
        return torch.func.functional_call(model, values, (x,)).square().sum()

    x = torch.randn(3, 5)
    expected = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    with af.watch(model, every=1, live=False):
        found = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    for name, value in expected.items():
        assert torch.equal(value, found[name])


def test_exported_and_traced_models_are_as_without_it():
    model, x = made().eval(), batch()[0]
    with af.watch(model, every=1, live=False):
        exported = torch.export.export(model, (x,))
        traced = torch.jit.trace(model, x)
    torch.testing.assert_close(exported.module()(x), model(x))
    torch.testing.assert_close(traced(x), model(x))


# Which steps are watched.


class Clock:
    """Time that passes as it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("cost", "interval"), [(0.001, CLOSEST), (0.5, 17), (3.0, 100)])
def test_the_interval_keeps_the_budget(cost, interval):
    clock = Clock()
    schedule = Schedule("auto", 0.03, clock)
    schedule.began()
    watched = []
    for step in range(5_000):
        if chosen := schedule.chooses(step):
            watched.append(step)
        clock.now += 1.0 + cost * chosen
        schedule.ended(step, chosen)
    assert {0, *(2**k for k in range(13))} <= {*watched}
    assert schedule.interval == interval
    assert schedule.overhead == pytest.approx(len(watched) * cost / (5_000 + len(watched) * cost), rel=0.01)
    assert schedule.overhead < 0.03 + 14 * cost / 5_000


def test_a_number_is_an_interval():
    schedule = Schedule(7, 0.03, Clock())
    chosen = []
    for step in range(30):
        if schedule.chooses(step):
            chosen.append(step)
        schedule.ended(step, step in chosen)
    assert chosen == [0, 7, 14, 21, 28]


def test_many_windows_become_thinner():
    history = History()
    for step in range(10 * MOST_WINDOWS):
        history.add(Window(step, []))
        assert history.windows[-1].step == step
    assert MOST_WINDOWS / 3 < len(history.windows) <= MOST_WINDOWS
    steps = [window.step for window in history.windows]
    assert steps[0] == 0
    assert steps[-1] == 10 * MOST_WINDOWS - 1
    assert steps == sorted(steps)
    gaps = {b - a for a, b in itertools.pairwise(steps[:-1])}
    assert len(gaps) == 1


# Networks of libraries.


@COMPILES
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # of Dynamo's
def test_a_compiled_gpt2_is_watched_and_not_compiled_again():
    transformers, counts = models_of_transformers(), compiler_counts()

    def run(watched):
        torch.compiler.reset()
        counts.clear()
        torch.manual_seed(0)
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2))
        compiled, x = torch.compile(model), torch.randint(50, (4, 8))
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        with af.watch(model, every=3, live=False) if watched else nullcontext() as watch:
            for _ in range(8):
                optimizer.zero_grad()
                compiled(input_ids=x, labels=x).loss.backward()
                optimizer.step()
        if watched:
            assert [w.step for w in watch.windows] == [0, 3, 6]
            assert len(watch.places) == 2
            assert all(r["gradient_rms"] and r["update_ratio"] for r in watch.records())
        return dict(counts["stats"]), dict(counts["graph_break"])

    assert run(True) == run(False)


def test_a_resnet_of_timm_is_watched_as_it_is():
    """Its residual branches start as 0, so hardly a gradient gets into them at first, and nothing is wrong."""
    timm = pytest.importorskip("timm")
    model = timm.create_model("resnet18", num_classes=5)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with af.watch(model, every=1, live=False) as watch:
        for _ in range(4):
            optimizer.zero_grad()
            functional.cross_entropy(model(torch.randn(4, 3, 32, 32)), torch.randint(5, (4,))).backward()
            optimizer.step()
    assert len(watch.places) == 17
    assert [place.key.units for place in watch.places[:3]] == [64, 64, 64]
    assert all(r["gradient_rms"] and r["weighed"] for r in watch.windows[-1].records)
    assert watch.coverage() == "17 of 17 nonlinearities watched"
    assert watch.findings() == []
