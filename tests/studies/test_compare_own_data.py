"""`compare` on tables of one's own: what it takes them for, how it parts them, and what it says of wrong ones."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from sklearn import metrics as sk
from support import References

import actfun as af
from actfun._cli import main
from actfun._compare import metrics, several, sources, tables, tabular
from actfun._compare.metrics import COUNTS, REGRESSION, SEVERAL, TWO
from actfun._compare.models import candidate_of
from actfun._compare.references import Reference
from actfun._compare.trial import Trial
from actfun._runs.executors import Inline
from actfun._runs.job import attempt

pandas = pytest.importorskip("pandas")
pytest.importorskip("skrub")


def frame(rows: int = 120) -> "pandas.DataFrame":
    """Numbers, categories, dates, text and empty cells; what is predicted hangs on the first two."""
    draw = numpy.random.default_rng(0)
    size = draw.normal(size=rows)
    colour = draw.choice(["red", "green", "blue"], rows)
    price = 10.0 + 2.0 * size + (colour == "red") + 0.1 * draw.normal(size=rows)
    made = pandas.date_range("2020-01-01", periods=rows)
    note = [f"{c} thing number {k % 97}, as new" for k, c in enumerate(colour)]  # many: encoded as text
    of = {"size": size, "colour": colour, "made": made.astype(str), "note": note, "price": price}
    table = pandas.DataFrame(of)
    table.loc[draw.choice(rows, 10, replace=False), "size"] = None
    table["dear"] = numpy.where(price > 11.0, "dear", "cheap")
    table["visits"] = draw.poisson(numpy.exp(0.5 + 0.5 * size))
    table["stars"] = numpy.digitize(price, [9.0, 10.0, 11.0])
    table["shop"] = draw.integers(0, 12, rows).astype(str)
    return table


@pytest.fixture(scope="module")
def csv(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("data") / "things.csv"
    frame().to_csv(path, index=False)
    return str(path)


# What a table is taken for.


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", "b"] * 50, TWO),
        ([True, False] * 50, TWO),
        ([0, 1] * 50, TWO),
        ([1.5, 2.5] * 50, TWO),
        (["a", "b", "c", "d"] * 25, SEVERAL),
        ([1, 2, 3, 4] * 25, SEVERAL),
        ([0, 0, 1, 0, 2, 1, 0, 12, 3, 1] * 10, COUNTS),
        (list(range(100)), COUNTS),
        (list(range(5, 105)), REGRESSION),
        ([k / 7.0 for k in range(100)], REGRESSION),
    ],
)
def test_the_kind_is_read_off_the_target(values, kind):
    found = tables.table("t", pandas.DataFrame({"x": numpy.arange(100.0), "y": values}), "y")
    assert found.kind == kind


def test_a_kind_that_is_asked_for_counts():
    found = tables.table("t", frame(), "stars", kind=REGRESSION)
    assert found.kind == REGRESSION and not found.classes


# How it is parted.


def parts(table: tables.Table, seed: int) -> list[set[int]]:
    return [set(rows.tolist()) for rows in tables.places(table, seed)]


def test_parts_do_not_overlap_and_the_test_part_is_the_same_for_all_seeds():
    table = tables.table("t", frame(), "dear")
    one, other = parts(table, 0), parts(table, 1)
    assert one[2] == other[2] and one[0] != other[0]
    assert not (one[0] & one[1] or one[0] & one[2] or one[1] & one[2]) and sum(map(len, one)) == 120
    assert [len(part) for part in one] == [72, 24, 24]
    shares = [numpy.mean(table.values[list(part)]) for part in one]
    assert max(shares) - min(shares) < 0.05


def test_groups_stay_together_and_are_no_column():
    table = tables.table("t", frame(), "price", group="shop")
    train, validation, test = ({table.groups[row] for row in part} for part in parts(table, 3))
    assert not (train & validation or train & test or validation & test)
    assert "shop" not in table.frame.columns


def test_by_time_what_is_later_is_held_back():
    shuffled = frame().sample(frac=1.0, random_state=0)
    table = tables.table("t", shuffled, "price", time="made")
    train, validation, test = (table.frame["made"].iloc[sorted(part)] for part in parts(table, 5))
    assert train.max() < validation.min() and validation.max() < test.min()


def test_what_is_fitted_is_fitted_to_the_training_part():
    """Planted: values of the other parts that are a thousand times as large change nothing in training."""
    table = tables.table("t", frame(), "price")
    _, validation, test = tables.places(table, 0)
    changed = table.frame.copy()
    rows = numpy.concatenate([validation, test])
    changed.loc[rows, "size"] = 1_000.0
    changed.loc[rows, "colour"] = "a colour that training does not have"
    other = tables.Table(**{**vars(table), "frame": changed})
    first, second = (tables.vectorised(tables.Held(one), 0) for one in (table, other))
    assert numpy.array_equal(first.inputs[0], second.inputs[0])
    assert not numpy.array_equal(first.inputs[2], second.inputs[2])
    assert all(numpy.isfinite(part).all() for part in (*first.inputs, *second.inputs))
    assert numpy.abs(first.inputs[0].mean(0)).max() < 1e-4, "not standardised"


def test_numbers_are_the_same_in_each_process(csv):
    """Or the same seed would be another split's numbers for another activation."""
    found = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", f"{NUMBERS}print(digest({csv!r}))"]
        found.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1


