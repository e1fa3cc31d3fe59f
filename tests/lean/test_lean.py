"""`af.lean()`: the same gradients, bit for bit, from less; and each way in which that could silently fail."""

import contextlib
import gc
import math
import subprocess
import sys
import threading
import weakref

import pytest
import torch
from support import COMPILES, models_of_transformers, stored_bytes
from torch import nn
from torch.utils.checkpoint import checkpoint

import actfun as af
from actfun._bench.memory import gelu_new, quick_gelu
from actfun._lean import scope, stored

F = nn.functional
WIDTH, HIDDEN, ROWS = 64, 256, 512


def bytes_of(forward) -> float:
    """Bytes that are kept for each hidden element."""
    return stored_bytes(forward) / (ROWS * HIDDEN)


class Block(nn.Module):
    """Linear, something, Linear."""

    def __init__(self, between, hidden=HIDDEN):
        super().__init__()
        self.between, self.gated = between, getattr(between, "__code__", gelu_new.__code__).co_argcount == 2
        self.up, self.gate, self.down = nn.Linear(WIDTH, hidden), nn.Linear(WIDTH, hidden), nn.Linear(hidden, WIDTH)

    def forward(self, x):
        if self.gated:
            return self.down(self.between(self.gate(x), self.up(x)))
        return self.down(self.between(self.up(x)))


def gradients(model, x, context, backward_within=False):
    """The output and the gradients of all parameters and of x."""
    x = x.clone().requires_grad_()
    torch.manual_seed(7)
    with context:
        y = model(x)
        loss = (y.float() * torch.linspace(-1.0, 1.0, y.numel()).view(y.shape)).sum()
        if backward_within:
            found = torch.autograd.grad(loss, [x, *model.parameters()], allow_unused=True)
    if not backward_within:
        found = torch.autograd.grad(loss, [x, *model.parameters()], allow_unused=True)
    return [y, *(g for g in found if g is not None)]


def same_bits(model, x, **options):
    plain, lean = gradients(model, x, af.patched(), **options), gradients(model, x, af.lean(), **options)
    assert len(plain) == len(lean)
    return all(bits_equal(a, b) for a, b in zip(plain, lean, strict=True))


def bits_equal(a, b):
    """NaN aside, of which there are many."""
    return torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0)) and signs_equal(a, b)


def signs_equal(a, b):
    return torch.equal(torch.signbit(a.nan_to_num(7.0)), torch.signbit(b.nan_to_num(7.0)))


def rows(*shape):
    return torch.randn(shape or (ROWS, WIDTH), generator=torch.Generator().manual_seed(0))


