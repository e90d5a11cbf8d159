import numpy as np
import pytest

from sercli.evaluation.bootstrap import Resample
from sercli.evaluation.dimensional import ccc, dimensional, rmse
from sercli.runtime.prediction import DIMENSIONS


def ratings(clips: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Ratings on a scale of 1 to 7, predictions that follow them, and ten speakers."""
    random = np.random.default_rng(seed)
    rated = np.clip(random.normal(4.0, 1.0, (clips, 3)), 1.0, 7.0)
    predicted = 4.0 + 0.7 * (rated - 4.0) + random.normal(0.0, [0.3, 0.8, 0.5], (clips, 3))
    return rated, predicted, [f"msp/{clip % 10}" for clip in range(clips)]


def test_golden() -> None:
    assert ccc((1, 2, 3, 4), (1.1, 1.9, 3.2, 3.6)) == pytest.approx(0.975610, abs=5e-7)
    assert rmse((1, 2, 3, 4), (1.1, 1.9, 3.2, 3.6)) == pytest.approx(np.sqrt(0.22 / 4))


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_is_the_definition(offset: float) -> None:
    rated, predicted, _ = ratings()
    x, y = rated[:, 0] + offset, predicted[:, 0] + offset
    expected = 2 * np.mean((x - x.mean()) * (y - y.mean())) / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert ccc(x, y) == pytest.approx(expected, rel=1e-9)
    assert ccc(y, x) == pytest.approx(expected, rel=1e-9)
    assert rmse(x, y) == pytest.approx(np.sqrt(np.mean((x - y) ** 2)))


def test_punishes_what_correlation_forgives() -> None:
    x = ratings()[0][:, 0]
    assert ccc(x, x) == pytest.approx(1.0)
    assert ccc(x, 8.0 - x) < -0.9
    assert ccc(x, x + 1.0) < 0.8
    assert ccc(x, 0.5 * x) < 0.4


@pytest.mark.parametrize("level", [0.0, 0.1, 4.0])
def test_constants(level: float) -> None:
    assert np.isnan(ccc([level] * 3, [level] * 3)), "0 / 0: no spread to agree on"
    assert ccc([level] * 3, [level + 0.5] * 3) == pytest.approx(0.0, abs=1e-12)
    assert ccc([level, level + 1], [level] * 2) == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(ccc([], []))


def test_missing_ratings_leave_the_pair_out() -> None:
    assert ccc([1, np.nan, 2, 3, 4], [1.1, 9.0, 1.9, 3.2, 3.6]) == pytest.approx(0.975610, abs=5e-7)
    rated, predicted, speakers = ratings()
    rated[:150, 1] = np.nan
    rated[:, 2] = np.nan
    figures = dimensional(rated, predicted, Resample(speakers))
    assert list(figures) == ["arousal", "valence"], "nobody rated dominance"
    assert (figures["arousal"]["clips"], figures["valence"]["clips"]) == (200, 50)
    assert figures["valence"]["ccc"]["value"] == round(ccc(rated[150:, 1], predicted[150:, 1]), 4)


def test_silence_is_counted_not_hidden() -> None:
    rated, predicted, speakers = ratings()
    predicted[:4] = np.nan
    figures = dimensional(rated, predicted, Resample(speakers))
    assert [(figures[name]["clips"], figures[name]["unanswered"]) for name in DIMENSIONS] == [(196, 4)] * 3
    nothing = dimensional(rated, np.full_like(predicted, np.nan), Resample(speakers))["arousal"]
    assert (nothing["ccc"]["value"], nothing["clips"], nothing["unanswered"]) == (None, 0, 200)


def test_intervals_are_those_of_the_figure_computed_draw_by_draw() -> None:
    rated, predicted, speakers = ratings()
    resample = Resample(speakers, draws=200)
    figures = dimensional(rated, predicted, resample)
    x, y = rated[:, 1], predicted[:, 1]
    own = np.stack([np.array(speakers) == speaker for speaker in sorted(set(speakers))], axis=-1)
    slow = []
    for times in resample.sums(own / own.sum(axis=0)).round().astype(int):
        clips = np.repeat(np.arange(len(x)), own.astype(int) @ times)
        slow.append((ccc(x[clips], y[clips]), rmse(x[clips], y[clips])))
    for name, values in zip(("ccc", "rmse"), np.array(slow).T, strict=True):
        figure = figures["valence"][name]
        assert (figure["low"], figure["high"]) == pytest.approx(resample.interval(values), abs=6e-5)
        assert figure["low"] < figure["value"] < figure["high"]


def test_a_draw_without_spread_is_passed_over() -> None:
    # each speaker is of one level, met exactly for the first only: a draw of nobody else has no spread but rounding
    levels = np.array([1.1, 2.3, 3.7, 4.9, 6.1]).repeat(7)
    rated, predicted = np.stack([levels] * 3, axis=-1), np.stack([np.where(levels < 2, levels, 4.0)] * 3, axis=-1)
    resample = Resample([str(level) for level in levels], draws=20_000, level=1.0)
    figure = dimensional(rated, predicted, resample)["arousal"]["ccc"]
    assert figure["value"] < figure["high"] < 1.0


def test_no_interval_over_few_rated_speakers() -> None:
    rated, predicted, speakers = ratings()
    rated[[int(speaker[-1]) > 3 for speaker in speakers], 0] = np.nan
    figures = dimensional(rated, predicted, Resample(speakers))
    assert figures["arousal"]["ccc"]["low"] is None
    assert figures["valence"]["ccc"]["low"] is not None
