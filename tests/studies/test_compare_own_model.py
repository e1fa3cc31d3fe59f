"""`compare` with models of one's own, folders of images, and texts."""

import json
from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import actfun as af
from actfun._cli import main
from actfun._compare.models import Candidate
from actfun._runs.executors import Inline

FAST = {"seeds": 2, "learning_rates": [0.01], "quick": True, "executor": Inline()}


def rows(count: int = 120) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(count, 5, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] * x[:, 1] > 0.0).long()


def network(activation) -> nn.Module:
    return nn.Sequential(nn.Linear(5, 16), activation(), nn.Linear(16, 2))


def task(**changes) -> af.Task:
    given = {
        "data": rows(),
        "model": network,
        "loss": nn.functional.cross_entropy,
        "metrics": ["accuracy"],
        "steps": 40,
    }
    return af.Task(**given | changes)


class Calls(nn.Module):
    """Calls a function, and takes its arguments by name."""

    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(5, 16), nn.Linear(16, 2)

    def forward(self, inputs, scale=None):
        return type("Output", (), {"logits": self.down(torch.relu(self.up(inputs)))})()


class Named(Dataset):
    """Rows whose inputs have names."""

    def __len__(self) -> int:
        return 120

    def __getitem__(self, place):
        x, y = rows()
        return {"inputs": x[place]}, y[place]


# Models.


@pytest.mark.parametrize(
    "model",
    [network, lambda: network(nn.ReLU), network(nn.ReLU), lambda activation, width=4: network(activation)],
    ids=["of an activation", "without one", "a module", "with defaults"],
)
def test_models_of_each_form_get_the_activation(model):
    found = task(model=model)
    built = found.build(Candidate("tanh"), found.split(0))
    assert [site.activation for site in af.sites(built)] == ["tanh"]
    result = af.compare(found, ["relu", "tanh"], **FAST)
    assert {row["name"] for row in result.rows} == {"relu", "tanh"} and result.rows[0]["mean"] > 0.4


def test_calls_of_functions_are_exchanged_in_it_and_inputs_may_have_names():
    found = task(model=Calls, data=Named(), loss=lambda output, y: nn.functional.cross_entropy(output, y))
    built = found.build(Candidate("tanh"), found.split(0))
    x, _ = rows()
    torch.testing.assert_close(built(inputs=x).logits, built.down(torch.tanh(built.up(x))))
    assert af.compare(found, ["gelu"], **FAST).rows[0]["failures"] == 0


def test_the_same_seed_gives_the_same_weights_whatever_the_activation():
    """So that activations are compared in pairs; a seed gives others."""
    found = task(model=lambda: network(nn.ReLU)).problem()
    weights = []
    for name, seed in (("relu", 0), ("gelu", 0), ("prelu", 0), ("relu", 1)):
        torch.manual_seed(seed)
        weights.append(found.build(Candidate(name), found.split(seed))[2].weight)
    assert torch.equal(weights[0], weights[1]) and torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])


# Data.


def dataset() -> Dataset:
    return TensorDataset(*rows())


@pytest.mark.parametrize(
    "data",
    [
        rows(),
        dataset(),
        DataLoader(dataset(), batch_size=7, collate_fn=lambda items: tuple(map(torch.stack, zip(*items, strict=True)))),
        {"train": rows(), "test": dataset()},
        {"train": dataset(), "validation": rows(40), "test": rows(40)},
        lambda seed: {"train": rows(), "test": rows(30)},
    ],
    ids=["tensors", "dataset", "loader", "two parts", "three parts", "of the seed"],
)
def test_data_of_each_form(data):
    result = af.compare(task(data=data), ["relu"], **FAST)
    assert result.rows[0]["failures"] == 0 and result.data["protocol"]["test"] > 0


