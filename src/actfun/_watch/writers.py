"""Numbers of a window as scalars, for whatever keeps scalars: TensorBoard, Weights & Biases, MLflow and their kin."""

from collections.abc import Callable, Mapping
from typing import Any

from actfun._watch.history import Window

Write = Callable[[Mapping[str, float], int], None]
KEPT = ("flat", "zero", "mean_std", "gradient_rms", "log10_gradient_ratio", "update_ratio")


def scalars(window: Window) -> dict[str, float]:
    """The numbers of a window, by "actfun/PLACE/NUMBER"."""
    found: dict[str, float] = {}
    for record in window.records:
        numbers = {name: record[name] for name in KEPT} | {"dead_share": record["dead"] / max(record["units"], 1)}
        for name, value in numbers.items():
            if value is not None:
                found[f"actfun/{record['site'].replace(':', '/').replace(' #', '_') or 'model'}/{name}"] = float(value)
    return found


def writer_for(log: Any) -> Write:
    """What writes scalars to an object, by the methods that it has.

    Takes a `SummaryWriter` of TensorBoard (`add_scalar`), a logger of Lightning or the module mlflow (`log_metrics`), a
    run of Weights & Biases or the module wandb (`log`), and a function of a dictionary and a step.
    Raises TypeError for anything else.
    """
    if hasattr(log, "add_scalar"):

        def add(numbers: Mapping[str, float], step: int) -> None:
            for name, value in numbers.items():
                log.add_scalar(name, value, step)

        return add
    if hasattr(log, "log_metrics"):
        return lambda numbers, step: log.log_metrics(dict(numbers), step=step)
    if hasattr(log, "log"):
        return lambda numbers, step: log.log(dict(numbers), step=step)
    if callable(log):
        return log  # type: ignore[no-any-return]
    allowed = "an object with add_scalar, log_metrics or log, or a function of a dictionary and a step"
    raise TypeError(f"watch: log must be {allowed}, got {type(log).__name__}")
