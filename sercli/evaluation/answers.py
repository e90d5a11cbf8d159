"""What a model says about every utterance of a task, clean and under each corruption."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sercli.audio import SAMPLE_RATE
from sercli.corpora.speech import check_files, read_utterance
from sercli.corpora.table import Utterance
from sercli.errors import AudioError, CorpusError
from sercli.evaluation.task import Task

if TYPE_CHECKING:
    from sercli.evaluation.corruption import Corruption
    from sercli.runtime.prediction import Decision, Prediction
    from sercli.runtime.student import Student

UNLABELLED = -1
"""Target of an utterance that has ratings but no label."""
UNANSWERED = -1
"""Answer for an utterance in which the model hears only silence, or where no label is asked for."""

Cell = tuple[str, str]
"""Kind and level of a corruption."""
Row = tuple[str, str, str, float]
"""Corpus, speaker, name of the file and start: an utterance, wherever its corpus lies."""


@dataclass(frozen=True)
class Answers:
    """One row per utterance."""

    task: Task
    targets: npt.NDArray[np.int64]
    """Class number of the label, or UNLABELLED; shape (utterances,)."""
    predictions: npt.NDArray[np.int64]
    """Class number of the best score, or UNANSWERED; shape (utterances,)."""
    scores: npt.NDArray[np.float64]
    """Probabilities over the task's labels, calibrated as the model is, NaN where unanswered; (utterances, classes)."""
    embeddings: npt.NDArray[np.float32]
    """NaN where unanswered; shape (utterances, embedding size)."""
    dimensions: npt.NDArray[np.float32]
    """Arousal, valence and dominance from 0 to 1, NaN where unknown; shape (utterances, 3)."""
    seconds: npt.NDArray[np.float64]
    """Length of each utterance."""
    fold: list[str]
    """Fold each utterance was tested in; empty without folds."""
    spoilt: dict[Cell, npt.NDArray[np.int64]] = field(default_factory=dict)
    """Predictions under each corruption."""

    @property
    def speakers(self) -> list[str]:
        """Who speaks, as corpus/speaker; each utterance by itself where its speaker is unknown."""
        return [voice(utterance) or f"utterance {row}" for row, utterance in enumerate(self.task.utterances)]

    def only(self, rows: npt.NDArray[np.bool_]) -> Answers:
        """Keep some utterances, mask of shape (utterances,)."""
        kept = [utterance for utterance, keep in zip(self.task.utterances, rows, strict=True) if keep]
        return Answers(
            task=replace(self.task, utterances=kept),
            targets=self.targets[rows],
            predictions=self.predictions[rows],
            scores=self.scores[rows],
            embeddings=self.embeddings[rows],
            dimensions=self.dimensions[rows],
            seconds=self.seconds[rows],
            fold=[name for name, keep in zip(self.fold, rows, strict=True) if keep],
            spoilt={cell: predictions[rows] for cell, predictions in self.spoilt.items()},
        )


def answer(
    student: Student,
    task: Task,
    corruptions: Sequence[Corruption] = (),
    *,
    seed: int = 0,
    fold: str = "",
    advance: Callable[[], object] = lambda: None,
    texts: Sequence[str] | None = None,
) -> Answers:
    """Let a model answer a task.

    Every file is read once; all corruptions are applied to it while it is in memory. What is random in a corruption
    depends on the seed, the utterance and the kind only: two models hear the same noise, at every SNR the same stretch.

    Args:
        student: chooses among the task's labels only, never abstains
        task: what is asked
        corruptions: repeated for each
        seed: of the corruptions
        fold: noted with the answers
        advance: called after each utterance
        texts: transcript of each utterance, for a model that reads; None where it does not

    Raises:
        CorpusError: a file is missing, cannot be read or cannot be scored
    """
    check_files(task.utterances)
    decision = student.decision(task.labels or None, threshold=0.0)
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    rows: list[_Outcome] = []
    try:
        reading = [student] * len(task.utterances) if texts is None else [student.reading(text) for text in texts]
        asked = zip(reading, task.utterances, strict=True)
        for row in pool.map(lambda pair: _ask(pair[0], decision, task.labels, pair[1], corruptions, seed), asked):
            rows.append(row)
            advance()
    finally:
        pool.shutdown(cancel_futures=True)
    width = student.config.embedding_size
    return Answers(
        task=task,
        targets=np.array([task.labels.index(u.emotion) if u.emotion else UNLABELLED for u in task.utterances]),
        predictions=np.array([row.said for row in rows]),
        scores=np.array([[row.clean.scores.get(label, np.nan) for label in task.labels] for row in rows]),
        embeddings=np.array([_or_nan(row.clean.embedding, width) for row in rows], np.float32),
        dimensions=np.array([_or_nan(row.clean.dimensions, 3) for row in rows], np.float32),
        seconds=np.array([row.seconds for row in rows]),
        fold=[fold] * len(rows),
        spoilt={
            (corruption.kind, corruption.level): np.array([row.spoilt[number] for row in rows])
            for number, corruption in enumerate(corruptions)
        },
    )


