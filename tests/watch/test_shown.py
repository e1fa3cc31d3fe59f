"""How `af.watch` shows what it saw: a table, lines, a live display, a notebook, a page, a command."""

import io
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from rich.live import Live
from support import ROOT
from torch import nn
from torch.nn import functional

import actfun as af
from actfun._cli import main
from actfun._report import watch_charts, watch_live
from actfun._report.watch_page import watch_page
from actfun._runs.host import machine

SCRIPT = """
import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=6)
parser.add_argument("--fail", action="store_true")
parser.add_argument("--rate", type=float, default=0.01)
options = parser.parse_args()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))


if __name__ == "__main__":
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), options.rate)
    for step in range(options.steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(torch.randn(600, 5)), torch.randint(3, (600,))).backward()
        optimizer.step()
    print("trained", options.steps, "steps")
    if options.fail:
        raise SystemExit("no luck")
"""


def trained(steps=12, dead=True, live=False, every=1):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    if dead:
        with torch.no_grad():
            model[0].bias[:4] = -50.0
    with af.watch(model, every=every, live=live) as watch:
        for _ in range(steps):
            optimizer.zero_grad()
            functional.cross_entropy(model(torch.randn(600, 5)), torch.randint(3, (600,))).backward()
            optimizer.step()
    return watch


def test_a_table_has_a_row_for_each_place_and_the_findings():
    lines = str(trained()).splitlines()
    assert lines[0] == "Step 11"
    heads = lines[2].split()
    assert heads[:4] == ["layer", "activation", "status", "dead"]
    row = next(line.split() for line in lines if line.strip().startswith("1 "))
    assert row[:5] == ["1", "relu", "dead", "4/8", row[4]]
    assert any(line.startswith("• 1 (relu): 50% of the units are dead") for line in lines)
    assert "12 of 12 steps watched" in lines[-1] and "2 of 2 nonlinearities" in lines[-1]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_narrow_terminal_gets_whole_columns(width):
    console = Console(file=io.StringIO(), width=width)
    console.print(trained(dead=False).table(width))
    shown = console.file.getvalue().splitlines()
    assert max(map(len, shown)) <= width
    assert "…" not in "".join(shown[:6])
    assert ("samples" in shown[2]) is (width == 200)


def test_before_any_step_there_is_a_word():
    assert str(af.watch(nn.ReLU())).startswith("Nothing was seen yet. 0 of 1 nonlinearities watched")


