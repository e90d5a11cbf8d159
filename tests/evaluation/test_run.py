from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tones import write_tones

pytest.importorskip("onnx", reason='needs the extra "train"')
pytest.importorskip("jsonschema", reason='needs the extra "dev"')

from metrics_schema import known, undated, valid

from sercli.corpora import read_corpus
from sercli.corpora.splits import protocol
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError, LabelError, UsageError
from sercli.evaluation.answers import row_of
from sercli.evaluation.grid import Grid
from sercli.evaluation.measure import Settings
from sercli.evaluation.model import open_model
from sercli.evaluation.run import Evaluation, compared_with_model, compared_with_predictions, evaluate
from tests.tiny import RATE, make_bundle, tone

FEW = Settings(draws=50)


@pytest.fixture(scope="module")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    return write_tones(tmp_path_factory.mktemp("tones"), wrong=("s2-sad", "s3-angry"))


@pytest.fixture(scope="module")
def rating_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("models") / "tiny", rates=True)


# One model


def test_one_model(rating_bundle: Path, utterances: list[Utterance], tmp_path: Path) -> None:
    material = {"train": {"tones": {"speakers": ["s1"]}}, "dev": {"tones": {"speakers": ["s2"]}}}
    bundle = shutil.copytree(rating_bundle, tmp_path / "tiny")
    (bundle / "metrics.json").write_text(json.dumps({"material": material}))
    grid, settings = Grid(("white", "telephone"), (0.0,)), Settings(draws=50, scale=(0.0, 10.0))
    heard: list[int] = []

    def measured() -> dict[str, Any]:
        return evaluate(open_model(bundle), utterances, "shared", None, grid, settings, lambda: heard.append(1)).metrics

    metrics = valid(measured())
    assert len(heard) == len(utterances)
    assert metrics["figures"]["wa"]["value"] == pytest.approx(100 * 16 / 18, abs=0.01)
    assert metrics["figures"]["dimensions"]["valence"]["clips"] == 18
    assert (metrics["seen"]["status"], metrics["seen"]["speakers"]) == ("partly seen", ["tones/s1", "tones/s2"])
    assert metrics["calibration"]["at_threshold"]["threshold"] == 0.5
    assert metrics["robustness"]["clean"]["ua"] == metrics["figures"]["ua"]["value"]
    assert "folds" not in metrics
    assert undated(measured()) == undated(metrics)

    (bundle / "model.onnx").write_bytes((bundle / "model.onnx").read_bytes() + b"\x5a\x00")  # one more, empty field
    changed = measured()
    assert changed["model"]["sha256"] != metrics["model"]["sha256"]
    assert changed["figures"] == metrics["figures"]


