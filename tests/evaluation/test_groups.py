import numpy as np
import pytest

from sercli.evaluation.bootstrap import Resample
from sercli.evaluation.groups import FEWEST_CLIPS, duration_bins, groups
from sercli.evaluation.metrics import classification

LABELS = ("neutral", "happy", "sad", "angry")
WOMEN, MEN = [f"f{number}" for number in range(6)], [f"m{number}" for number in range(6)]


def corpus() -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Twelve speakers with all four classes in turn; women are labelled right more often than men."""
    speakers = [speaker for speaker in WOMEN + MEN for _ in range(40)]
    gender = [speaker[0] for speaker in speakers]
    targets = np.arange(480) % 4
    random = np.random.default_rng(0)
    right = random.random(480) < np.where(np.array(gender) == "f", 0.9, 0.5)
    return targets, np.where(right, targets, (targets + 1) % 4), speakers, gender


def named(figures: dict, column: str) -> dict[str, dict]:
    return {row["name"]: row for row in figures["columns"][column]["groups"]}


def test_a_group_has_the_figures_its_clips_would_have_alone() -> None:
    targets, guesses, speakers, gender = corpus()
    rows = named(groups(targets, guesses, LABELS, {"gender": gender}, speakers), "gender")
    assert list(rows) == ["f", "m"]
    for name, row in rows.items():
        own = np.array(gender) == name
        alone = classification(targets[own], guesses[own], LABELS, Resample(np.array(speakers)[own].tolist()))
        assert {"value": row["ua"], "low": row["low"], "high": row["high"]} == alone["ua"]
        assert row["wa"] == alone["wa"]["value"]
        assert (row["clips"], row["speakers"], row["classes"]) == (240, 6, 4)


def test_gaps() -> None:
    targets, guesses, speakers, gender = corpus()
    figures = groups(targets, guesses, LABELS, {"speaker": speakers, "gender": gender}, speakers)
    rows, gap = named(figures, "gender"), figures["columns"]["gender"]["gap"]
    assert gap == {"points": round(rows["f"]["ua"] - rows["m"]["ua"], 2), "best": "f", "worst": "m"}
    assert gap["points"] > 25
    assert figures["columns"]["speaker"]["gap"]["points"] > gap["points"]
    assert figures["largest_gap"] == {"column": "gender", **gap}, "single speakers always lie further apart"
    assert all(row["low"] is None for row in named(figures, "speaker").values()), "one speaker has no interval"


def test_groups_of_equal_figures_have_a_gap_of_nothing() -> None:
    targets, _, speakers, gender = corpus()
    figures = groups(targets, targets, LABELS, {"gender": gender}, speakers)
    assert figures["columns"]["gender"]["gap"]["points"] == 0.0


def test_only_groups_with_the_same_classes_compare() -> None:
    targets, guesses, speakers, gender = corpus()
    kept = (np.array(gender) == "f") | (targets > 0)  # no neutral men
    figures = groups(
        targets[kept],
        guesses[kept],
        LABELS,
        {"gender": np.array(gender)[kept].tolist()},
        np.array(speakers)[kept].tolist(),
    )
    assert [row["classes"] for row in figures["columns"]["gender"]["groups"]] == [4, 3]
    assert figures["columns"]["gender"]["gap"] is None
    assert figures["largest_gap"] is None


def test_small_and_unknown_groups_are_listed_but_not_compared() -> None:
    targets, guesses, speakers, _ = corpus()
    sizes = {"emodb": 200, "ravdess": 200, "tiny": FEWEST_CLIPS - 1, "": 61}
    names = np.repeat(list(sizes), list(sizes.values())).tolist()
    wrong = np.array(names) == "tiny"
    figures = groups(targets, np.where(wrong, -1, guesses), LABELS, {"corpus": names}, speakers)
    rows = named(figures, "corpus")
    assert {name: row["clips"] for name, row in rows.items()} == {
        "emodb": 200,
        "ravdess": 200,
        "tiny": FEWEST_CLIPS - 1,
        "unknown": 61,
    }
    assert rows["tiny"]["ua"] == rows["tiny"]["wa"] == 0.0, "no answer is wrong"
    assert figures["columns"]["corpus"]["gap"]["worst"] == "ravdess"


def test_a_column_with_one_group_says_nothing() -> None:
    targets, guesses, speakers, _ = corpus()
    figures = groups(targets, guesses, LABELS, {"corpus": ["ravdess"] * 480, "gender": [""] * 480}, speakers)
    assert figures == {"columns": {}, "largest_gap": None}


@pytest.mark.parametrize(
    ("seconds", "name"),
    [
        (0.3, "0 to 1 s"),
        (1.0, "1 to 2 s"),
        (3.99, "2 to 4 s"),
        (4.0, "4 to 8 s"),
        (8.0, "8 s or more"),
        (700.0, "8 s or more"),
        (float("nan"), ""),
    ],
)
def test_duration_bins(seconds: float, name: str) -> None:
    assert duration_bins([seconds]) == [name]


def test_duration_bins_sort_by_duration() -> None:
    names = duration_bins([0.5, 1.5, 3.0, 5.0, 20.0])
    assert sorted(names) == names