BLOCKS = {  # what is between the layers -> bytes that an element needs, beside torch's
    "F.gelu": (lambda x: F.gelu(x), 4, 8),
    "F.gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), 4, 8),
    "F.silu in place": (lambda x: F.silu(x, inplace=True), 4, 8),
    "F.elu": (lambda x: F.elu(x), 4, 8),
    "F.elu_": (lambda x: F.elu_(x), 4, 4),
    "F.mish": (lambda x: F.mish(x), 4, 8),
    "F.selu": (lambda x: F.selu(x), 4, 8),
    "F.hardswish": (lambda x: F.hardswish(x), 4, 8),
    "F.softplus": (lambda x: F.softplus(x), 4, 8),
    "torch.tanh": (lambda x: torch.tanh(x), 4, 4),
    "Tensor.sigmoid": (lambda x: x.sigmoid(), 4, 4),
    "F.relu": (lambda x: F.relu(x), 4, 4),
    "F.leaky_relu": (lambda x: F.leaky_relu(x), 4, 8),
    "nn.GELU": (lambda x: nn.GELU()(x), 4, 8),
    "af.gelu": (lambda x: af.gelu(x), 4, None),
    "af.nn.ELU": (lambda x: af.nn.ELU()(x), 4, None),
    "learned ELU": (af.nn.ELU(learnable=True), 4, None),
    "learned ELU, one each": (af.nn.ELU(learnable=True, num_parameters=HIDDEN, dim=-1), 4, None),
    "nn.PReLU": (nn.PReLU(), 4, 8),
    "relu squared": (lambda x: F.relu(x).square(), 4, 8),
    "SwiGLU": (lambda g, u: F.silu(g) * u, 8, 16),
    "GEGLU": (lambda g, u: F.gelu(g) * u, 8, 16),
    "ReGLU": (lambda g, u: F.relu(g) * u, 8, 12),
    "af.swiglu": (lambda g, u: af.swiglu(g, u), 8, None),
    "QuickGELU": (quick_gelu, 4, 12),
    "GELU written out": (gelu_new, 4, 20),
    "reshaped": (lambda x: F.gelu(x).view(8, -1, HIDDEN).flatten(0, 1), 4, 8),
    "two consumers": (lambda x: (lambda y: y + torch.exp(y))(F.gelu(x)), 8, 12),
    "dropout": (lambda x: F.dropout(F.gelu(x), 0.1), 5, 12),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_keeps_the_minimum_with_the_same_bits(name):
    between, least, plain = BLOCKS[name]
    model, x = Block(between), rows()
    assert same_bits(model, x)
    assert same_bits(model, x, backward_within=True)

    def under(context):
        def forward():
            with context():
                return model(x)

        return forward

    assert bytes_of(under(af.lean)) == pytest.approx(least, rel=0.03)
    if plain is not None:
        assert bytes_of(under(torch.enable_grad)) == pytest.approx(plain, rel=0.03)


# What consumes the output.


class Consumed(nn.Module):
    """Channels, an activation, and what consumes it."""

    def __init__(self, consumer, activation=F.gelu):
        super().__init__()
        self.first, self.consumer, self.activation = nn.Conv2d(3, 8, 3, padding=1), consumer, activation

    def forward(self, x):
        return self.consumer(self.activation(self.first(x)))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "consumer",
    [
        nn.Conv2d(8, 4, 3),
        nn.BatchNorm2d(8),
        nn.GroupNorm(2, 8),
        nn.MaxPool2d(2),
        nn.Dropout(0.3),
        nn.Dropout2d(0.3),
        nn.PReLU(),
        nn.Sequential(nn.Flatten(), nn.LayerNorm(8 * 36)),
        nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(8, 4, 1)),
        nn.Sequential(nn.SiLU(inplace=True), nn.Conv2d(8, 4, 1)),
        nn.ConvTranspose2d(8, 4, 3),
    ],
    ids=lambda module: type(module).__name__,
)
def test_consumers_of_each_kind_get_the_same_bits(consumer, memory_format):
    x = rows(4, 3, 6, 6).to(memory_format=memory_format)
    for activation in (F.gelu, F.silu, torch.sigmoid, F.relu, af.elu):
        model = Consumed(consumer, activation)
        try:
            gradients(model, x, af.patched())
        except RuntimeError:  # relu's output, which it keeps, is changed in place
            with pytest.raises(RuntimeError, match="changed in place"):
                gradients(model, x, af.lean())
            continue
        assert same_bits(model, x), activation
    model = Consumed(consumer)
    assert torch.isfinite(gradients(model, x, af.lean())[0]).all()


@pytest.mark.parametrize("name", ["float64", "bfloat16", "float16"])
def test_other_dtypes_get_the_same_bits(name):
    dtype = getattr(torch, name)
    for between, _, _ in BLOCKS.values():
        assert same_bits(Block(between).to(dtype), rows().to(dtype))


def test_every_activation_gets_the_same_bits():
    for name in af.names():
        activation = af.get(name)
        if af.spec(name).kind.name != "element-wise":
            continue
        model = nn.Sequential(nn.Linear(WIDTH, HIDDEN), activation, nn.Linear(HIDDEN, 8), activation)
        assert same_bits(model, rows(32, WIDTH)), name


def test_what_is_neither_dense_nor_floating_passes():
    with af.lean():
        assert F.relu(torch.tensor([-1, 2])).tolist() == [0, 2]
        nested = torch.nested.nested_tensor([rows(3, 4), rows(2, 4)], layout=torch.jagged, requires_grad=True)
        F.gelu(nested).values().sum().backward()
        x = torch.empty(0, 4, requires_grad=True)
        F.linear(F.gelu(x), torch.ones(2, 4)).sum().backward()
        z = torch.randn(3, dtype=torch.complex64, requires_grad=True)
        (torch.sigmoid(z) * z).abs().sum().backward()
    assert nested.grad is not None and x.grad.shape == (0, 4) and z.grad.isfinite().all()


