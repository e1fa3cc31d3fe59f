"""A table of one's own: what its target is, its parts, and its columns as numbers."""

import contextlib
import functools
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy
from sklearn import model_selection

from actfun._catalogue.registry import nearest
from actfun._compare.metrics import COUNTS, KINDS, REGRESSION, SEVERAL, TWO
from actfun._compare.problem import FEWEST_ROWS
from actfun._compare.reading import pandas
from actfun._compare.tasks import TEST_SEED

FEWEST_OF_CLASS, MOST_CLASSES, FEWEST_GROUPS = 5, 20, 5
FEW_VALUES = 10  # whole numbers with a point, up to so many different ones, are classes
LARGEST = 1e30  # whose square float32 has not, so no standard deviation either


@dataclass(frozen=True)
class Table:
    """A table and what is asked of it. frame: of pandas, without the target. groups: of each row, or None."""

    name: str
    frame: Any
    target: str
    values: numpy.ndarray
    kind: str
    classes: tuple[str, ...]
    groups: numpy.ndarray | None
    by_time: bool
    warnings: tuple[str, ...]


def table(
    name: str,
    frame: Any,
    target: str,
    kind: str | None = None,
    group: str | None = None,
    time: str | None = None,
) -> Table:
    """A table with its target, and what is known of it. Raises ValueError for what cannot be right."""
    names = tuple(str(column) for column in frame.columns)
    frame = frame.set_axis(names, axis=1)
    for option, column in (("target", target), ("group", group), ("time", time)):
        if column is not None and column not in names:
            raise ValueError(f"`{option}`: {name} has no column {column!r}; {nearest(column, names)}")
    if kind is not None and kind not in KINDS:
        raise ValueError(f"`kind`: {kind!r} is not known; {nearest(kind, KINDS)}")
    if group is not None and time is not None:
        raise ValueError("`group` and `time` exclude each other: rows are kept together, or split by time")
    if doubled := sorted({one for one in names if names.count(one) > 1}):
        raise ValueError(f"{name} has columns of the same name: {', '.join(doubled)}")
    for option, column in (("group", group), ("time", time)):
        if column is not None and (column == target or frame[column].nunique(dropna=False) < 2):
            what = "the target" if column == target else "the same in all rows"
            raise ValueError(f"`{option}`: {column} is {what}")
    if group is not None and (empty := int(frame[group].isna().sum())):
        raise ValueError(f"`group`: {empty} of {len(frame)} rows have no {group}")
    if group is not None and frame[group].nunique() < FEWEST_GROUPS:
        raise ValueError(f"`group`: {group} has {frame[group].nunique()} groups; three parts need {FEWEST_GROUPS}")
    _check_cells(frame)
    if time is not None:
        frame = frame.sort_values(time, key=functools.partial(_moments, time), kind="stable")
    column = frame[target]
    if empty := int(column.isna().sum()):
        raise ValueError(f"`target`: {empty} of {len(frame)} rows of {name} have no {target}; leave them out")
    if len(frame) < FEWEST_ROWS:
        raise ValueError(f"{name} has {len(frame)} rows; at least {FEWEST_ROWS} are needed for three parts")
    if column.nunique() < 2:
        raise ValueError(f"`target`: {target} is {column.iloc[0]} in all rows; there is nothing to learn")
    kind = _kind(column) if kind is None else kind
    values, classes = _values(target, column, kind)
    groups = None if group is None else frame[group].astype(str).to_numpy()
    rest = frame.drop(columns=[target, *([] if group is None else [group])]).reset_index(drop=True)
    if not len(rest.columns):
        raise ValueError(f"{name} has no column beside {target}")
    odd = _suspicious(rest, values, target)
    found = Table(name, rest, target, values, kind, classes, groups, time is not None, odd)
    places(found, 0)
    return found


