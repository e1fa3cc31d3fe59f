"""Draw the pictures of the READMEs into docs/: `draw_pictures.py FOLDER`, which `actfun compare digits` wrote."""

import json
import sys
from pathlib import Path
from typing import Any

import altair as alt
import torch
import vl_convert

from actfun._accuracy.error import ulps
from actfun._accuracy.implementation import Implementation
from actfun._report.charts import COLOURS, LONG, TWO_LINES

DOCS = Path(__file__).parent.parent / "docs"
LOW, HIGH, BINS, INPUTS = -8.0, 4.0, 120, 512  # x from LOW to HIGH; bins, and inputs in each
WIDTH, HEIGHT = 430, 320  # of a whole picture: two stand side by side on a wide page


def errors(library: str) -> list[dict[str, Any]]:
    """The largest error of GELU in float32, in ulp, in each bin of x."""
    gelu = Implementation(library, "gelu", derivative=False, dtype=torch.float32)
    x = torch.linspace(LOW, HIGH, BINS * INPUTS)
    worst = ulps(gelu.compute(x), gelu.exact(x)).view(BINS, INPUTS).amax(1)
    middles = x.view(BINS, INPUTS).mean(1)
    return [{"x": a, "ulp": b, "library": library} for a, b in zip(middles.tolist(), worst.tolist(), strict=True)]


def accuracy_chart() -> alt.Chart:
    """The error of torch's GELU and of actfun's."""
    colour = alt.Scale(domain=["torch", "actfun"], range=[COLOURS[1], COLOURS[0]])
    y = alt.Scale(type="log", domain=[0.1, 1e8], nice=False)
    ticks = alt.Axis(values=[1e0, 1e2, 1e4, 1e6, 1e8], format="~s")
    return (
        alt.Chart(alt.InlineData(values=errors("torch") + errors("actfun")))
        .mark_line(strokeWidth=2.5, clip=True)
        .encode(
            x=alt.X("x:Q", scale=alt.Scale(domain=[LOW, HIGH], nice=False)),
            y=alt.Y("ulp:Q", scale=y, axis=ticks, title="largest error, ulp"),
            color=alt.Color("library:N", scale=colour, legend=alt.Legend(title=None, orient="top-right")),
        )
        .properties(title="Error of GELU in float32")
    )


def scores_chart(summary: dict[str, Any]) -> alt.LayerChart:
    """The mean test score of each activation, with its 95% interval."""
    names = [row["name"] for row in summary["activations"]]
    rows = [{key: row[key] for key in ("name", "mean", "low", "high")} for row in summary["activations"]]
    baseline: Any = {"condition": {"test": LONG, "value": "bottom"}, "value": "middle"}
    labels = alt.Axis(labelExpr=TWO_LINES, labelBaseline=baseline)
    base = alt.Chart(alt.InlineData(values=rows)).encode(y=alt.Y("name:N", sort=names, title=None, axis=labels))
    x = alt.Scale(zero=False, nice=True)
    title = f"test {summary['metric']}, mean and 95% interval"
    dots = base.mark_point(filled=True, size=90, opacity=1, color=COLOURS[0])
    bars = base.mark_rule(strokeWidth=2.5, color=COLOURS[0])
    axis = alt.Axis(format=".1%", tickCount=4)
    return alt.layer(
        bars.encode(x=alt.X("low:Q", scale=x), x2="high:Q"),
        dots.encode(x=alt.X("mean:Q", scale=x, axis=axis, title=title)),
    ).properties(title=f"actfun compare {summary['task']}")


def write(path: Path, chart: Any) -> None:
    """A chart as an SVG on white, with letters that a telephone shows large enough."""
    figure = (
        chart.properties(width=WIDTH, height=HEIGHT, background="white", padding=10)
        .properties(autosize={"type": "fit", "contains": "padding"})
        .configure(font="system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif")
        .configure_axis(labelFontSize=14, titleFontSize=14, titleFontWeight="normal", labelLimit=200)
        .configure_legend(labelFontSize=14)
        .configure_title(fontSize=16)
        .configure_view(stroke=None)
    )
    path.write_text(vl_convert.vegalite_to_svg(figure.to_dict()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    summary = json.loads((Path(sys.argv[1]) / "summary.json").read_text(encoding="utf-8"))
    write(DOCS / "gelu.svg", accuracy_chart())
    write(DOCS / "digits.svg", scores_chart(summary))
