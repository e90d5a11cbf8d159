import numpy as np
import pytest

from sercli.evaluation.metrics import (
    confusion_matrix,
    macro_f1,
    recalls,
    speaker_interval,
    summary,
    unweighted_accuracy,
    weighted_accuracy,
)


def answers(seed: int, classes: int = 5, clips: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = random.choice(classes, clips, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    guesses = np.where(random.random(clips) < 0.6, targets, random.integers(0, classes, clips))
    return targets, guesses


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_scikit_learn(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason='needs the extra "train"')
    targets, guesses = answers(seed)
    assert np.array_equal(confusion_matrix(targets, guesses, 5), sklearn.confusion_matrix(targets, guesses))
    assert unweighted_accuracy(targets, guesses, 5) == pytest.approx(sklearn.balanced_accuracy_score(targets, guesses))
    assert weighted_accuracy(targets, guesses) == pytest.approx(sklearn.accuracy_score(targets, guesses))
    assert macro_f1(targets, guesses, 5) == pytest.approx(sklearn.f1_score(targets, guesses, average="macro"))


def test_by_hand() -> None:
    targets, guesses = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 0])
    assert confusion_matrix(targets, guesses, 2).tolist() == [[3, 1], [1, 1]]
    assert unweighted_accuracy(targets, guesses, 2) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert weighted_accuracy(targets, guesses) == pytest.approx(4 / 6)
    assert macro_f1(targets, guesses, 2) == pytest.approx((6 / 8 + 2 / 4) / 2)


def test_a_class_without_clips_has_no_recall_and_does_not_count() -> None:
    targets, guesses = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
    assert np.array_equal(recalls(confusion_matrix(targets, guesses, 4)), [1.0, 0.5, np.nan, np.nan], equal_nan=True)
    assert unweighted_accuracy(targets, guesses, 4) == pytest.approx(0.75)
    assert macro_f1(targets, guesses, 4) == pytest.approx((1 + 2 / 3 + 0) / 3)  # class 2 was predicted: its F1 is 0


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    # 12 speakers of 20 clips whose own accuracy spreads around 0.6: the interval must know that speakers differ.
    random, hits, widths = np.random.default_rng(0), 0, []
    for _ in range(60):
        skill = np.clip(random.normal(0.6, 0.15, 12), 0.0, 1.0).repeat(20)
        right = random.random(240) < skill
        speakers = [str(i) for i in np.arange(12).repeat(20)]
        low, high = speaker_interval(lambda chosen, right=right: float(right[chosen].mean()), speakers, draws=200)
        hits += low <= 0.6 <= high
        widths.append(high - low)
    assert 0.8 <= hits / 60 <= 1.0
    assert np.mean(widths) > 2 * 1.96 * np.sqrt(0.6 * 0.4 / 240)  # wider than if clips were independent


def test_interval_is_reproducible_and_collapses_for_equal_speakers() -> None:
    speakers = ["a", "a", "b", "b", "c", "c"]
    right = np.array([1, 0, 1, 0, 1, 0])
    assert speaker_interval(lambda chosen: float(right[chosen].mean()), speakers) == (0.5, 0.5)
    uneven = np.array([1, 1, 1, 0, 0, 0])
    first, again = (speaker_interval(lambda chosen: float(uneven[chosen].mean()), speakers, seed=3) for _ in range(2))
    assert first == again
    assert first[0] < 0.5 < first[1]


def test_summary_in_percent() -> None:
    figures = summary(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]), ["a", "b", "a", "b"], ["happy", "sad", "fear"])
    assert (figures["clips"], figures["speakers"]) == (4, 2)
    assert (figures["ua"], figures["wa"]) == (75.0, 75.0)
    assert figures["ua_interval"] == [50.0, 100.0]
    assert figures["recall"] == {"happy": 100.0, "sad": 50.0, "fear": None}
    assert figures["confusion"] == [[2, 0, 0], [1, 1, 0], [0, 0, 0]]