NUMBERS = """
import hashlib
from actfun._compare import sources

def digest(path):
    inputs = sources.problem(sources.describe(path, {"target": "price"})).split(7).train[0]
    return hashlib.sha256(inputs.numpy().tobytes()).hexdigest()

"""


def test_rows_that_stand_twice_and_columns_that_tell_are_said():
    table = frame()
    table["number"] = numpy.arange(len(table))
    table["euros"] = 1.1 * table["price"]
    warnings = tables.table("t", table, "price").warnings
    assert warnings == ("number is different in each row, as a number of rows is", "euros alone tells price")
    assert (
        tables.table("t", frame().assign(code=frame()["dear"].str[:1]), "dear").warnings[-1] == "code alone tells dear"
    )
    twice = pandas.concat([frame(60)] * 2)
    (warning,) = tabular.problem_of(tables.table("t", twice[["size", "colour", "price"]], "price")).facts["warnings"]
    assert warning.endswith("of 24 test rows are in the other parts too")


# Metrics are scikit-learn's.


def test_metrics_agree_with_scikit_learn():
    draw = numpy.random.default_rng(0)
    logits, classes = torch.from_numpy(draw.normal(size=(50, 3))), torch.from_numpy(draw.integers(0, 3, 50))
    shares = logits.softmax(1).numpy()
    found = {metric.name: metric.score(logits, classes) for metric in metrics.of_classes([0.3, 0.3, 0.4])}
    assert found["log-loss"] == pytest.approx(sk.log_loss(classes, shares))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(classes, shares.argmax(1)))
    assert found["balanced accuracy"] == pytest.approx(sk.balanced_accuracy_score(classes, shares.argmax(1)))
    assert found["ROC AUC"] == pytest.approx(sk.roc_auc_score(classes, shares, multi_class="ovr"))
    two, true = torch.from_numpy(draw.normal(size=(50, 1))), (classes > 0).float()
    found = {metric.name: metric.score(two, true) for metric in metrics.of_classes([0.5, 0.5])}
    p = two.sigmoid().numpy()[:, 0]
    assert found["log-loss"] == pytest.approx(sk.log_loss(true, p))
    assert found["ROC AUC"] == pytest.approx(sk.roc_auc_score(true, p))
    assert found["average precision"] == pytest.approx(sk.average_precision_score(true, p))
    y, guess = torch.from_numpy(draw.poisson(2.0, 50).astype(float)), torch.from_numpy(draw.uniform(1.0, 3.0, (50, 1)))
    found = {metric.name: metric.score(guess, y) for metric in metrics.of_counts(2.0, 1.0, 1.0)}
    assert found["Poisson deviance"] == pytest.approx(sk.mean_poisson_deviance(y, guess[:, 0]))
    assert found["RMSE"] == pytest.approx(sk.root_mean_squared_error(y, guess[:, 0]))
    assert found["MAE"] == pytest.approx(sk.mean_absolute_error(y, guess[:, 0]))
    assert found["R²"] == pytest.approx(sk.r2_score(y, guess[:, 0]))


def test_a_rare_class_is_decided_by_average_precision():
    assert metrics.of_classes([0.95, 0.05])[0].name == "average precision"
    assert metrics.of_classes([0.6, 0.4])[0].name == "log-loss"
    assert metrics.decided_by(metrics.of_classes([0.6, 0.4]), "roc auc")[0].name == "ROC AUC"