def _check_cells(frame: Any) -> None:
    """Raise ValueError that names a column whose cells are no numbers, words or times."""
    types = pandas().api.types
    for name in frame.columns:
        column = frame[name]
        if types.is_complex_dtype(column):
            raise ValueError(f"column {name} is complex")
        if types.is_float_dtype(column) and (count := int(numpy.isinf(column.to_numpy(float)).sum())):
            raise ValueError(f"column {name} is infinite in {count} cells")
        if types.is_numeric_dtype(column) and (column.abs() > LARGEST).any():
            raise ValueError(f"column {name} has values above {LARGEST:g}")
        try:
            column.nunique()
        except TypeError:
            odd = next(cell for cell in column if isinstance(cell, list | dict | set))
            raise ValueError(f"column {name} has cells of several values, as {odd!r}") from None


def _moments(name: str, column: Any) -> Any:
    """What a column is sorted by in time. Raises ValueError where it has no order."""
    if column.isna().any():
        raise ValueError(f"`time`: {int(column.isna().sum())} rows have no {name}")
    if pandas().api.types.is_numeric_dtype(column):
        return column
    found = []
    for day_first in (False, True):
        with warnings.catch_warnings(), contextlib.suppress(ValueError, TypeError):
            warnings.simplefilter("ignore")  # that the other reading is tried
            read = pandas().to_datetime(column, dayfirst=day_first)  # one format for all
            found.append(read)
    if not found:
        raise ValueError(f"`time`: {name} is no time in one format, as {column.iloc[0]!r}; write 2024-12-31")
    if len(found) == 2 and not found[0].equals(found[1]):
        raise ValueError(f"`time`: {name} may be day before month or after it, as {column.iloc[0]!r}; write 2024-12-31")
    return found[0]


def _kind(column: Any) -> str:
    """What kind of target a column is."""
    pd = pandas()
    different = column.nunique()
    if different == 2:
        return TWO
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return SEVERAL
    numbers = column.to_numpy(dtype=float)
    whole = bool((numbers == numpy.round(numbers)).all())
    if whole and different <= (MOST_CLASSES if pd.api.types.is_integer_dtype(column) else FEW_VALUES):
        return COUNTS if _tails_off(numbers) else SEVERAL
    return COUNTS if whole and numbers.min() == 0.0 else REGRESSION


def _tails_off(numbers: numpy.ndarray) -> bool:
    """Whether whole numbers are counts: from 0 on, most of them small, a tail above."""
    mean = float(numbers.mean())
    return bool(numbers.min() == 0.0 and numbers.max() > 8.0 and numbers.max() > 3.0 * mean)


