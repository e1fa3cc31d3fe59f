"""Trials as runs in TensorBoard or MLflow, where a user looks at those of other projects too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from actfun._catalogue.registry import nearest
from actfun._runs.job import Record

Log = Callable[[Record], None]


def _tensorboard(folder: Path, name: str) -> Log:
    from torch.utils.tensorboard import SummaryWriter

    def write(record: Record) -> None:
        with SummaryWriter(str(folder / "tensorboard" / record["id"])) as writer:
            writer.add_text("trial", _label(record))
            for step, score in record.get("curve", ()):
                writer.add_scalar("validation score", score, step)
            for key, value in _numbers(record).items():
                writer.add_scalar(key, value, record.get("steps", 0))

    return write


def _mlflow(folder: Path, name: str) -> Log:
    import mlflow

    mlflow.set_experiment(f"actfun {name}")

    def write(record: Record) -> None:
        with mlflow.start_run(run_name=_label(record)):
            keys = ("activation", "model", "stage", "learning_rate", "seed", "steps", "init")
            mlflow.log_params({key: record[key] for key in keys if key in record})
            for step, score in record.get("curve", ()):
                mlflow.log_metric("validation score", score, step=step)
            mlflow.log_metrics(_numbers(record))
            mlflow.set_tag("failed", str(record.get("failed", False)))

    return write


LOGS = {"tensorboard": _tensorboard, "mlflow": _mlflow}


def open_log(kind: str, folder: Path | None, name: str) -> Log:
    """What writes a finished trial into TensorBoard's folder below `folder`, or to MLflow, as that is set up.

    Raises ValueError for another kind, a missing package, and TensorBoard without a folder.
    """
    if kind not in LOGS:
        raise ValueError(f"`log`: {kind!r} is not known; {nearest(kind, tuple(LOGS))}")
    if kind == "tensorboard" and folder is None:
        raise ValueError("`log`: TensorBoard's files go into a folder; name it with `out`")
    try:
        return LOGS[kind](folder or Path(), name)
    except ImportError as error:
        raise ValueError(f"`log`: {kind} needs {error.name or kind}: pip install {kind}") from None


def _label(record: Record) -> str:
    words = [record.get("stage"), record.get("activation") or record.get("model")]
    rate = f"lr {record['learning_rate']:g}" if "learning_rate" in record else ""
    return " ".join(str(word) for word in (*words, rate, f"seed {record.get('seed')}") if word)


def _numbers(record: Record) -> dict[str, float]:
    """What a trial comes to: its score, by all metrics, and times."""
    keys = ("score", "step_milliseconds", "dead_share", "saturated_share", "parameters")
    found: dict[str, Any] = {key: record[key] for key in keys if record.get(key) is not None}
    found |= {f"test {key}".replace("²", "2"): value for key, value in record.get("scores", {}).items()}
    return {key: float(value) for key, value in found.items()}
