import math
from itertools import product

import numpy as np
import pytest

from sercli.evaluation.compare import compare, mcnemar
from sercli.evaluation.metrics import unweighted_accuracy

LABELS = ("neutral", "happy", "sad", "angry")


def two_models(
    people: int, first: float, second: float, seed: int = 0, spread: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Targets, answers of two models right at given rates that vary from speaker to speaker, and 30 clips a speaker."""
    random = np.random.default_rng(seed)
    targets = random.integers(0, 4, people * 30)
    answers = []
    for rate in (first, second):
        rates = np.clip(rate + spread * random.normal(size=people), 0.0, 1.0).repeat(30)
        answers.append(np.where(random.random(len(targets)) < rates, targets, (targets + 1) % 4))
    return targets, *answers, [f"{speaker:02d}" for speaker in range(people) for _ in range(30)]


@pytest.mark.parametrize("people", [8, 24])
def test_identical_models(people: int) -> None:
    targets, first, _, speakers = two_models(people, 0.6, 0.6)
    figures = compare(targets, first, first, LABELS, speakers)
    for name in ("ua", "wa"):
        assert figures[name]["first"] == figures[name]["second"]
        assert [figures[name][key] for key in ("difference", "low", "high", "p")] == [0.0, 0.0, 0.0, 1.0]
    assert (figures["only_first_right"], figures["only_second_right"], figures["mcnemar_p"]) == (0, 0, 1.0)


@pytest.mark.parametrize(("people", "p"), [(8, 2 / 2**8), (12, 2 / 2**12), (24, 1 / 10_001)])
def test_a_clearly_better_model(people: int, p: float) -> None:
    targets, first, second, speakers = two_models(people, 0.4, 0.8)
    figures = compare(targets, first, second, LABELS, speakers)
    assert (figures["clips"], figures["speakers"]) == (30 * people, people)
    for name in ("ua", "wa"):
        assert figures[name]["p"] == pytest.approx(p, rel=5e-3), "the least there is: better for every speaker"
        assert 20 < figures[name]["low"] < figures[name]["difference"] < figures[name]["high"] < 60
    assert figures["ua"]["second"] == round(100 * unweighted_accuracy(targets, second, 4), 2)
    assert figures["wa"]["first"] == round(100 * float(np.mean(first == targets)), 2)
    assert figures["only_second_right"] == np.sum((second == targets) & (first != targets))
    assert figures["only_first_right"] < figures["only_second_right"]
    assert figures["mcnemar_p"] < 1e-6


@pytest.mark.parametrize("people", [8, 16])
def test_the_other_way_round_changes_the_sign_only(people: int) -> None:
    targets, first, second, speakers = two_models(people, 0.55, 0.6, spread=0.1)
    there, back = (compare(targets, *pair, LABELS, speakers) for pair in ((first, second), (second, first)))
    for name in ("ua", "wa"):
        assert there[name]["p"] == back[name]["p"]
        assert there[name]["difference"] == -back[name]["difference"]
        assert (there[name]["low"], there[name]["high"]) == pytest.approx((-back[name]["high"], -back[name]["low"]))
    assert there["only_first_right"] == back["only_second_right"]
    assert there["mcnemar_p"] == back["mcnemar_p"]


def test_blind_to_the_order_of_clips() -> None:
    targets, first, second, speakers = two_models(16, 0.5, 0.6)
    order = np.random.default_rng(1).permutation(len(targets))
    shuffled = compare(targets[order], first[order], second[order], LABELS, [speakers[i] for i in order])
    assert shuffled == compare(targets, first, second, LABELS, speakers)


def test_p_is_uniform_if_there_is_no_difference_and_mcnemar_is_too_sure() -> None:
    # neither model is better on the whole, but each has speakers it does well with
    found = []
    for seed in range(300):
        targets, first, second, speakers = two_models(9, 0.6, 0.6, seed, spread=0.15)
        found.append(compare(targets, first, second, LABELS, speakers, draws=2))
    p = np.array([figures["wa"]["p"] for figures in found])
    assert np.mean(p) == pytest.approx(0.5, abs=0.08)
    for level in (0.1, 0.3, 0.6):
        assert np.mean(p <= level) == pytest.approx(level, abs=0.08)
    assert np.mean([figures["mcnemar_p"] <= 0.1 for figures in found]) > 0.2


def test_exact_p_by_hand() -> None:
    # six speakers with two clips each: the second model is right in one clip more for five of them, one less for one
    gains = np.array([1, 1, 1, 1, 1, -1])
    targets = np.zeros(12, np.int64)
    first = np.stack([gains > 0, np.zeros(6)], axis=1).astype(np.int64).ravel()
    second = np.stack([gains < 0, np.zeros(6)], axis=1).astype(np.int64).ravel()
    figures = compare(targets, first, second, LABELS, [str(clip // 2) for clip in range(12)])
    # |sum of signs| >= 4 of 6: all, or all but one, alike
    assert figures["wa"]["p"] == pytest.approx(2 * (1 + 6) / 2**6, rel=5e-3)
    assert figures["wa"]["difference"] == round(100 * 4 / 12, 2)
    assert figures["mcnemar_p"] == pytest.approx(2 * (1 + 6) / 2**6, rel=5e-3)


@pytest.mark.parametrize("seed", range(5))
def test_exact_p_counts_ties_that_rounding_would_part(seed: int) -> None:
    # as many clips of each class, so that UA is WA and its differences are whole clips, over recalls that are not
    random = np.random.default_rng(seed)
    targets, speakers = np.arange(120) % 4, np.arange(120) // 12
    first, second = (np.where(random.random(120) < 0.6, targets, -1) for _ in range(2))
    gains = np.bincount(speakers, (second == targets).astype(int) - (first == targets), 10)
    signs = np.array(list(product((1, -1), repeat=10)))
    figures = compare(targets, first, second, LABELS, [str(speaker) for speaker in speakers])
    expected = np.mean(np.abs(signs @ gains) >= abs(gains.sum()))
    assert figures["ua"]["p"] == figures["wa"]["p"] == pytest.approx(expected, rel=5e-3)


def test_no_answer_is_wrong() -> None:
    targets, first, _, speakers = two_models(8, 0.7, 0.7)
    figures = compare(targets, first, np.full_like(first, -1), LABELS, speakers)
    assert figures["wa"]["second"] == figures["ua"]["second"] == figures["only_second_right"] == 0


def test_few_speakers_have_no_interval_and_no_p() -> None:
    targets, first, second, speakers = two_models(4, 0.4, 0.8)
    figures = compare(targets, first, second, LABELS, speakers)
    assert [figures["ua"][key] for key in ("low", "high", "p")] == [None, None, None]
    assert figures["ua"]["difference"] > 20


@pytest.mark.parametrize(("first", "second"), [(0, 0), (3, 3), (0, 5), (2, 9), (40, 71), (300, 200)])
def test_mcnemar_is_the_binomial_test(first: int, second: int) -> None:
    clips = first + second
    tail = sum(math.comb(clips, k) for k in range(min(first, second) + 1)) / 2**clips
    assert mcnemar(first, second) == mcnemar(second, first) == pytest.approx(min(1.0, 2 * tail), rel=1e-9)


def test_mcnemar_of_many_clips() -> None:
    assert mcnemar(50_000, 50_000) == 1.0
    assert mcnemar(50_000, 51_000) == pytest.approx(math.erfc(999 / math.sqrt(2 * 101_000)), rel=1e-2)