def test_views_and_strides_of_inputs():
    weight = rows(HIDDEN, 8).requires_grad_()
    wide = rows(16, 2 * HIDDEN)
    for take in (
        lambda x: x[:, ::2],
        lambda x: x.chunk(2, -1)[1],
        lambda x: x[:, :1].expand(-1, HIDDEN),
        lambda x: x.view(2, 16, HIDDEN).transpose(0, 1).reshape(32, HIDDEN),
        lambda x: x.t()[:HIDDEN].t(),
    ):

        def run(context, take=take):
            x = wide.clone().requires_grad_()
            with context:
                y = (F.silu(take(x)) * take(x).sigmoid()) @ weight
            return torch.autograd.grad(y.square().sum(), [x, weight])

        assert all(map(torch.equal, run(af.patched()), run(af.lean())))


@pytest.mark.parametrize(
    "take",
    [
        lambda y: y.chunk(2, -1)[1],
        lambda y: y[::2, 3:],
        lambda y: y.t()[:, :8],
        lambda y: y.unflatten(1, (2, -1))[:, 1],
    ],
)
def test_parts_of_outputs_are_kept_by_what_comes_next(take):
    def run(context):
        x, weight = rows(16, 8).requires_grad_(), rows(8, 16).requires_grad_()
        with context:
            part = take(F.gelu(x @ weight))
            z = part @ torch.ones(part.shape[-1], 3, requires_grad=True) * part.sum()
            z = z.sum() + torch.exp(part).mul(part).sum()
        return torch.autograd.grad(z, [x, weight])

    assert all(map(torch.equal, run(af.patched()), run(af.lean())))


# Scopes.


def test_scopes_inside_scopes_models_and_exceptions():
    model, other, x = Block(F.gelu), Block(lambda x: F.silu(x)), rows()
    plain = gradients(model, x, af.patched())

    def breaks():
        with af.lean():
            model(x)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), af.lean():
        breaks()
    with af.lean():
        with af.lean():
            a = model(x)
        b = other(x)
        with pytest.raises(KeyError), af.lean():
            raise KeyError
        assert bytes_of(lambda: model(x)) == pytest.approx(4, rel=0.03)
    torch.autograd.grad((a + b).sum(), list(model.parameters()), allow_unused=True)
    assert bytes_of(lambda: model(x)) == pytest.approx(8, rel=0.03)  # out of it again
    assert all(map(torch.equal, plain, gradients(model, x, af.lean())))


def test_threads_enter_one_by_one():
    model, x = Block(F.gelu), rows()
    plain, found = gradients(model, x, af.patched()), {}
    gate = threading.Barrier(4)

    def run(k):
        gate.wait()
        for _ in range(5):
            found.setdefault(k, []).append(gradients(model, x, af.lean() if k % 2 else af.patched()))

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(found[k]) for k in range(4)] == [5] * 4
    assert all(all(map(torch.equal, plain, g)) for each in found.values() for g in each)


def test_hooks_of_others_within_come_first_and_give_the_same():
    model, x = Block(F.gelu), rows()

    class Both:
        def __enter__(self):
            self.lean, self.hooks = af.lean(), torch.autograd.graph.save_on_cpu()
            self.lean.__enter__()
            self.hooks.__enter__()

        def __exit__(self, *error):
            self.hooks.__exit__(*error)
            self.lean.__exit__(*error)

    assert all(map(torch.equal, gradients(model, x, af.patched()), gradients(model, x, Both())))


# Backward.


def test_backward_twice_needs_the_graph_and_gives_the_same():
    model, x = Block(F.gelu), rows().requires_grad_()
    with af.lean():
        loss = model(x).square().sum()
    first = torch.autograd.grad(loss, x, retain_graph=True)
    second = torch.autograd.grad(loss, x)
    assert torch.equal(*first, *second)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(loss, x)


@pytest.mark.parametrize(
    "name", ["F.gelu", "torch.tanh", "SwiGLU", "QuickGELU", "GELU written out", "relu squared", "dropout"]
)
def test_a_gradient_of_a_gradient_has_the_same_bits(name):
    model = Block(BLOCKS[name][0]).double()

    def twice(context):
        x = rows(8, WIDTH).double().requires_grad_()
        torch.manual_seed(1)
        with context:
            (first,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
            return torch.autograd.grad(first.square().sum(), [x, model.up.weight, model.down.weight])

    assert all(map(torch.equal, twice(af.patched()), twice(af.lean())))


def test_all_is_freed_after_backward():
    model, x = Block(lambda g, u: F.dropout(F.silu(g, inplace=True) * u, 0.1)), rows()
    inputs = []
    model.up.register_forward_hook(lambda *args: inputs.append(weakref.ref(args[-1].untyped_storage())))
    with af.lean():
        for _ in range(3):
            loss = model(x).square().mean()
            assert inputs[-1]() is not None
            loss.backward()
            assert [one() for one in inputs] == [None] * len(inputs)  # at once, though loss lives and the scope goes on
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) in (stored.Kept, stored.Again)]


