"""Kernels under threads, in forked and spawned processes, and kept on disk."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import types
import warnings
from pathlib import Path

import pytest
import torch
from support import forget
from torch.utils.data import DataLoader, Dataset

import actfun as af
from actfun._backends import cpu
from actfun._backends.cpu import cache, jit, threads

X = torch.linspace(-9.0, 9.0, 100_003)
RIGHT = torch.sigmoid(X.double()).float()


def close(y: torch.Tensor) -> bool:
    return bool((y - RIGHT).abs().max() < 1e-7)


@pytest.fixture
def empty(monkeypatch, tmp_path):
    """A cache of its own, and no kernel in memory."""
    threads._team()
    monkeypatch.setenv(cache.SETTING, str(tmp_path / "cache"))
    forget()
    yield tmp_path / "cache"
    forget()


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def compilations(monkeypatch) -> list[str]:
    """What is compiled from now on."""
    texts: list[str] = []
    compiled = jit.compile_ir
    monkeypatch.setattr(jit, "compile_ir", lambda text: texts.append(text) or compiled(text))
    return texts


def test_a_kernel_is_compiled_once_a_machine(empty, compilations):
    for _ in range(3):
        forget()  # as in a new process
        assert close(af.sigmoid(X))
    assert len(compilations) == len(entries(empty)) == 1


def test_a_new_process_finds_what_another_has_kept(empty):
    code = (
        "import torch, actfun as af; from actfun._backends.cpu import jit; {}; print(af.sigmoid(torch.ones(5)).sum())"
    )
    environment = {**os.environ, cache.SETTING: str(empty)}
    for patch in ("pass", "jit.compile_ir = None"):
        command = [sys.executable, "-c", code.format(patch)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        assert done.stdout.startswith("tensor(3.655")


def formula_of(number: float) -> types.FunctionType:
    def scaled(x):
        return FACTOR * x  # noqa: F821

    return types.FunctionType(scaled.__code__, {"FACTOR": number}, "scaled")


def test_formulas_of_one_name_and_code_do_not_share_an_entry(empty):
    x = torch.tensor([1.0, -2.0])
    two, three = formula_of(2.0), formula_of(3.0)
    for function in (two, three):
        function.__module__ = __name__
    assert cpu.evaluate(two, x).tolist() == [2.0, -4.0]
    assert cpu.evaluate(three, x).tolist() == [3.0, -6.0]
    assert len(entries(empty)) == 2


@pytest.mark.parametrize("changed", ["version", "processor", "code"])
def test_an_entry_of_another_kind_is_not_found(empty, compilations, monkeypatch, changed):
    af.sigmoid(X)
    forget()
    if changed == "version":
        monkeypatch.setattr(cache, "__version__", "0.0.0")
    elif changed == "code":
        monkeypatch.setattr(cache, "fingerprint", lambda: "other")
    else:
        monkeypatch.setattr(jit, "processor", lambda: (jit.llvm.get_host_cpu_name(), "+avx2,+fma"))
    assert close(af.sigmoid(X))
    assert len(compilations) == len(entries(empty)) == 2


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:99] + b"?" + b[100:], lambda b: b""])
def test_a_broken_entry_is_made_anew(empty, compilations, damage):
    af.sigmoid(X)
    (path,) = entries(empty)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    forget()
    assert close(af.sigmoid(X))
    assert len(compilations) == 2
    assert path.read_bytes() == whole


def test_a_folder_that_cannot_be_written_costs_one_warning(monkeypatch, tmp_path, empty):
    (tmp_path / "file").touch()
    monkeypatch.setenv(cache.SETTING, str(tmp_path / "file" / "cache"))
    with pytest.warns(RuntimeWarning, match=f"cannot be kept in .*{cache.SETTING}") as caught:
        af.sigmoid(X), af.tanh(X)
    assert len(caught) == 1


def without_home(monkeypatch) -> None:
    """As for a user whom the system has no home folder for."""
    for name in (cache.SETTING, "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", staticmethod(lambda: Path("~nobody-of-this-name").expanduser()))
    monkeypatch.setattr(cache, "_warned", set())


def test_no_home_folder_costs_one_warning(monkeypatch, empty):
    without_home(monkeypatch)
    with pytest.warns(RuntimeWarning, match=f"cannot be kept in a folder .*home.*{cache.SETTING}") as caught:
        results = af.sigmoid(X), af.tanh(X)
    assert len(caught) == 1
    assert close(results[0])


@pytest.mark.parametrize("where", [(os, "open"), (Path, "mkdir")], ids=["open", "mkdir"])
def test_a_folder_that_cannot_be_entered_costs_one_warning(monkeypatch, empty, where):
    def refused(path, *arguments, **named):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(*where, refused)
    monkeypatch.setattr(Path, "mkdir", refused)
    monkeypatch.setattr(cache, "_warned", set())
    with pytest.warns(RuntimeWarning, match="Permission denied") as caught:
        results = af.sigmoid(X), af.tanh(X)
    assert len(caught) == 1
    assert close(results[0])


def open_to_all(path: Path, monkeypatch) -> None:
    path.chmod(0o777)


def linked(path: Path, monkeypatch) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def another_s(path: Path, monkeypatch) -> None:
    if os.getuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)


POSIX = pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has other rights")
planted = pytest.mark.parametrize("plant", [open_to_all, linked, another_s], ids=lambda plant: plant.__name__)


@POSIX
@planted
def test_a_folder_that_others_could_have_filled_is_not_read(monkeypatch, empty, compilations, plant):
    af.sigmoid(X)
    (path,) = entries(empty)
    plant(path.parent, monkeypatch)
    forget()
    monkeypatch.setattr(cache, "_warned", set())
    with pytest.warns(RuntimeWarning, match="cannot be kept in"):
        assert close(af.sigmoid(X))
    assert len(compilations) == 2


@POSIX
@planted
def test_a_file_that_others_could_have_written_is_not_read_but_made_anew(monkeypatch, empty, compilations, plant):
    af.sigmoid(X)
    (path,) = entries(empty)
    plant(path, monkeypatch)
    forget()
    if plant is another_s and os.getuid() == 12345:  # the folder is not this user's either
        monkeypatch.undo()
        pytest.skip("only root can give a file away")
    assert close(af.sigmoid(X))
    assert len(compilations) == 2
    assert not path.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_kept_if_the_setting_is_empty(monkeypatch, empty):
    monkeypatch.setenv(cache.SETTING, "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert close(af.sigmoid(X))
    assert not empty.exists()


def test_processes_that_fill_the_cache_at_once_do_no_harm(empty):
    code = "import torch, actfun as af; x = torch.ones(5); print([af.get(n)(x).sum().item() for n in ('silu', 'elu')])"
    environment = {**os.environ, cache.SETTING: str(empty)}
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) for _ in range(4)
    ]
    outputs = {process.communicate()[0] for process in running}
    assert len(outputs) == 1
    assert all(process.returncode == 0 for process in running)
    assert [path.suffix for path in entries(empty)] == [".o"] * 2  # no team for so few


def test_python_threads_may_call_at_once():
    results: list[bool] = []

    def work() -> None:
        for _ in range(50):
            results.append(close(af.sigmoid(X)))

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [True] * 300


SLOW_ENGINE = """
import threading, time, torch, actfun as af
from actfun._backends.cpu import jit

