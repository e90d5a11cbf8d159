import numpy as np
import pytest

from sercli.evaluation.bootstrap import Resample
from sercli.evaluation.calibration import (
    COVERAGES,
    abstain_curve,
    area_under_risk_coverage,
    at_threshold,
    brier_scores,
    calibration,
    expected_calibration_error,
    negative_log_likelihoods,
    reliability,
)

LABELS = ("neutral", "happy", "sad", "angry")


def calibrated(clips: int, seed: int = 0, power: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose classes are drawn from them; a power above 1 then makes the scores too sure."""
    random = np.random.default_rng(seed)
    truth = random.dirichlet(np.full(4, 0.5), clips)
    targets = (truth.cumsum(axis=1) < random.random((clips, 1))).sum(axis=1).clip(max=3)
    sharpened = truth**power
    return sharpened / sharpened.sum(axis=1, keepdims=True), targets


def people(clips: int) -> Resample:
    return Resample([str(clip % 10) for clip in range(clips)])


@pytest.mark.parametrize("seed", range(3))
def test_proper_scores_equal_to_scikit_learn(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason='needs the extra "train"')
    scores, targets = calibrated(200, seed)
    assert negative_log_likelihoods(scores, targets).mean() == pytest.approx(
        sklearn.log_loss(targets, scores, labels=range(4))
    )
    one_against_rest = [sklearn.brier_score_loss(targets == index, scores[:, index]) for index in range(4)]
    assert brier_scores(scores, targets).mean() == pytest.approx(sum(one_against_rest))


def test_proper_scores_by_hand() -> None:
    scores, targets = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]], np.float32), np.array([0, 0, 0])
    assert brier_scores(scores, targets) == pytest.approx([0.0, 0.5, 2.0])
    assert negative_log_likelihoods(scores, targets)[:2] == pytest.approx([0.0, np.log(2)])
    assert np.isfinite(negative_log_likelihoods(scores, targets)).all(), "a score of 0 is costly, not infinite"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bins", [10, 15])
def test_ece_and_bins_equal_a_loop(seed: int, bins: int) -> None:
    scores, targets = calibrated(150, seed, power=2.0)
    error, found = 0.0, reliability(scores, targets, bins)
    for index in range(bins):
        low, high = index / bins, (index + 1) / bins
        inside = [clip for clip in range(150) if low < scores[clip].max() <= high]
        if inside:
            sure = np.mean([scores[clip].max() for clip in inside])
            right = np.mean([scores[clip].argmax() == targets[clip] for clip in inside])
            error += len(inside) / 150 * abs(right - sure)
            row = found.pop(0)
            assert (row["low"], row["high"], row["clips"]) == (round(100 * low, 2), round(100 * high, 2), len(inside))
            assert (row["confidence"], row["accuracy"]) == pytest.approx((100 * sure, 100 * right), abs=0.006)
    assert not found, "no empty bins"
    value = expected_calibration_error(scores, targets, people(150), bins)["value"]
    assert value == pytest.approx(100 * error, abs=0.006)


def test_ece_tells_calibrated_from_too_sure() -> None:
    well = expected_calibration_error(*calibrated(4_000), people(4_000))
    sure = expected_calibration_error(*calibrated(4_000, power=3.0), people(4_000))
    assert well["value"] < 2.5
    assert sure["low"] > 10.0
    assert sure["low"] <= sure["value"] <= sure["high"]


def test_a_certain_score_is_in_the_last_bin() -> None:
    scores = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert reliability(scores, np.array([0, 0])) == [
        {"low": 93.33, "high": 100.0, "clips": 2, "confidence": 100.0, "accuracy": 50.0}
    ]


def test_a_score_on_a_bound_is_in_the_bin_below() -> None:
    rows = reliability(np.array([[0.75, 0.25], [0.5, 0.5]]), np.array([0, 0]), bins=4)
    assert [(row["low"], row["high"]) for row in rows] == [(25.0, 50.0), (50.0, 75.0)]


def test_curve_covers_what_it_says_and_abstaining_helps() -> None:
    scores, targets = calibrated(200)
    curve = abstain_curve(scores, targets, 4)
    assert [entry["coverage"] for entry in curve] == pytest.approx([100 * coverage for coverage in COVERAGES])
    assert [entry["clips"] for entry in curve] == [round(200 * coverage) for coverage in COVERAGES]
    assert curve[0]["wa"] == pytest.approx(100 * np.mean(scores.argmax(axis=1) == targets))
    assert curve[-1]["wa"] > curve[0]["wa"] + 10
    assert curve[-1]["ua"] > curve[0]["ua"]
    for entry in curve:
        assert entry == at_threshold(scores, targets, 4, entry["threshold"])


def test_equal_scores_stay_together_in_any_order() -> None:
    scores = np.array([[0.9, 0.1]] * 3 + [[0.6, 0.4]] * 5 + [[0.2, 0.8]] * 2)
    targets = np.array([0, 0, 1, 0, 1, 1, 0, 1, 1, 1])
    curve = abstain_curve(scores, targets, 2, [1.0, 0.8, 0.5, 0.3, 0.1])
    assert [(entry["threshold"], entry["clips"], entry["classes"]) for entry in curve] == [
        (0.6, 10, 2),
        (0.8, 5, 2),
        (0.9, 3, 2),
    ]
    assert (curve[1]["wa"], curve[1]["ua"]) == (80.0, round(100 * (1 + 2 / 3) / 2, 2))
    order = np.random.default_rng(0).permutation(10)
    assert abstain_curve(scores[order], targets[order], 2, [1.0, 0.8, 0.5, 0.3, 0.1]) == curve
    assert area_under_risk_coverage(scores[order], targets[order]) == area_under_risk_coverage(scores, targets)


def test_classes_that_no_longer_occur_are_told() -> None:
    scores, targets = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), np.array([0, 0, 1])
    entry = at_threshold(scores, targets, 2, 0.75)
    assert (entry["classes"], entry["ua"], entry["coverage"]) == (1, 100.0, 66.67)
    nothing = at_threshold(scores, targets, 2, 0.95)
    assert (nothing["clips"], nothing["coverage"], nothing["ua"], nothing["wa"]) == (0, 0.0, None, None)


def test_aurc_equals_a_loop_and_rewards_the_right_order() -> None:
    scores, targets = calibrated(120)
    order = np.argsort(-scores.max(axis=1))
    wrong = (scores.argmax(axis=1) != targets)[order]
    assert area_under_risk_coverage(scores, targets) == pytest.approx(
        np.mean([wrong[: clips + 1].mean() for clips in range(120)])
    )
    flat = np.where(np.eye(4)[scores.argmax(axis=1)] == 1, 0.4, 0.2)  # the same answers, no order
    assert area_under_risk_coverage(flat, targets) == pytest.approx(wrong.mean())
    assert area_under_risk_coverage(scores, targets) < wrong.mean()
    # three right, one wrong: 0, 0, 0, 1/4 if the wrong one is least sure
    best = np.array([0.9, 0.8, 0.7, 0.6])
    assert area_under_risk_coverage(np.stack([best, 1 - best], axis=1), np.array([0, 0, 0, 1])) == 1 / 16


def test_report() -> None:
    scores, targets = calibrated(300)
    figures = calibration(scores, targets, LABELS, people(300), threshold=0.5)
    assert figures["ece"] == expected_calibration_error(scores, targets, people(300))
    assert figures["nll"]["value"] == round(float(negative_log_likelihoods(scores, targets).mean()), 4)
    assert figures["brier"]["low"] < figures["brier"]["value"] < figures["brier"]["high"]
    assert sum(row["clips"] for row in figures["bins"]) == 300
    assert figures["aurc"] == round(100 * area_under_risk_coverage(scores, targets), 2)
    assert figures["at_threshold"] == at_threshold(scores, targets, 4, 0.5)
    assert calibration(scores, targets, LABELS, people(300))["at_threshold"] is None


def test_report_of_nothing() -> None:
    figures = calibration(np.zeros((0, 4)), np.zeros(0, np.int64), LABELS, Resample([]), threshold=0.5)
    assert figures["ece"]["value"] is figures["nll"]["value"] is figures["aurc"] is None
    assert figures["bins"] == figures["abstain"] == []