@pytest.mark.parametrize("name", ["linear", "gradient boosting"])
@pytest.mark.parametrize("target", ["price", "dear", "visits", "stars"])
def test_other_kinds_of_models_learn_on_the_same_split(csv, target, name):
    text = sources.describe(csv, {"target": target})
    record = attempt(Reference(text, name, 1_000))
    problem = sources.problem(text)
    assert not record["failed"] and set(record["scores"]) <= {metric.name for metric in problem.metrics}
    if target == "price" and name == "linear":
        assert record["scores"]["R²"] > 0.8


# Whole comparisons.


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "target", ["price", "dear", pytest.param("visits", marks=SLOW), pytest.param("stars", marks=SLOW)]
)
def test_a_table_of_each_kind_from_the_command(csv, tmp_path, capsys, target):
    out = tmp_path / "out"
    words = ["compare", csv, "--target", target, "--quick", "--seeds", "3", "--activations", "relu,tanh,maxout"]
    assert main([*words, "--lrs", "0.003,0.01", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "120 rows, 8 columns beside the target" in said and "Models of other kinds: linear" in said
    summary = json.loads((out / "summary.json").read_text())
    assert {row["name"] for row in summary["activations"]} == {"relu", "tanh", "maxout", "maxout (equal parameters)"}
    assert [row["name"] for row in summary["references"]] == ["linear", "gradient boosting"]
    assert set(summary["activations"][0]["other_scores"]) == set(summary["metrics"])
    assert summary["data"]["rows"] == 120 and summary["advice"].startswith(("Use ", "Which "))
    page = (out / "report.html").read_text()
    assert not References(page).found and "Other metrics, other kinds of models" in page
    assert ("Calibration" in page) == (target in ("dear", "stars")) and ("Residuals" in page) == (
        target == "price" or target == "visits"
    )
    trials = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    tuned = [trial for trial in trials if trial["stage"] == "tune"]
    assert all(trial["best_step"] is not None for trial in tuned)
    steps = {trial["steps"] for trial in trials if trial["stage"] == "confirm" and trial["activation"] == "tanh"}
    assert len(steps) == 1 and steps <= {trial["best_step"] for trial in tuned if trial["activation"] == "tanh"}


def test_a_frame_and_a_file_give_the_same_scores(csv):
    options = {"target": "price", "activations": ["relu"], "seeds": 2, "learning_rates": [0.01], "quick": True}
    of_file, of_frame = (af.compare(data, executor=Inline(), **options) for data in (csv, pandas.read_csv(csv)))
    assert of_file.rows[0]["scores"] == of_frame.rows[0]["scores"]
    assert af.compare("wine", **options | {"target": None}, executor=Inline()).rows[0]["mean"] < 1.0


def test_results_of_other_data_are_not_used_again(csv, tmp_path):
    path = tmp_path / "things.csv"
    path.write_text(Path(csv).read_text())
    first = sources.describe(str(path), {"target": "price"})
    assert sources.describe(str(path), {"target": "price"}) == first
    path.write_text(path.read_text().replace("red", "pink"))
    assert sources.describe(str(path), {"target": "price"}) != first
    ids = {
        Trial(text, "tune", "relu", 0.01, 0, 10).id
        for text in (first, sources.describe(str(path), {"target": "price"}))
    }
    assert len(ids) == 2


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".npz"])
def test_files_of_each_kind_are_read(tmp_path, ending):
    from actfun._compare.reading import read

    path = tmp_path / f"t{ending}"
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
        frame().to_parquet(path)
    elif ending == ".npz":
        numpy.savez(path, x=numpy.ones((60, 2)), y=numpy.arange(60))
    else:
        frame().to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",")
    columns = list(read(str(path)).columns)
    assert columns == (["x0", "x1", "y"] if ending == ".npz" else list(frame().columns))


# What is wrong.