def _values(target: str, column: Any, kind: str) -> tuple[numpy.ndarray, tuple[str, ...]]:
    """Numbers for a target, and the names of its classes."""
    if kind in (TWO, SEVERAL):
        written = column.astype(str)
        counts = written.value_counts()
        classes = tuple(sorted(counts.index, key=_in_order))
        if kind == TWO and len(classes) != 2:
            raise ValueError(f"`kind`: {target} has {len(classes)} different values, not two classes")
        if len(classes) > max(MOST_CLASSES, len(column) // 20):
            many = f"{target} has {len(classes)} different values, as {classes[0]!r}, too many for classes"
            raise ValueError(f"`kind`: {many}; numbers are written in digits, with a point")
        if (least := int(counts.iloc[-1])) < FEWEST_OF_CLASS:
            raise ValueError(
                f"`target`: {target} is {counts.index[-1]!r} in {least} row{'s' * (least != 1)}; each class needs "
                f"{FEWEST_OF_CLASS}; or is it of another kind?"
            )
        codes = {name: k for k, name in enumerate(classes)}
        dtype = numpy.float32 if kind == TWO else numpy.int64
        return written.map(codes).to_numpy(dtype), classes
    try:
        numbers = column.to_numpy(dtype=float, copy=True)
    except (ValueError, TypeError):
        odd = next(value for value in column if not _is_number(value))
        raise ValueError(f"`kind`: {target} is text, as {odd!r}, where {kind} needs numbers") from None
    if not numpy.isfinite(numbers).all():
        raise ValueError(f"`target`: {target} is infinite in {int((~numpy.isfinite(numbers)).sum())} rows")
    if kind == COUNTS and (numbers < 0.0).any():
        raise ValueError(f"`kind`: {target} is negative in {int((numbers < 0.0).sum())} rows; counts are 0 or more")
    return numbers, ()


def _in_order(name: str) -> tuple[float, str]:
    return (float(name), "") if _is_number(name) else (math.inf, name)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (ValueError, TypeError):
        return False
    return True


def _suspicious(frame: Any, values: numpy.ndarray, target: str) -> tuple[str, ...]:
    """Columns that look wrong: such as tell the target, or differ in each row."""
    pd, said = pandas(), []
    numbers = pd.Series(values)
    for name in frame.columns:
        column = frame[name]
        different = column.nunique()
        if different == len(column) and pd.api.types.is_integer_dtype(column):
            said.append(f"{name} is different in each row, as a number of rows is")
        elif 1 < different < len(column) / 5 and len(set(values)) > 1:
            if int(numbers.groupby(column.to_numpy()).nunique().max()) == 1:
                said.append(f"{name} alone tells {target}")
        elif pd.api.types.is_numeric_dtype(column) and different > 2:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a constant column
                if abs(column.astype(float).corr(numbers, method="spearman")) > 0.999:
                    said.append(f"{name} alone tells {target}")
    return tuple(said)


def places(found: Table, seed: int) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Which rows are for training, validation and test: 60, 20 and 20%.

    The test rows are the same for all seeds. Classes keep their shares, groups stay together; by time, what is later is
    held back, and a seed changes nothing.
    """
    rows = numpy.arange(len(found.values))
    if found.by_time:
        train, validation, test = numpy.split(rows, [round(0.6 * len(rows)), round(0.8 * len(rows))])
        return train, validation, test
    rest, test = _apart(found, rows, 0.2, TEST_SEED)
    train, validation = _apart(found, rest, 0.25, seed)
    return train, validation, test


def _apart(found: Table, rows: numpy.ndarray, share: float, seed: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    if found.groups is not None:
        try:
            split = model_selection.GroupShuffleSplit(1, test_size=share, random_state=seed)
            stay, away = next(split.split(rows, groups=found.groups[rows]))
        except ValueError as error:
            raise ValueError(f"`group`: {error}") from None
        return rows[stay], rows[away]
    alike = found.values[rows] if found.kind in (TWO, SEVERAL) else None
    stay, away = model_selection.train_test_split(rows, test_size=share, random_state=seed, stratify=alike)
    return stay, away


@dataclass(frozen=True)
class Vectorised:
    """A split as numbers: inputs and targets of training, validation and test."""

    inputs: tuple[numpy.ndarray, ...]
    targets: tuple[numpy.ndarray, ...]


@functools.lru_cache(maxsize=4)
def vectorised(found: "Held", seed: int) -> Vectorised:
    """Numbers, dates, categories and text as numbers; all that is fitted is fitted to the training part."""
    try:
        from skrub import StringEncoder, TableVectorizer
    except ImportError as error:
        raise ValueError(f"tables need {error.name}: pip install 'actfun[data]'") from None
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    of = found.table
    chosen = places(of, seed)
    text = StringEncoder(random_state=0)  # or each process has others, and nothing is paired
    pipeline = make_pipeline(
        TableVectorizer(high_cardinality=text), SimpleImputer(strategy="median", add_indicator=True), StandardScaler()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of categories that training does not have
        train = pipeline.fit_transform(of.frame.iloc[chosen[0]])
        parts = [train, *(pipeline.transform(of.frame.iloc[rows]) for rows in chosen[1:])]
    inputs = tuple(numpy.asarray(part, dtype=numpy.float32) for part in parts)
    return Vectorised(inputs, tuple(of.values[rows] for rows in chosen))


class Held:
    """A table that can be a key of a cache."""

    def __init__(self, table: Table) -> None:
        self.table = table
