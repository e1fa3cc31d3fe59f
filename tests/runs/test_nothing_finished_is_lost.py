"""Interruptions of `actfun compare`: Ctrl-C, kill -9, a torn file, a dead worker; and what the command writes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from actfun._runs.executors import ATTEMPTS, Processes
from actfun._runs.job import Job
from actfun._runs.store import Store, read

COMMAND = [
    sys.executable,
    "-m",
    "actfun",
    "compare",
    "digits",
    "--quick",
    "--activations",
    "relu,tanh",
    "--workers",
    "2",
]


def start(folder: Path, *more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, "--out", str(folder), *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_results(folder: Path, count: int, process: subprocess.Popen) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end and process.poll() is None:
        path = folder / "results.jsonl"
        if path.exists() and path.read_text().count("\n") >= count:
            return
        time.sleep(0.02)
    pytest.fail(f"no {count} results in time: {process.communicate()}")


def workers_of(process: subprocess.Popen) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in children.read_text().split()] if children.exists() else []


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["ctrl-c", "kill -9"])
def test_an_interrupted_run_keeps_what_finished_and_resumes(tmp_path, number, code):
    process = start(tmp_path)
    wait_for_results(tmp_path, 3, process)
    workers = workers_of(process)
    process.send_signal(number)
    _, error = process.communicate(timeout=600)
    assert process.returncode == code
    assert number is signal.SIGKILL or "all finished work is kept" in error
    end = time.monotonic() + 20
    while any(alive(pid) for pid in workers) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in workers), "a worker outlived its parent"
    kept = (tmp_path / "results.jsonl").read_text().splitlines()
    assert len(kept) >= 3
    again = start(tmp_path, "--resume")
    output, error = again.communicate(timeout=600)
    assert again.returncode == 0, error
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert lines[: len(kept)] == kept
    ids = [json.loads(line)["id"] for line in lines]
    assert len(set(ids)) == len(ids)
    assert "scored best" in output
    for name in ("summary.json", "report.html"):
        assert (tmp_path / name).stat().st_size > 0


@pytest.mark.slow
def test_the_same_command_gives_the_same_scores(tmp_path):
    scores = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        command = [*COMMAND, "--out", str(folder), "--seeds", "2"]
        subprocess.run(command, capture_output=True, check=True, timeout=600)
        scores.append({trial["id"]: trial["score"] for trial in read(folder / "results.jsonl")})
    assert scores[0] == scores[1]
    assert len(scores[0]) >= 10
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    wanted = {"name", "mean", "low", "high", "difference", "step_milliseconds", "dead_share", "saturated_share"}
    assert all(wanted <= set(row) for row in summary["activations"])


def test_a_run_without_resume_sets_earlier_results_aside(tmp_path):
    for name in "ab":
        with contextlib.closing(Store(tmp_path, resume=False)) as store:
            assert store.finished == {}
            store.append({"id": name})
    with contextlib.closing(Store(tmp_path, resume=True)) as store:
        assert store.finished == {"b": {"id": "b"}}
    with contextlib.closing(Store(tmp_path, resume=False)) as store:
        assert store.kept_as == tmp_path / "results.2.jsonl"
    assert [read(tmp_path / f"results.{k}.jsonl") for k in (1, 2)] == [[{"id": "a"}], [{"id": "b"}]]


def test_two_runs_cannot_share_a_folder(tmp_path):
    with contextlib.closing(Store(tmp_path, resume=True)), pytest.raises(ValueError, match="another run is writing"):
        Store(tmp_path, resume=True)
    Store(tmp_path, resume=True).close()


@pytest.mark.parametrize("torn", ['{"id": "c", "sc', '{"id": "c"}', "\x00\x00"])
def test_a_torn_last_line_is_dropped_and_written_over(tmp_path, torn):
    path = tmp_path / "results.jsonl"
    path.write_text('{"id": "a"}\n{"id": "b"}\n' + torn)
    with contextlib.closing(Store(tmp_path, resume=True)) as store:
        store.append({"id": "d"})
    assert [trial["id"] for trial in read(path)] in (["a", "b", "d"], ["a", "b", "c", "d"])


def test_damage_in_the_middle_is_an_error_that_names_the_line(tmp_path):
    (tmp_path / "results.jsonl").write_text('{"id": "a"}\ngarbage\n{"id": "b"}\n')
    with pytest.raises(ValueError, match="line 2 is not a result"):
        Store(tmp_path, resume=True)


@dataclass(frozen=True)
class Deadly(Job):
    """Ends its process where the seed is 1; notes each attempt in a file."""

    studies = ()
    seed: int
    notes: str

    @property
    def label(self) -> str:
        return str(self.seed)

    def run(self) -> dict:
        with Path(self.notes).open("a") as file:
            file.write(f"{self.seed}\n")
        if self.seed == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"failed": False}


def test_a_dead_worker_costs_its_own_job_only_after_a_second_attempt(tmp_path):
    jobs = [Deadly(seed, str(tmp_path / "notes")) for seed in range(5)]
    records: dict[int, dict] = {}
    with Processes(2, 1) as executor:
        executor.run(jobs, lambda running: None, lambda job, record: records.update({job.seed: record}))
    assert {seed: record["failed"] for seed, record in records.items()} == {seed: seed == 1 for seed in range(5)}
    assert records[1]["error"] == "its worker process died"
    assert records[1]["broken"]
    assert (tmp_path / "notes").read_text().split().count("1") == ATTEMPTS


@dataclass(frozen=True)
class Greedy(Job):
    """Has no memory at its first attempts; notes when each attempt began and ended."""

    studies = ()
    number: int
    notes: str
    fails: int = 0

    @property
    def label(self) -> str:
        return str(self.number)

    def run(self) -> dict:
        path = Path(self.notes) / str(self.number)
        before = path.read_text().split("\n")[:-1] if path.exists() else []
        began = time.time()
        time.sleep(0.3)
        path.write_text("\n".join([*before, f"{began} {time.time()}"]) + "\n")
        if len(before) < self.fails:
            raise torch.OutOfMemoryError("no memory")
        return {"failed": False}


def test_a_job_without_memory_is_tried_again_alone_and_then_named(tmp_path):
    jobs = [Greedy(k, str(tmp_path), fails={1: 1, 2: 9}.get(k, 0)) for k in range(6)]
    records: dict[int, dict] = {}
    with Processes(2, 1) as executor:
        executor.run(jobs, lambda running: None, lambda job, record: records.update({job.number: record}))
    assert {number for number, record in records.items() if record["failed"]} == {2}
    assert records[2]["error"] == "OutOfMemoryError: no memory" and records[2]["broken"]
    times = {
        k: [tuple(map(float, line.split())) for line in (tmp_path / str(k)).read_text().splitlines()] for k in range(6)
    }
    assert [len(times[k]) for k in range(6)] == [1, ATTEMPTS, ATTEMPTS, 1, 1, 1]
    for k in (1, 2):
        began, ended = times[k][1]
        others = [spell for j, spells in times.items() for spell in spells if (j, spell) != (k, (began, ended))]
        assert not any(a < ended and b > began for a, b in others), "it was not alone"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_table_whose_caller_and_whose_worker_are_killed_gives_the_same_scores(tmp_path):
    pytest.importorskip("skrub")
    table = tmp_path / "t.csv"
    rows = [f"{k % 17},{'abc'[k % 3]},{(k % 17) * 1.5 + k % 3}" for k in range(200)]
    table.write_text("\n".join(["a,b,y", *rows]) + "\n")
    command = [*COMMAND[:4], str(table), "--target", "y", *COMMAND[5:], "--lrs", "0.003,0.01", "--seeds", "4"]

    def run(name: str, *more: str) -> subprocess.Popen:
        given = [*command, "--out", str(tmp_path / name), *more]
        return subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    first = run("whole")
    _, error = first.communicate(timeout=600)
    assert first.returncode == 0, error
    killed = run("killed")
    wait_for_results(tmp_path / "killed", 3, killed)
    killed.kill()
    killed.communicate(timeout=600)
    again = run("killed", "--resume")
    wait_for_results(tmp_path / "killed", 5, again)
    workers = [pid for pid in workers_of(again) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(workers[0], signal.SIGKILL)
    _, error = again.communicate(timeout=600)
    assert again.returncode == 0, error
    whole, other = (read(tmp_path / name / "results.jsonl") for name in ("whole", "killed"))
    assert {r["id"]: r["score"] for r in whole} == {r["id"]: r["score"] for r in other if not r.get("broken")}
