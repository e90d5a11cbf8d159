from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tones import SECONDS, write_tones

pytest.importorskip("onnx", reason='needs the extra "train"')

from sercli.audio import read_audio
from sercli.corpora.table import Utterance
from sercli.errors import BundleError, CorpusError, ModelNotFoundError, UsageError
from sercli.evaluation.answers import UNANSWERED, UNLABELLED, Answers, answer, joined, row_of
from sercli.evaluation.corruption import Corruption, grid
from sercli.evaluation.grid import Grid
from sercli.evaluation.model import Heard, open_model
from sercli.evaluation.task import Task, ask
from sercli.runtime.student import Student, load
from tests.tiny import LABELS, RATE, dimensions, make_bundle, tone


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    """A student that abstains nearly always, unless told not to, and rates."""
    return load(make_bundle(tmp_path_factory.mktemp("student"), rates=True, abstain_threshold=0.99))


@pytest.fixture(scope="module")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    return write_tones(tmp_path_factory.mktemp("tones"), wrong=("s2-sad", "s3-angry"))


def test_answers_are_what_predict_says(student: Student, utterances: list[Utterance]) -> None:
    task = ask(utterances, student.labels)
    heard = []
    found = answer(student, task, fold="7", advance=lambda: heard.append(1))
    assert len(heard) == len(utterances) == len(found.predictions)
    for row, utterance in enumerate(utterances):
        prediction = student.predict(read_audio(utterance.path), RATE, threshold=0.0)
        assert prediction.label != "uncertain"
        assert task.labels[found.predictions[row]] == prediction.label
        assert found.scores[row].tolist() == [prediction.scores[label] for label in task.labels]
        assert np.array_equal(found.embeddings[row], prediction.embedding)
        assert np.array_equal(found.dimensions[row], prediction.dimensions)
        assert task.labels[found.targets[row]] == utterance.emotion
    wrong = [
        Path(u.path).stem for u, right in zip(utterances, found.predictions == found.targets, strict=True) if not right
    ]
    assert wrong == ["s2-sad", "s3-angry"]
    np.testing.assert_allclose(found.dimensions[0], dimensions(200.0), atol=0.01)
    np.testing.assert_allclose(found.seconds, SECONDS)
    assert set(found.fold) == {"7"}
    assert found.speakers[:4] == ["tones/s1", "tones/s1", "tones/s1", "tones/s2"]


def test_only_the_labels_asked_for_are_answered(student: Student, utterances: list[Utterance]) -> None:
    task = ask([u for u in utterances if u.emotion != "neutral"], student.labels)
    found = answer(student, task)
    assert task.labels == ("sad", "angry")
    np.testing.assert_allclose(found.scores.sum(axis=1), 1.0)
    # without labels there is nothing to answer but the ratings
    unlabelled = [replace(utterance, emotion="") for utterance in utterances[:2]]
    rated = answer(student, Task(unlabelled, (), "shared", {}), grid(["white"], [10.0]))
    assert rated.predictions.tolist() == [UNANSWERED] * 2
    assert rated.scores.shape == (2, 0)
    assert np.isfinite(rated.dimensions).all()