def test_the_test_part_is_the_same_for_all_seeds_and_parts_do_not_overlap():
    first, second = task().split(0), task().split(1)
    assert torch.equal(first.test[0], second.test[0]) and not torch.equal(first.train[0], second.train[0])
    parts = [{tuple(row) for row in part[0].tolist()} for part in (first.train, first.validation, first.test)]
    assert [len(part) for part in parts] == [72, 24, 24] and len(set().union(*parts)) == 120


# Metrics, optimizers, schedules.


def test_metrics_of_ones_own_with_their_direction_and_band():
    def wrong(outputs, targets):
        return float((outputs.argmax(-1) != targets).float().mean())

    found = task(metrics={"wrong": wrong, "accuracy": lambda o, t: 1.0 - wrong(o, t)}, lower_is_better=["wrong"])
    result = af.compare(found, ["relu", "tanh"], **FAST)
    assert not result.data["higher_is_better"] and result.data["metrics"] == ["wrong", "accuracy"]
    assert result.rows[0]["mean"] <= result.rows[1]["mean"]
    as_tensor = task(metrics={"m": lambda o, t: (o.argmax(-1) == t).float().mean()})
    assert isinstance(af.compare(as_tensor, ["relu"], **FAST).rows[0]["mean"], float)
    assert task(same_within=0.25).problem().decides.same_within == 0.25


def test_optimizer_and_schedule_are_the_tasks_own():
    seen = []

    def optimizer(parameters: Iterator[nn.Parameter], rate: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, rate)

    def schedule(optimizer: torch.optim.Optimizer, steps: int) -> object:
        seen.append(steps)
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)  # nothing is learned

    found = task(optimizer=optimizer, schedule=schedule)
    result = af.compare(found, ["relu", "tanh"], **FAST)
    assert set(seen) == {20} and result.data["protocol"]["optimizer"] == "the task's own"


# What is wrong.


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model": 3}, TypeError, "`model` must be a module or a function that makes one, got int"),
        ({"loss": None}, TypeError, "`loss` must be a function of outputs and targets, got NoneType"),
        ({"metrics": ["accurcy"]}, ValueError, "`metrics`: 'accurcy' is not known by name; known: log-loss, accuracy"),
        ({"metrics": {}}, ValueError, "`metrics` is empty"),
        ({"steps": 0}, ValueError, "`steps` must be a whole number of at least 1, got 0"),
        ({"data": {"train": rows()}}, ValueError, "`data` has no test, only train"),
        ({"data": rows(49)}, ValueError, "`data` has 49 rows; at least 50 are needed for three parts"),
        ({"data": {"train": rows(1), "test": rows()}}, ValueError, "`data` has 1 rows, too few for three parts"),
        ({"data": (rows()[0], rows(3)[1])}, ValueError, "`data`: 120 inputs and 3 targets"),
        ({"data": 3}, TypeError, "`data` must be two tensors, a Dataset with a length, or a DataLoader, got int"),
        ({"model": lambda: 3}, TypeError, r"`model` must give a torch.nn.Module, got int"),
        ({"model": lambda: nn.Linear(5, 2)}, ValueError, "no relu; the model has no activation that is known"),
        ({"metrics": {"m": lambda o, t: float("nan")}}, ValueError, "`metrics`: m of an untrained model is nan"),
        ({"metrics": {"m": lambda o, t: torch.ones(2)}}, ValueError, "`metrics`: m must give a number, got Tensor"),
        ({"model": lambda activation: nn.Linear(5, 2)}, ValueError, "`model` does not use the activation"),
    ],
)
def test_what_is_wrong_with_a_task_is_named(changes, error, words):
    with pytest.raises(error, match=words):
        af.compare(task(**changes), ["relu"], **FAST)


