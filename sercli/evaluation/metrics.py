"""UA, WA, F1 and their confidence intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def confusion_matrix(targets: Indices, predictions: Indices, classes: int) -> npt.NDArray[np.int64]:
    """Count clips by true class (rows) and predicted class (columns), shape (classes, classes)."""
    return np.bincount(targets * classes + predictions, minlength=classes * classes).reshape(classes, classes)


def recalls(confusion: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Recall per class, NaN for a class without clips, shape (classes,)."""
    totals = confusion.sum(axis=1)
    shares: npt.NDArray[np.float64] = np.full(len(totals), np.nan)
    np.divide(np.diag(confusion), totals, out=shares, where=totals > 0)
    return shares


def unweighted_accuracy(targets: Indices, predictions: Indices, classes: int) -> float:
    """UA (unweighted average recall): mean recall of the classes that occur, in 0 to 1."""
    return float(np.nanmean(recalls(confusion_matrix(targets, predictions, classes))))


def weighted_accuracy(targets: Indices, predictions: Indices) -> float:
    """WA: the share of clips labelled right, in 0 to 1."""
    return float(np.mean(targets == predictions))


def macro_f1(targets: Indices, predictions: Indices, classes: int) -> float:
    """Mean F1 of the classes that occur or are predicted, in 0 to 1."""
    confusion = confusion_matrix(targets, predictions, classes)
    both = confusion.sum(axis=0) + confusion.sum(axis=1)
    occurring = both > 0
    return float(np.mean(2.0 * np.diag(confusion)[occurring] / both[occurring]))


def speaker_interval(
    statistic: Callable[[Indices], float],
    speakers: Sequence[str],
    level: float = 0.95,
    draws: int = 2_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap confidence interval that draws whole speakers, since clips of one speaker are not independent.

    Args:
        statistic: computes the figure from clip indices, shape (clips,)
        speakers: speaker of each clip
        level: coverage
        draws: bootstrap samples
        seed: of the draws

    Returns:
        lower and upper bound
    """
    groups: dict[str, list[int]] = {}
    for index, speaker in enumerate(speakers):
        groups.setdefault(speaker, []).append(index)
    members = [np.array(indices, dtype=np.int64) for indices in groups.values()]
    random = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        chosen = random.integers(0, len(members), len(members))
        values.append(statistic(np.concatenate([members[i] for i in chosen])))
    low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def summary(
    targets: Indices, predictions: Indices, speakers: Sequence[str], labels: Sequence[str]
) -> dict[str, object]:
    """All figures of one test, with 95 % intervals over speakers, in percent."""
    classes = len(labels)
    confusion = confusion_matrix(targets, predictions, classes)

    def interval(statistic: Callable[[Indices, Indices], float]) -> list[float]:
        low, high = speaker_interval(lambda chosen: statistic(targets[chosen], predictions[chosen]), speakers)
        return [round(100.0 * low, 2), round(100.0 * high, 2)]

    return {
        "clips": len(targets),
        "speakers": len(set(speakers)),
        "ua": round(100.0 * unweighted_accuracy(targets, predictions, classes), 2),
        "ua_interval": interval(lambda t, p: unweighted_accuracy(t, p, classes)),
        "wa": round(100.0 * weighted_accuracy(targets, predictions), 2),
        "wa_interval": interval(weighted_accuracy),
        "macro_f1": round(100.0 * macro_f1(targets, predictions, classes), 2),
        "recall": {
            label: None if np.isnan(value) else round(100.0 * float(value), 2)
            for label, value in zip(labels, recalls(confusion), strict=True)
        },
        "confusion": confusion.tolist(),
    }
