import numpy as np
import pytest

from sercli.evaluation.bootstrap import Resample
from sercli.evaluation.metrics import (
    accuracy,
    answer_table,
    classification,
    confusion_matrix,
    drawn_tables,
    macro_f1,
    mean_f1,
    mean_recall,
    recalls,
    soft_cross_entropy,
    soft_label,
    summary,
    unweighted_accuracy,
    weighted_accuracy,
)

LABELS = ("neutral", "happy", "sad", "angry", "fear")


def answers(seed: int, classes: int = 5, clips: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = random.choice(classes, clips, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    guesses = np.where(random.random(clips) < 0.6, targets, random.integers(0, classes, clips))
    return targets, guesses


def people(clips: int, speakers: int = 10) -> list[str]:
    return [str(clip % speakers) for clip in range(clips)]


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_scikit_learn(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason='needs the extra "train"')
    targets, guesses = answers(seed)
    assert np.array_equal(confusion_matrix(targets, guesses, 5), sklearn.confusion_matrix(targets, guesses))
    assert unweighted_accuracy(targets, guesses, 5) == pytest.approx(sklearn.balanced_accuracy_score(targets, guesses))
    assert weighted_accuracy(targets, guesses) == pytest.approx(sklearn.accuracy_score(targets, guesses))
    assert macro_f1(targets, guesses, 5) == pytest.approx(sklearn.f1_score(targets, guesses, average="macro"))
    figures = classification(targets, guesses, LABELS, Resample(people(300)))
    assert [recall["value"] for recall in figures["recall"].values()] == pytest.approx(
        100.0 * sklearn.recall_score(targets, guesses, average=None), abs=0.005
    )


@pytest.mark.parametrize("seed", range(3))
def test_unanswered_clips_are_wrong_as_a_class_nobody_has_would_be(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason='needs the extra "train"')
    targets, guesses = answers(seed)
    guesses[::10] = -1
    figures = classification(targets, guesses, LABELS, Resample(people(300)))
    other = np.where(guesses < 0, 5, guesses)
    known = {"labels": range(5), "average": "macro", "zero_division": 0.0}
    assert figures["unanswered"] == 30
    assert figures["ua"]["value"] == pytest.approx(100 * sklearn.recall_score(targets, other, **known), abs=0.005)
    assert figures["wa"]["value"] == pytest.approx(100 * sklearn.accuracy_score(targets, other), abs=0.005)
    assert figures["macro_f1"]["value"] == pytest.approx(100 * sklearn.f1_score(targets, other, **known), abs=0.005)
    assert np.sum(figures["confusion"]) == 270
    assert unweighted_accuracy(targets, guesses, 5) == pytest.approx(figures["ua"]["value"] / 100, abs=5e-5)


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


def test_figures_of_a_stack_are_those_of_its_tables() -> None:
    pairs = [answers(seed) for seed in range(4)]
    stack = np.stack([answer_table(targets, guesses, 5) for targets, guesses in pairs])
    assert mean_recall(stack) == pytest.approx([unweighted_accuracy(*pair, 5) for pair in pairs])
    assert accuracy(stack) == pytest.approx([weighted_accuracy(*pair) for pair in pairs])
    assert mean_f1(stack) == pytest.approx([macro_f1(*pair, 5) for pair in pairs])
    assert np.array_equal(recalls(stack)[2], recalls(stack[2]))


def test_drawn_tables_hold_the_clips_of_the_speakers_drawn() -> None:
    targets, guesses = answers(0)
    guesses[:7] = -1
    resample = Resample([str(clip) for clip in range(300)], draws=20)  # every clip a speaker of its own
    tables = drawn_tables(targets, guesses, 5, resample)
    assert tables.shape == (20, 5, 6)
    assert (tables.sum(axis=(1, 2)) == 300).all()
    by_term = resample.sums(np.stack([targets == 3, guesses == -1], axis=-1).astype(float))
    assert np.array_equal(by_term, np.stack([tables[:, 3].sum(axis=1), tables[:, :, 5].sum(axis=1)], axis=-1))


def test_intervals_surround_the_figures() -> None:
    targets, guesses = answers(1, clips=600)
    figures = classification(targets, guesses, LABELS, Resample(people(600)))
    for figure in (figures["ua"], figures["wa"], figures["macro_f1"], *figures["recall"].values()):
        assert figure["low"] < figure["value"] < figure["high"]
    widths = [figure["high"] - figure["low"] for figure in figures["recall"].values()]
    assert widths[0] < widths[4], "the rare class is the less certain one"
    assert figures["wa"] == Resample(people(600)).mean(targets == guesses)


def test_absent_classes_and_few_speakers_are_none_not_zero() -> None:
    figures = classification(
        np.array([0, 0, 1, 1]), np.array([0, -1, 1, 1]), ["happy", "sad", "fear"], Resample(["a", "b", "a", "b"])
    )
    assert figures["ua"] == {"value": 75.0, "low": None, "high": None}
    assert figures["recall"]["happy"] == {"value": 50.0, "low": None, "high": None, "clips": 2}
    assert figures["recall"]["fear"] == {"value": None, "low": None, "high": None, "clips": 0}
    assert (figures["confusion"], figures["unanswered"]) == ([[1, 0, 0], [0, 2, 0], [0, 0, 0]], 1)
    empty = classification(np.zeros(0, np.int64), np.zeros(0, np.int64), ["happy", "sad"], Resample([]))
    assert empty["ua"] == empty["macro_f1"] == {"value": None, "low": None, "high": None}


def test_soft_cross_entropy_equals_log_loss_of_every_vote() -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason='needs the extra "train"')
    random = np.random.default_rng(0)
    scores, votes = random.dirichlet(np.ones(5), 40), random.integers(1, 6, (40, 5))
    shares = votes / votes.sum(axis=1, keepdims=True)
    expected = sklearn.log_loss(np.tile(np.arange(5), 40), scores.repeat(5, axis=0), sample_weight=shares.ravel())
    assert soft_cross_entropy(scores, votes).mean() == pytest.approx(expected)
    figure = soft_label(scores, votes, Resample(people(40)))
    assert figure["value"] == pytest.approx(expected, abs=5e-5)
    assert figure["low"] < figure["value"] < figure["high"]


def test_soft_cross_entropy_by_hand() -> None:
    scores, votes = np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5]]), np.array([[2, 2, 0], [3, 0, 0]])
    votes = np.vstack([votes, np.zeros(3, np.int64)])
    assert soft_cross_entropy(scores, votes) == pytest.approx([1.5 * np.log(2), 0.0, np.nan], nan_ok=True)
    assert soft_label(scores, votes, Resample(list("aab")))["clips"] == 2
    assert soft_label(scores[2:], votes[2:], Resample(["a"]))["value"] is None


def test_summary_in_percent() -> None:
    figures = summary(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]), ["a", "b", "a", "b"], ["happy", "sad", "fear"])
    assert (figures["clips"], figures["speakers"]) == (4, 2)
    assert (figures["ua"], figures["wa"]) == (75.0, 75.0)
    assert figures["ua_interval"] == [50.0, 100.0]
    assert figures["recall"] == {"happy": 100.0, "sad": 50.0, "fear": None}
    assert figures["confusion"] == [[2, 0, 0], [1, 1, 0], [0, 0, 0]]
