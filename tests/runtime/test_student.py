"""A student gives the known right answer, whatever the padding, rate, channels and length."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import sercli
from sercli.errors import AudioError, BundleError, LabelError, ModelNotFoundError, UsageError
from sercli.runtime.student import Student, load
from tests.tiny import LABELS, RATE, SHARPNESS, TONES, brightness, config, make_bundle, tone


@pytest.fixture(scope="module")
def student(tiny_bundle: Path) -> Student:
    return load(tiny_bundle)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (8_000, 1), (44_100, 2)])
@pytest.mark.parametrize("seconds", [0.3, 2.0, 11.3])
def test_known_answer(student: Student, label: str, rate: int, channels: int, seconds: float) -> None:
    audio = np.stack([tone(TONES[label], seconds, rate)] * channels).squeeze()
    prediction = student.predict(audio, rate)
    assert prediction.label == prediction.best == label
    assert prediction.score > 0.9
    assert (prediction.start, prediction.end) == (0.0, pytest.approx(seconds, abs=1e-4))
    assert math.fsum(prediction.scores.values()) == pytest.approx(1.0, abs=1e-12)
    assert list(prediction.scores) == LABELS


def test_scores_are_the_calibrated_softmax(tmp_path: Path) -> None:
    student = load(make_bundle(tmp_path / "warm", temperature=4.0))
    logits = [-SHARPNESS * abs(brightness(600) - brightness(TONES[label])) / 4.0 for label in LABELS]
    powers = np.exp(logits)
    scores = student.predict(tone(600, 2.0), RATE).scores
    assert list(scores.values()) == pytest.approx(list(powers / powers.sum()), abs=2e-3)


def test_short_clip_is_padded_without_effect(student: Student) -> None:
    short = student.predict(tone(1_000, 0.05), RATE)  # below min_seconds
    assert short.label == "neutral"
    assert short.end == pytest.approx(0.05)


def test_long_audio_is_the_mean_of_its_parts(student: Student) -> None:
    audio = np.concatenate([tone(200, 4.0), tone(3_000, 2.0)])  # clip_seconds is 4
    both = student.predict(audio, RATE).scores
    low, high = student.predict(tone(200, 4.0), RATE).scores, student.predict(tone(3_000, 2.0), RATE).scores
    for label in LABELS:
        assert both[label] == pytest.approx((2 * low[label] + high[label]) / 3, abs=2e-3)


def test_silent_parts_are_left_out(student: Student) -> None:
    audio = np.concatenate([np.zeros(8 * RATE, np.float32), tone(3_000, 4.0)])
    assert student.predict(audio, RATE).score > 0.9


def test_silence(student: Student) -> None:
    prediction = student.predict(np.zeros(RATE, np.float32), RATE)
    assert prediction.silence
    assert (prediction.label, prediction.scores, prediction.end) == ("", {}, 1.0)


def test_uncertain(student: Student) -> None:
    between = tone(200 * math.sqrt(5), 1.0)
    assert student.predict(between, RATE, threshold=0.9).label == "uncertain"
    assert student.predict(between, RATE, threshold=0.9).best in LABELS
    assert student.predict(between, RATE, threshold=0).label in LABELS


def test_restricted_labels(student: Student) -> None:
    prediction = student.predict(tone(200, 1.0), RATE, labels=["angry", "neutral"])
    assert list(prediction.scores) == ["neutral", "angry"]
    assert sum(prediction.scores.values()) == pytest.approx(1.0)
    assert prediction.label == "neutral"
    with pytest.raises(LabelError, match='did you mean "angry"'):
        student.predict(tone(200, 1.0), RATE, labels=["angri"])


def test_timeline(student: Student) -> None:
    audio = np.concatenate([tone(200, 2.0), np.zeros(2 * RATE, np.float32), tone(3_000, 1.25)])
    found = student.timeline(audio, RATE)
    assert [p.start for p in found] == [0.5 * k for k in range(len(found))]
    assert [p.end for p in found[:-1]] == [p.start + 1.0 for p in found[:-1]]
    assert found[-1].end == 5.25
    by_start = {p.start: p.label for p in found}
    assert (by_start[0.5], by_start[2.5], by_start[4.0]) == ("sad", "", "angry")
    assert found[5].silence
    assert len(student.timeline(audio, RATE, window_seconds=5.25, hop_seconds=2.0)) == 1
    with pytest.raises(UsageError, match="at least"):
        student.timeline(audio, RATE, window_seconds=0.01)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, np.float32), "empty"),
        (np.zeros(10, np.int16), "float"),
        (np.zeros((2, 2, 2), np.float32), "shape"),
        (np.zeros((16_000, 2), np.float32), "transpose"),
        (np.array([0.0, np.nan], np.float32), "NaN"),
    ],
)
def test_bad_arrays(student: Student, audio: np.ndarray, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        student.predict(audio, RATE)


def test_identity(student: Student, tiny_bundle: Path) -> None:
    import hashlib

    digest = hashlib.sha256((tiny_bundle / "model.onnx").read_bytes()).hexdigest()
    assert student.id == f"tiny@{digest[:12]}"
    assert (student.labels, student.sample_rate, student.config.name) == (tuple(LABELS), RATE, "tiny")
    assert load(tiny_bundle, precision="int8").labels == student.labels


def test_public_interface(tiny_bundle: Path) -> None:
    student = sercli.load(str(tiny_bundle))
    assert isinstance(student, sercli.Student)
    assert isinstance(student.predict(tone(200, 1.0), RATE), sercli.Prediction)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_rate": 8_000}, "sample_rate must be 16000"),
        ({"labels": ["sad", "angry"]}, "heads.logits is 3 but there are 2 labels"),
        ({"labels": ["a", "b", "c", "d"], "heads": {"logits": 4}}, "against the 4 labels"),
        ({"embedding_size": 3}, "'embedding' has width 2, against 3"),
        ({"heads": {"logits": 3, "dimensions": 3}}, "no output 'dimensions'"),
        ({"format": 2}, "format must be 1"),
        ({"temperature": 0}, "temperature"),
        ({"abstain_threshold": 1.5}, "abstain_threshold"),
        ({"window_second": 3}, 'did you mean "window_seconds"'),
        ({"labels": ["a", "a", "b"]}, "labels"),
        ({"labels": ["a", "b", "uncertain"]}, "labels"),
    ],
)
def test_bad_config(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    folder = make_bundle(tmp_path / "bad", **changes)
    with pytest.raises(BundleError, match=message) as raised:
        load(folder)
    assert "\n" not in str(raised.value)


def test_incomplete_bundle(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "bad")
    values = config()
    del values["labels"], values["heads"]
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(BundleError, match="missing labels, heads"):
        load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(BundleError, match="not valid JSON"):
        load(folder)
    (folder / "config.json").write_text(json.dumps(config()))
    (folder / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(BundleError, match="not a usable ONNX graph"):
        load(folder)
    (folder / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(BundleError, match=r"no config\.json"):
        load(folder)


def test_unknown_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, entries = tmp_path / "students", ""
    for name in ("micro", "nano"):
        make_bundle(home / name)
        entries += f"  {name}:\n    files:\n"
    (tmp_path / "manifest.yaml").write_text(f"format: 1\nstudents:\n{entries}")
    monkeypatch.setattr("sercli.hub.bundled._HOMES", (home,))
    with pytest.raises(ModelNotFoundError, match=r'did you mean "micro".*micro, nano'):
        load("mikro")
    with pytest.raises(ModelNotFoundError, match="no student folder"):
        load(tmp_path / "none")
    assert load("nano").labels == tuple(LABELS)
    with pytest.raises(UsageError, match="precision"):
        load("nano", precision="int4")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="threads"):
        load("nano", threads=0)
