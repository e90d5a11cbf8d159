"""The report folder: metrics.json, predictions.csv, pictures and report.md."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from sercli.errors import CorpusError, OutputError
from sercli.evaluation.answers import UNANSWERED, UNLABELLED, Answers, Row
from sercli.evaluation.run import Evaluation

METRICS = "metrics.json"
PREDICTIONS = "predictions.csv"
REPORT = "report.md"


def check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a report folder that holds a report before hours of work, not after.

    Raises:
        OutputError: it does, or it cannot be made
    """
    if (folder / METRICS).exists() and not overwrite:
        raise OutputError(f"{folder}: holds a report already; add --overwrite to replace it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise OutputError(f"{folder}: cannot be made ({problem.strerror}); choose another --report") from problem


def write_results(evaluation: Evaluation, folder: Path) -> list[str]:
    """Write a whole report, every file under a temporary name first.

    Returns:
        names of the files

    Raises:
        OutputError: the folder cannot be written
    """
    from sercli.evaluation.plots import draw
    from sercli.evaluation.report import write_report

    answers, metrics = evaluation.answers, evaluation.metrics
    names = [METRICS]
    try:
        _write(folder / METRICS, lambda file: json.dump(metrics, file, indent=1, ensure_ascii=False, allow_nan=False))
        if answers is not None:
            _write(folder / PREDICTIONS, lambda file: dump_predictions(answers, file, folder))
            names.append(PREDICTIONS)
        pictures = draw(metrics, folder, *(_clips(answers) if answers else ()))
        write_report(metrics, folder, pictures)
    except OSError as problem:
        raise OutputError(f"{folder}: cannot be written ({problem.strerror}); choose another --report") from problem
    return [*names, *pictures, REPORT]


def _clips(answers: Answers) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Embeddings and true emotions of what was answered, for the map."""
    heard = answers.only((answers.predictions != UNANSWERED) & (answers.targets != UNLABELLED))
    return heard.embeddings, [utterance.emotion for utterance in heard.task.utterances]


def dump_predictions(answers: Answers, file: IO[str], folder: Path) -> None:
    """Write one row per utterance: who speaks, what is right, what was said with which scores.

    Args:
        answers: of a model
        file: open text file
        folder: paths below it are written relative to it
    """
    labels = answers.task.labels
    rates = not all(math.isnan(value) for value in answers.dimensions.ravel().tolist())
    head = ["path", "start", "end", "corpus", "speaker", "gender", "fold", "seconds", "emotion", "prediction", "score"]
    head += [f"score_{label}" for label in labels]
    head += ["arousal", "valence", "dominance"] if rates else []
    head += [f"prediction under {kind} {level}".strip() for kind, level in answers.spoilt]
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(head)
    for number, utterance in enumerate(answers.task.utterances):
        path = Path(utterance.path).absolute()
        scores = answers.scores[number]
        said = answers.predictions[number]
        row: list[Any] = [
            str(path.relative_to(folder.absolute()) if path.is_relative_to(folder.absolute()) else path),
            f"{utterance.start:g}",
            "" if math.isnan(utterance.end) else f"{utterance.end:g}",
            utterance.corpus,
            utterance.speaker,
            utterance.gender,
            answers.fold[number],
            f"{answers.seconds[number]:.3f}",
            utterance.emotion,
            *([labels[said], f"{scores[said]:.6f}"] if said != UNANSWERED else ["", ""]),
            *("" if math.isnan(score) else f"{score:.6f}" for score in scores),
        ]
        row += [f"{value:.6f}" for value in answers.dimensions[number]] if rates else []
        row += [labels[p[number]] if p[number] != UNANSWERED else "" for p in answers.spoilt.values()]
        rows.writerow(row)


def read_predictions(path: Path) -> dict[Row, str]:
    """Read what a model said from the predictions.csv of a report.

    Returns:
        utterance to label, empty for no answer

    Raises:
        CorpusError: not such a file
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {
                (row["corpus"], row["speaker"], Path(row["path"]).stem, round(float(row["start"]), 3)): row[
                    "prediction"
                ]
                for row in csv.DictReader(file)
            }
    except (OSError, ValueError, KeyError, csv.Error) as problem:
        raise CorpusError(f"{path}: not the {PREDICTIONS} of a report ({problem}); make it anew") from problem


def _write(path: Path, dump: Callable[[IO[str]], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            dump(file)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
