"""`af.show`: everything about an activation."""

from pathlib import Path
from typing import Any

from rich.console import RenderableType

from actfun._api.results import Result
from actfun.registry import Activation, spec
from actfun.report import show as report
from actfun.report.tables import Section


class Description(Result):
    """An activation: facts, formula, derivatives, gains and a plot."""

    def __init__(self, activation: Activation) -> None:
        self.activation = activation

    @property
    def title(self) -> str:
        """The activation's name."""
        return self.activation.name

    def table(self, width: int = 100) -> RenderableType:
        """Facts, formula, code and plot, for rich to print on a terminal of that many characters."""
        return report.terminal(self.title, width)

    def to_dict(self) -> dict[str, Any]:
        """The name, what it is, the formula in LaTeX, the code, and the facts by label."""
        told = {"name": self.title, "summary": self.activation.summary, "latex": self.activation.latex}
        return {**told, "code": report.code(self.activation), "facts": report.facts(self.title)}

    def rows(self) -> list[dict[str, Any]]:
        """One row of facts."""
        return [{"name": self.title, **report.facts(self.title)}]

    def sentences(self) -> list[str]:
        """What it is."""
        return [self.activation.summary]

    def sections(self) -> list[Section]:
        """The facts."""
        facts = report.facts(self.title)
        return [Section("Facts", "", {"fact": list(facts), "": list(facts.values())})]

    def html(self, path: Path | str) -> None:
        """Write a page that needs no network to `path`, all or nothing."""
        report.write_html(Path(path), self.title)

    def png(self, path: Path | str) -> None:
        """Write the plot as a picture to `path`."""
        report.write_png(Path(path), self.title)

    def _repr_html_(self) -> str:
        return super()._repr_html_() + report.svg(self.title)


def show(name: str) -> Description:
    """Everything about an activation: facts, formula, derivatives, gains, and a plot.

    Raises ValueError, with the closest names, where there is none of that name.
    """
    return Description(spec(name))