def test_an_activation_that_does_not_fit_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"maxout is .*; this network takes element-wise activations"):
        af.compare(task(), ["maxout"], **FAST)
    with pytest.raises(ValueError, match=r"`executor`: what is an object here runs in this process"):
        af.compare(task(), ["relu"], executor="ray")
    with pytest.raises(ValueError, match="`resume` needs a task of a file"):
        af.compare(task(), ["relu"], out=tmp_path, resume=True)
    with pytest.raises(ValueError, match="`target` is for tables; a Task says all itself"):
        af.compare(task(), ["relu"], target="y")


# Files.


def test_a_new_file_runs_as_it_is(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "--new", "mine.py"]) == 0 and "actfun compare mine.py" in capsys.readouterr().out
    assert main(["compare", "--new", "mine.py"]) == 2 and "is there already" in capsys.readouterr().err
    words = ["--quick", "--seeds", "2", "--lrs", "0.003", "--activations", "relu,gelu", "--workers", "2"]
    assert main(["compare", "mine.py", *words]) == 0
    assert "On mine.py, " in capsys.readouterr().out
    summary = json.loads((tmp_path / "actfun-compare-mine" / "summary.json").read_text())
    assert summary["metrics"] == ["accuracy", "log-loss"] and summary["activations"][0]["mean"] > 0.5


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("x = 1\nraise KeyError('here')\n", "", "mine.py, line 2: raise KeyError('here'): KeyError: 'here'"),
        ("task = 3\n", "", "task in"),
        ("import actfun\n", ":tsk", "has no tsk; known: actfun"),
        ("def f(:\n", "", "mine.py, line 1: invalid syntax"),
    ],
)
def test_a_file_that_is_wrong_shows_its_own_line(tmp_path, capsys, text, name, said):
    (tmp_path / "mine.py").write_text(text)
    assert main(["compare", f"{tmp_path}/mine.py{name}", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_loss_that_raises_says_so_and_loses_nothing_else():
    def loss(outputs, targets):
        raise ZeroDivisionError("of the user")

    result = af.compare(task(loss=loss), ["relu"], **FAST)
    assert result.failed and "ZeroDivisionError: of the user" in result.trials[-1]["error"]
    assert result.verdict == "On own, every run failed: ZeroDivisionError: of the user."
    assert "Use" not in result.data["advice"]


# Images and texts.


@pytest.fixture
def images(tmp_path):
    from PIL import Image

    draw = torch.Generator().manual_seed(0)
    for k in range(60):
        folder = tmp_path / "pictures" / ("dark", "light")[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(0, 100, (12, 10, 3), generator=draw) + 60 * (k % 2)
        Image.fromarray(pixels.to(torch.uint8).numpy()).save(folder / f"{k}.png")
    return tmp_path / "pictures"


def test_a_folder_of_images_is_learned(images, tmp_path, capsys):
    pytest.importorskip("PIL")
    words = ["--quick", "--seeds", "2", "--lrs", "0.003", "--activations", "relu,gelu", "--out", str(tmp_path / "out")]
    assert main(["compare", str(images), *words]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["activations"][0]["mean"] > 0.9 and summary["data"]["classes"] == {"dark": 0.5, "light": 0.5}
    assert "Where candidates differ" in (tmp_path / "out" / "report.html").read_text()


def test_folders_that_are_wrong_are_named(images, tmp_path, capsys):
    (images / "dark" / "0.png").write_bytes(b"no image")
    assert main(["compare", str(images), "--out", str(tmp_path / "out")]) == 2
    assert "0.png is no image that can be read" in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    assert main(["compare", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert "has 0 sub-folders with images" in capsys.readouterr().err


@pytest.mark.slow
def test_a_text_is_learned_and_a_short_one_refused(tmp_path, capsys):
    (tmp_path / "story.txt").write_text("once upon a time there was a cat. " * 800)
    words = ["--quick", "--seeds", "2", "--lrs", "0.01", "--activations", "relu", "--out", str(tmp_path / "out")]
    assert main(["compare", str(tmp_path / "story.txt"), *words]) == 0
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["activations"][0]["mean"] < 1.0
    (tmp_path / "short.txt").write_text("too short")
    assert main(["compare", str(tmp_path / "short.txt"), *words]) == 2
    assert "has 9 characters; at least 20,000 are needed" in capsys.readouterr().err


# `model=` beside data.


def sized(activation, inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 8), activation(), nn.Linear(8, outputs))


def numbers() -> tuple[torch.Tensor, torch.Tensor]:
    x, _ = rows()
    return x, 3.0 * x[:, 0] + 7.0


@pytest.mark.parametrize(
    ("data", "model", "metric"),
    [
        ("wine", sized, "log-loss"),
        ("diabetes", sized, "RMSE"),
        ("breast_cancer", sized, "log-loss"),
        (rows(), network, "log-loss"),
        (rows(), nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 1)), "log-loss"),
        (numbers(), nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 1)), "RMSE"),
        (TensorDataset(*rows()), network, "log-loss"),
        (DataLoader(TensorDataset(*rows()), 16), lambda: network(nn.ReLU), "log-loss"),
        ({"train": rows(), "test": rows()}, network, "log-loss"),
    ],
)
def test_a_model_goes_with_data_of_each_kind(data, model, metric):
    options = {key: value for key, value in FAST.items() if key != "executor"}
    found = af.compare(data, ["relu", "tanh"], model=model, **options)
    assert found.data["metric"] == metric and not found.failed
    assert found.rows[0]["mean"] != found.rows[1]["mean"]


def test_a_model_on_a_table_gives_numbers_in_the_units_of_the_target():
    from actfun._compare import own, sources

    problem = own.with_model(sources.problem(sources.describe("diabetes", {})), sized)
    split = problem.split(0)
    output = problem.build(Candidate("relu"), split)(split.train[0])
    assert 100.0 < float(output.detach().mean()) < 220.0  # the mean of the target is 152


@pytest.mark.parametrize(
    ("data", "given", "error", "said"),
    [
        ("wine", {"model": lambda activation, other: None}, ValueError, "function of 0, 1 or 3 arguments, not of 2"),
        ("wine", {"model": 3}, TypeError, "`model` must be a module or a function that makes one, got int"),
        ("wine", {"model": lambda a, i, o: sized(a, i, 7)}, ValueError, r"must give outputs \(8, 3\) for 8 rows, got"),
        (rows(), {"model": sized}, ValueError, "function of 0 or 1 arguments, not of 3"),
        ((rows()[0], rows()[0]), {"model": network}, ValueError, "must have one number a row for its target"),
        (rows(), {"model": network, "kind": "regression"}, ValueError, "`kind`: 'regression' does not go with targets"),
        (rows(), {"model": network, "metric": "acuracy"}, ValueError, "'acuracy' is not known; .*accuracy"),
        (rows(), {"model": network, "target": "y"}, ValueError, "`target` is for tables"),
        (["wine", "diabetes"], {"model": network}, TypeError, "two tensors, a Dataset with a length, or a DataLoader"),
        (task(), {"model": network}, ValueError, "a Task has its own"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(data, given, error, said):
    with pytest.raises(error, match=said):
        af.compare(data, ["relu"], **given)


def test_data_that_are_other_ones_each_time_are_refused(tmp_path):
    file = tmp_path / "mine.py"
    source = """
import torch
from torch import nn
import actfun as af
SEED
x = torch.randn(80, 5)
task = af.Task((x, (x[:, 0] > 0).long()), lambda a: nn.Sequential(nn.Linear(5, 2), a()),
               nn.functional.cross_entropy, ["accuracy"], steps=5)
"""
    file.write_text(source.replace("SEED", "torch.manual_seed(1)"))
    assert not af.compare(str(file), ["relu"], **FAST).failed
    file.write_text(source.replace("SEED", "torch.seed()"))
    with pytest.raises(ValueError, match="makes other data each time it is read; give its random numbers a seed"):
        af.compare(str(file), ["relu"], **FAST)
