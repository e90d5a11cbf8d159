"""How far scores can be trusted: calibration error, proper scores, and what abstaining buys.

Scores are probabilities, shape (clips, classes); targets are true classes, shape (clips,). Clips without an answer
(silence) have no scores and are left out by the caller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sercli.evaluation.bootstrap import Figure, Floats, Indices, Mask, Resample, ratio, rounded
from sercli.evaluation.metrics import SMALLEST_SCORE, answer_table, mean_recall

Scores = npt.NDArray[np.floating]

BINS = 15  # as Guo et al. 2017
COVERAGES = tuple(round(1.0 - 0.05 * step, 2) for step in range(19))  # 1.0, 0.95 ... 0.1 of the clips


def calibration(
    scores: Scores, targets: Indices, labels: Sequence[str], resample: Resample, threshold: float | None = None
) -> dict[str, Any]:
    """All figures of calibration, with intervals over speakers where they are sums over clips.

    Args:
        scores: shape (clips, classes)
        targets: shape (clips,)
        labels: names of the classes
        resample: drawn from the speakers of the same clips
        threshold: the best score below which the model abstains; None if it never does

    Returns:
        `ece` in percent, `nll` in nats, `brier` in 0 to 2 (each value, low, high); `bins` as of `reliability`;
        `abstain` as of `abstain_curve`; `aurc` in percent; `at_threshold`, or None without a threshold
    """
    classes = len(labels)
    return {
        "ece": expected_calibration_error(scores, targets, resample),
        "nll": resample.mean(negative_log_likelihoods(scores, targets), scale=1.0, digits=4),
        "brier": resample.mean(brier_scores(scores, targets), scale=1.0, digits=4),
        "bins": reliability(scores, targets),
        "abstain": abstain_curve(scores, targets, classes),
        "aurc": rounded(area_under_risk_coverage(scores, targets)),
        "at_threshold": None if threshold is None else at_threshold(scores, targets, classes, threshold),
    }


def reliability(scores: Scores, targets: Indices, bins: int = BINS) -> list[dict[str, Any]]:
    """Mean best score and WA of the clips in equal-width bins of the best score, in percent; no empty bins.

    Returns:
        per bin `low` (not included) and `high`, its bounds; `clips`; `confidence`; `accuracy`
    """
    confidences, right = _best(scores, targets)
    found = _bins(confidences, bins)
    rows = []
    for index in np.unique(found):
        inside = found == index
        rows.append(
            {
                "low": rounded(index / bins),
                "high": rounded((index + 1) / bins),
                "clips": int(inside.sum()),
                "confidence": rounded(confidences[inside].mean()),
                "accuracy": rounded(right[inside].mean()),
            }
        )
    return rows


def expected_calibration_error(scores: Scores, targets: Indices, resample: Resample, bins: int = BINS) -> Figure:
    """ECE in percent (Guo et al. 2017, equation 3): |WA - mean best score| per bin, weighted by clips.

    ECE cannot be negative, so chance pushes it up, and resampling adds chance: with few clips the interval lies high
    and may miss the value of a well calibrated model.
    """
    confidences, right = _best(scores, targets)
    terms = np.zeros((len(targets), bins + 1))
    terms[np.arange(len(targets)), _bins(confidences, bins)] = right - confidences
    terms[:, bins] = 1.0

    def error(sums: Floats) -> Floats:
        return ratio(np.abs(sums[..., :bins]).sum(axis=-1), sums[..., bins])

    return resample.figure(float(error(terms.sum(axis=0))), error(resample.sums(terms)))


def negative_log_likelihoods(scores: Scores, targets: Indices) -> Floats:
    """Negative log-likelihood of the true class of each clip in nats, shape (clips,)."""
    chosen = np.asarray(scores, dtype=np.float64)[np.arange(len(targets)), targets]
    losses: Floats = -np.log(np.maximum(chosen, SMALLEST_SCORE))
    return losses


def brier_scores(scores: Scores, targets: Indices) -> Floats:
    """Squared distance of scores and truth of each clip, summed over classes (Brier 1950), 0 to 2, shape (clips,)."""
    truth = np.eye(scores.shape[1])[targets]
    distances: Floats = ((np.asarray(scores, dtype=np.float64) - truth) ** 2).sum(axis=1)
    return distances


def abstain_curve(
    scores: Scores, targets: Indices, classes: int, coverages: Sequence[float] = COVERAGES
) -> list[dict[str, Any]]:
    """UA and WA if only the surest clips are answered (risk-coverage curve; Geifman & El-Yaniv 2017).

    Clips with equal best scores are answered or left together, so an entry may cover more than its coverage asks
    for; where two coverages come to the same clips there is one entry.

    Returns:
        entries as of `at_threshold`, from most to fewest clips
    """
    confidences = np.sort(_best(scores, targets)[0])[::-1]
    # a product like 0.55 * 20 lies a hair above the whole number it means
    ranks = [max(math.ceil(coverage * len(confidences) - 1e-9), 1) for coverage in coverages]
    thresholds = {float(confidences[rank - 1]) for rank in ranks if rank <= len(confidences)}
    return [at_threshold(scores, targets, classes, threshold) for threshold in sorted(thresholds)]


def at_threshold(scores: Scores, targets: Indices, classes: int, threshold: float) -> dict[str, Any]:
    """UA and WA of the clips whose best score reaches a threshold.

    Returns:
        `threshold`, not rounded, so that it covers the same clips again; `coverage`, `ua` and `wa` of the covered
        clips in percent, the latter None if there are none; `clips`; `classes` that still occur, over which UA is
    """
    scores = np.asarray(scores, dtype=np.float64)
    covered = scores.max(axis=1) >= threshold
    table = answer_table(targets[covered], scores[covered].argmax(axis=1), classes)
    return {
        "threshold": threshold,
        "coverage": rounded(float(ratio(covered.sum(), len(covered)))),
        "ua": rounded(float(mean_recall(table))),
        "wa": rounded(float(ratio(table.trace(), table.sum()))),
        "clips": int(covered.sum()),
        "classes": int((table.sum(axis=1) > 0).sum()),
    }


def area_under_risk_coverage(scores: Scores, targets: Indices) -> float:
    """AURC: share of wrong labels among the surest clips, averaged over all coverages (Geifman et al. 2019), 0 to 1.

    Every clip stands for the coverage at which it is answered; clips with equal best scores are answered together.
    """
    confidences, right = _best(scores, targets)
    levels, clips_at = np.unique(-confidences, return_inverse=True)
    clips = np.bincount(clips_at, minlength=len(levels))
    wrong = np.bincount(clips_at, weights=~right, minlength=len(levels))
    return float(ratio((clips * wrong.cumsum() / clips.cumsum()).sum(), clips.sum()))


def _best(scores: Scores, targets: Indices) -> tuple[Floats, Mask]:
    """Best score of each clip, and whether its class is the true one."""
    scores = np.asarray(scores, dtype=np.float64)
    return scores.max(axis=1), scores.argmax(axis=1) == targets


def _bins(confidences: Floats, bins: int) -> Indices:
    """Bin of each best score: ((m - 1) / bins, m / bins], as Guo et al. 2017."""
    return np.clip(np.ceil(confidences * bins).astype(np.int64) - 1, 0, bins - 1)
