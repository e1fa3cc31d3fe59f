"""Compare activations on real tables, images and models, and write docs/compared.md of what came of it.

    python tools/compare_data.py FOLDER [docs/compared.md]

FOLDER keeps the results; a second call goes on there. It needs the extras `data` and `peers`, and the packages
vega_datasets and statsmodels, whose tables come with them. What is missing is left out. About an hour on two cores.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from sklearn.datasets import load_digits

import actfun as af
from actfun._report.formatting import markdown_table, metric_of

ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu")
EXAMPLES = Path(__file__).parent.parent / "examples"


def comparisons(folder: Path) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """What is compared: a title, the data, and options."""
    yield "wine (scikit-learn)", "wine", {}
    yield "diabetes (scikit-learn)", "diabetes", {}
    try:
        from vega_datasets import data

        cars = data.cars().dropna(subset=["Miles_per_Gallon"])
        cars.to_csv(folder / "cars.csv", index=False)
        data.seattle_weather().to_csv(folder / "weather.csv", index=False)
        yield "cars (vega_datasets)", folder / "cars.csv", {"target": "Miles_per_Gallon"}
        yield (
            "weather in Seattle, by time (vega_datasets)",
            folder / "weather.csv",
            {"target": "weather", "time": "date"},
        )
    except ImportError as error:
        print(f"left out: {error}", file=sys.stderr)
    try:
        from statsmodels.datasets import anes96, randhie

        anes96.load_pandas().data.to_csv(folder / "anes96.csv", index=False)
        yield "election survey 1996 (statsmodels)", folder / "anes96.csv", {"target": "vote"}
        randhie.load_pandas().data.to_csv(folder / "randhie.csv", index=False)
        yield "visits to doctors (statsmodels)", folder / "randhie.csv", {"target": "mdvis", "seeds": 6}
    except ImportError as error:
        print(f"left out: {error}", file=sys.stderr)
    pictures = folder / "pictures"
    for k, (image, digit) in enumerate(zip(*(load_digits()[key][:900] for key in ("images", "target")), strict=True)):
        (pictures / str(digit)).mkdir(parents=True, exist_ok=True)
        path = pictures / str(digit) / f"{k}.png"
        if not path.exists():
            Image.fromarray((image * 15.9).astype("uint8")).save(path)
    yield "a folder of images (scikit-learn's digits)", pictures, {"seeds": 6, "learning_rates": [0.001, 0.003, 0.01]}
    yield "one's own CNN (examples/cnn_on_digits.py)", EXAMPLES / "cnn_on_digits.py", {}
    few = {"activations": ("relu", "gelu", "silu"), "seeds": 5}
    yield "BERT of a configuration (examples/bert_on_digits.py)", EXAMPLES / "bert_on_digits.py", few
    yield "ResNet of timm (examples/timm_on_digits.py)", EXAMPLES / "timm_on_digits.py", few


def main() -> None:
    """Compare on all, and write the page."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    rows, verdicts, machine = [], [], {}
    for title, data, options in comparisons(folder):
        name = Path(str(data)).stem
        try:
            found = af.compare(data, **{"activations": ACTIVATIONS, **options}, out=folder / f"of-{name}", resume=True)
        except (ValueError, OSError) as error:
            print(f"{title} is left out: {error}", file=sys.stderr)
            continue
        summary, machine = found.data, found.data["machine"]
        metric = metric_of(summary)
        best, *others = summary["activations"]
        alike = [row["name"] for row in others if row["standing"] == "same"]
        worse = [
            f"{row['name']} {metric.difference(row['difference'])}" for row in others if row["standing"] == "worse"
        ]
        beside = [f"{row['name']} {metric.score(row['mean'])}" for row in summary["references"]]
        size = summary["data"].get("rows") or summary["data"].get("images") or ""
        what = ", ".join([title, *([f"{size:,} rows"] if size else []), f"{best['seeds']} seeds"])
        first = f"{metric.name}: {best['name']} {metric.score(best['mean'])}"
        rows.append([what, first, ", ".join(alike), ", ".join(worse), ", ".join(beside)])
        verdicts += [f"**{title}.** {summary['advice']}", ""]
        print(title, found.verdict, summary["advice"], sep="\n", file=sys.stderr)
    headings = ["data", "best", "the same", "worse", "other models"]
    columns = dict(zip(headings, map(list, zip(*rows, strict=True)), strict=True))
    text = f"""\
# Compared on real data

Written by `python tools/compare_data.py FOLDER`: do not edit.

What `actfun compare` found on tables, images and models that come with installable packages, of
{", ".join(ACTIVATIONS)}; BERT and timm's ResNet take three of them. Those that are in neither column could not be told
from the best.

Machine: {machine["processor"]}, {machine["workers"]} worker processes; torch {machine["torch"]}, actfun
{machine["actfun"]}; {machine["date"]}.

"""
    text += "\n".join(markdown_table(columns)) + "\n\n## What the reports advise\n\n" + "\n".join(verdicts)
    place = Path(sys.argv[2] if len(sys.argv) > 2 else "docs/compared.md")
    place.write_text(text.rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