def wrong(tmp_path: Path) -> dict[str, str]:
    """Files that cannot be used."""
    files = {
        "broken": "a,b\n" + "1,2\n" * 60 + "1,2,3\n" + "1,2\n" * 60,
        "same": "a,b\n" + "1,2\n" * 80,
        "few": "a,b\n" + "1,2\n" * 20,
        "gap": "a,b\n" + "1,2\n2,3\n" * 30 + "1,\n",
        "rare": "a,b\n" + "1,x\n2,y\n" * 40 + "3,z\n",
        "words": "a,b\n" + "1,x\n2,y\n3,z\n" * 40,
        "negative": "a,b\n" + "1,-2\n2,3\n3,4\n" * 40,
        "alone": "b\n" + "1\n2\n" * 40,
        "empty": "",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
    (tmp_path / "latin.csv").write_bytes("a,b\n1,é\n".encode("latin-1") * 60)
    return {name: str(tmp_path / f"{name}.csv") for name in [*files, "latin"]}


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("same", [], "--target is missing: which column"),
        ("same", ["--target", "c"], "--target: same.csv has no column 'c'; known: a, b"),
        ("same", ["--target", "b"], "--target: b is 2 in all rows; there is nothing to learn"),
        ("few", ["--target", "b"], "few.csv has 20 rows; at least 50 are needed"),
        ("gap", ["--target", "b"], "--target: 1 of 61 rows of gap.csv have no b"),
        ("rare", ["--target", "b"], "--target: b is 'z' in 1 row; each class needs 5"),
        (
            "words",
            ["--target", "b", "--kind", "regression"],
            "--kind: b is text, as 'x', where regression needs numbers",
        ),
        ("words", ["--target", "b", "--kind", "two classes"], "--kind: b has 3 different values, not two classes"),
        ("negative", ["--target", "b", "--kind", "counts"], "--kind: b is negative in 40 rows"),
        ("words", ["--target", "b", "--kind", "regresion"], "'regresion' is not known; did you mean regression?"),
        (
            "words",
            ["--target", "b", "--metric", "accurcy"],
            "--metric: 'accurcy' is not known here; did you mean accuracy",
        ),
        ("words", ["--target", "b", "--group", "g"], "--group: words.csv has no column 'g'"),
        ("words", ["--target", "b", "--group", "a", "--time", "a"], "--group and --time exclude each other"),
        ("alone", ["--target", "b"], "alone.csv has no column beside b"),
        ("broken", ["--target", "b"], "Expected 2 fields in line 62, saw 3"),
        ("empty", ["--target", "b"], "No columns to parse from file"),
        ("latin", ["--target", "b"], "can't decode byte"),
        ("words", ["--target", "b", "--most", "9"], "--most goes with --until-decided"),
    ],
)
def test_wrong_tables_are_one_line(tmp_path, capsys, name, words, said):
    assert main(["compare", wrong(tmp_path)[name], *words, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("nowhere.csv", "cannot use nowhere.csv"),
        ("digts", "unknown task 'digts'; did you mean digits"),
        ("digits", "--target is for tables; digits is none"),
    ],
)
def test_data_that_are_not_there(tmp_path, capsys, data, said):
    assert main(["compare", data, "--target", "y", "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err


def test_a_call_with_something_else_says_what_is_taken():
    with pytest.raises(TypeError, match=r"`data` must be a task's name, a path, a frame of pandas or an actfun.Task"):
        af.compare(3)


def test_a_class_that_is_not_in_a_part_leaves_its_metric_out():
    assert math.isnan(metrics.of_classes([0.3, 0.3, 0.4])[2].score(torch.zeros(4, 3), torch.zeros(4, dtype=torch.long)))


# Several data sets.


def test_several_data_sets_are_put_together(csv, tmp_path, capsys):
    words = ["--quick", "--seeds", "3", "--lrs", "0.003", "--activations", "relu,tanh", "--out", str(tmp_path)]
    assert main(["compare", "wine", csv, "breast_cancer", "--target", "price", *words]) == 0
    said = capsys.readouterr().out
    assert "3 data sets together" in said and "Over 3 data sets, " in said
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["data_sets"] == ["wine", "things.csv", "breast_cancer"] and len(summary["parts"]) == 3
    assert {row["standing"] for row in summary["activations"]} & {"best"}
    page = (tmp_path / "report.html").read_text()
    pages = [f"{folder}/report.html" for folder in ("wine", "things", "breast_cancer")]
    assert "<svg" in page and References(page).found == [f"a href={one}" for one in pages]
    assert all((tmp_path / one).exists() for one in pages)
    with pytest.raises(ValueError, match="several data sets are at least two"):
        af.compare(["wine"])
    with pytest.raises(ValueError, match="a data set is named twice"):
        af.compare(["wine", "wine"])


def part(task: str, scores: dict[str, list[float]], band: float, higher: bool = True) -> dict:
    rows = [{"name": name, "scores": values} for name, values in scores.items()]
    return {"task": task, "activations": rows, "same_within": band, "higher_is_better": higher}


def test_gains_are_in_bands_and_signs_follow_the_metric():
    draw = numpy.random.default_rng(0)
    noise = draw.normal(0.0, 0.001, (2, 20))
    one = part("a", {"x": list(0.9 + noise[0]), "y": list(0.8 + noise[1])}, 0.01)
    two = part("b", {"x": list(1.0 + noise[0]), "y": list(1.1 + noise[1])}, 0.01, higher=False)
    first, second = several.together([one, two])["activations"]
    assert (first["name"], first["standing"], first["first_on"], first["rank"]) == ("x", "best", 2, 1.0)
    assert second["standing"] == "worse" and first["gain"] == pytest.approx(5.0, abs=0.1)
    assert first["low"] < first["gain"] < first["high"] and second["gain"] == pytest.approx(-first["gain"])
    alike = part("c", {"x": list(0.9 + noise[0]), "y": list(0.9 + noise[1])}, 0.01)
    assert [row["standing"] for row in several.together([alike, alike])["activations"]] == ["best", "same"]


def test_one_failed_run_does_not_decide_over_all():
    scores = [0.9] * 20
    table = {"x": [*scores[:-1], 0.0], "y": [0.89] * 20}
    assert several.together([part("a", table, 0.01), part("b", table, 0.01)])["activations"][0]["name"] == "x"


# Settings that are tuned too.


def test_each_candidate_is_tuned_alike_and_confirmed_with_what_was_best(csv):
    found = af.compare(
        csv, ["relu", "tanh"], target="price", tune=True, seeds=2, learning_rates=[0.01], quick=True, executor=Inline()
    )
    tuned = [trial for trial in found.trials if trial["stage"] == "tune"]
    tried = {name: [t for t in tuned if t["activation"] == name] for name in ("relu", "tanh")}
    assert [sum(bool(t["settings"]) for t in trials) for trials in tried.values()] == [4, 4]  # two others of each
    for name, trials in tried.items():
        rate = next(row["learning_rate"] for row in found.rows if row["name"] == name)
        best = min((t for t in trials if t["learning_rate"] == rate), key=lambda t: t["score"])
        confirmed = [t for t in found.trials if t["stage"] == "confirm" and t["activation"] == name]
        assert {repr(t["settings"]) for t in confirmed} == {repr(best["settings"])}
        assert {t["steps"] for t in confirmed} == {best["best_step"]}
        row = next(row for row in found.rows if row["name"] == name)
        assert row["settings"] == dict(best["settings"])


def test_settings_change_the_network_and_its_optimizer(csv):
    problem = sources.problem(sources.describe(csv, {"target": "price"})).tuned({"dropout": 0.3, "weight decay": 0.0})
    network = problem.build(candidate_of("relu"), problem.split(0))
    assert {part.p for part in network.modules() if isinstance(part, torch.nn.Dropout)} == {0.3}
    assert {group["weight_decay"] for group in problem.optimizer(network, 0.1).param_groups} == {0.0}
    with pytest.raises(ValueError, match="`tune`: digits has the learning rate alone to tune"):
        af.compare("digits", tune=True)


# Logs.


def test_runs_are_written_to_tensorboard(csv, tmp_path, capsys):
    pytest.importorskip("tensorboard")
    words = ["--target", "price", "--quick", "--seeds", "2", "--lrs", "0.01", "--activations", "relu"]
    assert main(["compare", csv, *words, "--log", "tensorboard", "--out", str(tmp_path)]) == 0
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trials = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    for trial in trials:
        found = EventAccumulator(str(tmp_path / "tensorboard" / trial["id"])).Reload()
        (score,) = found.Scalars("score")
        assert score.value == pytest.approx(trial["score"], rel=1e-6)
        if "curve" in trial:
            assert [event.step for event in found.Scalars("validation score")] == [step for step, _ in trial["curve"]]


def test_runs_are_written_to_mlflow(csv, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file://{tmp_path}/runs")
    options = {"target": "price", "seeds": 2, "learning_rates": [0.01], "quick": True, "executor": Inline()}
    found = af.compare(csv, ["relu"], log="mlflow", **options)
    runs = mlflow.search_runs(experiment_names=["actfun things.csv"], output_format="list")
    scores = {run.data.metrics["score"] for run in runs if run.data.params.get("stage") == "confirm"}
    assert scores == set(found.rows[0]["scores"])


def test_logs_that_cannot_be_are_named():
    for kind, words in (("tensorbord", "did you mean tensorboard"), ("tensorboard", "name it with `out`")):
        with pytest.raises(ValueError, match=words):
            af.compare("digits", log=kind)


# What went wrong unseen at some time.


def dated(form: str) -> "pandas.DataFrame":
    days = pandas.date_range("2020-01-01", periods=200)
    return pandas.DataFrame({"day": days.strftime(form), "x": numpy.arange(200.0), "y": numpy.arange(200.0) ** 0.5})


@pytest.mark.parametrize("form", ["%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%d", "%d %b %Y"])
def test_dates_are_read_in_one_format(form):
    table = tables.table("t", dated(form).sample(frac=1.0, random_state=0), "y", time="day")
    _, _, test = tables.places(table, 0)
    assert sorted(table.frame["x"].iloc[test]) == list(range(160, 200))


def test_dates_that_may_be_read_in_two_ways_are_refused():
    early = dated("%d.%m.%Y")[lambda t: t["day"].str[:2].astype(int) <= 12]
    with pytest.raises(ValueError, match=r"`time`: day may be day before month or after it, as '01\.01\.2020'"):
        tables.table("t", early, "y", time="day")


def test_a_class_that_training_lacks_shifts_nothing():
    rows = pandas.DataFrame({"t": range(300), "x": numpy.arange(300.0) % 7})
    rows["y"] = ["p", "r"] * 120 + ["q", "z"] * 30  # q and z come late
    problem = tabular.problem_of(tables.table("t", rows, "y", time="t"))
    for name in problem.references:
        assert problem.reference(name, 0)["log-loss"] > 5.0
        assert problem.reference(name, 0)["accuracy"] == 0.0


def test_targets_far_from_zero_keep_their_digits(csv):
    table = frame()
    table["price"] += 1e9
    problem = tabular.problem_of(tables.table("t", table[["size", "price"]], "price"))
    network = problem.build(candidate_of("relu"), problem.split(0))
    x, _ = problem.split(0).train
    assert len(set(network(x).squeeze(-1).tolist())) > 60


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda t: t.assign(size=numpy.inf), {}, "column size is infinite in 120 cells"),
        (lambda t: t.assign(size=1e40), {}, "column size has values above"),
        (lambda t: t.assign(size=1j), {}, "column size is complex"),
        (lambda t: t.assign(note=[[1, 2]] * 120), {}, r"column note has cells of several values, as \[1, 2\]"),
        (lambda t: pandas.concat([t, t[["size"]]], axis=1), {}, "t has columns of the same name: size"),
        (lambda t: t, {"time": "price"}, "`time`: price is the target"),
        (lambda t: t.assign(made="2020-01-01"), {"time": "made"}, "`time`: made is the same in all rows"),
        (lambda t: t.assign(made="soon"), {"time": "note"}, "`time`: note is no time in one format"),
        (lambda t: t.assign(shop=["a", "b"] * 60), {"group": "shop"}, "`group`: shop has 2 groups; three parts need 5"),
        (lambda t: t.assign(shop=[None, "b"] * 60), {"group": "shop"}, "`group`: shop has|`group`: 60 of 120 rows"),
    ],
)
def test_tables_that_would_be_compared_wrongly_are_refused(change, options, words):
    with pytest.raises(ValueError, match=words):
        tables.table("t", change(frame()), "price", **options)


def test_files_of_other_kinds_are_read_or_named(tmp_path):
    from actfun._compare.reading import read

    (tmp_path / "semicolons.csv").write_text("a;y\n1;2\n3;None\n")
    assert read(str(tmp_path / "semicolons.csv"))["y"].tolist() == ["2", "None"]
    (tmp_path / "twice.csv").write_text("a,y,y\n1,2,3\n")
    with pytest.raises(ValueError, match=r"twice.csv has columns of the same name: y"):
        read(str(tmp_path / "twice.csv"))


@SLOW
def test_scores_do_not_depend_on_the_number_of_workers(csv):
    options = {"target": "price", "seeds": 2, "learning_rates": [0.01], "quick": True}
    found = [af.compare(csv, ["relu"], workers=workers, **options) for workers in (1, 2)]
    assert found[0].rows[0]["scores"] == found[1].rows[0]["scores"]
