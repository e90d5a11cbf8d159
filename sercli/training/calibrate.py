"""Temperature scaling and the abstain threshold, from development speakers only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TEMPERATURES = np.geomspace(0.2, 10.0, 391)  # steps of 1 %
WORSE_THAN_A_COIN = 0.5  # abstain where a label is more often wrong than right
FEWEST_CLIPS = 10  # an accuracy over fewer clips says nothing


def softmax(logits: npt.NDArray[np.floating], temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Probabilities over the last axis, in float64."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = scaled / scaled.sum(axis=-1, keepdims=True)
    return probabilities


def negative_log_likelihood(
    logits: npt.NDArray[np.floating], targets: npt.NDArray[np.int64], temperature: float
) -> float:
    """Mean negative log-likelihood of the true classes, in nats."""
    chosen = softmax(logits, temperature)[np.arange(len(targets)), targets]
    return float(-np.mean(np.log(np.maximum(chosen, 1e-12))))


def calibrate(logits: npt.NDArray[np.floating], targets: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Fit the temperature (Guo et al. 2017) and the threshold below which a student says "uncertain".

    Args:
        logits: of development clips, shape (clips, classes)
        targets: their classes, shape (clips,)

    Returns:
        temperature that minimises the negative log-likelihood; the highest score such that the clips scored up to it
        are more often wrong than right (0 where there is no such score)
    """
    losses = [negative_log_likelihood(logits, targets, float(temperature)) for temperature in TEMPERATURES]
    temperature = float(TEMPERATURES[int(np.argmin(losses))])
    probabilities = softmax(logits, temperature)
    scores, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    order = np.argsort(scores)
    accuracy_below = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    usable = np.flatnonzero((accuracy_below < WORSE_THAN_A_COIN) & (np.arange(len(order)) >= FEWEST_CLIPS - 1))
    threshold = float(scores[order[usable[-1]]]) if len(usable) else 0.0
    return round(temperature, 4), round(threshold, 4)
