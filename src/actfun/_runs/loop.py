"""The loop that every study runs its jobs in."""

from collections.abc import Iterable, Sequence

from actfun._runs.executors import Executor
from actfun._runs.job import Job, JobsFailedError, Record
from actfun._runs.logs import Log
from actfun._runs.progress import Progress
from actfun._runs.store import Store


class Loop:
    """Does jobs: a record of the store is used again, others are made and stored, each as it ends.

    known: the jobs that are certain, or possible; total: how many there will be (default: all known). log: is told each
    new record, after it is stored.
    A context manager, which shows progress and closes the store at its end.
    """

    def __init__(
        self, store: Store, things: str, known: Sequence[Job], total: int | None = None, log: Log | None = None
    ) -> None:
        self.store, self._log = store, log
        missing = {job.id for job in store.missing(known)}
        self._counted = {job.id for job in known} - missing  # those that progress knows to be there
        self.progress = Progress(len(known) if total is None else total, len(self._counted), things)

    def __enter__(self) -> "Loop":
        self.progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.__exit__()
        self.store.close()

    def do(self, jobs: Sequence[Job], executor: Executor) -> list[Record]:
        """The records of jobs, in order."""
        missing = self.store.missing(jobs)
        there = {job.id for job in jobs} - {job.id for job in missing} - self._counted
        self.progress.skip(len(there))
        self._counted |= there
        if missing:
            executor.run(missing, self._show, self._record)
        return [self.store.finished[job.id] for job in jobs]

    def _show(self, running: Iterable[Job]) -> None:
        self.progress.show(job.label for job in running)

    def _record(self, job: Job, record: Record) -> None:
        record = {"id": job.id, **record}
        self.store.append(record)
        self._counted.add(job.id)
        self.progress.finished(record)
        if self._log is not None:
            self._log(record)


def all_done(jobs: Sequence[Job], records: Sequence[Record]) -> list[Record]:
    """The records, for a study that needs each. Raises JobsFailedError where a job is broken."""
    failed = [(job, record) for job, record in zip(jobs, records, strict=True) if record.get("broken")]
    if failed:
        job, record = failed[0]
        raise JobsFailedError(
            f"{len(failed)} of {len(jobs)} jobs failed, the first {job.label}: {record['error']}; "
            "finished ones are kept, and resume tries the others anew"
        )
    return list(records)
