from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tones import SPEAKERS, write_tones

pytest.importorskip("onnx", reason='needs the extra "train"')

from sercli.corpora.table import Utterance
from sercli.errors import CorpusError
from sercli.evaluation.answers import Answers, answer
from sercli.evaluation.corruption import grid
from sercli.evaluation.dimensional import ccc, rmse
from sercli.evaluation.measure import Settings, by_fold, described, measure, robustness
from sercli.evaluation.metrics import soft_cross_entropy
from sercli.evaluation.task import Task, ask
from sercli.runtime.student import Student, load
from tests.tiny import LABELS, RATE, make_bundle

SETTINGS = Settings(draws=200, scale=(0.0, 10.0))
Judge = Callable[[list[Utterance]], Answers]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return load(make_bundle(tmp_path_factory.mktemp("student"), rates=True, sharpness=0.5))


@pytest.fixture(scope="module")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    return write_tones(tmp_path_factory.mktemp("tones"), wrong=("s2-sad", "s3-angry", "s4-angry"))


@pytest.fixture(scope="module")
def judge(student: Student) -> Judge:
    return lambda utterances: answer(student, ask(utterances, student.labels, rates=True))


def silent(utterances: list[Utterance], folder: Path) -> list[Utterance]:
    """The same with the first clip silenced."""
    soundfile.write(folder / "silence.wav", np.zeros(RATE), RATE)
    return [replace(utterances[0], path=str(folder / "silence.wav")), *utterances[1:]]


def test_figures_are_those_of_a_direct_computation(judge: Judge, utterances: list[Utterance]) -> None:
    answers = judge(utterances)
    found = measure(answers, SETTINGS, threshold=0.6)
    right = answers.predictions == answers.targets
    figures = found["figures"]
    assert figures["wa"]["value"] == pytest.approx(100 * 15 / 18, abs=0.01)
    assert [figures["recall"][label]["value"] for label in LABELS] == [83.33, 100.0, 66.67]
    assert figures["ua"]["value"] == pytest.approx(np.mean([500 / 6, 100, 400 / 6]), abs=0.01)
    assert figures["ua"]["low"] <= figures["ua"]["value"] <= figures["ua"]["high"]
    assert figures["confusion"] == [[5, 1, 0], [0, 6, 0], [2, 0, 4]]
    assert found["bootstrap"] == {"draws": 200, "level": 0.95, "seed": 0, "unit": "speaker"}

    chosen = answers.scores[np.arange(18), answers.targets]
    calibration = found["calibration"]
    assert calibration["nll"]["value"] == pytest.approx(-np.log(chosen).mean(), abs=1e-4)
    sure = answers.scores.max(axis=1) >= 0.6
    assert calibration["at_threshold"]["coverage"] == pytest.approx(100 * sure.mean(), abs=0.01)
    assert calibration["at_threshold"]["wa"] == pytest.approx(100 * right[sure].mean(), abs=0.01)
    assert measure(answers, SETTINGS)["calibration"]["at_threshold"] is None

    women = np.array([utterance.gender == "f" for utterance in utterances])
    gender = {group["name"]: group for group in found["groups"]["columns"]["gender"]["groups"]}
    assert gender["f"]["wa"] == pytest.approx(100 * right[women].mean(), abs=0.01)
    assert (gender["m"]["clips"], gender["m"]["speakers"]) == (9, 3)
    speakers = found["groups"]["columns"]["speaker"]["groups"]
    assert [group["name"] for group in speakers] == [f"tones/{speaker}" for speaker in SPEAKERS]


def test_votes_and_ratings_are_measured(judge: Judge, utterances: list[Utterance]) -> None:
    answers = judge(utterances)
    figures = measure(answers, SETTINGS)["figures"]
    shares = {"sad": [2, 1, 0], "neutral": [0, 3, 0], "angry": [0, 1, 2]}  # calm is neutral
    votes = np.array([shares[utterance.emotion] for utterance in utterances])
    assert figures["soft_cross_entropy"]["value"] == pytest.approx(
        soft_cross_entropy(answers.scores, votes).mean(), abs=1e-4
    )
    assert figures["soft_cross_entropy"]["clips"] == 18
    ratings = np.array([[u.arousal, u.valence, u.dominance] for u in utterances]) / 10.0
    for column, (name, dimension) in enumerate(figures["dimensions"].items()):
        assert name == ("arousal", "valence", "dominance")[column]
        for figure, function in (("ccc", ccc), ("rmse", rmse)):
            expected = function(ratings[:, column], answers.dimensions[:, column])
            assert dimension[figure]["value"] == pytest.approx(expected, abs=1e-4)
        assert dimension["clips"] == (12 if name == "dominance" else 18)
    assert figures["dimensions"]["arousal"]["ccc"]["value"] > 0.99
    with pytest.raises(CorpusError, match="--scale LOW HIGH"):
        measure(answers, Settings(draws=1))


def test_ratings_need_not_fit_for_a_model_that_does_not_rate(utterances: list[Utterance], tmp_path: Path) -> None:
    student = load(make_bundle(tmp_path))
    figures = measure(answer(student, ask(utterances, student.labels)), Settings(draws=1))["figures"]
    assert "dimensions" not in figures


