"""Jobs on the machines of a Ray cluster, as tasks; results come to the caller, which alone writes."""

import contextlib
import socket
from collections.abc import Sequence
from typing import Any

from actfun._runs.executors import ATTEMPTS, DIED, Finished, Started
from actfun._runs.job import Job, Record, attempt, broken

PATIENCE = 5.0  # seconds
LOST = f"{DIED}, or its machine was lost"


class Cluster:
    """Runs jobs as tasks of Ray, with `cpus` cores and `gpus` of a GPU each; a context manager.

    address: of a cluster that is there ("auto" for the one of this machine, "ray://HOST:PORT"); None starts one here,
    which ends with the context. Each machine needs the same packages, and files of data at the same places. A task
    whose machine is lost is tried once more. Raises ValueError where Ray is missing, or the cluster does not answer.
    """

    def __init__(self, address: str | None = None, cpus: int = 1, gpus: float = 0.0) -> None:
        try:
            import ray
        except ImportError:
            raise ValueError("`ray` needs Ray: pip install 'actfun[ray]'") from None
        self._ray = ray
        self._cpus, self._gpus = cpus, gpus
        self._own = not ray.is_initialized()
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level="error", ignore_reinit_error=True)
        except (ConnectionError, RuntimeError, TimeoutError, OSError) as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"`ray`: the cluster at {address or 'this machine'} does not answer: {said}") from None
        self._task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_attempt)

    @property
    def workers(self) -> int:
        """How many tasks fit at a time, by what the cluster has."""
        there = self._ray.cluster_resources()
        slots = int(there.get("CPU", 0) // self._cpus)
        if self._gpus:
            slots = min(slots, int(there.get("GPU", 0) / self._gpus))
        return max(slots, 1)

    @property
    def threads(self) -> int:
        """How many threads each has."""
        return self._cpus

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        if self._own:
            self._ray.shutdown()

    def run(self, jobs: Sequence[Job], started: Started, finished: Finished) -> None:
        """Run jobs, first come first served."""
        waiting, attempts = list(reversed(jobs)), dict.fromkeys(jobs, 0)
        running: dict[Any, Job] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    job = waiting.pop()
                    attempts[job] += 1
                    running[self._task.remote(job, self._cpus)] = job
                started(tuple(running.values()))
                done, _ = self._ray.wait(list(running), num_returns=1, timeout=5.0)
                for reference in done:
                    job = running.pop(reference)
                    record = self._record(job, reference)
                    if record is None and attempts[job] < ATTEMPTS:
                        waiting.append(job)
                    else:
                        finished(job, record or broken(job, LOST))
        finally:
            for reference in running:  # of a run that was interrupted
                with contextlib.suppress(Exception):
                    self._ray.cancel(reference, force=True)

    def _record(self, job: Job, reference: Any) -> Record | None:
        """What a task gave; None where it was lost."""
        try:
            record: Record = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:  # a package, or a file, that the machine does not have
            return broken(job, str(error).strip().splitlines()[-1])
        except self._ray.exceptions.RayError:
            return None
        return record


def _knock(address: str | None) -> None:
    """Raise OSError where nobody listens at HOST:PORT; Ray itself would go on asking for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()


def _attempt(job: Job, threads: int) -> Record:
    import torch

    torch.set_num_threads(threads)
    return attempt(job)
