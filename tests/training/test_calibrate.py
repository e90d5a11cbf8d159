import numpy as np
import pytest

pytest.importorskip("sklearn", reason='needs the extra "train"')

from sercli.training.calibrate import calibrate, negative_log_likelihood, softmax


def honest(clips: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the true chance of each class, and targets drawn by it."""
    random = np.random.default_rng(seed)
    logits = random.normal(0.0, spread, (clips, 5))
    chances = softmax(logits)
    targets = (chances.cumsum(axis=1) < random.random((clips, 1))).sum(axis=1)
    return logits, np.minimum(targets, 4)


def test_softmax() -> None:
    scores = softmax(np.array([[1.0, 2.0, 1_000.0]], dtype=np.float32), 2.0)
    assert scores.sum() == pytest.approx(1.0, abs=1e-12)
    assert softmax(np.array([0.0, np.log(3.0)])).tolist() == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_temperature_is_recovered(temperature: float) -> None:
    logits, targets = honest(5_000, spread=2.0)
    found, _ = calibrate(logits * temperature, targets)
    assert found == pytest.approx(temperature, rel=0.08)


def test_temperature_lowers_the_loss() -> None:
    logits, targets = honest(500, spread=2.0)
    found, _ = calibrate(5.0 * logits, targets)
    assert negative_log_likelihood(5.0 * logits, targets, found) < negative_log_likelihood(5.0 * logits, targets, 1.0)


def test_clips_below_the_threshold_are_more_often_wrong_than_right() -> None:
    logits, targets = honest(3_000, spread=1.5)
    temperature, threshold = calibrate(logits, targets)
    scores = softmax(logits, temperature)
    right, best = scores.argmax(axis=1) == targets, scores.max(axis=1)
    assert 0.3 < threshold < 1.0
    assert right[best < threshold - 1e-4].mean() < 0.5
    assert right[(best >= threshold) & (best < threshold + 0.1)].mean() > 0.5  # right at it, not only far above
    assert right[best >= threshold].mean() > 0.5


def test_a_perfect_model_never_abstains() -> None:
    targets = np.arange(100) % 5
    temperature, threshold = calibrate(8.0 * np.eye(5)[targets], targets)
    assert threshold == 0.0
    assert temperature == pytest.approx(0.2)  # the lowest there is: it may be as sure as it likes


def test_a_handful_of_errors_is_no_reason_to_abstain() -> None:
    logits = np.concatenate([np.full((5, 2), 0.0), np.tile([4.0, 0.0], (95, 1))])
    logits[:5, 1] = 0.1  # five unsure clips, all wrong
    assert calibrate(logits, np.zeros(100, dtype=np.int64))[1] == 0.0


def test_a_corpus_of_many_clips_does_not_set_the_calibration_alone() -> None:
    easy_logits, easy_targets = honest(100, spread=2.0)
    hard_logits, hard_targets = honest(3_000, spread=2.0, seed=1)
    hard_logits = 3.0 * hard_logits  # three times too sure
    logits, targets = np.concatenate([easy_logits, hard_logits]), np.concatenate([easy_targets, hard_targets])
    weights = np.concatenate([np.full(100, 1.0 / 100), np.full(3_000, 1.0 / 3_000)])
    assert calibrate(logits, targets, weights)[0] < 0.9 * calibrate(logits, targets)[0]
