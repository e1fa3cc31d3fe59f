"""A full run of the claims: the user's own MNIST and CIFAR-10, which torchvision reads; deeper Transformers."""

import contextlib
import hashlib
import math
import pickle

import numpy
import pytest
import torch

from actfun._claims import images, transformer, verdicts
from actfun._claims.experiment import Scale
from actfun._cli import main
from actfun._compare import images as reading
from actfun._runs.job import attempt

ROWS, TEST, CLASSES = reading.VALIDATION + 512, 200, 10


@pytest.fixture(scope="module", autouse=True)
def torchvision():
    """torchvision, also beside a torch for which its operators, that read no files, were not built."""
    operators = torch.library.Library("torchvision", "FRAGMENT")
    with contextlib.suppress(ImportError):
        try:
            import torchvision
        except RuntimeError:
            for name in ("nms", "qnms"):
                operators.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
            import torchvision
        yield torchvision
        return
    pytest.skip("torchvision is not installed")


def pictures(count: int, *shape: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Noise on one bright stripe for each class."""
    chance = numpy.random.default_rng(count)
    labels = chance.integers(0, CLASSES, count)
    pixels = chance.integers(0, 100, (count, *shape))
    pixels.reshape(count, math.prod(shape))[numpy.arange(count), labels] = 255
    return pixels.astype(numpy.uint8), labels


@pytest.fixture
def mnist(tmp_path):
    """A folder as torchvision keeps it, with few and small images in MNIST's format."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", ROWS), ("t10k", TEST)):
        pixels, labels = pictures(count, 8, 8)
        for kind, array, magic in (("images-idx3", pixels, 0x803), ("labels-idx1", labels.astype(numpy.uint8), 0x801)):
            header = numpy.array([magic, *array.shape], dtype=">i4").tobytes()
            (raw / f"{part}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return tmp_path


@pytest.fixture
def cifar(tmp_path, torchvision, monkeypatch):
    """The same for CIFAR-10, whose files torchvision knows by their hashes."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    known = {}
    for name, count in (("train", ROWS), ("test", TEST), ("meta", 0)):
        pixels, labels = pictures(count, 3, 32, 32)
        content = {"data": pixels.reshape(count, 3072), "labels": labels.tolist(), "label_names": [*"0123456789"]}
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        known[name] = (name, hashlib.md5(data).hexdigest())
    cls = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cls, "train_list", [known["train"]])
    monkeypatch.setattr(cls, "test_list", [known["test"]])
    monkeypatch.setattr(cls, "meta", {"filename": "meta", "key": "label_names", "md5": known["meta"][1]})
    return tmp_path


def test_mnist_is_read_and_split(mnist):
    assert reading.find(mnist) == ("MNIST",)
    first, other = (reading.split("MNIST", str(mnist), seed) for seed in (0, 1))
    assert [len(part[0]) for part in (first.train, first.validation, first.test)] == [512, 5_000, TEST]
    assert first.outputs == CLASSES
    assert first.train[0].shape == (512, 64)
    assert float(first.train[0].mean()) == pytest.approx(0.0, abs=1e-4)
    assert float(first.train[0].std()) == pytest.approx(1.0, abs=1e-4)
    assert torch.equal(first.test[1], other.test[1])
    assert not torch.equal(first.train[1], other.train[1])
    pixels, labels = pictures(TEST, 8, 8)
    assert first.test[1].tolist() == labels.tolist()
    assert first.test[0].argmax(1).tolist() == pixels.reshape(TEST, -1).argmax(1).tolist()


def test_cifar_is_read(cifar):
    assert reading.find(cifar) == ("CIFAR10",)
    split = reading.split("CIFAR10", str(cifar), 0)
    assert split.train[0].shape == (512, 3_072)
    assert split.test[1].tolist() == pictures(TEST, 3, 32, 32)[1].tolist()


def test_images_speak_to_claims(mnist):
    """One epoch on images that anything can learn: every claim gets measurements that name the data."""
    torch.set_num_threads(1)
    scale = Scale((0, 1), quick=True, full=True, images=(("MNIST", str(mnist)),))
    records = [attempt(verdicts.Run.of(images.EXPERIMENT, arguments)) for arguments in images.jobs(scale)]
    assert [record["error"] for record in records if record["failed"]] == []
    found = images.measurements(records)
    assert set(found) == {21, 32, 35}
    for measurement in (measurement for measurements in found.values() for measurement in measurements):
        assert "MNIST" in measurement.text(measurement.condition).en
        assert "MNIST" in measurement.text(measurement.condition).zh
        assert measurement.low is not None
    assert records[0]["accuracy"] > 0.3, "three times what guessing gives"


def test_validation_images_choose_the_rate():
    """Of two rates, one is better on validation images, the other on test images and in training."""
    common = {"dataset": "MNIST", "noisy": 0.0}
    better = {"rate": 1e-3, "validation": 0.9, "accuracy": 0.7, "early_loss": 1.0}
    tempting = {"rate": 1e-4, "validation": 0.8, "accuracy": 0.95, "early_loss": 0.5}
    records = [
        {**common, **rate, "arm": arm, "seed": seed}
        for arm in images.ARMS
        for rate in (better, {**tempting, "validation": 0.95} if arm == "relu" else tempting)
        for seed in (0, 1)
    ]
    found = images.measurements(records)
    assert found[32][0].value == pytest.approx(0.7 - 0.95)
    assert found[35][0].value == pytest.approx(0.5 - 1.0)


def test_the_paper_s_protocol_is_what_a_full_run_asks_for():
    jobs = images.jobs(Scale(tuple(range(10)), full=True, images=(("MNIST", "here"),)))
    assert {job["epochs"] for job in jobs} == {50}
    assert {job["rate"] for job in jobs} == {1e-3, 1e-4, 1e-5}
    assert {job["seed"] for job in jobs} == set(range(5))
    assert images.jobs(Scale((0,), full=True)) == [], "without data there is nothing to do"


def test_a_full_run_trains_deeper_transformers_too():
    usual, full = (transformer.jobs(Scale((0, 1), full=full)) for full in (False, True))
    assert [job for job in full if job["blocks"] == transformer.SHALLOW] == usual
    assert {job["arm"] for job in full if job["blocks"] == transformer.DEEP} == set(transformer.ARMS)
    arguments = {"blocks": 3, "steps": 2}
    records = [
        attempt(verdicts.Run.of(transformer.EXPERIMENT, {**arguments, "arm": arm, "seed": seed}))
        for arm in transformer.ARMS
        for seed in (0, 1)
    ]
    assert [record["error"] for record in records if record["failed"]] == []
    measurements = transformer.measurements(records)[43]
    assert len(measurements) == len(transformer.ARMS) - 1
    assert all("3 blocks" in measurement.text(measurement.condition).en for measurement in measurements)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--quick", "--full"], "exclude each other"),
        (["--data", "."], "--data is for --full"),
        (["--full", "--data", "{empty}"], "MNIST or CIFAR-10 as torchvision keeps them"),
        (["--full", "--data", "{torn}"], "is not whole"),
    ],
)
def test_bad_options_are_named(options, said, tmp_path, capsys):
    (tmp_path / "torn" / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    places = {"empty": tmp_path / "empty", "torn": tmp_path / "torn"}
    assert main(["claims", "--out", str(tmp_path), *(option.format(**places) for option in options)]) == 2
    assert said in capsys.readouterr().err
