"""UA, WA, F1, recall and soft cross-entropy, with confidence intervals over speakers.

A table of answers counts clips by true class (rows) and predicted class (columns); one more column holds the clips
without an answer (prediction -1, as for silence), which count as wrong. The figures of a table take stacks of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sercli.evaluation.bootstrap import Floats, Indices, Resample, ratio

SMALLEST_SCORE = 1e-12  # keeps the logarithm of a score finite


def confusion_matrix(targets: Indices, predictions: Indices, classes: int) -> Indices:
    """Count answered clips by true class (rows) and predicted class (columns), shape (classes, classes)."""
    return answer_table(targets, predictions, classes)[:, :classes]


def answer_cells(targets: Indices, predictions: Indices, classes: int) -> Indices:
    """Index of each clip's cell in the flattened table of answers, shape (clips,)."""
    return targets * (classes + 1) + np.where(predictions < 0, classes, predictions)


def answer_table(targets: Indices, predictions: Indices, classes: int) -> Indices:
    """Count clips by true class and answer; the last column has no answer, shape (classes, classes + 1)."""
    size = classes * (classes + 1)
    return np.bincount(answer_cells(targets, predictions, classes), minlength=size).reshape(classes, classes + 1)


def drawn_tables(targets: Indices, predictions: Indices, classes: int, resample: Resample) -> Floats:
    """Table of answers of each bootstrap draw, shape (draws, classes, classes + 1)."""
    cells = answer_cells(targets, predictions, classes)
    return resample.tallies(cells, classes * (classes + 1)).reshape(-1, classes, classes + 1)


def recalls(table: npt.NDArray[Any]) -> Floats:
    """Recall per class, NaN for a class without clips.

    Args:
        table: confusion matrix or table of answers, or a stack of them, shape (..., classes, answers)

    Returns:
        in 0 to 1, shape (..., classes)
    """
    return ratio(table.diagonal(axis1=-2, axis2=-1), table.sum(axis=-1))


def mean_recall(table: npt.NDArray[Any]) -> Floats:
    """UA of each table of a stack (..., classes, answers): mean recall of the classes that occur, in 0 to 1."""
    shares = recalls(table)
    return ratio(np.nansum(shares, axis=-1), np.isfinite(shares).sum(axis=-1))


def accuracy(table: npt.NDArray[Any]) -> Floats:
    """WA of each table of a stack (..., classes, answers): the share of clips labelled right, in 0 to 1."""
    return ratio(table.diagonal(axis1=-2, axis2=-1).sum(axis=-1), table.sum(axis=(-2, -1)))


def mean_f1(table: npt.NDArray[Any]) -> Floats:
    """Macro F1 of each table of a stack (..., classes, answers), over classes that occur or are predicted, 0 to 1."""
    right = table.diagonal(axis1=-2, axis2=-1)
    shares = ratio(2.0 * right, table.sum(axis=-1) + table.sum(axis=-2)[..., : right.shape[-1]])
    return ratio(np.nansum(shares, axis=-1), np.isfinite(shares).sum(axis=-1))


def unweighted_accuracy(targets: Indices, predictions: Indices, classes: int) -> float:
    """UA (unweighted average recall): mean recall of the classes that occur, in 0 to 1."""
    return float(mean_recall(answer_table(targets, predictions, classes)))


def weighted_accuracy(targets: Indices, predictions: Indices) -> float:
    """WA: the share of clips labelled right, in 0 to 1."""
    return float(np.mean(targets == predictions))


def macro_f1(targets: Indices, predictions: Indices, classes: int) -> float:
    """Mean F1 of the classes that occur or are predicted, in 0 to 1."""
    return float(mean_f1(answer_table(targets, predictions, classes)))


def classification(targets: Indices, predictions: Indices, labels: Sequence[str], resample: Resample) -> dict[str, Any]:
    """All figures of a classification, in percent, with intervals over speakers.

    Args:
        targets: true class of each clip, shape (clips,)
        predictions: class answered, -1 for no answer, shape (clips,)
        labels: names of the classes
        resample: drawn from the speakers of the same clips

    Returns:
        `ua`, `wa` and `macro_f1`, each with value, low and high; `recall`, the same per label with its number of
        clips (value None for a class without any); `confusion`, rows of clips by true class; `unanswered`, clips
    """
    classes = len(labels)
    table = answer_table(targets, predictions, classes)
    draws = drawn_tables(targets, predictions, classes, resample)

    def recall(index: int) -> dict[str, Any]:
        clips = targets == index
        return {**resample.only(clips).mean(predictions[clips] == index), "clips": int(clips.sum())}

    return {
        "ua": resample.figure(float(mean_recall(table)), mean_recall(draws)),
        "wa": resample.figure(float(accuracy(table)), accuracy(draws)),
        "macro_f1": resample.figure(float(mean_f1(table)), mean_f1(draws)),
        "recall": {label: recall(index) for index, label in enumerate(labels)},
        "confusion": table[:, :classes].tolist(),
        "unanswered": int(table[:, classes].sum()),
    }


def soft_cross_entropy(scores: npt.NDArray[np.floating], votes: npt.NDArray[Any]) -> Floats:
    """Cross-entropy between the share of votes for each class and the scores, per clip.

    Args:
        scores: probabilities, shape (clips, classes)
        votes: of the annotators, as counts, shape (clips, classes)

    Returns:
        in nats, NaN for a clip without any vote, shape (clips,)
    """
    shares = ratio(votes, votes.sum(axis=-1, keepdims=True))
    logarithms = np.log(np.maximum(np.asarray(scores, dtype=np.float64), SMALLEST_SCORE))
    entropies: Floats = -(shares * logarithms).sum(axis=-1)
    return entropies


def soft_label(scores: npt.NDArray[np.floating], votes: npt.NDArray[Any], resample: Resample) -> dict[str, Any]:
    """Mean soft cross-entropy in nats over the clips with votes: value, low, high and the number of those clips."""
    entropies = soft_cross_entropy(scores, votes)
    return {**resample.mean(entropies, scale=1.0, digits=4), "clips": int(np.isfinite(entropies).sum())}


def summary(
    targets: Indices, predictions: Indices, speakers: Sequence[str], labels: Sequence[str]
) -> dict[str, object]:
    """The figures a training run logs, in percent, with 95 % intervals over speakers.

    The intervals are given however few the speakers; with fewer than FEWEST_SPEAKERS they mean little.
    """
    figures = classification(targets, predictions, labels, Resample(speakers, fewest=1))
    return {
        "clips": len(targets),
        "speakers": len(set(speakers)),
        "ua": figures["ua"]["value"],
        "ua_interval": [figures["ua"]["low"], figures["ua"]["high"]],
        "wa": figures["wa"]["value"],
        "wa_interval": [figures["wa"]["low"], figures["wa"]["high"]],
        "macro_f1": figures["macro_f1"]["value"],
        "recall": {label: recall["value"] for label, recall in figures["recall"].items()},
        "confusion": figures["confusion"],
    }
