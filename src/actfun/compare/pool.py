"""Trials in worker processes: Ctrl-C ends them, a dead parent takes them along, a dead worker costs one trial."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch

from actfun.compare.tasks import task
from actfun.compare.trial import Result, Trial, record, run

ATTEMPTS = 2  # a trial whose worker died is tried once more, then counted as failed


def _start_worker(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    torch.set_num_threads(threads)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # returns when the parent has ended, even by kill -9, which closes no queue for us
        os._exit(1)


class Pool:
    """Runs trials on `workers` processes with `threads` threads each; a context manager."""

    def __init__(self, workers: int, threads: int, work: Callable[[Trial], dict[str, Any]] = run) -> None:
        self.workers, self.threads = workers, threads
        self._work = work
        self._executor = self._new()

    def _new(self) -> concurrent.futures.ProcessPoolExecutor:
        return concurrent.futures.ProcessPoolExecutor(
            self.workers,
            mp_context=multiprocessing.get_context("spawn"),  # a forked child may not run parallel kernels
            initializer=_start_worker,
            initargs=(self.threads,),
        )

    def __enter__(self) -> "Pool":
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
        trials: Sequence[Trial],
        started: Callable[[Sequence[Trial]], None],
        finished: Callable[[dict[str, Any]], None],
    ) -> None:
        """Run trials; call `started` with those in work whenever they change, `finished` with each record at once."""
        waiting = list(reversed(trials))
        attempts: dict[Trial, int] = {}
        running: dict[concurrent.futures.Future[dict[str, Any]], Trial] = {}
        while waiting or running:
            while waiting and len(running) < self.workers:
                # After a worker died, its suspects run alone, so that only the guilty one is counted as failed.
                if running and (waiting[-1] in attempts or any(attempts[t] > 1 for t in running.values())):
                    break
                trial = waiting.pop()
                attempts[trial] = attempts.get(trial, 0) + 1
                running[self._submit(trial)] = trial
            started(tuple(running.values()))
            done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                trial = running.pop(future)
                try:
                    finished(future.result())
                except BrokenProcessPool:
                    if attempts[trial] < ATTEMPTS:
                        waiting.append(trial)
                    else:
                        worst = Result(task(trial.task).worst, failed=True, error="its worker process died")
                        finished(record(trial, worst))

    def _submit(self, trial: Trial) -> concurrent.futures.Future[dict[str, Any]]:
        try:
            return self._executor.submit(self._work, trial)
        except BrokenProcessPool:
            self._executor = self._new()
            return self._executor.submit(self._work, trial)
