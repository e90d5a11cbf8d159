"""Agreement of predicted arousal, valence and dominance with the annotators' ratings."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sercli.evaluation.bootstrap import Floats, Resample, ratio
from sercli.runtime.prediction import DIMENSIONS

ROUNDING = 1e-12  # a spread below this share of the mean square is rounding error of the sums


def ccc(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Concordance correlation coefficient with population moments (Lin 1989).

    2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2)

    Args:
        x: ratings, shape (clips,); NaN leaves the pair out
        y: predictions on the same scale, shape (clips,); NaN leaves the pair out

    Returns:
        in -1 to 1; NaN where it is undefined: no pair, or both sides constant and equal
    """
    terms = _terms(*_pairs(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)))
    return float(_ccc(terms.sum(axis=0)))


def rmse(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Root mean square error on the scale of the ratings; arguments and missing values as for `ccc`."""
    terms = _terms(*_pairs(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)))
    return float(_rmse(terms.sum(axis=0)))


def dimensional(
    targets: npt.NDArray[np.floating], predictions: npt.NDArray[np.floating], resample: Resample
) -> dict[str, dict[str, Any]]:
    """CCC and RMSE of each dimension that has ratings, with intervals over speakers.

    Args:
        targets: ratings in the order of DIMENSIONS, NaN where a clip has none, shape (clips, 3)
        predictions: on the same scale, NaN for no answer (silence), shape (clips, 3)
        resample: drawn from the speakers of the same clips

    Returns:
        dimension to `ccc` and `rmse` (each value, low, high; not percent), `clips` with rating and prediction, and
        `unanswered`, clips with a rating that lack a prediction and can only be left out
    """
    figures: dict[str, dict[str, Any]] = {}
    for name, rated, answered in zip(DIMENSIONS, targets.T, predictions.T, strict=True):
        ratings = int(np.isfinite(rated).sum())
        if not ratings:
            continue
        both = np.isfinite(rated) & np.isfinite(answered)
        drawn, terms = resample.only(both), _terms(rated[both], answered[both])
        total, sums = terms.sum(axis=0), drawn.sums(terms)
        figures[name] = {
            "ccc": drawn.figure(float(_ccc(total)), _ccc(sums), scale=1.0, digits=4),
            "rmse": drawn.figure(float(_rmse(total)), _rmse(sums), scale=1.0, digits=4),
            "clips": len(terms),
            "unanswered": ratings - len(terms),
        }
    return figures


def _pairs(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    both = np.isfinite(x) & np.isfinite(y)
    return x[both], y[both]


def _terms(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> Floats:
    """What is summed for the moments, shape (clips, 7)."""
    # both shifted alike, which changes no figure and keeps the differences of large sums exact
    shift = float(np.mean(x, dtype=np.float64)) if len(x) else 0.0
    x, y = np.asarray(x, dtype=np.float64) - shift, np.asarray(y, dtype=np.float64) - shift
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y, (x - y) ** 2], axis=-1)


def _ccc(sums: Floats) -> Floats:
    """CCC from sums of the terms, shape (..., 7) to (...)."""
    count, *moments = np.moveaxis(sums, -1, 0)
    x, y, xx, yy, xy, _ = (ratio(moment, count) for moment in moments)
    spread = (xx - x * x) + (yy - y * y) + (x - y) ** 2
    return ratio(2.0 * (xy - x * y), np.where(spread > ROUNDING * (xx + yy), spread, 0.0))


def _rmse(sums: Floats) -> Floats:
    """Root mean square error from sums of the terms, shape (..., 7) to (...)."""
    root: Floats = np.sqrt(ratio(sums[..., 6], sums[..., 0]))
    return root