def joined(parts: Sequence[Answers]) -> Answers:
    """Put the answers of several folds of one protocol together.

    Raises:
        ValueError: their labels or corruptions differ
    """
    first = parts[0]
    if any(part.task.labels != first.task.labels or part.spoilt.keys() != first.spoilt.keys() for part in parts):
        raise ValueError("answers to different tasks cannot be pooled")
    left_out: dict[str, int] = {}
    for part in parts:
        for emotion, count in part.task.left_out.items():
            left_out[emotion] = left_out.get(emotion, 0) + count
    utterances = [utterance for part in parts for utterance in part.task.utterances]
    return Answers(
        task=Task(utterances, first.task.labels, first.task.label_set, left_out),
        targets=np.concatenate([part.targets for part in parts]),
        predictions=np.concatenate([part.predictions for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        embeddings=np.concatenate([part.embeddings for part in parts]),
        dimensions=np.concatenate([part.dimensions for part in parts]),
        seconds=np.concatenate([part.seconds for part in parts]),
        fold=[name for part in parts for name in part.fold],
        spoilt={cell: np.concatenate([part.spoilt[cell] for part in parts]) for cell in first.spoilt},
    )


@dataclass(frozen=True)
class _Outcome:
    clean: Prediction
    said: int
    spoilt: list[int]
    seconds: float


def _ask(
    student: Student,
    decision: Decision,
    labels: Sequence[str],
    utterance: Utterance,
    corruptions: Sequence[Corruption],
    seed: int,
) -> _Outcome:
    signal = read_utterance(utterance)
    speaker = voice(utterance)
    name = _digest(f"{speaker}/{Path(utterance.path).stem}/{utterance.start}")

    def said(prediction: Prediction) -> int:
        return labels.index(prediction.best) if labels and prediction.scores else UNANSWERED

    try:
        clean = student.label_whole([signal], decision)
        spoilt = []
        for corruption in corruptions:
            random = np.random.default_rng([seed, name, _digest(corruption.kind)])
            spoilt.append(said(student.label_whole([corruption(signal, random, speaker)], decision)))
    except AudioError as problem:
        raise CorpusError(f"{utterance.path}: {problem}") from problem
    return _Outcome(clean, said(clean), spoilt, len(signal) / SAMPLE_RATE)


def row_of(utterance: Utterance) -> Row:
    """Name an utterance by what does not change with the place or the encoding of its file."""
    return utterance.corpus, utterance.speaker, Path(utterance.path).stem, round(utterance.start, 3)


def voice(utterance: Utterance) -> str:
    """Name a speaker over all corpora; empty if unknown."""
    return f"{utterance.corpus}/{utterance.speaker}" if utterance.speaker else ""


def _digest(text: str) -> int:
    return zlib.crc32(text.encode())  # unlike hash(), the same in every process


def _or_nan(values: npt.NDArray[np.float32] | None, width: int) -> npt.NDArray[np.float32]:
    return np.full(width, np.nan, np.float32) if values is None else values
