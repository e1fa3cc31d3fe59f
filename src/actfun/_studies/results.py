"""What a study gives back: a table, a dictionary, a page; `print` shows it, and a notebook draws it."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType

from actfun._report import html, tables
from actfun._report.tables import Section

WIDTH = 160  # of a table, in characters, where nothing else is asked for


@dataclass(repr=False)
class Result:
    """What a study found.

    verdict: what it comes to. data: all, as JSON holds it. rows: the same, a dictionary a row. sections: tables of the
    page; about: what it says above them besides the verdict, closing: below them; picture: an SVG that it shows. drawn:
    a width in characters -> the table, or several, for a terminal.
    """

    title: str
    verdict: str
    data: dict[str, Any]
    rows: list[dict[str, Any]]
    sections: list[Section]
    drawn: Callable[[int], RenderableType]
    about: list[str] = field(default_factory=list)
    closing: list[str] = field(default_factory=list)
    picture: str = ""

    def table(self, width: int = WIDTH) -> RenderableType:
        """The table, or several, for rich to print on a terminal of that many characters."""
        return self.drawn(width)

    def to_dict(self) -> dict[str, Any]:
        """All that was found, as JSON holds it."""
        return self.data

    def to_pandas(self) -> Any:
        """The rows as a pandas DataFrame. Raises ImportError where pandas is missing."""
        try:
            import pandas
        except ModuleNotFoundError:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from None
        return pandas.DataFrame(self.rows)

    def html(self, path: Path | str) -> None:
        """Write a page that needs no network to `path`, all or nothing."""
        above = [self.verdict, *self.about]
        html.save(Path(path), tables.page(self.title, above, self.sections, self.closing, self.picture))

    def _repr_html_(self) -> str:
        return tables.part(self.title, [self.verdict], self.sections)

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=WIDTH, highlight=False)
        with console.capture() as shown:
            console.print(Group(self.table(), self.verdict))
        return shown.get().rstrip()

    __repr__ = __str__


def paragraphs(lines: Sequence[str]) -> list[str]:
    """The paragraphs of a page in Markdown that are between empty lines."""
    return [paragraph.replace("\n", " ") for paragraph in "\n".join(lines).split("\n\n")]
