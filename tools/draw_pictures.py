"""Draw the pictures of READMEs and guide into docs/: `draw_pictures.py FOLDER`, which `actfun compare digits` wrote."""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import altair as alt
import torch
import vl_convert
from sklearn.datasets import load_digits
from torch import nn

import actfun as af
from actfun._accuracy.error import ulps
from actfun._accuracy.implementation import Implementation
from actfun._bench.networks import Residual
from actfun._report.charts import COLOURS, LONG, TWO_LINES

DOCS = Path(__file__).parent.parent / "docs"
LOW, HIGH, BINS, INPUTS = -8.0, 4.0, 120, 512  # x from LOW to HIGH; bins, and inputs in each
EPOCHS, SEEDS = 8, 5  # before and after the exchange
BEFORE, AFTER = "ReLU throughout", "GELU from epoch 8 on"
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


def _residual(width: int) -> nn.Module:
    """A small residual network for images of 8x8 pixels, with torch's ReLU."""
    stem = [nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.GELU()]
    blocks = [Residual(width, width, 1), Residual(width, 2 * width, 2)]
    network = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10))
    af.replace(network, {"gelu": nn.ReLU})
    return network


def recovery(seed: int) -> list[dict[str, Any]]:
    """Test accuracy on digits by epoch: ReLU throughout, and ReLU exchanged for GELU after half of the epochs."""
    data = load_digits()
    x, y = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16.0, torch.tensor(data.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    train, test = order[:1200], order[1200:]
    torch.manual_seed(seed)
    network, rows = _residual(8), []
    optimizer = torch.optim.SGD(network.parameters(), 0.02, momentum=0.9)

    def epoch(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        network.train()
        for batch in train[torch.randperm(len(train))].split(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()

    def note(what: str, epochs: float, network: nn.Module) -> None:
        with torch.no_grad():
            right = (network.eval()(x[test]).argmax(1) == y[test]).float().mean().item()
        rows.append({"what": what, "epoch": epochs, "accuracy": 100.0 * right, "seed": seed})

    for k in range(EPOCHS):
        epoch(network, optimizer)
        note(BEFORE, k + 1, network)
    changed = copy.deepcopy(network)
    done = af.replace(changed, {"relu": "gelu"}, example=x[:32])
    print(f"seed {seed}: {done.verdict}")
    note(AFTER, EPOCHS, network)
    note(AFTER, EPOCHS + 0.01, changed)  # straight below
    tuned = torch.optim.SGD(changed.parameters(), 0.02, momentum=0.9)
    for k in range(EPOCHS):
        epoch(network, optimizer)
        note(BEFORE, EPOCHS + k + 1, network)
        epoch(changed, tuned)
        note(AFTER, EPOCHS + k + 1, changed)
    return rows


def recovery_chart() -> alt.LayerChart:
    """The accuracy of several seeds, their mean drawn over them."""
    rows = [row for seed in range(SEEDS) for row in recovery(seed)]
    colour = alt.Scale(domain=[BEFORE, AFTER], range=[COLOURS[1], COLOURS[0]])
    x = alt.X("epoch:Q", title="epoch", scale=alt.Scale(domain=[EPOCHS // 2, 2 * EPOCHS]))
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=x,
        color=alt.Color("what:N", scale=colour, legend=alt.Legend(title=None, orient="bottom", symbolOpacity=1.0)),
    )
    scale = alt.Scale(domain=[70.0, 100.0])
    each = base.mark_line(opacity=0.25, clip=True).encode(
        y=alt.Y("accuracy:Q", scale=scale, title="test accuracy, %"), detail="seed:N"
    )
    mean = base.mark_line(strokeWidth=2.5, clip=True).encode(y="mean(accuracy):Q")
    line = alt.Chart(alt.InlineData(values=[{"epoch": EPOCHS}])).mark_rule(strokeDash=[4, 4]).encode(x=x)
    return (line + each + mean).properties(title="A ResNet on digits: ReLU → GELU")


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
    write(DOCS / "exchange.svg", recovery_chart())