make, made, sums = jit.llvm.create_mcjit_compiler, [], []

def slowly(*arguments):
    time.sleep(0.3)  # time enough for another thread to begin one too
    made.append(make(*arguments))
    return made[-1]

jit.llvm.create_mcjit_compiler = slowly
names = ["silu", "elu", "mish", "tanh"] * 3
work = [threading.Thread(target=lambda n=n: sums.append(af.get(n)(torch.ones(9)).sum().item())) for n in names]
[w.start() for w in work], [w.join() for w in work]
print(len(made), len(sums), len(set(sums)))
"""


def test_the_first_calls_of_several_threads_make_one_engine(empty):
    environment = {**os.environ, cache.SETTING: str(empty)}
    command = [sys.executable, "-c", SLOW_ENGINE]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["1", "12", "4"]


def test_without_openmp_pythons_threads_give_the_same(monkeypatch):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        expected = af.silu(X)
        monkeypatch.setattr(threads, "_team", lambda: None)
        assert torch.equal(af.silu(X), expected)
    finally:
        torch.set_num_threads(before)


class Squashed(Dataset):
    """Numbers through a kernel, in a worker."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        return af.sigmoid(X)[::100]  # few, for torch's own operations may wait for ever in a forked child with threads


def two_threads(_: int) -> None:
    torch.set_num_threads(2)


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.parametrize("several", [False, True], ids=["one thread", "several"])
def test_workers_of_a_data_loader_may_call(method, several):
    assert close(af.sigmoid(X))  # in parallel, before any fork

    begin = two_threads if several else None
    loader = DataLoader(Squashed(), num_workers=2, multiprocessing_context=method, worker_init_fn=begin)
    assert all(torch.allclose(y[0], RIGHT[::100]) for y in loader)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_may_call_after_its_parent_did():
    af.sigmoid(X)
    child = os.fork()
    if child == 0:
        torch.set_num_threads(2)
        os._exit(0 if torch.allclose(af.sigmoid(X)[::100], RIGHT[::100]) else 1)
    assert os.waitpid(child, 0)[1] == 0


FORK_MEANWHILE = """
import os, signal, threading, time, torch, actfun as af
from actfun._backends.cpu import cache, jit

compiled, begun = jit.compile_ir, threading.Event()

def slowly(text):
    begun.set()
    time.sleep(0.5)  # time enough for the fork
    return compiled(text)

os.environ[cache.SETTING], jit.compile_ir = "", slowly
work = threading.Thread(target=af.mish, args=(torch.ones(9),))
work.start()
begun.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)  # ends a child that waits for ever
    os._exit(0 if float(af.tanh(torch.ones(9)).sum()) > 6.8 else 1)
print(os.waitpid(child, 0)[1])
work.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("guarded", [True, False])
def test_a_child_forked_while_a_thread_compiles_may_call(guarded):
    code = FORK_MEANWHILE
    if not guarded:
        code = "import os, torch; os.register_at_fork = lambda **when: None" + code
        code = code.replace("alarm(60)", "alarm(3)").replace("sleep(0.5)", "sleep(3.0)")
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ("0" if guarded else str(int(signal.SIGALRM))), done.stderr
