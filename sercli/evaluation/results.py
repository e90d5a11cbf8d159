"""The report folder: metrics.json, predictions.csv, pictures and report.md."""

from __future__ import annotations

import csv
import json
import math
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from sercli.corpora.table import Utterance
from sercli.errors import CorpusError, OutputError
from sercli.evaluation.answers import UNANSWERED, UNLABELLED, Answers, Row, row_of
from sercli.evaluation.run import Evaluation
from sercli.runtime.bundle import CONFIG_FILE

METRICS = "metrics.json"
PREDICTIONS = "predictions.csv"
REPORT = "report.md"
OF_MODELS = (CONFIG_FILE, "recipe.yaml")
"""Files of a bundle or run, whose own metrics.json says whom it was trained on."""


def check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a report folder that holds a report before hours of work, not after.

    Raises:
        OutputError: it does, it holds a model, or it cannot be written
    """
    if any((folder / name).exists() for name in OF_MODELS):
        raise OutputError(f"{folder}: holds a model, with a {METRICS} of its own; choose another --report")
    if (folder / METRICS).exists() and not overwrite:
        raise OutputError(f"{folder}: holds a report already; add --overwrite to replace it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise _not_writable(folder, problem) from problem


def write_results(evaluation: Evaluation, folder: Path) -> list[str]:
    """Write a whole report, or nothing: it takes the place of an earlier one when its last file is written.

    Returns:
        names of the files

    Raises:
        OutputError: the folder cannot be written
    """
    from sercli.evaluation.plots import draw
    from sercli.evaluation.report import CAPTIONS, write_report

    answers, metrics = evaluation.answers, evaluation.metrics
    names = [METRICS]
    try:
        with tempfile.TemporaryDirectory(prefix=".report.", dir=folder) as place:
            partial = Path(place)
            with (partial / METRICS).open("w", encoding="utf-8") as file:
                json.dump(metrics, file, indent=1, ensure_ascii=False, allow_nan=False)
            if answers is not None:
                with (partial / PREDICTIONS).open("w", encoding="utf-8", newline="") as file:
                    dump_predictions(answers, file, folder)
                names.append(PREDICTIONS)
            pictures = draw(metrics, partial, *(_clips(answers) if answers else ()))
            write_report(metrics, partial, pictures)
            names += [*pictures, REPORT]
            for stale in {PREDICTIONS, *CAPTIONS}.difference(names):
                (folder / stale).unlink(missing_ok=True)
            for name in names:
                (partial / name).replace(folder / name)
    except OSError as problem:
        raise _not_writable(folder, problem) from problem
    return names


def _not_writable(folder: Path, problem: OSError) -> OutputError:
    return OutputError(f"{folder}: cannot be written ({problem.strerror}); choose another --report")


def _clips(answers: Answers) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Embeddings and true labels of what was answered, for the map."""
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
            *map(_cell, (utterance.start, utterance.end)),
            utterance.corpus,
            utterance.speaker,
            utterance.gender,
            answers.fold[number],
            f"{answers.seconds[number]:.3f}",
            utterance.emotion,
            *([labels[said], f"{scores[said]:.6f}"] if said != UNANSWERED else ["", ""]),
            *map(_score, scores),
        ]
        row += map(_score, answers.dimensions[number]) if rates else ()
        row += [labels[p[number]] if p[number] != UNANSWERED else "" for p in answers.spoilt.values()]
        rows.writerow(row)


def read_predictions(path: Path) -> dict[Row, str]:
    """Read what a model said from the predictions.csv of a report.

    Returns:
        utterance to label, empty for no answer

    Raises:
        CorpusError: not such a file, or utterances that cannot be told apart
    """
    found: dict[Row, str] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, restval="")
            if lacking := {"path", "start", "corpus", "speaker", "prediction"}.difference(rows.fieldnames or ()):
                raise CorpusError(f"{path}: not the {PREDICTIONS} of a report, it has no {', '.join(sorted(lacking))}")
            for row in rows:
                utterance = Utterance(row["path"], float(row["start"]), corpus=row["corpus"], speaker=row["speaker"])
                if row_of(utterance) in found:
                    raise CorpusError(f"{path}: several utterances like {row['path']}; name the model instead")
                found[row_of(utterance)] = row["prediction"]
    except (OSError, ValueError, csv.Error) as problem:
        raise CorpusError(f"{path}: not the {PREDICTIONS} of a report ({problem}); make it anew") from problem
    return found


def _cell(seconds: float) -> str:
    return "" if math.isnan(seconds) else repr(float(seconds)).removesuffix(".0")


def _score(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"