def test_silence_is_not_answered(student: Student, utterances: list[Utterance], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    quiet = Utterance(str(tmp_path / "silence.wav"), corpus="tones", speaker="s1", emotion="sad")
    found = answer(student, ask([quiet, *utterances], student.labels), grid(["white", "gain"], [0.0]))
    assert (found.predictions[0], found.targets[0]) == (UNANSWERED, LABELS.index("sad"))
    for values in (found.scores[0], found.embeddings[0], found.dimensions[0]):
        assert np.isnan(values).all()
    assert {int(said[0]) for said in found.spoilt.values()} == {UNANSWERED}  # noise is not added to silence
    assert (found.predictions[1:] != UNANSWERED).all()


def test_segments_of_one_file(student: Student, tmp_path: Path) -> None:
    path = str(tmp_path / "dialogue.wav")
    soundfile.write(path, np.concatenate([tone(hertz, 0.5) for hertz in (200, 3_000, 1_000)]), RATE)
    turns = [("sad", 0.0, 0.5), ("angry", 0.5, 1.0), ("neutral", 1.0, float("nan"))]
    found = answer(student, ask([Utterance(path, start, end, emotion=e) for e, start, end in turns], student.labels))
    assert [LABELS[said] for said in found.predictions] == ["sad", "angry", "neutral"]
    np.testing.assert_allclose(found.seconds, 0.5)
    assert found.speakers == ["utterance 0", "utterance 1", "utterance 2"]
    with pytest.raises(CorpusError, match="no audio from 2 s on"):
        answer(student, Task([Utterance(path, 2.0, emotion="sad")], tuple(LABELS), "shared", {}))


def test_a_missing_file_is_told_before_any_work(
    student: Student, utterances: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Student, "label_whole", lambda *_: pytest.fail("worked already"))
    missing = replace(utterances[0], path="/nowhere/a.wav")
    with pytest.raises(CorpusError, match=r"/nowhere/a\.wav: no such file \(and 1 more\)"):
        answer(student, ask([*utterances, missing, replace(missing, start=1.0)], student.labels))


def test_a_clip_that_cannot_be_scored_is_named(student: Student, utterances: list[Utterance], tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.full(RATE, 3e38, np.float32), RATE, subtype="FLOAT")
    with pytest.raises(CorpusError, match=r"loud\.wav: the student gives no finite scores"):
        answer(student, ask([*utterances, replace(utterances[0], path=str(path))], student.labels))


Notes = dict[tuple[str, str, str], list[float]]


def chance(notes: Notes, kind: str, level: str) -> Corruption:
    """Change nothing, but note what chance holds for each clip, by speaker and pitch."""

    def note(signal: np.ndarray, random: np.random.Generator, speaker: str) -> np.ndarray:
        pitch = int(np.abs(np.fft.rfft(signal)).argmax())
        notes[kind, level, f"{speaker} {pitch}"] = random.random(3).tolist()
        return signal

    return Corruption(kind, level, None, note)


def noted(student: Student, utterances: list[Utterance], seed: int = 0) -> Notes:
    notes: Notes = {}
    cells = [chance(notes, kind, level) for kind, level in (("rain", "0 dB"), ("rain", "5 dB"), ("wind", "0 dB"))]
    answer(student, ask(utterances, student.labels), cells, seed=seed)
    assert len(notes) == 3 * len(utterances)
    return notes


def test_chance_depends_on_seed_utterance_and_kind_alone(
    student: Student, utterances: list[Utterance], tmp_path: Path
) -> None:
    utterances = utterances[9:]  # no two of a speaker sound alike
    notes = noted(student, utterances)
    for (kind, _, clip), drawn in notes.items():
        assert (drawn == notes["rain", "0 dB", clip]) == (kind == "rain")  # one stretch at every SNR
        assert clip.startswith("tones/s")
    assert len({tuple(drawn) for drawn in notes.values()}) == 2 * len(utterances)

    another = load(make_bundle(tmp_path, sharpness=1.0))
    fewer = noted(another, utterances[:1:-2])  # in other company and order
    assert all(notes[key] == drawn for key, drawn in fewer.items())
    assert not any(notes[key] == drawn for key, drawn in noted(student, utterances, seed=1).items())


def test_answers_to_noise_repeat_in_any_order(student: Student, utterances: list[Utterance]) -> None:
    talkers = [replace(utterance, speaker=f"{utterance.speaker}-{utterance.emotion}") for utterance in utterances]
    cells = Grid(("white", "babble"), (0.0, -5.0)).cells(talkers)
    first = answer(student, ask(utterances, student.labels), cells)
    backwards = answer(student, ask(utterances[::-1], student.labels), cells)
    assert list(first.spoilt) == [("white", "0 dB"), ("white", "-5 dB"), ("babble", "0 dB"), ("babble", "-5 dB")]
    for cell, said in first.spoilt.items():
        assert backwards.spoilt[cell][::-1].tolist() == said.tolist()
    assert not np.array_equal(first.spoilt["white", "-5 dB"], first.predictions)


def test_babble_leaves_the_speaker_out(student: Student, tmp_path: Path) -> None:
    """Everybody hums a note of their own, so that a voice in the babble is known by its frequency."""
    people = [
        Utterance(str(tmp_path / f"{n}.wav"), corpus="a", speaker=f"s{n}", emotion=LABELS[n % 3]) for n in range(8)
    ]
    for number, person in enumerate(people):
        soundfile.write(person.path, tone(400.0 * (number + 1), 0.5), RATE, subtype="FLOAT")
    heard: list[set[int]] = []
    [babble] = Grid(("babble",), (-20.0,)).cells(people)

    def listen(signal: np.ndarray, random: np.random.Generator, speaker: str) -> np.ndarray:
        noise = babble(signal, random, speaker) - signal
        notes = np.abs(np.fft.rfft(noise))[np.arange(1, 9) * 200]
        heard.append({number for number, power in enumerate(notes) if power > 0.2 * notes.max()})
        assert int(speaker[-1]) not in heard[-1]
        return signal

    answer(student, ask(people, student.labels), [Corruption("babble", "-20 dB", -20.0, listen)])
    assert [len(voices) for voices in heard] == [6] * 8
    assert Grid().cells(people) == []


def test_folds_are_put_together_in_order(student: Student, utterances: list[Utterance]) -> None:
    labels, cells = student.labels, grid(["gain"])
    one = answer(student, Task(utterances[9:], labels, "set", {"joy": 1}), cells, fold="b")
    other = answer(student, Task(utterances[:9], labels, "set", {"joy": 2, "woe": 1}), cells, fold="a")
    found = joined([one, other])
    whole = answer(student, Task([*utterances[9:], *utterances[:9]], labels, "set", {}), cells)
    assert found.fold == ["b"] * 9 + ["a"] * 9
    assert found.task.left_out == {"joy": 3, "woe": 1}
    for name in ("targets", "predictions", "scores", "embeddings", "dimensions", "seconds"):
        assert np.array_equal(getattr(found, name), getattr(whole, name))
    assert {cell: said.tolist() for cell, said in found.spoilt.items()} == {
        cell: said.tolist() for cell, said in whole.spoilt.items()
    }
    with pytest.raises(ValueError, match="different tasks"):
        joined([one, answer(student, Task(utterances[:9], labels, "set", {}))])


def test_rows_can_be_taken(student: Student, utterances: list[Utterance]) -> None:
    rated = replace(utterances[0], emotion="", start=0.1)
    found: Answers = answer(student, ask([rated, *utterances], student.labels, rates=True), grid(["gain"]))
    assert found.targets[0] == UNLABELLED
    kept = found.only(found.targets != UNLABELLED)
    assert kept.task.utterances == utterances
    assert len(kept.predictions) == len(kept.fold) == len(kept.spoilt["gain", "10 dB"]) == len(utterances)


def test_an_utterance_has_one_name_wherever_it_lies() -> None:
    here = Utterance("/here/wav/a.wav", 1.23456, corpus="c", speaker="s")
    there = Utterance("elsewhere/a.flac", 1.235, corpus="c", speaker="s")
    assert row_of(here) == row_of(there) == ("c", "s", "a", 1.235)


def test_a_model_is_known_by_its_weights(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny", temperature=2.0)
    model = open_model(bundle)
    assert (model.kind, model.heard) == ("bundle", None)
    identity = model.identity()
    assert identity["id"] == f"tiny@{identity['sha256']['model.onnx'][:12]}"
    assert (identity["labels"], identity["temperature"], identity["precision"]) == (LABELS, 2.0, "float32")
    assert [*open_model(bundle, "int8").sha256] == ["model.int8.onnx"]
    make_bundle(bundle, sharpness=1.0)
    assert open_model(bundle).sha256 != model.sha256

    material = {"train": {"a": {"speakers": ["1", "2"]}}, "dev": {"b": {"speakers": ["3"]}}, "test": {}}
    (bundle / "metrics.json").write_text(json.dumps({"material": material}))
    assert open_model(bundle).heard == Heard(frozenset([("a", "1"), ("a", "2")]), frozenset([("b", "3")]))
    for damaged in ("", "[]", '{"material": {"train": {}}}', '{"material": {"train": [], "dev": []}}'):
        (bundle / "metrics.json").write_text(damaged)
        assert open_model(bundle).heard is None


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        open_model(tmp_path / "none")
    with pytest.raises(BundleError, match=r"no config\.json"):
        open_model(tmp_path)
    (tmp_path / "checkpoint.json").touch()
    with pytest.raises(BundleError, match="no int8 graph; make a bundle of it with `sercli export`"):
        open_model(tmp_path, "int8")
    with pytest.raises(UsageError, match="unknown precision"):
        open_model(make_bundle(tmp_path / "tiny"), "int4")  # type: ignore[arg-type]
