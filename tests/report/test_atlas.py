"""The atlas: what is in the page, what a browser computes from its formulas, and what a reader does with it."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support import References
from test_report_page import CHROMIUM

import actfun as af
from actfun._backends import torch as torch_ops
from actfun._catalogue.kinds import ELEMENTWISE, GATED
from actfun._catalogue.registry import Activation, Parameter
from actfun._report import atlas, javascript
from actfun._runs.executors import Inline
from actfun._studies.accuracy import AccuracyRun
from actfun.formula import INFINITY, absolute, where

pytestmark = pytest.mark.xdist_group("atlas")  # one process draws the page
BROWSER = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
POINTS = [*(k / 16.0 for k in range(-192, 193)), *(s * 10.0**e for s in (-1.0, 1.0) for e in (-20, -3, 2, 4)), -0.0]
COMPUTED = [af.spec(name) for kind in (ELEMENTWISE, GATED) for name in af.names(kind)]


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """The page with real, if few, measurements."""
    folder = tmp_path_factory.mktemp("atlas")
    AccuracyRun("tanh", "float32", False, False, "torch", 1, folder / "accuracy", False).run(Inline())
    few = {"sizes": [4096], "dtypes": ["float32"], "against": ["torch"], "spreads": [1.0], "seconds": 0.0}
    af.bench("tanh", eager=True, out=folder / "bench", **few)
    af.atlas(accuracy=folder / "accuracy", bench=folder / "bench", out=folder)
    return folder / "atlas.html"


def cases(activation: Activation) -> list[list]:
    """Its formula and derivative, at the usual parameters and at others."""
    numbers = [p for p in activation.parameters.values() if isinstance(p, Parameter)]
    usual, other = [p.default for p in numbers], [1.25 * p.default + 0.125 for p in numbers]
    gate = activation.kind is GATED
    given = [[1.0, *usual], [-0.7, *other]] if gate else [usual, other] if numbers else [usual]
    return [[activation.name, k, values] for values in given for k in (0, 1)]


ASKED = [case for activation in COMPUTED for case in cases(activation)]


def differing(found: list[str]) -> set[str]:
    """The names of what the browser computes otherwise than PyTorch does in float64."""
    wrong, x = set(), torch.tensor(POINTS, dtype=torch.float64)
    for got, (name, k, values) in zip(found, ASKED, strict=True):
        activation = af.spec(name)
        formula = activation.derivatives["x"] if k else activation.formula
        expected = torch_ops.evaluate(formula, x, *(torch.full_like(x, value) for value in values))
        ours = torch.tensor([float(value) for value in got.split()], dtype=torch.float64)
        if not torch.allclose(ours, expected, rtol=1e-9, atol=1e-13, equal_nan=True):
            wrong.add(name)
    return wrong


def use(page: Path, *how: str) -> dict:
    script, asked = Path(__file__).with_name("use_atlas.py"), page.with_suffix(".json")
    asked.write_text(json.dumps([POINTS, ASKED]))
    done = subprocess.run(
        [sys.executable, script, page, CHROMIUM, asked, *how], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def seen(path) -> dict:
    return use(path, "all")


def test_the_page_is_whole_small_and_asks_for_nothing(path):
    page = path.read_text(encoding="utf-8")
    assert References(page).found == []
    assert len(page.encode()) < 700_000
    for name in af.names():
        assert f'id="row-{name}"' in page
        assert f'id="card-{name}"' in page
    assert page.count("<math") == len(af.names())


def test_what_is_not_measured_has_no_column(path):
    words = ("error, ulp", "torch ÷ ours", "Where this was measured")
    assert [word for word in words if word not in path.read_text(encoding="utf-8")] == []
    assert [word for word in words if word in atlas.atlas_page()] == []


@BROWSER
def test_the_browser_computes_what_the_library_does(seen):
    assert len(COMPUTED) >= 50
    assert differing(seen["computed"]) == set()


@pytest.mark.slow
@BROWSER
def test_a_wrong_primitive_is_caught(path):
    planted = path.with_name("planted.html")
    text = path.read_text(encoding="utf-8")
    assert text.count("y * exp(-0.5 * x * x)") == 1
    planted.write_text(text.replace("y * exp(-0.5 * x * x)", "y * exp(-0.5000001 * x * x)"), encoding="utf-8")
    wrong = differing(use(planted)["computed"])
    assert {"gelu", "geglu", "laplace"} <= wrong
    assert not {"relu", "tanh", "mish"} & wrong


@BROWSER
def test_it_is_quiet_and_fits_a_telephone(seen, path):
    assert seen["errors"] == []
    assert set(seen["requests"]) == {path.resolve().as_uri()}
    assert seen["wider"] == {}


@pytest.mark.slow
@BROWSER
def test_a_broken_page_is_noticed(path):
    broken = path.with_name("broken.html")
    text = path.read_text(encoding="utf-8").replace("</main>", "<p style='width:2000px'>x</p></main>")
    broken.write_text(text + "<script>nosuch()</script><img src='https://localhost/x.png'>", encoding="utf-8")
    found = use(broken)
    assert any("nosuch" in error for error in found["errors"])
    assert any("localhost" in error for error in found["errors"]), "the policy blocks what would be fetched"
    assert found["wider"]


@BROWSER
def test_search_filters_and_columns(seen):
    found = seen["search"]
    assert seen["all"] == list(af.names())
    assert "softplus" in found["softpl"]
    assert found["SWISH-1"] + found["nosuch"] == []
    assert found["gelu new"] == ["gelu_tanh"]
    everything = [af.spec(name) for name in af.names()]
    bounded = [a.name for a in everything if a.convex and all(map(math.isfinite, a.range))]
    assert seen["convex and bounded"] == bounded
    assert seen["gated"] == list(af.names(GATED))
    assert seen["saturates left"] == [a.name for a in everything if a.saturates == ("left",) and a.kinks]
    gain = {name: round(af.gain(name), 9) for name in af.names() if name != "log1mexp"}
    assert [gain[name] for name in seen["by gain"][:-1]] == sorted(gain.values())
    assert sorted(seen["by gain"]) == seen["all"] != seen["by gain"]
    assert [gain[name] for name in seen["by gain, falling"][:-1]] == sorted(gain.values(), reverse=True)
    assert {seen[order][-1] for order in ("by gain", "by gain, falling")} == {"log1mexp"}, "what has none comes last"
    assert seen["by error"][0] == "tanh", "those without a measurement come last"


@BROWSER
def test_curves_over_one_another_and_their_sliders(seen):
    assert seen["typical"] == ["relu", "gelu", "silu"]
    lines = ["identity", "identity′", "gelu", "gelu′", "elu", "elu′", "maxout", "maxout′"]
    assert list(seen["of the address"]) == lines
    assert all(path.count("L") > 100 for path in seen["of the address"].values())
    assert seen["of the address"]["elu′"].count("M") == 2, "the derivative jumps at 0 where alpha is not 1"
    assert (seen["card"], seen["last card"]) == ("identity", "tanh")
    assert seen["with silu"] == [*lines, "silu", "silu′"]
    assert seen["moved"] == ["elu", "elu′", "maxout", "maxout′"]
    assert [line for line in seen["without gelu"] if "gelu" in line] == []
    assert "tanh" in seen["without gelu"]
    assert all(line.endswith("′") for line in seen["derivatives"])
    assert len(set(seen["styles"])) == len(seen["styles"]) > 40, "no two lines look alike"


@BROWSER
def test_the_address_says_what_is_selected(seen):
    assert seen["hash"] == "#identity,gelu,elu(alpha=0.5),maxout,silu;d"
    assert seen["moved hash"] == "#identity,gelu,elu(alpha=1.5),maxout(pieces=2),silu;d"
    assert seen["derivatives hash"].endswith("tanh;d-only")
    assert seen["zh"]["hash"].endswith(";lang=zh")
    assert seen["again"]["title"] == seen["zh"]["title"] != seen["language"]
    assert len(seen["again"]["lines"]) == len(seen["styles"])


@BROWSER
def test_values_are_read_with_mouse_and_keyboard(seen):
    mouse, keys = (dict(zip(*[iter(seen[how].split())] * 2, strict=False)) for how in ("hover", "keyboard"))
    assert float(mouse["x"].replace("−", "-")) == pytest.approx(0.0, abs=0.5)
    assert float(keys["x"]) == 1.0
    assert float(keys["tanh"]) == pytest.approx(math.tanh(1.0), abs=1e-4)
    assert float(keys["silu′"]) == pytest.approx(0.92767, abs=1e-4)
    assert seen["hidden"]


@BROWSER
def test_it_speaks_both_languages(seen):
    assert "图谱" in seen["zh"]["title"]
    for word in ("筛选", "单调", "增益", "出处", "各框架的含义", "测量环境"):
        assert word in seen["zh"]["text"], word
    assert "monotonic" not in seen["zh"]["text"]


def test_a_parameter_may_have_a_name_that_is_a_word_of_javascript():
    def formula(x, new, t):
        y = new * x
        return where(absolute(y) < INFINITY, y * y, new) + t

    assert javascript.function(formula) == (
        "(x, new_, t) => { const t0 = new_ * x; return where(absolute(t0) < inf, t0 * t0, new_) + t; }"
    )


def test_conventions_say_how_far_apart_they_are():
    rows = {row["means"]: row for row in atlas._conventions("hard_sigmoid")}
    assert "hard_sigmoid@keras2" in rows["hard_sigmoid(slope=0.2)"]["called"]
    assert float(rows["hard_sigmoid(slope=0.2)"]["off"]) == pytest.approx(1.0 / 12.0, abs=2e-3)
    assert rows["hard_sigmoid"]["off"] == "0"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no accuracy.json in"),
        ("{", "is no JSON"),
        ("[]", "is not what `actfun accuracy` writes"),
        ('{"command": 1}', "is not what `actfun accuracy` writes"),
    ],
)
def test_results_that_are_none_are_named(text, words, tmp_path):
    if text is not None:
        (tmp_path / "accuracy.json").write_text(text)
    with pytest.raises(ValueError, match=words) as told:
        af.atlas(accuracy=tmp_path)
    assert "`accuracy`: " in str(told.value)


def test_the_study_has_the_facts_as_rows(path):
    found = af.atlas()
    assert [row["name"] for row in found.rows] == list(af.names())
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()
    assert "softplus" in str(found)
    assert "softplus" in found._repr_html_()


def test_a_chart_of_curves():
    names = ["gelu", "leaky_relu(negative_slope=0.2)", "swiglu(gate='second')", "elu"]
    chart = af.plot(*names[:3], {"activation": "elu"}, derivative=True)
    told = chart.to_dict()
    points = told["data"]["values"] if "values" in told["data"] else told["datasets"][told["data"]["name"]]
    assert [told["encoding"][axis]["title"] for axis in "xy"] == ["x", "f(x), f′(x)"]
    assert list(dict.fromkeys(p["line"] for p in points)) == [line for name in names for line in (name, f"{name}′")]
    heights = {(p["line"], p["x"]): p["y"] for p in points}
    assert heights["leaky_relu(negative_slope=0.2)", -4.0] == -0.8
    assert heights["leaky_relu(negative_slope=0.2)′", -4.0] == 0.2
    assert heights["gelu", 1.0] == pytest.approx(af.gelu(torch.tensor(1.0)).item(), abs=1e-4)
    lines = {mark["line"] for mark in af.plot("gelu").to_dict()["datasets"].popitem()[1]}
    assert lines == {"gelu"}
    assert len(json.dumps(af.plot(*af.names(), derivative=True).to_dict(), allow_nan=False)) > 1e5


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: af.plot(), ValueError, "name at least one activation"),
        (lambda: af.plot("gelo"), ValueError, "did you mean gelu"),
        (lambda: af.plot(3), TypeError, "an activation is a name, or what `config` gave, got 3"),
        (lambda: af.plot("gelu", derivative=1), TypeError, "derivative must be True or False, got 1"),
        (lambda: af.plot("gelu(foo=1)"), TypeError, "unexpected keyword argument 'foo'"),
        (lambda: af.plot("gumbel_softmax(hard=True)"), ValueError, "hard cannot be shown by a curve"),
    ],
)
def test_a_chart_says_what_is_wrong(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_a_specification_shows_itself_in_a_notebook(monkeypatch):
    shown = af.spec("gelu")._repr_html_()
    assert "<svg" in shown
    assert "zero-centred" in shown
    assert af.spec("relu")._repr_html_() != shown

    def missing(*_):
        raise ImportError

    monkeypatch.setattr(af, "show", missing)
    assert af.spec("gelu")._repr_html_() is None
