"""An outcome as it is printed: every number already the text that all formats share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sercli.runtime.batch import Outcome, Settings
from sercli.runtime.prediction import DIMENSIONS, on_scale

MILLIONTHS = 1_000_000  # scores are printed with six decimals


@dataclass(frozen=True)
class Row:
    """One line of results; None is what does not apply (null in JSON, empty in CSV)."""

    path: str
    start: str | None
    """seconds, 3 decimals"""
    end: str | None
    """seconds, 3 decimals"""
    label: str | None
    """a class, "uncertain", or None for silence and errors"""
    score: str | None
    """of the most likely class, 6 decimals"""
    scores: dict[str, str]
    """class to score, 6 decimals; all classes sum to exactly 1"""
    dimensions: dict[str, str]
    """arousal, valence and dominance, 6 decimals; empty for silence, errors and students that do not rate"""
    model: str
    """id of the student"""
    seconds: str | None
    """length of the file, 3 decimals"""
    status: str
    """ok, silence or error"""
    error: str | None
    """what is wrong, one line"""


def row_of(outcome: Outcome, model: str, settings: Settings) -> Row:
    """Print an outcome's numbers."""
    seconds = None if outcome.seconds is None else f"{outcome.seconds:.3f}"
    empty = Row(outcome.source.name, None, None, None, None, {}, {}, model, seconds, "error", outcome.error or None)
    prediction = outcome.prediction
    if prediction is None:
        return empty
    timed = replace(empty, start=f"{prediction.start:.3f}", end=f"{prediction.end:.3f}", status="silence")
    if prediction.silence:
        return timed
    printed = six_decimals(prediction.scores)
    if settings.top is not None:
        printed = dict(sorted(printed.items(), key=lambda item: (-float(item[1]), item[0]))[: settings.top])
    rated = {}
    if prediction.dimensions is not None:
        values = on_scale(prediction.dimensions, *settings.scale)
        rated = {name: f"{value:.6f}" for name, value in zip(DIMENSIONS, values.tolist(), strict=True)}
    best = printed[prediction.best]
    return replace(timed, label=prediction.label, score=best, scores=printed, dimensions=rated, status="ok")


def six_decimals(scores: Mapping[str, float]) -> dict[str, str]:
    """Round probabilities to six decimals that sum to exactly 1 (largest remainders are rounded up).

    Args:
        scores: class to probability, sum 1
    """
    exact = [score * MILLIONTHS for score in scores.values()]
    units = [int(value) for value in exact]
    missing = MILLIONTHS - sum(units)
    by_remainder = sorted(range(len(units)), key=lambda index: (units[index] - exact[index], -exact[index], index))
    for index in by_remainder[:missing]:
        units[index] += 1
    return {label: f"{unit // MILLIONTHS}.{unit % MILLIONTHS:06d}" for label, unit in zip(scores, units, strict=True)}