def test_a_graph_that_is_dropped_without_backward_is_freed():
    model, x = Block(torch.tanh), rows()
    held = []
    model.up.register_forward_hook(lambda *args: held.append(weakref.ref(args[-1].untyped_storage())))
    with af.lean():
        y = model(x)
        assert held[0]() is not None
        del y
        assert held[0]() is None


# Changes in place: what PyTorch would refuse is refused, though it does not look under hooks.


def changes(what):
    x = rows(8, 8).requires_grad_()
    weight = rows(8, 8).requires_grad_()
    h = x @ weight
    y = {"gelu": F.gelu, "sigmoid": torch.sigmoid, "relu": F.relu}[what[0]](h)
    z = y @ weight
    with torch.no_grad():
        {"input": h, "output": y, "weight": weight}[what[1]].add_(1.0)
    return torch.autograd.grad(z.sum(), [x, weight])


@pytest.mark.parametrize(
    ("what", "refused"),
    [
        (("gelu", "input"), True),
        (("gelu", "output"), False),  # which is made again, as it was
        (("sigmoid", "input"), True),
        (("relu", "input"), False),
        (("relu", "output"), True),
        (("gelu", "weight"), True),
    ],
)
def test_changes_in_place_are_never_silent(what, refused):
    if not refused:
        with af.lean():
            found = changes(what)
        x, weight = rows(8, 8).requires_grad_(), rows(8, 8).requires_grad_()
        with af.patched():
            right = torch.autograd.grad(
                ({"gelu": F.gelu, "relu": F.relu}[what[0]](x @ weight) @ weight).sum(), [x, weight]
            )
        assert all(map(torch.equal, found, right))
        return
    for context in (af.patched(), af.lean()):
        with pytest.raises(RuntimeError, match=r"changed in place|modified by an inplace operation"), context:
            changes(what)


def test_an_output_changed_before_it_is_kept_is_kept_as_it_is():
    def run(context):
        x, weight = rows(8, 8).requires_grad_(), rows(8, 8).requires_grad_()
        with context:
            y = F.silu(x @ weight)
            y += 1.0
            y[0] = 0.0
            z = y @ weight
        return torch.autograd.grad(z.square().sum(), [x, weight])

    assert all(map(torch.equal, run(af.patched()), run(af.lean())))


def test_the_check_of_changes_is_needed(monkeypatch):
    """Without it a changed input gives other gradients, and nothing is said."""
    with af.lean():
        right = changes(("gelu", "output"))
    monkeypatch.setattr(stored.Kept, "get", lambda kept: kept.tensor)
    with af.lean():
        wrong = changes(("gelu", "input"))
    assert not torch.equal(right[1], wrong[1])


# Checkpoints, compilers, other ways to run.


def checkpointed(reentrant, context, after):
    model, x = Block(F.gelu), rows().requires_grad_()
    torch.manual_seed(0)
    for p in model.parameters():
        nn.init.normal_(p, 0.0, 0.2)
    with context:
        y = checkpoint(model, x, use_reentrant=reentrant) + model(x)
        loss = y.square().sum()
        if not after:
            return torch.autograd.grad(loss, [x, *model.parameters()], allow_unused=True)
    return torch.autograd.grad(loss, [x, *model.parameters()], allow_unused=True)


@pytest.mark.parametrize("context", [af.patched, af.lean])
@pytest.mark.parametrize("after", [False, True])
def test_a_checkpoint_computes_again_what_it_computed(context, after):
    model, x = Block(F.gelu), rows().requires_grad_()
    torch.manual_seed(0)
    for p in model.parameters():
        nn.init.normal_(p, 0.0, 0.2)
    with af.patched():
        plain = torch.autograd.grad((2.0 * model(x)).square().sum(), [x, *model.parameters()], allow_unused=True)
    found = checkpointed(False, context(), after)
    for a, b in zip(plain, found, strict=True):
        assert a is b is None or torch.allclose(a, b, rtol=2e-5, atol=1e-4)  # of other sums


