"""Where jobs run: in this process, or in worker processes.

One policy for what goes wrong: a job that raises is recorded as broken, and a job whose worker process dies is tried
once more before. The other jobs go on. The next run with `resume` tries broken jobs anew.
"""

import concurrent.futures
import contextlib
import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

import torch

from actfun._runs.host import cores
from actfun._runs.job import Job, Record, attempt, broken

ATTEMPTS = 2  # of a job whose worker process dies, or that runs out of memory
NO_MEMORY = torch.OutOfMemoryError.__name__
DIED = "its worker process died"

T = TypeVar("T")
Started = Callable[[Sequence[Job]], None]
Finished = Callable[[Job, Record], None]


class Executor(Protocol):
    """Runs jobs: `workers` at a time, with `threads` threads each."""

    @property
    def workers(self) -> int:
        """How many jobs run at a time."""

    @property
    def threads(self) -> int:
        """How many threads each has."""

    def run(self, jobs: Sequence[Job], started: Started, finished: Finished) -> None:
        """Run jobs; call `started` with those in work whenever they change, `finished` with each and its record."""


class Inline:
    """Runs jobs one after another in this process."""

    workers = 1

    @property
    def threads(self) -> int:
        """torch's in this process."""
        return torch.get_num_threads()

    def run(self, jobs: Sequence[Job], started: Started, finished: Finished) -> None:
        """Run jobs, in order."""
        for job in jobs:
            started([job])
            finished(job, attempt(job))


def _start_worker(threads: int, slots: Any, per_gpu: int) -> None:
    if per_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = _visible()[slots.get() // per_gpu]  # before torch looks
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    torch.set_num_threads(threads)
    _keep_memory()
    threading.Thread(target=_follow_parent, daemon=True).start()


def _visible() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(k) for k in range(torch.cuda.device_count())]


def _keep_memory() -> None:
    """Make glibc keep freed memory: fresh pages for every result can cost several times the arithmetic on them."""
    libc = ctypes.CDLL(None) if os.name == "posix" else None
    if libc is not None and hasattr(libc, "mallopt"):
        for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            libc.mallopt(option, 2**30)


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # returns when the parent has ended, even by kill -9, which closes no queue for us
        os._exit(1)


def _nothing() -> None:
    """What a worker process can do if it can do anything."""


class Processes:
    """Runs jobs on `workers` processes with `threads` threads each; a context manager. Ctrl-C ends them.

    threads: by default the cores are shared out. per_gpu: how many share a GPU, each of which has that many; 0 for
    none. A job that runs out of memory is tried once more, alone. A dead parent takes its workers along. Raises
    RuntimeError where processes cannot start at all.
    """

    def __init__(self, workers: int, threads: int | None = None, per_gpu: int = 0) -> None:
        self.workers, self.threads = workers, threads or max(1, cores() // workers)
        self._per_gpu = per_gpu
        self._proven = False  # whether a worker process has ever done anything
        self._pool = self._new()

    def _new(self) -> concurrent.futures.ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a forked child may not run parallel kernels
        slots = context.SimpleQueue()
        for slot in range(self.workers):
            slots.put(slot)
        arguments = self.threads, slots, self._per_gpu
        return concurrent.futures.ProcessPoolExecutor(self.workers, context, _start_worker, arguments)

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        processes = list((self._pool._processes or {}).values())
        if kind is None:
            self._pool.shutdown()
            return
        with _ignore_ctrl_c():  # a second one would only spoil the clean end
            self._pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()

    def run(self, jobs: Sequence[Job], started: Started, finished: Finished) -> None:
        """Run jobs, first come first served."""
        waiting = list(reversed(jobs))
        attempts: dict[Job, int] = {}
        running: dict[concurrent.futures.Future[Record], Job] = {}
        while waiting or running:
            while waiting and len(running) < self.workers:
                # After a worker died, its suspects run alone, so that only the guilty one is given up.
                if running and (waiting[-1] in attempts or any(attempts[job] > 1 for job in running.values())):
                    break
                job = waiting.pop()
                attempts[job] = attempts.get(job, 0) + 1
                running[self._submit(attempt, job)] = job
            started(tuple(running.values()))
            done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                try:
                    record = future.result()
                    self._proven = True
                except BrokenProcessPool:
                    self._prove()
                    if attempts[job] < ATTEMPTS:
                        waiting.append(job)
                        continue
                    record = broken(job, DIED)
                if record.get("broken") and NO_MEMORY in str(record["error"]) and attempts[job] < ATTEMPTS:
                    waiting.append(job)  # which runs alone
                    continue
                finished(job, record)

    def _submit(self, work: Callable[..., T], *arguments: Any) -> concurrent.futures.Future[T]:
        try:
            return self._pool.submit(work, *arguments)
        except BrokenProcessPool:
            self._pool = self._new()
            return self._pool.submit(work, *arguments)

    def _prove(self) -> None:
        """Raise RuntimeError where worker processes die before they have done anything."""
        if self._proven:
            return
        try:
            self._submit(_nothing).result()
        except BrokenProcessPool:
            raise RuntimeError(
                "worker processes cannot start. Each of them imports the script that started it: "
                'put what the script does under `if __name__ == "__main__":`'
            ) from None
        self._proven = True


@contextlib.contextmanager
def _ignore_ctrl_c() -> Iterator[None]:
    """Within, Ctrl-C does nothing; only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
