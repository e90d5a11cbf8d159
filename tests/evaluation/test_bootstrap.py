import numpy as np
import pytest

from sercli.evaluation.bootstrap import FEWEST_SPEAKERS, Resample, ratio, rounded

TWELVE = [f"ravdess/{speaker:02d}" for speaker in range(12) for _ in range(20)]


def test_sums_are_those_of_the_clips_drawn() -> None:
    # a term that is 1 for the clips of one speaker tells how often a draw holds that speaker
    random = np.random.default_rng(0)
    speakers = random.choice(list("abcdef"), 40).tolist()
    terms, resample = random.normal(size=(40, 3)), Resample(speakers, draws=50)
    own = np.stack([np.array(speakers) == name for name in "abcdef"], axis=-1)
    times = resample.sums(own / own.sum(axis=0))
    assert np.allclose(times.sum(axis=1), 6), "as many speakers as there are, with replacement"
    assert np.allclose(resample.sums(terms), times @ (own.T @ terms))
    kinds = random.integers(0, 4, 40)
    assert np.allclose(resample.tallies(kinds, 4), resample.sums(np.eye(4)[kinds]))
    assert np.array_equal(resample.speaker_tallies(kinds, 4), own.T @ np.eye(4)[kinds])


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    # 12 speakers of 20 clips whose own accuracy spreads around 0.6, in 1,000 experiments
    random = np.random.default_rng(0)
    skill = random.beta(6.0, 4.0, (12, 1_000)).repeat(20, axis=0)
    right = (random.random(skill.shape) < skill).astype(float)

    def coverage(speakers: list[str]) -> float:
        resample = Resample(speakers, draws=500)
        intervals = [resample.interval(values) for values in (resample.sums(right) / len(right)).T]
        return float(np.mean([interval is not None and interval[0] <= 0.6 <= interval[1] for interval in intervals]))

    assert 0.88 <= coverage(TWELVE) <= 0.97
    assert coverage([str(clip) for clip in range(240)]) < 0.8, "clips of one speaker are not independent"


def test_narrower_at_a_lower_level() -> None:
    values = np.random.default_rng(0).normal(size=20_000)
    assert Resample(TWELVE).interval(values) == pytest.approx((-1.96, 1.96), abs=0.05)
    assert Resample(TWELVE, level=0.68).interval(values) == pytest.approx((-0.994, 0.994), abs=0.03)


def test_reproducible_by_seed_and_blind_to_the_order_of_clips() -> None:
    random = np.random.default_rng(0)
    right, order = random.random(len(TWELVE)) < 0.6, random.permutation(len(TWELVE))
    assert Resample(TWELVE).mean(right) == Resample(TWELVE).mean(right)
    assert Resample(TWELVE).mean(right) == Resample([TWELVE[i] for i in order]).mean(right[order])
    assert Resample(TWELVE, draws=100, seed=1).mean(right) != Resample(TWELVE, draws=100, seed=2).mean(right)


def test_collapses_for_equal_speakers() -> None:
    right = np.tile([1.0, 0.0], len(TWELVE) // 2)
    assert Resample(TWELVE).mean(right) == {"value": 50.0, "low": 50.0, "high": 50.0}


@pytest.mark.parametrize("people", [1, 2, FEWEST_SPEAKERS - 1, FEWEST_SPEAKERS])
def test_no_interval_over_few_speakers(people: int) -> None:
    right = np.arange(people * 10) % 7 == 0
    figure = Resample([str(clip % people) for clip in range(people * 10)]).mean(right)
    assert figure["value"] is not None
    assert (figure["low"] is None) == (figure["high"] is None) == (people < FEWEST_SPEAKERS)


def test_undefined_draws_are_passed_over() -> None:
    resample = Resample(TWELVE, draws=4)
    assert resample.interval(np.array([np.nan, 2.0, np.nan, 2.0])) == (2.0, 2.0)
    assert resample.interval(np.full(4, np.nan)) is None


def test_mean_of_the_clips_that_have_a_value() -> None:
    values = np.random.default_rng(0).normal(size=len(TWELVE))
    known = np.arange(len(TWELVE)) >= 100  # the first five speakers have none
    left = Resample(TWELVE).only(known)
    assert left.people == 7
    assert Resample(TWELVE).mean(np.where(known, values, np.nan)) == left.mean(values[known])
    assert Resample(TWELVE).mean(np.full(len(TWELVE), np.nan)) == {"value": None, "low": None, "high": None}
    assert Resample([]).mean([]) == {"value": None, "low": None, "high": None}


def test_ratio_and_rounding() -> None:
    assert np.array_equal(ratio([[1, 2], [0, 3]], [4, 0]), [[0.25, np.nan], [0.0, np.nan]], equal_nan=True)
    assert (rounded(0.123456), rounded(0.123456, 1.0, 4), rounded(float("nan"))) == (12.35, 0.1235, None)