def test_silence_counts_as_wrong_and_has_no_confidence(
    judge: Judge, utterances: list[Utterance], tmp_path: Path
) -> None:
    found = measure(judge(silent(utterances, tmp_path)), SETTINGS)
    figures = found["figures"]
    assert figures["unanswered"] == 1
    assert figures["recall"]["sad"]["value"] == pytest.approx(100 * 4 / 6, abs=0.01)
    assert sum(part["clips"] for part in found["calibration"]["bins"]) == 17
    assert figures["soft_cross_entropy"]["clips"] == 17
    assert (figures["dimensions"]["arousal"]["clips"], figures["dimensions"]["arousal"]["unanswered"]) == (17, 1)

    silence = str(tmp_path / "silence.wav")
    nothing = measure(judge([replace(u, path=silence, start=row / 100) for row, u in enumerate(utterances)]), SETTINGS)
    assert nothing["figures"]["wa"]["value"] == 0.0
    assert "calibration" not in nothing


@pytest.mark.parametrize(
    ("known", "unit", "names"),
    [
        (0, "utterance", []),
        (6, "speaker where known", ["tones/s1", "tones/s2", "unknown"]),
        (18, "speaker", [f"tones/{speaker}" for speaker in SPEAKERS]),
    ],
)
def test_who_is_unknown_stands_alone(
    judge: Judge, utterances: list[Utterance], known: int, unit: str, names: list[str]
) -> None:
    some = [u if row < known else replace(u, speaker="") for row, u in enumerate(utterances)]
    found = measure(judge(some), SETTINGS)
    assert found["bootstrap"]["unit"] == unit
    assert found["figures"]["ua"]["low"] is not None
    groups = found["groups"]["columns"].get("speaker", {"groups": []})["groups"]
    assert [group["name"] for group in groups] == names


def test_clips_of_few_speakers_have_no_interval(judge: Judge, utterances: list[Utterance]) -> None:
    few = [utterance for utterance in utterances if utterance.speaker in {"s1", "s2", "s3", "s4"}]
    assert measure(judge(few), SETTINGS)["figures"]["ua"]["low"] is None
    assert measure(judge([replace(u, speaker="") for u in few]), SETTINGS)["figures"]["ua"]["low"] is not None


def test_ratings_alone_are_enough(judge: Judge, utterances: list[Utterance]) -> None:
    found = measure(judge([replace(utterance, emotion="") for utterance in utterances]), SETTINGS)
    assert [*found["figures"]] == ["dimensions"]
    assert not {"calibration", "groups"} & found.keys()


def test_every_corruption_is_set_against_clean_speech(student: Student, utterances: list[Utterance]) -> None:
    cells = grid(["gain", "white"], [-20.0])
    answers = answer(student, ask(utterances, student.labels), cells)
    found = robustness(answers, cells, SETTINGS)
    assert found["clean"]["ua"] == measure(answers, SETTINGS)["figures"]["ua"]["value"]
    by_level = {(cell["kind"], cell["level"]): cell for cell in found["cells"]}
    assert len(by_level) == 5
    assert by_level["gain", "10 dB"]["wa"] == found["clean"]["wa"]  # brightness does not ask how loud
    assert by_level["white", "-20 dB"]["ua"] == pytest.approx(100 / 3, abs=0.01)  # noise is bright: all angry


def test_folds_are_told_apart_and_averaged(judge: Judge, utterances: list[Utterance]) -> None:
    # the second fold lacks a class, and one utterance has only ratings
    kept = [u for u in utterances if not (u.speaker == "s6" and u.emotion == "sad")]
    answers = judge([*kept, replace(kept[0], emotion="", start=0.1)])
    folds = ["last" if u.speaker == "s6" else "first" for u in answers.task.utterances]
    found: dict[str, Any] = by_fold(replace(answers, fold=folds))
    first, last = found["folds"]["first"], found["folds"]["last"]
    assert [*found["folds"]] == ["first", "last"]
    assert (first["clips"], first["classes"], first["ua"]) == (15, 3, 80.0)
    assert (last["clips"], last["classes"], last["ua"], last["speakers"]) == (2, 2, 100.0, ["tones/s6"])
    assert found["over_folds"]["ua"] == {"mean": 90.0, "std": 10.0}


def test_what_was_asked_is_described_once(judge: Judge, utterances: list[Utterance]) -> None:
    whole = described([judge(utterances)])
    assert whole["corpora"] == {"tones": 18}
    assert (whole["labels"], whole["speakers"], whole["utterances"]) == (LABELS, 6, 18)
    assert whole["seconds"] == pytest.approx(18 * 0.3, abs=0.05)
    answers = judge(utterances)
    part = replace(answers, task=Task(answers.task.utterances, ("sad", "neutral"), "shared", {"angry": 6}))
    assert described([part])["left_out"] == {"angry": 6}
    both = described([answers, part])
    assert (both["utterances"], both["labels"], both["left_out"]) == (18, LABELS, {})
    assert both["table_sha256"] == whole["table_sha256"]