def test_a_checkpoint_calls_ours_again(monkeypatch):
    """The gradient is of the function that was called: torch's sigmoid would lose the tail."""
    weight = torch.tensor([[1.0]], requires_grad=True)
    x = torch.tensor([[20.0]], requires_grad=True)
    for context in (af.patched, af.lean):
        with context():
            y = checkpoint(lambda x: torch.sigmoid(x @ weight), x, use_reentrant=False)
        (slope,) = torch.autograd.grad(y, x)
        assert slope.item() == pytest.approx(math.exp(-20.0), rel=1e-6)  # torch's own: 0


@pytest.mark.parametrize("context", [af.patched, af.lean])
def test_a_checkpoint_that_cannot_is_refused(context):
    x = rows(4, 4).requires_grad_()
    with context(), pytest.raises(RuntimeError, match="take use_reentrant=False"):
        checkpoint(lambda x: F.gelu(x), x, use_reentrant=True)
    with context(), torch.no_grad():
        F.gelu(x)


def test_under_autocast_the_bits_are_the_same():
    model, x = Block(lambda g, u: F.silu(g) * u), rows()

    class Autocast:
        def __init__(self, context):
            self.contexts = [context, torch.autocast("cpu", torch.bfloat16)]

        def __enter__(self):
            for context in self.contexts:
                context.__enter__()

        def __exit__(self, *error):
            for context in reversed(self.contexts):
                context.__exit__(*error)

    plain, lean = (gradients(model, x, Autocast(context())) for context in (af.patched, af.lean))
    assert all(map(torch.equal, plain, lean))
    with torch.autocast("cpu", torch.bfloat16):  # at the time of backward
        assert same_bits(Block(gelu_new), x)


def test_functorch_refuses_loudly_or_gives_the_same():
    model, x = Block(F.gelu), rows()
    with af.lean(), pytest.raises(RuntimeError, match="saved tensor hooks"):
        torch.func.grad(lambda x: model(x).sum())(x)


