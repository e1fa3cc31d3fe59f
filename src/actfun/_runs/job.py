"""A piece of work: what it is, how it is done, what is kept of it, and when that may be used again."""

import dataclasses
import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from actfun._runs.digest import code

Record = dict[str, Any]


class JobsFailedError(RuntimeError):
    """A study cannot be finished, because jobs that it needs failed."""


@dataclass(frozen=True)
class Job(ABC):
    """A piece of work. Subclasses are frozen dataclasses whose fields say what is to be done.

    studies: those whose code decides the result (`runs.digest.STUDIES`).
    """

    studies: ClassVar[tuple[str, ...]]

    @property
    def id(self) -> str:
        """A digest of the configuration and of the code that decides the result: equal ids, equal results."""
        text = json.dumps([type(self).__name__, self.configuration, code(self.studies)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def configuration(self) -> dict[str, Any]:
        """All that the result depends on, beside the code."""
        return dataclasses.asdict(self)

    @property
    @abstractmethod
    def label(self) -> str:
        """What a reader knows the job by."""

    @abstractmethod
    def run(self) -> Mapping[str, Any]:
        """Do the work; what was found."""

    def failure(self, error: str) -> Mapping[str, Any]:
        """What stands for that where the work could not be done."""
        return {"failed": True, "error": error}

    def record(self, found: Mapping[str, Any], seconds: float) -> Record:
        """What is kept: a flat dictionary, to which the store adds the id."""
        return {**dataclasses.asdict(self), "seconds": round(seconds, 3), **found}


def attempt(job: Job) -> Record:
    """Do a job; its record. An exception makes it a broken one, and other jobs go on."""
    start = time.perf_counter()
    try:
        return job.record(job.run(), time.perf_counter() - start)
    except Exception as error:
        return broken(job, f"{type(error).__name__}: {error}", time.perf_counter() - start)


def broken(job: Job, error: str, seconds: float = 0.0) -> Record:
    """The record of a job that raised an exception, or whose worker processes died."""
    return {**job.record(job.failure(error), seconds), "broken": True}


def is_settled(record: Record | None) -> bool:
    """Whether a record may be used again. One of a broken job may not: the next run tries that job anew."""
    return record is not None and not record.get("broken", False)
