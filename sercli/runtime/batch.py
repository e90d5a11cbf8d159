"""Label many files: decoding and inference overlap in threads, results come in the order of the inputs.

    inputs ──► a thread per file: decode ─ resample ─ windows ─ network ──► outcomes, in order
    one file ─► decode ─ resample ─ a thread per window: network ─────────► outcomes, in order

Every stretch of audio goes through the network by itself, so a result depends on nothing but its file:
not on the number of threads, nor on what else is labelled. Only a few files are ever held at once.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from sercli.audio import RawFormat, opened
from sercli.errors import AudioError, ExitCode, one_line
from sercli.runtime.inputs import Input, Inputs, Listed
from sercli.runtime.prediction import Decision, Prediction
from sercli.runtime.student import Student
from sercli.runtime.windows import SILENCE_DBFS

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 4  # work handed out per thread before the oldest result is waited for


@dataclass(frozen=True)
class Settings:
    """What is asked of a run besides the model and the inputs."""

    decision: Decision
    """labels and threshold"""
    timeline: bool = False
    """one outcome per window instead of one per file"""
    window_seconds: float | None = None
    """None is the student's own"""
    hop_seconds: float | None = None
    """None is the student's own"""
    gate_dbfs: float = SILENCE_DBFS
    """what is quieter is silence"""
    top: int | None = None
    """print the scores of so many best classes only"""
    raw: RawFormat | None = None
    """inputs are headerless PCM"""
    text: Callable[[Input], str] | None = None
    """finds what is said in an input, for a student that reads"""
    scale: tuple[float, float] = (0.0, 1.0)
    """lowest and highest arousal, valence and dominance, as they are printed"""


@dataclass(frozen=True)
class Outcome:
    """What became of one file, or of one window of it."""

    source: Input
    prediction: Prediction | None
    """None where `error` says why"""
    seconds: float | None
    """length of the file, None if unknown"""
    error: str
    """one line, empty if all went well"""
    last: bool
    """nothing more comes from this input"""


@dataclass
class Report:
    """Count of a run, for its summary and exit code."""

    done: int = 0
    """inputs labelled, silent ones among them"""
    silent: int = 0
    """inputs in which nothing but silence was found"""
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    """the first few, as "path: reason" """
    resumed: int = 0
    """inputs that an earlier run has done"""
    skipped: Counter[str] = field(default_factory=Counter)
    """files in folders that are no audio, by extension"""
    seconds: float = 0.0
    """audio labelled"""

    FAILURES_KEPT = 10

    def count(self, outcome: Outcome) -> None:
        """Take one outcome into account; an input counts at its last one."""
        if not outcome.last:
            return
        if outcome.error:
            self.failed += 1
            if len(self.failures) < self.FAILURES_KEPT:
                self.failures.append(f"{outcome.source.name}: {outcome.error}")
            return
        self.done += 1
        if outcome.prediction is not None:
            self.seconds += outcome.prediction.end
            self.silent += outcome.prediction.silence and outcome.prediction.start == 0.0

    def add(self, other: Report) -> None:
        """Take the count of another part of the same run into account."""
        self.done += other.done
        self.silent += other.silent
        self.failed += other.failed
        self.failures += other.failures[: self.FAILURES_KEPT - len(self.failures)]
        self.seconds += other.seconds

    @property
    def exit_code(self) -> ExitCode:
        """0 nothing failed, 3 some inputs failed, 1 all did."""
        if not self.failed:
            return ExitCode.DONE
        return ExitCode.PARTIAL if self.done + self.resumed else ExitCode.FAILED

    def __str__(self) -> str:
        """One line: "3 labelled, 1 failed, 2 skipped (.txt 2)"."""
        silent = f" ({self.silent} silent)" if self.silent else ""
        parts = [f"{self.done} labelled{silent}"]
        if self.resumed:
            parts.append(f"{self.resumed} done before")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.skipped:
            kinds = ", ".join(f"{kind} {count}" for kind, count in self.skipped.most_common(5))
            parts.append(f"{self.skipped.total()} skipped ({kinds})")
        return ", ".join(parts)


class Workers:
    """Threads that work ahead while results are taken in order; a context manager. Starts none for a single item."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.stopped = threading.Event()
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        """Start nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop: what waits is dropped, what runs ends at its next block."""
        self.stopped.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Like the built-in map, in order; an error of `items` comes after the results of the items before it."""
        waiting: deque[T | Future[R]] = deque()
        remaining = iter(items)
        if self.threads == 1:
            yield from map(function, remaining)
            return
        try:
            first = next(remaining)
        except StopIteration:
            return
        try:
            second = next(remaining)
        except StopIteration:
            yield function(first)
            return
        except AudioError:
            yield function(first)
            raise
        yield from self._ahead(function, (first, second), remaining, waiting)

    def _ahead(self, function: Callable[[T], R], early: Iterable[T], later: Iterator[T], waiting: Any) -> Iterator[R]:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self.threads)
        waiting.extend(self._pool.submit(function, item) for item in early)
        failure: AudioError | None = None
        while True:
            try:
                waiting.append(self._pool.submit(function, next(later)))
            except StopIteration:
                break
            except AudioError as problem:
                failure = problem
                break
            if len(waiting) > AHEAD * self.threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if failure is not None:
            raise failure


def usable_cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def label(
    student: Student, inputs: Inputs | Listed, settings: Settings, workers: Workers, done: set[str]
) -> Iterator[Outcome]:
    """Label inputs one after another.

    Args:
        student: shared by all threads
        inputs: what to label
        settings: how
        workers: threads
        done: names of inputs to leave out

    Yields:
        outcomes in the order of the inputs; a failure is an outcome, not an exception
    """
    if inputs.single:
        for source in inputs:
            if source.name not in done:
                yield from _outcomes(student, source, settings, workers.map, workers.stopped)
        return

    def whole(source: Input) -> list[Outcome]:
        return list(_outcomes(student, source, settings, map, workers.stopped))

    for outcomes in workers.map(whole, (source for source in inputs if source.name not in done)):
        yield from outcomes


def _outcomes(
    student: Student, source: Input, settings: Settings, each: Any, stopped: threading.Event
) -> Iterator[Outcome]:
    """Label one input; its failure is the last outcome."""
    seconds: float | None = None
    held: Outcome | None = None  # one behind, to know the last
    try:
        if source.error:
            raise AudioError(source.error)
        if settings.text is not None:
            student = student.reading(settings.text(source))
        with opened(source.path, settings.raw) as recording:
            seconds = recording.seconds
            blocks = _until(stopped, recording.blocks())
            predictions = (
                student.label_windows(
                    blocks, settings.decision, settings.window_seconds, settings.hop_seconds, settings.gate_dbfs, each
                )
                if settings.timeline
                else iter([student.label_whole(blocks, settings.decision, settings.gate_dbfs, each)])
            )
            for prediction in predictions:
                if held is not None:
                    yield held
                length = seconds if settings.timeline else prediction.end
                held = Outcome(source, prediction, length, "", last=False)
        if held is not None:
            yield Outcome(source, held.prediction, held.seconds, "", last=True)
    except AudioError as problem:
        if held is not None:
            yield held
        yield Outcome(source, None, seconds, str(problem).removeprefix(one_line(f"{source.path}: ")), last=True)


def _until(stopped: threading.Event, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Pass blocks on until the run is stopped, so that Ctrl-C need not wait for the end of a long file."""
    for block in blocks:
        if stopped.is_set():
            return
        yield block
