"""What a study gives back: a table, a dictionary, a page; `print` shows it, and a notebook draws it."""

import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType

from actfun.report import html, tables
from actfun.report.tables import Section

WIDTH = 160  # of a table, in characters, where nothing else is asked for


class Result(ABC):
    """What a study found."""

    @abstractmethod
    def table(self, width: int = WIDTH) -> RenderableType:
        """A table, or several, for rich to print on a terminal of that many characters."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """All that was found, as JSON holds it."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What it is about."""

    @abstractmethod
    def sentences(self) -> list[str]:
        """What it comes to, in words."""

    def about(self) -> list[str]:
        """What the page says besides: what figures mean, and where they come from."""
        return []

    @abstractmethod
    def sections(self) -> list[Section]:
        """The tables of the page."""

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """What was found, one dictionary a row, for data frames."""

    def to_pandas(self) -> Any:
        """The rows as a pandas DataFrame. Raises ImportError where pandas is missing."""
        try:
            import pandas
        except ModuleNotFoundError:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from None
        return pandas.DataFrame(self.rows())

    def html(self, path: Path | str) -> None:
        """Write a page that needs no network to `path`, all or nothing."""
        html.save(Path(path), tables.page(self.title, [*self.sentences(), *self.about()], self.sections()))

    def _repr_html_(self) -> str:
        return tables.part(self.title, self.sentences(), self.sections())

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=WIDTH, highlight=False)
        with console.capture() as shown:
            console.print(Group(self.table(WIDTH), *self.sentences()))
        return shown.get().rstrip()

    __repr__ = __str__


def paragraphs(lines: Sequence[str]) -> list[str]:
    """The paragraphs of a page in Markdown that are between empty lines."""
    return [paragraph.replace("\n", " ") for paragraph in "\n".join(lines).split("\n\n")]
