"""Shards as tasks on a Ray cluster: handed out a few at a time, again where a worker or a node is lost.

Plain tasks, not actors or Ray Data: any free core of any node takes the next shard, nodes may come and go, and what
is in flight is bounded here, not by an executor's estimate of memory. A task returns its mark, a few hundred bytes;
rows go from the worker to the store and never through the driver.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sercli.errors import SercliError
from sercli.scale.job import Job
from sercli.scale.shards import Finished, Shard

AHEAD = 2  # shards per core handed out: one at work, one waiting
RETRIES = 8  # of a shard whose worker or node was lost; a file that kills each of them must not kill for ever
PATIENCE_SECONDS = 10.0  # for somebody to answer at an address
LOOK_SECONDS = 5.0  # between looks at how many cores the cluster has now


@contextmanager
def cluster(address: str | None) -> Iterator[Any]:
    """Join a Ray cluster, or start one on this machine for None; gives the module `ray`.

    Raises:
        SercliError: there is none at that address
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # labelling speech tells nobody
    import ray

    if address and ":" in address:
        _knock(address)
    local: dict[str, Any] = {} if address else {"include_dashboard": False}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True, **local)
    except (ConnectionError, RuntimeError, ValueError) as problem:
        reason = next(iter(str(problem).splitlines()), type(problem).__name__)
        raise SercliError(
            f"no Ray cluster at {address or 'this machine'} ({reason}); start one: ray start --head"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """See that somebody listens there: Ray itself would try for minutes.

    Raises:
        SercliError: nobody does
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE_SECONDS).close()
    except (OSError, ValueError, OverflowError) as problem:
        raise SercliError(f"no Ray cluster at {address} ({problem}); start one: ray start --head") from None


def run(ray: Any, job: Job, shards: Iterable[Shard]) -> Iterator[Finished]:
    """Label shards on the cluster; yields the mark of each as it is finished, in any order.

    Shards are taken from the iterable only as fast as they are finished.

    Raises:
        SercliError: the store cannot be written; the workers of a shard die again and again
    """
    shared = ray.put(job)
    task = ray.remote(_run).options(num_cpus=1, max_retries=RETRIES, retry_exceptions=False)
    pending: dict[Any, Shard] = {}

    def next_finished() -> Iterator[Finished]:
        ready, _ = ray.wait(list(pending), num_returns=1, timeout=LOOK_SECONDS)
        for reference in ready:
            yield _result(ray, reference, pending.pop(reference))

    try:
        for shard in shards:
            while len(pending) >= AHEAD * _cores(ray):
                yield from next_finished()
            pending[task.remote(shared, shard)] = shard
        while pending:
            yield from next_finished()
    finally:
        for reference in pending:
            ray.cancel(reference)


def _run(job: Job, shard: Shard) -> Finished:
    return job.run(shard)


def _cores(ray: Any) -> int:
    """Count the cores of the nodes that are alive now; nodes come and go."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _result(ray: Any, reference: Any, shard: Shard) -> Finished:
    try:
        mark: Finished = ray.get(reference)
    except ray.exceptions.RayTaskError as problem:
        if isinstance(problem.cause, SercliError):
            raise problem.cause from None
        raise
    except (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.OutOfMemoryError,
    ) as problem:
        first, last = shard.inputs[0].name, shard.inputs[-1].name
        raise SercliError(
            f"shard {shard.number} ({first} to {last}): {RETRIES + 1} workers died on it ({type(problem).__name__}); "
            "label these files by themselves to find the one that does it"
        ) from problem
    return mark
