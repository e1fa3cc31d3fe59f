"""Tables from files, as frames of pandas."""

from pathlib import Path
from typing import Any

import numpy
from sklearn import datasets

ENDINGS = (".csv", ".tsv", ".parquet", ".npz", ".pickle")
MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")  # "None" may well be a class
BUNDLED = ("iris", "wine", "diabetes")  # of scikit-learn, beside those that are tasks


def pandas() -> Any:
    """The library, or ValueError that says how it comes."""
    try:
        import pandas
    except ImportError as error:
        raise ValueError(f"tables need {error.name}: pip install 'actfun[data]'") from None
    return pandas


def read(path: str) -> Any:
    """The rows of a file, or of a data set of scikit-learn by name, as a frame of pandas.

    Raises ValueError where it is no table, with the line where one is broken; OSError where it cannot be read.
    """
    pd = pandas()
    if path in BUNDLED:
        return getattr(datasets, f"load_{path}")(as_frame=True).frame
    file = Path(path)
    file.open("rb").close()
    ending = file.suffix.lower()
    try:
        if ending in (".csv", ".tsv"):
            return _separated(file, "\t" if ending == ".tsv" else ",")
        if ending == ".parquet":
            return pd.read_parquet(file)
        if ending == ".pickle":
            return pd.read_pickle(file)
        if ending == ".npz":
            return _arrays(file)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        said = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        more = "; save it as UTF-8" if isinstance(error, UnicodeDecodeError) else ""
        raise ValueError(f"{path}: {said}{more}") from None
    raise ValueError(f"{path}: a table ends in {', '.join(ENDINGS[:-1])}")


def _separated(file: Path, separator: str) -> Any:
    """The rows of a file with a separator; semicolons are found too. A cell is missing where it is empty or says so."""
    pd = pandas()
    heads = [str(cell) for cell in pd.read_csv(file, sep=separator, header=None, nrows=1, dtype=str).iloc[0]]
    if len(heads) == 1 and ";" in heads[0]:
        return _separated(file, ";")
    if doubled := sorted({head for head in heads if heads.count(head) > 1}):
        raise ValueError(f"{file.name} has columns of the same name: {', '.join(doubled)}")
    return pd.read_csv(file, sep=separator, keep_default_na=False, na_values=MISSING)


def _arrays(file: Path) -> Any:
    """Each array of a file is a column, or several where it has two axes: x is x0, x1, …"""
    columns: dict[str, Any] = {}
    for name, array in numpy.load(file, allow_pickle=False).items():
        if array.ndim == 1:
            columns[name] = array
        elif array.ndim == 2:
            columns |= {f"{name}{k}": array[:, k] for k in range(array.shape[1])}
        else:
            raise ValueError(f"{file}: array {name} has {array.ndim} axes; a column has one, several columns two")
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"{file}: arrays are of different lengths: {lengths}")
    return pandas().DataFrame(columns)
