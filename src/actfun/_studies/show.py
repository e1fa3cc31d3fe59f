"""`af.show`: everything about an activation."""

import functools
from pathlib import Path

from actfun._catalogue.names import resolve, spec
from actfun._report import show as report
from actfun._report.tables import Section
from actfun._studies.results import Result


class Description(Result):
    """An activation: facts, formula, derivatives, gains and a plot."""

    def __init__(self, name: str) -> None:
        activation, facts = spec(name), report.facts(name)
        told = {"name": name, "summary": activation.summary, "latex": activation.latex}
        super().__init__(
            title=name,
            verdict=activation.summary,
            data={**told, "code": report.code(activation), "facts": facts},
            rows=[{"name": name, **facts}],
            sections=[Section("Facts", "", {"fact": list(facts), "": list(facts.values())})],
            drawn=functools.partial(report.terminal, name),
        )

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
    return Description(str(resolve(name)))