def test_without_a_terminal_each_finding_is_a_line(capsys):
    trained(live=None)
    out, err = capsys.readouterr()
    lines = err.strip().splitlines()
    assert out == ""
    assert len(lines) == 2
    assert lines[0].startswith("actfun.watch: step 6: 1 (relu): 50% of the units are dead")
    assert lines[1].startswith("actfun.watch: Many units are dead, at 1. 12 of 12 steps watched")
    trained(live=False)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_is_drawn_in_one_place(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(watch_live, "get_console", lambda: console)
    trained(live=True)
    text = console.file.getvalue()
    assert "\x1b[1A" in text  # the cursor goes back up
    assert "Step 11" in text
    assert "dead" in text


def test_where_another_display_runs_lines_take_over(monkeypatch, capsys):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(watch_live, "get_console", lambda: console)
    with Live("mine", console=console, auto_refresh=False):
        trained(live=True)
    assert "Step 11" not in console.file.getvalue()
    assert "actfun.watch: step 6: 1 (relu)" in console.file.getvalue()  # the display prints what others say
    from tqdm import tqdm

    with tqdm(total=3, file=io.StringIO()):
        trained(live=True)
    assert "actfun.watch: step 6: 1 (relu)" in capsys.readouterr().err
    assert "Step 11" not in console.file.getvalue()


def test_a_notebook_is_updated_in_place():
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    code = "import sys; sys.path[:0] = " + repr([str(Path(__file__).parent), str(ROOT / "tests"), str(ROOT / "src")])
    code += "\nimport test_shown\nwatch = test_shown.trained(live=None)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code), nbformat.v4.new_code_cell("watch")])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    (shown,), (asked,) = (cell.outputs for cell in notebook.cells)
    assert shown["output_type"] == "display_data"
    for output in (shown, asked):
        text = output["data"]["text/html"]
        assert "Step 11" in text and "50% of the units are dead" in text and "<table" in text


# The page.


@pytest.fixture(scope="module")
def watch():
    return trained(steps=30)


def test_a_page_has_both_languages_and_needs_no_network(watch, tmp_path):
    watch.html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Many units are dead, at 1." in page and "死亡单元" in page
    assert "default-src 'none'" in page
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", page.partition("<script>")[0])
    specs = json.loads(re.search(r'id="specs">(.*?)</script>', page, re.S)[1])
    assert {"heat-dead", "heat-flat", "heat-centre", "heat-gradient", "curve", "gradients", "deaths", "updates"} == {
        *specs
    }
    strips = json.loads(re.search(r'id="strips">(.*?)</script>', page, re.S)[1])
    assert {name: (s["width"], s["steps"]) for name, s in strips.items()} == {"1": (30, [0, 29]), "3": (30, [0, 29])}


def test_a_page_of_nothing_says_so():
    page = watch_page(af.watch(nn.ReLU()), machine(1, 1))
    assert "No step was seen." in page and "没有看到任何一步" in page


def test_a_page_of_a_network_that_does_not_train():
    model = nn.Sequential(nn.Linear(4, 4), nn.PReLU(4), nn.Linear(4, 4), af.nn.Maxout(4, 2), nn.GLU(-1))
    with af.watch(model, live=False) as watch, torch.no_grad():
        model(torch.randn(5, 4))
    page = watch_page(watch, machine(1, 1))
    assert "No optimizer made a step" in page


def test_bars_are_a_density(watch):
    counts = watch.windows[-1].bins["1"]
    bars = watch_charts._bars("1", counts)
    share = sum(bar["density"] * (bar["x2"] - bar["x"]) for bar in bars)
    assert 0.99 < share < 1.0 + 1e-9
    assert all(a["x2"] <= b["x"] for a, b in itertools.pairwise(bars))


def test_a_strip_keeps_every_count(watch):
    counts = watch.windows[-1].bins["1"]
    octaves = watch_charts._octaves(counts)
    assert sum(octaves) == sum(counts)
    assert len(octaves) % 2 == 1
    mirrored = watch_charts._octaves(counts[::-1])
    assert mirrored == octaves[::-1]


# The command.


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "actfun", "watch", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_a_script_runs_as_it_is(script, tmp_path):
    page = tmp_path / "page.html"
    done = run("--html", page, "--every", 1, script, "--steps", 9)
    assert done.returncode == 0, done.stderr
    assert "trained 9 steps" in done.stdout
    assert "9 of 9 steps watched" in done.stdout and "torch.relu" in done.stdout
    assert page.exists() and "The activations of Net" in page.read_text()


def test_a_script_that_fails_is_told_of_and_its_exit_code_is_kept(script):
    done = run("--every", 1, script, "--fail")
    assert done.returncode == 1
    assert "no luck" in done.stderr and "6 of 6 steps watched" in done.stdout
    script.write_text(SCRIPT + "\n    raise KeyError('mine')\n")
    done = run("--every", 1, script)
    assert done.returncode == 1
    assert "KeyError: 'mine'" in done.stderr and "actfun/_" not in done.stderr
    assert "6 of 6 steps watched" in done.stdout
    script.write_text("import sys; sys.exit(7)")
    done = run(script)
    assert done.returncode == 7
    assert "no optimizer was made" in done.stderr


def test_a_script_that_does_not_learn_is_diagnosed(script):
    done = run("--every", 1, script, "--rate", 3, "--steps", 40)
    assert "If it did not learn, the likeliest causes:" in done.stdout
    assert "1. The learning rate is too large" in done.stdout


def test_a_module_runs_as_python_runs_it(script):
    (script.parent / "package").mkdir()
    (script.parent / "package" / "__init__.py").touch()
    script.rename(script.parent / "package" / "train.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = run("-m", "--every", 1, "package.train", "--steps", 4, cwd=script.parent, env=environment)
    assert "4 of 4 steps watched" in done.stdout, done.stderr


def test_two_models_get_a_page_each(script, tmp_path):
    script.write_text(
        """
import torch
from torch import nn
nets = [nn.Sequential(nn.Linear(4, 4), act, nn.Linear(4, 1)) for act in (nn.ReLU(), nn.Tanh())]
held = {"both": nets}
optimizers = [torch.optim.SGD(net.parameters(), 0.1) for net in nets]
for _ in range(3):
    for net, optimizer in zip(nets, optimizers):
        net(torch.randn(5, 4)).square().mean().backward()
        optimizer.step()
"""
    )
    done = run("--html", tmp_path / "page.html", script)
    assert done.returncode == 0, done.stderr
    assert "relu" in (tmp_path / "page.html").read_text() and "tanh" in (tmp_path / "page-2.html").read_text()


def test_what_cannot_be_right_is_one_line(capsys, tmp_path, script):
    assert main(["watch", str(tmp_path / "none.py")]) == 2
    assert "SCRIPT: there is no file" in capsys.readouterr().err
    assert main(["watch", "--html", str(tmp_path / "none" / "page.html"), str(script)]) == 2
    assert "--html: there is no folder" in capsys.readouterr().err
    assert main(["watch", "--every", "0", str(script)]) == 2
    assert main(["watch", "--budget", "0", str(script)]) == 2


def test_a_terminal_sees_the_table(script):
    pexpect = pytest.importorskip("pexpect")
    command = f"{sys.executable} -m actfun watch --every 1 {script} --steps 20"
    child = pexpect.spawn(command, dimensions=(40, 100), encoding="utf-8", timeout=120)
    child.expect(pexpect.EOF)
    child.close()
    text = child.before
    assert child.exitstatus == 0
    assert "\x1b[1A" in text and "torch.relu" in text and "20 of 20 steps watched" in text
