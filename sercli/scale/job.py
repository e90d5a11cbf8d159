"""The work of one task: label a shard with the batch code of one machine, and put its rows into the store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sercli.runtime.batch import Report, Settings, Workers, label
from sercli.runtime.inputs import Listed
from sercli.runtime.rows import row_of
from sercli.runtime.student import Bundle, Student
from sercli.scale.formats import FORMATS
from sercli.scale.shards import Finished, Shard
from sercli.scale.store import Store


@dataclass(frozen=True)
class Job:
    """What every task of a run has in common."""

    bundle: Bundle
    """of the student, its content: no worker needs its folder, or the Hub"""
    settings: Settings
    store: Store
    threads: int
    """files at once in one worker: more than 1 pays where reading waits for a network"""

    def run(self, shard: Shard) -> Finished:
        """Label a shard and finish it in the store; done twice, it leaves the same.

        Raises:
            OutputError: the store cannot be written
        """
        student = _student(self.bundle)
        report = Report()
        rows = []
        with Workers(self.threads) as workers:
            for outcome in label(student, Listed(shard.inputs), self.settings, workers, set()):
                rows.append(row_of(outcome, student.id, self.settings))
                report.count(outcome)
        mark = Finished.of(shard, self.store.part(shard), len(rows), report)
        self.store.finish(mark, FORMATS[self.store.extension](rows, self.settings.decision.classes))
        return mark


@lru_cache(maxsize=1)
def _student(bundle: Bundle) -> Student:
    """Open the ONNX session of a worker process: once, for all its tasks."""
    return bundle.open()
