"""`actfun bench --memory`: what it measures is so, the page says it, and what is too much is found."""

import json

import pytest
import torch
from torch import nn

import actfun as af
from actfun._bench import memory
from actfun._cli import main
from actfun._report import memory as report


@pytest.fixture
def few(monkeypatch):
    """Few and small cells."""
    monkeypatch.setattr(memory, "BLOCKS", {name: memory.BLOCKS[name] for name in ("gelu", "tanh", "SwiGLU")})
    monkeypatch.setattr(memory, "PIECES", ("3 pieces",))
    monkeypatch.setattr(memory, "has_transformers", lambda: False)
    for module in (memory, report):
        monkeypatch.setattr(module, "ROWS", 512)


def test_what_is_allocated_is_measured():
    x = torch.randn(1_000, 1_000, requires_grad=True)

    def forward():
        return x.exp().exp()  # which keeps both results

    def step():
        y = forward()
        torch.autograd.grad(y, x, torch.ones_like(y))

    found = memory.measure(forward, step)
    assert found.kept == 4 * 10**6
    assert 4 * 4 * 10**6 <= found.peak <= 5 * 4 * 10**6
    assert memory.highest([3, 4, -5, 1, -3]) == 7


def test_blocks_maxout_and_feed_forward_are_measured_and_the_page_says_so(few, tmp_path, capsys):
    assert main(["bench", "--memory", "--eager", "--seconds", "0", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "Measuring 6 cells" in said and "Blocks under lean()" in said and "What falls short:" in said
    cells = {(r["group"], r["subject"]): r for r in json.loads((tmp_path / "memory.json").read_text())["cells"]}
    for (_, name), record in ((key, r) for key, r in cells.items() if key[0] == "block"):
        assert report.kept(record, "actfun") == pytest.approx(memory.BLOCKS[name][2], rel=0.03)
    assert report.kept(cells["block", "gelu"], "torch") == pytest.approx(8, rel=0.03)
    assert report.kept(cells["block", "gelu"], "checkpoint") == pytest.approx(4, rel=0.03)
    assert report.kept(cells["block", "SwiGLU"], "Liger's way") == pytest.approx(12, rel=0.03)
    assert report.kept(cells["maxout", "3 pieces"], "actfun") == pytest.approx(4.25, rel=0.03)
    page = (tmp_path / "memory.md").read_text()
    assert "Written by `actfun bench --memory --eager --seconds 0`" in page and "## nn.Maxout" in page
    assert "(memory.svg)" in page and (tmp_path / "memory.svg").read_text().startswith("<svg")
    assert "Nothing." in page
    assert main(["bench", "--memory", "--eager", "--seconds", "0", "--out", str(tmp_path), "--resume"]) == 0
    assert "6 of 6 cells" not in capsys.readouterr().out


def test_a_page_names_what_keeps_too_much_or_takes_too_long():
    record = {
        "group": "block",
        "subject": "gelu",
        "compiled": False,
        "batch": memory.ROWS,
        "elements": 10,
        "memory": {"actfun": {"kept": 50, "peak": 1}, "torch": {"kept": 80, "peak": 1}},
        "ratios": {"torch": [0.8, 0.9, 1.0]},
    }
    lines = "\n".join(report.shortfalls([record]))
    assert "gelu eager **5.00**" in lines and "gelu eager **0.90**" in lines
    assert "**0.90**" in str([section.columns for section in report.sections([record])])


def test_texts_that_fit_are_on_the_line_through_two_peaks():
    def of(batch, peak):
        sizes = {"kept": 1, "peak": peak}
        return {"group": "model", "subject": "GPT-2", "compiled": False, "batch": batch, "memory": {"actfun": sizes}}

    assert report.fits([of(4, 2**20 * 140), of(8, 2**20 * 180)], "GPT-2", False, "actfun") == (4_096 - 100) // 10


def test_ligers_way_gives_the_gradients():
    gate, up = (torch.randn(5, 7, dtype=torch.float64, requires_grad=True) for _ in range(2))
    g = torch.randn(5, 7, dtype=torch.float64)
    right = torch.autograd.grad(nn.functional.silu(gate) * up, [gate, up], g)
    copies = [one.clone() for one in (gate, up)]
    for a, b in zip(right, torch.autograd.grad(memory.SiluMul.apply(*copies), copies, g), strict=True):
        torch.testing.assert_close(a, b)


def test_what_does_not_go_with_memory_is_refused(capsys):
    with pytest.raises(ValueError, match="`memory` goes with `eager`, `compiled`, `seconds`"):
        af.bench("gelu", memory=True)
    assert main(["bench", "--memory", "--sizes", "16"]) == 2
    assert "--memory goes with" in capsys.readouterr().err
