"""Tables: for the terminal, as a page, and as a part of one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape
from rich.box import SIMPLE
from rich.table import Table

from actfun._report import html

Columns = dict[str, list[str]]


@dataclass(frozen=True)
class Section:
    """A table under a title, with words before it.

    chapter: a heading above, where one begins. link: where there is more, relative to the page.
    """

    title: str
    words: str
    columns: Columns
    chapter: str = ""
    link: str = ""

    @property
    def numeric(self) -> list[bool]:
        """Of which columns the cells are numbers, or empty."""
        starts = [{cell.lstrip("*+<−-")[:1] for cell in {*cells} - {"none"}} for cells in self.columns.values()]
        return [all(not start or start.isdigit() or start == "—" for start in of_it) for of_it in starts]

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The cells, row by row."""
        return list(zip(*self.columns.values(), strict=True))


def mark_up(text: str) -> Markup:
    """HTML of a line of Markdown: bold, emphasis and code."""
    found = str(escape(text.strip().removeprefix("- ")))
    for pattern, tag in ((r"\*\*(.+?)\*\*", "strong"), (r"\*(.+?)\*", "em"), (r"`(.+?)`", "code")):
        found = re.sub(pattern, rf"<{tag}>\1</{tag}>", found)
    return Markup(found)


def part(title: str, sentences: Sequence[str], sections: Sequence[Section]) -> str:
    """Tables as a part of a page, such as a notebook shows. Sentences and cells may have marks of Markdown."""
    return _render("tables.html.j2", title=title, sentences=sentences, sections=sections, closing=(), picture="")


def page(
    title: str, sentences: Sequence[str], sections: Sequence[Section], closing: Sequence[str], picture: str = ""
) -> str:
    """The same as a page that needs no network. closing: what stands below the tables. picture: an SVG of ours."""
    parts = {"sentences": sentences, "sections": sections, "closing": closing, "picture": Markup(picture)}
    return _render("tables_page.html.j2", title=title, **parts)


def _render(template: str, **parts: object) -> str:
    return html.environment().get_template(template).render(**parts, mark_up=mark_up)


def fit_columns(title: str, columns: dict[str, list[str]], width: int, left: Sequence[str]) -> Table:
    """A table of columns by heading, as many of the first as fit into `width` characters; `left` are those of words."""
    result = Table(title=title, title_justify="left", box=SIMPLE)
    room = width - 2
    shown: list[list[str]] = []
    for heading, cells in columns.items():
        room -= max(map(len, (heading, *cells))) + 3  # three spaces between columns
        if room < 0:
            break
        result.add_column(heading, justify="left" if heading in left else "right", no_wrap=True)
        shown.append(cells)
    for line in zip(*shown, strict=True):
        result.add_row(*line)
    return result


def drawn(sections: Sequence[Section], width: int) -> list[Table]:
    """Sections as tables for a terminal of that many characters, without emphasis."""
    found = []
    for one in sections:
        plain = {
            head.replace("*", ""): [cell.replace("*", "") for cell in cells] for head, cells in one.columns.items()
        }
        found.append(fit_columns(one.title, plain, width, left=("",)))
    return found
