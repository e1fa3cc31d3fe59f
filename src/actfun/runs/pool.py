"""Jobs in worker processes: Ctrl-C ends them, a dead parent takes them along, a dead worker costs one job."""

import concurrent.futures
import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, TypeVar

import torch

ATTEMPTS = 2  # a job whose worker died is tried once more, then given up

Job = TypeVar("Job")
Record = dict[str, Any]


def _start_worker(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    torch.set_num_threads(threads)
    _keep_memory()
    threading.Thread(target=_follow_parent, daemon=True).start()


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


class Pool(Generic[Job]):
    """Runs jobs on `workers` processes with `threads` threads each; a context manager.

    work: the record of a job. lost: the record of a job that ended two workers; it may raise.
    """

    def __init__(
        self, workers: int, threads: int, work: Callable[[Job], Record], lost: Callable[[Job], Record]
    ) -> None:
        self.workers, self.threads = workers, threads
        self._work, self._lost = work, lost
        self._executor = self._new()

    def _new(self) -> concurrent.futures.ProcessPoolExecutor:
        return concurrent.futures.ProcessPoolExecutor(
            self.workers,
            mp_context=multiprocessing.get_context("spawn"),  # a forked child may not run parallel kernels
            initializer=_start_worker,
            initargs=(self.threads,),
        )

    def __enter__(self) -> "Pool[Job]":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would only spoil the clean end
        processes = list((self._executor._processes or {}).values())
        self._executor.shutdown(wait=kind is None, cancel_futures=True)
        if kind is not None:
            for process in processes:
                process.terminate()

    def run(
        self,
        jobs: Sequence[Job],
        started: Callable[[Sequence[Job]], None],
        finished: Callable[[Record], None],
    ) -> None:
        """Run jobs; call `started` with those in work whenever they change, `finished` with each record at once."""
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
                running[self._submit(job)] = job
            started(tuple(running.values()))
            done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                try:
                    finished(future.result())
                except BrokenProcessPool:
                    if attempts[job] < ATTEMPTS:
                        waiting.append(job)
                    else:
                        finished(self._lost(job))

    def _submit(self, job: Job) -> concurrent.futures.Future[Record]:
        try:
            return self._executor.submit(self._work, job)
        except BrokenProcessPool:
            self._executor = self._new()
            return self._executor.submit(self._work, job)