def test_a_key_that_nobody_knows_fails_the_schema(rating_bundle: Path, utterances: list[Utterance]) -> None:
    settings = Settings(draws=20, scale=(0.0, 10.0))
    metrics = valid(
        evaluate(open_model(rating_bundle), utterances, grid=Grid(("white",), (0.0,)), settings=settings).metrics
    )

    def objects(part: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        if isinstance(part, dict):
            yield place
            for key, inner in part.items():
                yield from objects(inner, (*place, key))
        elif isinstance(part, list) and part:
            yield from objects(part[0], (*place, 0))

    places = [place for place in objects(metrics) if place != ("versions",)]  # any package may have one
    assert len(places) > 30
    for place in places:
        wrong = copy.deepcopy(metrics)
        part = wrong
        for key in place:
            part = part[key]
        part["valeu"] = "1.0"
        assert not known(wrong), place
        del part["valeu"]
        assert known(wrong)


def test_ratings_alone(rating_bundle: Path, utterances: list[Utterance]) -> None:
    rated = [replace(utterance, emotion="") for utterance in utterances]
    model, settings = open_model(rating_bundle), Settings(draws=20, scale=(0.0, 10.0))
    found = evaluate(model, rated, settings=settings)
    metrics = valid(found.metrics)
    assert (metrics["data"]["labels"], [*metrics["figures"]]) == ([], ["dimensions"])
    with pytest.raises(UsageError, match="ratings only; leave --robustness out"):
        evaluate(model, rated, grid=Grid(("white",)), settings=settings)
    with pytest.raises(UsageError, match="ratings only"):
        compared_with_model(found, model, settings)


def test_a_wrong_scale_is_told_before_any_work(rating_bundle: Path, utterances: list[Utterance]) -> None:
    with pytest.raises(CorpusError, match="--scale LOW HIGH"):
        evaluate(open_model(rating_bundle), utterances, advance=lambda: pytest.fail("worked already"))


def test_silence_breaks_nothing(tiny_bundle: Path, utterances: list[Utterance], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    quiet = [replace(u, path=str(tmp_path / "silence.wav"), start=row / 100) for row, u in enumerate(utterances)]
    for some in (utterances[1:] + quiet[:1], quiet):
        metrics = valid(evaluate(open_model(tiny_bundle), some, grid=Grid(("gain",)), settings=FEW).metrics)
        assert metrics["figures"]["unanswered"] == sum(u.path.endswith("silence.wav") for u in some)
    assert metrics["figures"]["ua"]["value"] == 0.0


@pytest.fixture(scope="module")
def ravdess(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """A tone for each of five emotions of every actor, named as RAVDESS names them; actor 24 is always angry."""
    root = tmp_path_factory.mktemp("ravdess")
    hertz = {1: 1_000.0, 2: 1_000.0, 3: 200.0, 4: 200.0, 5: 3_000.0}  # neutral, calm, happy, sad, angry
    for actor in range(1, 25):
        for emotion, pitch in hertz.items():
            sound = tone(3_000.0 if actor == 24 else pitch, 0.2)
            soundfile.write(root / f"03-01-{emotion:02d}-01-01-01-{actor:02d}.wav", sound, RATE)
    return read_corpus("ravdess", root)


def test_one_model_on_the_folds_of_a_protocol(tiny_bundle: Path, ravdess: list[Utterance]) -> None:
    published = protocol("ravdess-emobox6")
    stray = Utterance("/elsewhere.wav", corpus="emodb", speaker="03", emotion="sad")
    found = evaluate(open_model(tiny_bundle), [*ravdess, stray], published=published, settings=FEW)
    metrics = valid(found.metrics)
    assert [*metrics["folds"]] == [fold.name for fold in published.folds]
    tested = [speaker for fold in metrics["folds"].values() for speaker in fold["speakers"]]
    assert sorted(tested) == [f"ravdess/{actor:02d}" for actor in range(1, 25)]
    assert metrics["data"]["left_out"] == {"happy": 24}
    assert (metrics["data"]["protocol"], metrics["data"]["corpora"]) == ("ravdess-emobox6", {"ravdess": 96})
    [broken] = [fold for fold in metrics["folds"].values() if "ravdess/24" in fold["speakers"]]
    assert broken["wa"] == pytest.approx(100 * (broken["clips"] - 3) / broken["clips"], abs=0.01)  # angry is right
    for key in ("ua", "wa"):
        values = [fold[key] for fold in metrics["folds"].values()]
        assert sorted(values)[1:] == [100.0] * 5
        expected = {"mean": round(np.mean(values), 2), "std": round(np.std(values), 2)}
        assert metrics["over_folds"][key] == pytest.approx(expected)
    assert metrics["figures"]["wa"]["value"] == pytest.approx(100 * 93 / 96, abs=0.01)

    with pytest.raises(LabelError, match="the model has no label calm, happy"):
        evaluate(open_model(tiny_bundle), ravdess, published.label_set, published)
    with pytest.raises(CorpusError, match="is of corpus ravdess, and there is nothing of it here"):
        evaluate(open_model(tiny_bundle), [stray], published=published)


# Two models


def test_a_model_against_itself_and_a_better_one(
    tiny_bundle: Path, utterances: list[Utterance], tmp_path: Path
) -> None:
    found = evaluate(open_model(tiny_bundle), utterances, settings=FEW)
    assert found.answers is not None
    itself = compared_with_model(found, open_model(tiny_bundle), FEW)
    assert valid({**found.metrics, "against": itself})["against"]["ua"]["p"] == 1.0
    assert {itself[key]["difference"] for key in ("ua", "wa")} == {0.0}
    assert (itself["seen"]["status"], itself["clips"], itself["speakers"]) == ("unknown", 18, 6)

    labels = found.answers.task.labels
    said = {row_of(u): labels[p] for u, p in zip(found.answers.task.utterances, found.answers.predictions, strict=True)}
    report = compared_with_predictions(found, said, "report", FEW)
    assert valid({**found.metrics, "against": report})["against"]["mcnemar_p"] == 1.0
    assert {key: report[key] for key in ("ua", "wa")} == {key: itself[key] for key in ("ua", "wa")}

    truth = {row_of(utterance): utterance.emotion for utterance in utterances}
    better = compared_with_predictions(found, {**truth, ("more", "", "", 0.0): "sad"}, "truth", FEW)
    assert better["wa"]["difference"] == pytest.approx(100 * 2 / 18, abs=0.01)
    assert (better["only_first_right"], better["only_second_right"]) == (0, 2)
    first = row_of(utterances[0])
    silent = compared_with_predictions(found, {**said, first: ""}, "silent once", FEW)
    assert (silent["only_first_right"], silent["only_second_right"]) == (1, 0)

    with pytest.raises(CorpusError, match=r"part: nothing on .*s1-sad\.wav \(1 missing\); it is of another test"):
        compared_with_predictions(found, {row: label for row, label in said.items() if row != first}, "part", FEW)
    with pytest.raises(CorpusError, match="answers boredom, no labels here; take the same --labels"):
        compared_with_predictions(found, {**said, first: "boredom"}, "eight", FEW)
    lacking = replace(found.answers, task=replace(found.answers.task, labels=("sad", "neutral", "happy")))
    with pytest.raises(LabelError, match=r"tiny@.* has no label happy; choose --labels that both have"):
        compared_with_model(Evaluation(found.metrics, lacking), open_model(tiny_bundle), FEW)


def test_clips_that_are_told_apart_by_their_folder_only(tiny_bundle: Path, tmp_path: Path) -> None:
    clips = []
    for emotion, hertz in (("sad", 200.0), ("angry", 3_000.0)):
        (tmp_path / emotion).mkdir()
        soundfile.write(tmp_path / emotion / "1.wav", tone(hertz, 0.2), RATE)
        clips.append(Utterance(str(tmp_path / emotion / "1.wav"), emotion=emotion))
    found = evaluate(open_model(tiny_bundle), clips, settings=FEW)
    with pytest.raises(CorpusError, match="one speaker, file name and start; name the model instead"):
        compared_with_predictions(found, {row_of(clips[0]): "sad"}, "report", FEW)
    against = compared_with_model(found, open_model(tiny_bundle), FEW)
    assert valid({**found.metrics, "against": against})["against"]["speakers"] == 0  # nobody knows
    assert against["ua"]["p"] is None