@COMPILES
@pytest.mark.parametrize("name", ["F.gelu", "af.gelu", "torch.tanh", "SwiGLU", "GELU written out"])
def test_under_compile_the_minimum_is_kept_too(name):
    between, least, _ = BLOCKS[name]
    torch._dynamo.reset()
    model, x = Block(between), rows()
    compiled = torch.compile(model, fullgraph=True)

    def forward():
        with af.lean():
            return compiled(x)

    assert bytes_of(forward) == pytest.approx(least, rel=0.03)
    plain, lean = gradients(model, x, af.lean()), gradients(compiled, x, af.lean())
    for a, b in zip(plain, lean, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_the_compiler_is_told_only_within():
    from torch._functorch import config

    assert config.ban_recompute_materialized_backward
    with af.lean():
        assert not config.ban_recompute_materialized_backward
    assert config.ban_recompute_materialized_backward


DISTRIBUTED = """
import sys, torch, actfun as af
from torch import nn
rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
found = []
for context in (af.patched, af.lean):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 64), nn.SiLU(inplace=True), nn.Linear(64, 4))
    model = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters())
    torch.manual_seed(1 + rank)
    for step in range(4):
        with context(), (torch.enable_grad() if step % 2 else model.no_sync()):
            model(torch.randn(32, 16)).square().mean().backward()
        if step % 2:
            optimizer.step()
    found.append([p.detach().clone() for p in model.parameters()])
assert all(map(torch.equal, *found))
torch.save(found[1], f"{folder}/{rank}")
torch.distributed.destroy_process_group()
"""


def test_two_processes_of_ddp(tmp_path):
    run = [sys.executable, "-W", "ignore", "-c", DISTRIBUTED]
    processes = [subprocess.Popen([*run, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert all(map(torch.equal, torch.load(tmp_path / "0"), torch.load(tmp_path / "1")))


# Models of transformers, unmodified.

SIZES = {"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
ENDS = {"bos_token_id": 0, "eos_token_id": 0}
MODELS = {
    "GPT-2": ("GPT2", "LMHeadModel", {"vocab_size": 100, "n_embd": 64, "n_layer": 2, "n_head": 4, **ENDS}),
    "BERT": ("Bert", "ForMaskedLM", {**SIZES, "intermediate_size": 256}),
    "Llama": ("Llama", "ForCausalLM", {**SIZES, "intermediate_size": 172, **ENDS}),
    "CLIP": (
        "CLIPText",
        "ModelWithProjection",
        {**SIZES, "intermediate_size": 256, "hidden_act": "quick_gelu", **ENDS},
    ),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_models_train_with_the_same_bits(name, dtype):
    kind, head, config = MODELS[name]
    transformers = models_of_transformers()
    x = torch.randint(100, (4, 32), generator=torch.Generator().manual_seed(0))

    def train(context):
        torch.manual_seed(0)
        model = getattr(transformers, f"{kind}{head}")(getattr(transformers, f"{kind}Config")(**config)).to(dtype)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        losses = []
        for _ in range(20):
            with context():
                out = model(input_ids=x, **({} if name == "CLIP" else {"labels": x}))
                loss = out[0].float().square().mean() if name == "CLIP" else out.loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        return losses, list(model.parameters())

    (plain, weights), (lean, others) = train(af.patched), train(af.lean)
    assert plain == lean and plain[-1] < plain[0]
    assert all(map(torch.equal, weights, others))


# What else runs within a scope, and must run on.


def test_tensors_of_inference_traces_and_maps_pass():
    layer, x = nn.Linear(8, 8), rows(4, 8).requires_grad_()
    with torch.inference_mode():
        constant = rows(4, 8)
    with af.lean():
        y = (layer(x) + constant) * 2.0
        traced = torch.jit.trace(nn.Sequential(layer, nn.GELU()), x)
        mapped = torch.vmap(lambda row: F.gelu(layer(row) * 2.0) * row)(x)
    (y.sum() + mapped.sum() + traced(x).sum()).backward()
    assert x.grad.isfinite().all()


def test_a_parameter_that_an_optimizer_changes_is_no_source():
    def run(context):
        weight = nn.Parameter(rows(8, 8))
        x = rows(4, 8).requires_grad_()
        with context:
            one = (x @ weight).sum()
            other = F.linear(x, weight * 2.0)
        one.backward()
        with torch.no_grad():
            weight.add_(1.0)  # the product was formed before
        return torch.autograd.grad(other.sum(), x)

    assert all(map(torch.equal, run(af.patched()), run(af.lean())))


def bits_of(run):
    """What a function of a context gives under patched() and under lean() has the same bits."""
    return all(bits_equal(a, b) for a, b in zip(run(af.patched()), run(af.lean()), strict=True))


def test_conjugates_share_a_storage_and_are_not_taken_for_it():
    def product(context):
        a, b = (torch.randn(4, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
        a.requires_grad_(), b.requires_grad_()
        with context:
            y = a * b
            z = (y * y.conj()).real.sum() + (y.mH @ b).abs().sum() + ((a.exp().conj() * 2.0) * b).real.sum()
        return [torch.view_as_real(g) for g in torch.autograd.grad(z, [a, b])]

    def real(context):
        w = rows(4, 8).requires_grad_()
        with context:
            z = torch.view_as_complex(F.gelu(w * 2.0).view(4, 4, 2))
            loss = (z * z.conj()).real.sum() + (z.conj().imag * z.real).sum()
        return torch.autograd.grad(loss, w)

    assert bits_of(product) and bits_of(real)


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y.data.clamp_(max=1.0),
        lambda y: y.detach().numpy().__setitem__(0, 5.0),
        lambda y: y.data.mul_(4.0).round_().div_(4.0),
    ],
)
def test_changes_that_no_version_tells_of_come_before_what_keeps_them(change):
    def run(context):
        w = torch.ones(2, 2, requires_grad=True)
        with context:
            y = F.gelu(torch.ones(1, 2) @ w)
            change(y)
            z = (y @ w).sum()
        return torch.autograd.grad(z, w)

    assert bits_of(run)


def test_data_that_are_assigned_count_as_without():
    def run(context):
        w, v = torch.ones(2, 2, requires_grad=True), nn.Parameter(torch.ones(2, 2))
        with context:
            z = ((torch.ones(1, 2) @ w) @ v).sum()
        v.data = v.data * 3.0
        return torch.autograd.grad(z, w)

    assert bits_of(run)


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.add_(F.gelu(h * 0.5)),
        lambda h: h.mul_(2.0) + torch.sigmoid(1.702 * h),
        lambda h: (torch.sigmoid(1.702 * h), h.mul_(2.0))[0],
        lambda h: (F.gelu(h + 1.0), h.zero_())[0],
        lambda h: (torch.tanh(h * 0.5), h.add_(1.0))[0],
    ],
)
def test_changes_that_are_allowed_stay_allowed(change):
    def run(context):
        w = rows(4, 4).requires_grad_()
        with context:
            z = change(torch.ones(2, 4) @ w).sum()
        return torch.autograd.grad(z, w)

    assert bits_of(run)


def test_an_optimizers_step_between_two_losses():
    def run(context):
        w, b = rows(4, 4).requires_grad_(), nn.Parameter(rows(4))
        with context:
            h = torch.ones(2, 4) @ w
            one, other = (h * b[None]).sum(), F.gelu(h + b[None]).sum()
        one.backward(retain_graph=True)
        with torch.no_grad():
            b.add_(1.0)
        return torch.autograd.grad(other, w)

    assert bits_of(run)


class Overwrites(torch.autograd.Function):
    """x², whose backward writes over what it keeps."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return x.mul_(2.0).mul_(g)


def test_a_consumer_that_writes_over_what_it_got_is_never_silent():
    def run(context):
        w = rows(4, 4).requires_grad_()
        with context:
            y = F.gelu(torch.ones(2, 4) @ w)
            z = (y @ w).sum() + Overwrites.apply(y).sum() + ((y * 3.0) @ w).sum()  # backward takes them from the right
        return torch.autograd.grad(z, w)

    exact = rows(4, 4).double().requires_grad_()
    y = F.gelu(torch.ones(2, 4, dtype=torch.float64) @ exact)
    (right,) = torch.autograd.grad((y * y).sum() + (y @ exact).sum() + ((y * 3.0) @ exact).sum(), exact)
    with contextlib.suppress(RuntimeError):  # "changed in place"
        torch.testing.assert_close(run(af.lean())[0].double(), right, rtol=1e-5, atol=1e-4)


def test_powers_have_the_same_bits_with_other_threads():
    x, w = torch.rand(101, 1003) + 0.1, torch.ones(101, 1003, requires_grad=True)
    v = rows(101, 1003).requires_grad_()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with af.lean():
            h = x * w
            s = h.sin()
            y = h**1.7
            z = (y * v).sum() + s.sum()
        torch.set_num_threads(2)
        assert torch.equal(torch.autograd.grad(z, v)[0], y.detach())
    finally:
        torch.set_num_threads(before)


def test_a_tensor_that_is_used_again_and_again_gathers_nothing():
    w = rows(8, 8).requires_grad_()
    with af.lean():
        y = F.gelu(rows(4, 8) @ w)
        for _ in range(50):
            (y * w[:4]).sum().backward(retain_graph=True)
    assert len(getattr(y.untyped_storage(), stored.NOTE).made.saved) < 4


def test_a_buffer_that_nothing_keeps_gathers_nothing():
    layer, position = nn.Linear(8, 8), rows(4, 8)
    for _ in range(20):
        with af.lean():
            h = layer(rows(4, 8))
            loss = F.layer_norm(h + position, (8,)).square().sum()
        loss.backward()
    assert len(getattr(position.untyped_storage(), stored.NOTE).waiting) <= 1


def test_dropout_in_forward_mode_is_torchs():
    from torch.autograd import forward_ad

    w = torch.ones(2, 2, requires_grad=True)
    with af.lean(), forward_ad.dual_level():
        y = F.dropout(forward_ad.make_dual(w, w.detach()), 0.5)
        assert torch.equal(forward_ad.unpack_dual(y).tangent, y.detach())


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("context", [af.patched, af.lean])
def test_a_context_inside_of_a_checkpoint_reaches_no_further(context, reentrant):
    x = torch.tensor([[20.0]], requires_grad=True)

    def f(x):
        y = torch.sigmoid(x)  # torch's own, whose slope at 20 is 0
        with context():
            return y + F.gelu(x) * 0.0

    checkpoint(f, x, use_reentrant=reentrant).backward()
    assert x.grad.item() == 0.0


# Faults that would be silent, each planted, each caught by a test above.


def _never(*_):
    return None


def _holding(cls, x):
    found = _source_of(cls, x)
    _held.append(x.detach())
    return found


_source_of = stored.Source.of.__func__
_can_repeat = scope._can_repeat
_held = []

FAULTS = {
    "changes are not seen": (
        lambda patch: patch.setattr(stored.Kept, "get", lambda kept: kept.tensor),
        lambda patch: test_changes_in_place_are_never_silent(("gelu", "input"), True),
    ),
    "a later version is taken for the one that was made": (
        lambda patch: patch.setattr(stored, "_is_as_made", lambda made, view, version: made.view.dtype is view.dtype),
        lambda patch: test_an_output_changed_before_it_is_kept_is_kept_as_it_is(),
    ),
    "a view is taken for the whole": (
        lambda patch: patch.setattr(stored.View, "on", lambda view, whole: whole),
        lambda patch: test_parts_of_outputs_are_kept_by_what_comes_next(lambda y: y.chunk(2, -1)[1]),
    ),
    "sources are held": (
        lambda patch: patch.setattr(stored.Source, "of", classmethod(_holding)),
        lambda patch: test_all_is_freed_after_backward(),
    ),
    "what waits is never dropped": (
        lambda patch: patch.setattr(stored.Again, "take", lambda again: again.view.on(again.get())),
        lambda patch: test_what_is_made_on_the_way_is_freed(),
    ),
    "a checkpoint runs without the scope": (
        lambda patch: patch.setattr("actfun._surgery.patched.Checkpoints.enter", _never),
        lambda patch: test_a_checkpoint_calls_ours_again(patch),
    ),
    "a reentrant checkpoint goes unnoticed": (
        lambda patch: patch.setattr("actfun._surgery.patched.Checkpoints.enter", _never),
        lambda patch: test_a_checkpoint_that_cannot_is_refused(af.lean),
    ),
    "autocast of backward is let in": (
        lambda patch: patch.setattr(stored, "_without_autocast", lambda saved: contextlib.nullcontext()),
        lambda patch: test_what_is_made_again_is_not_cast(),
    ),
    "the compiler is not told": (
        lambda patch: patch.setattr("actfun._lean.scope.recomputing_compiler", contextlib.nullcontext),
        lambda patch: test_under_compile_the_minimum_is_kept_too("F.gelu"),
    ),
    "what is random is made again": (
        lambda patch: patch.setattr("actfun._lean.scope.drop", lambda x, mask, p: F.dropout(x, p)),
        lambda patch: test_a_block_keeps_the_minimum_with_the_same_bits("dropout"),
    ),
    "nothing is made again": (
        lambda patch: patch.setattr(stored, "_again", _never),
        lambda patch: test_a_block_keeps_the_minimum_with_the_same_bits("F.gelu"),
    ),
    "what waits is not looked at": (
        lambda patch: patch.setattr(stored, "_unchanged", lambda found: None if found is None else found[0]),
        lambda patch: test_a_consumer_that_writes_over_what_it_got_is_never_silent(),
    ),
    "conjugates are taken for what they are of": (
        lambda patch: patch.setattr(stored, "is_real", lambda x: True),
        lambda patch: test_conjugates_share_a_storage_and_are_not_taken_for_it(),
    ),
    "content is changed unseen": (
        lambda patch: patch.setattr(stored, "forget", _never),
        lambda patch: test_changes_that_no_version_tells_of_come_before_what_keeps_them(
            lambda y: y.data.clamp_(max=1.0)
        ),
    ),
    "a parameter is a source": (
        lambda patch: patch.setattr(scope, "_can_repeat", lambda y, given, named, **_: _can_repeat(y, given, named)),
        lambda patch: test_a_parameter_that_an_optimizer_changes_is_no_source(),
    ),
}


def test_what_is_made_on_the_way_is_freed():
    model, x = Block(gelu_new), rows()
    with af.lean():
        loss = model(x).square().mean()
    loss.backward(retain_graph=True)
    waiting = [one for one in gc.get_objects() if type(one) is stored.Again and one.found is not None]
    assert not waiting


def test_what_is_made_again_is_not_cast():
    """Where backward runs under autocast, a product that is made again stays in its dtype."""
    x, weight = rows(8, 8).requires_grad_(), rows(8, 8).requires_grad_()
    with af.lean():
        y = torch.mm(x, weight)
        stored.remember(y, torch.mm, (x, weight), {})
        z = (y @ weight).sum()
    with torch.autocast("cpu", torch.bfloat16):
        torch.autograd.grad(z, weight)


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=[COMPILES] if name == "the compiler is not told" else []) for name in FAULTS]
)
def test_planted_faults_are_caught(fault, monkeypatch):
    plant, test = FAULTS[fault]
    with monkeypatch.context() as patch:
        plant(patch)
        with pytest.raises((AssertionError, RuntimeError, pytest.fail.Exception)):
            test(patch)
    _held.clear()
    test(monkeypatch)
