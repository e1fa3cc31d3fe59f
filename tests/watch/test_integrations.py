"""`af.watch` within other tools, each the real one: where its numbers go, and trainers whose code is not changed."""

import importlib.util
import warnings

import pytest
import torch
from support import let_torchvision_load, models_of_transformers
from torch import nn
from torch.nn import functional

import actfun as af

NUMBERS = {"flat", "zero", "mean_std", "gradient_rms", "log10_gradient_ratio", "update_ratio", "dead_share"}


def train(log, steps=3):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with af.watch(model, every=1, live=False, log=log) as watch:
        for _ in range(steps):
            optimizer.zero_grad()
            functional.cross_entropy(model(torch.randn(6, 5)), torch.randint(3, (6,))).backward()
            optimizer.step()
    return watch


def test_a_function_gets_the_numbers():
    got = []
    train(lambda numbers, step: got.append((step, numbers)))
    assert [step for step, _ in got] == [0, 1, 2]
    assert {name.removeprefix("actfun/1/") for name in got[-1][1]} == NUMBERS
    assert all(type(value) is float for _, numbers in got for value in numbers.values())


def test_several_get_the_same():
    one, other = [], []
    train([lambda numbers, step: one.append(numbers), lambda numbers, step: other.append(numbers)])
    assert one == other != []


def test_tensorboard(tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tensorboard.SummaryWriter(str(tmp_path)) as writer:
        watch = train(writer)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    found = events.Scalars("actfun/1/flat")
    assert [(event.step, event.value) for event in found] == [
        (r["step"], pytest.approx(r["flat"], rel=1e-6)) for r in watch.records()
    ]


def test_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.set_tracking_uri(tmp_path.as_uri())
        mlflow.set_experiment("watched")
        with mlflow.start_run() as run:
            watch = train(mlflow)
        history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "actfun/1/zero")
    assert [(m.step, m.value) for m in history] == [(r["step"], r["zero"]) for r in watch.records()]


def test_weights_and_biases(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / name))
    with wandb.init(mode="offline", dir=str(tmp_path), settings=wandb.Settings(silent=True)) as run:
        watch = train(run)
        run.log({"end": 1})  # which closes the step before
        summary = dict(run.summary)
    assert summary["actfun/1/flat"] == pytest.approx(watch.records()[-1]["flat"])


def test_a_trainer_of_transformers(tmp_path):
    transformers = models_of_transformers()
    pytest.importorskip("accelerate")
    from actfun.callbacks import WatchTrainer

    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = transformers.BertForSequenceClassification(transformers.BertConfig(**sizes, intermediate_size=32))
    rows = [{"input_ids": torch.randint(50, (8,)), "labels": k % 2} for k in range(32)]
    settings = {"per_device_train_batch_size": 4, "max_steps": 6, "report_to": [], "save_strategy": "no"}
    arguments = transformers.TrainingArguments(str(tmp_path), use_cpu=True, disable_tqdm=True, **settings)
    callback = WatchTrainer(html=tmp_path / "page.html", every=1, live=False)
    transformers.Trainer(model, arguments, train_dataset=rows, callbacks=[callback]).train()
    assert callback.watch.steps == 6
    assert len(callback.watch.places) == 3  # two blocks, and the pooler's tanh
    assert "BertForSequenceClassification" in (tmp_path / "page.html").read_text()


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, k):
        return torch.full((5,), float(k)), k % 3


@pytest.mark.parametrize("fails", [False, True])
def test_a_trainer_of_lightning(tmp_path, fails):
    if importlib.util.find_spec("lightning") is None:
        pytest.skip("lightning is not there")
    let_torchvision_load()  # torchmetrics imports it where it is installed
    import lightning.pytorch as lightning
    from lightning.pytorch.loggers import CSVLogger

    from actfun.callbacks import WatchLightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(5, 8), nn.GELU(), nn.Linear(8, 3))

        def training_step(self, batch, index):
            if fails and index == 3:
                raise KeyError("mine")
            x, y = batch
            return functional.cross_entropy(self.net(x), y)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    callback = WatchLightning(html=tmp_path / "page.html", every=1, live=False)
    logger = CSVLogger(str(tmp_path), name="log", version="0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=logger,
            callbacks=[callback],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )
        loader = torch.utils.data.DataLoader(Numbers(), 4)
        if fails:
            with pytest.raises(KeyError, match="mine"):
                trainer.fit(Module(), loader)
        else:
            trainer.fit(Module(), loader)
            logger.save()
            assert "actfun/net.1/flat" in (tmp_path / "log" / "0" / "metrics.csv").read_text()
    assert callback.watch.steps == (3 if fails else 6)
    assert [place.name for place in callback.watch.places] == ["net.1"]
    assert (tmp_path / "page.html").exists()
    assert not torch.nn.modules.module._global_forward_hooks


def test_what_is_missing_is_named(monkeypatch):
    import sys

    from actfun import callbacks

    monkeypatch.setattr(callbacks, "_MADE", {"WatchTrainer": callbacks._trainer.__wrapped__})
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"callbacks\.WatchTrainer needs transformers: pip install"):
        _ = callbacks.WatchTrainer
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = callbacks.Nothing
