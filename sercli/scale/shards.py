"""A run cut into shards: stretches of the inputs' order, each of which is one task and one file of results."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from sercli.runtime.batch import Report
from sercli.runtime.inputs import Input


@dataclass(frozen=True)
class Shard:
    """A stretch of the inputs."""

    number: int
    """from 0, in the order of the inputs"""
    inputs: tuple[Input, ...]

    @property
    def digest(self) -> str:
        """sha256 over the names of the inputs, in hex: a shard of other inputs is another one."""
        names = "\0".join(source.name for source in self.inputs)
        return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True)
class Finished:
    """What the manifest keeps of a shard that is done."""

    number: int
    digest: str
    """of its inputs"""
    file: str
    """of its results, below the output folder"""
    rows: int
    done: int
    """inputs labelled"""
    silent: int
    """inputs in which nothing but silence was found"""
    failed: int
    failures: tuple[str, ...]
    """the first few"""
    seconds: float
    """audio labelled"""

    @classmethod
    def of(cls, shard: Shard, file: str, rows: int, report: Report) -> Finished:
        """Note what became of a shard."""
        counts = (report.done, report.silent, report.failed)
        return cls(shard.number, shard.digest, file, rows, *counts, tuple(report.failures), report.seconds)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Finished:
        """Read it back from JSON."""
        return cls(**{**values, "failures": tuple(values["failures"])})

    @property
    def report(self) -> Report:
        """As the count of a run."""
        return Report(self.done, self.silent, self.failed, list(self.failures), 0, Counter(), self.seconds)

    def values(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def shards(inputs: Iterable[Input], size: int) -> Iterator[Shard]:
    """Cut inputs into shards of a size, the last one smaller; the same inputs give the same shards."""
    remaining = iter(inputs)
    number = 0
    while chunk := tuple(islice(remaining, size)):
        yield Shard(number, chunk)
        number += 1
