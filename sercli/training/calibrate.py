"""Temperature scaling and the abstain threshold, from development speakers only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TEMPERATURES = np.geomspace(0.2, 10.0, 391)  # steps of 1 %
A_COIN = 0.5  # abstain where a label is more often wrong than right
FEWEST_CLIPS = 10  # an accuracy over fewer clips says nothing


def softmax(logits: npt.NDArray[np.floating], temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Probabilities over the last axis, in float64."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = scaled / scaled.sum(axis=-1, keepdims=True)
    return probabilities


def negative_log_likelihood(
    logits: npt.NDArray[np.floating],
    targets: npt.NDArray[np.int64],
    temperature: float,
    weights: npt.NDArray[np.float64] | None = None,
) -> float:
    """Weighted mean negative log-likelihood of the true classes, in nats."""
    chosen = softmax(logits, temperature)[np.arange(len(targets)), targets]
    return float(-np.average(np.log(np.maximum(chosen, 1e-12)), weights=weights))


def calibrate(
    logits: npt.NDArray[np.floating],
    targets: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64] | None = None,
) -> tuple[float, float]:
    """Fit the temperature (Guo et al. 2017) and the threshold below which a student says "uncertain".

    Args:
        logits: of development clips, shape (clips, classes)
        targets: their classes, shape (clips,)
        weights: of the clips, shape (clips,); None counts all alike

    Returns:
        temperature that minimises the negative log-likelihood; the score from which on labels are at least as often
        right as wrong, by an isotonic regression of rightness on score (1 where they never are, 0 where they are
        but for a handful)
    """
    from sklearn.isotonic import IsotonicRegression

    losses = [negative_log_likelihood(logits, targets, float(value), weights) for value in TEMPERATURES]
    temperature = float(TEMPERATURES[int(np.argmin(losses))])
    probabilities = softmax(logits, temperature)
    scores, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    fitted = IsotonicRegression(out_of_bounds="clip").fit(scores, right, sample_weight=weights).predict(scores)
    trusted = scores[fitted >= A_COIN]
    if not len(trusted):
        return round(temperature, 4), 1.0
    threshold = float(trusted.min()) if len(scores) - len(trusted) >= FEWEST_CLIPS else 0.0
    return round(temperature, 4), round(threshold, 4)
