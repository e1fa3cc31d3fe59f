"""The pages as a browser shows them: no error, no request, all charts drawn, nothing to scroll sideways on a phone."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_report_page import ACCURACIES, CHROMIUM, comparison

from actfun._catalogue.kinds import ELEMENTWISE
from actfun._catalogue.registry import names, spec
from actfun._claims import statements, verdicts
from actfun._claims.experiment import Scale
from actfun._claims.references import Reference
from actfun._operators.functional import function_of
from actfun._report import curves, show
from actfun._report.claims_page import claims_page, write_claims
from actfun._report.page import write_compare
from actfun._runs.host import machine
from actfun._runs.job import attempt

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
MADE_FROM = ["depth", "speed"]  # experiments of a second or so; the other claims have fewer measurements


def browse(path: Path) -> dict:
    browse = Path(__file__).with_name("browse.py")
    done = subprocess.run(
        [sys.executable, str(browse), str(path), CHROMIUM], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def sound(seen: dict, path: Path) -> None:
    assert seen["errors"] == []
    assert set(seen["requests"]) == {path.resolve().as_uri()[:60]}
    for view in [value for key, value in seen.items() if re.match(r"\d", key)]:
        assert view["drawn"] == view["charts"] > 0
        assert view["wider"] == 0


@pytest.fixture(scope="module")
def rows():
    chosen = [claim for claim in statements.claims() if set(claim.decided_by) <= {"exact", *MADE_FROM}]
    jobs = verdicts.jobs(chosen, Scale((0, 1), quick=True))
    return verdicts.judge(chosen, [attempt(job) for job in jobs])


REFERENCE = Reference("quadrature", "gain", {"name": "relu", "direction": "forward"}, 1.4, 1.5, 1e-9).as_record()


@pytest.mark.slow
def test_the_claims_page(tmp_path, rows):
    path = tmp_path / "claims.html"
    write_claims(path, rows, [REFERENCE], machine(1, 1))
    seen = browse(path)
    sound(seen, path)
    assert seen["moved"]
    assert all(seen["moved"].values())
    english, chinese = seen["375"]["text"], seen["375 zh"]["text"]
    assert "Sigmoid" in seen["375"]["title"] != seen["375 zh"]["title"]
    for row in (*rows, {"claim": REFERENCE["what"], "claim_zh": REFERENCE["what_zh"]}):
        assert row["claim"] in english
        assert row["claim_zh"] not in english
        assert row["claim_zh"] in chinese
        assert row["claim"] not in chinese


@pytest.mark.slow
def test_the_browser_notices_a_broken_page(tmp_path, rows):
    path = tmp_path / "broken.html"
    text = claims_page(rows, [REFERENCE], machine(1, 1)).replace("</main>", "<p style='width:2000px'>x</p></main>")
    path.write_text(text + "<script>nosuch()</script><img src='https://localhost/x.png'>", encoding="utf-8")
    seen = browse(path)
    assert any("nosuch" in error for error in seen["errors"])
    assert any("localhost" in error for error in seen["errors"]), "the policy blocks what would be fetched"
    assert seen["375"]["wider"] > 0


def test_the_report_of_a_comparison(tmp_path):
    path = tmp_path / "report.html"
    write_compare(path, *comparison(ACCURACIES))
    sound(browse(path), path)


@pytest.mark.parametrize("name", ["tanh", "softplus", "maxout"])
def test_the_page_of_an_activation(name, tmp_path):
    path = tmp_path / "show.html"
    show.write_html(path, name)
    seen = browse(path)
    sound(seen, path)
    assert all(seen["moved"].values())
    assert bool(seen["moved"]) == (name != "tanh")


@pytest.mark.parametrize("name", names(ELEMENTWISE))
def test_the_curve_shown_first_is_the_function_itself(name):
    points, slider = curves.rows(name)
    shown = [p for p in points if p["line"] == curves.SHOWN["function"] and p["at"] == curves.first(slider)]
    expected = function_of(spec(name))(torch.tensor([p["x"] for p in shown], dtype=torch.float64))
    assert [p["y"] for p in shown] == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.slow
def test_no_name_is_without_a_picture(tmp_path):
    for name in names():
        show.write_png(tmp_path / f"{name}.png", name)
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
