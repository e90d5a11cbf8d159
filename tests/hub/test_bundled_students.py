"""The students in the repository are whole, are the ones the manifest names, and get real questions right."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import sercli
from sercli.hub.bundled import DEFAULT_MODEL
from sercli.runtime.bundle import BUNDLE_FILES

ZOO = Path(__file__).parents[2] / "zoo"
MANIFEST = yaml.safe_load((ZOO / "manifest.yaml").read_text(encoding="utf-8"))
STUDENTS = sorted(MANIFEST["students"])
MOST_BYTES = 12_000_000  # all bundles together
LEAST_AGREEMENT = 0.9  # of int8 with float32


def test_manifest_names_every_bundled_student() -> None:
    assert sorted(path.name for path in (ZOO / "students").iterdir() if path.is_dir()) == STUDENTS
    assert DEFAULT_MODEL in STUDENTS
    assert sum(path.stat().st_size for path in (ZOO / "students").rglob("*") if path.is_file()) < MOST_BYTES


@pytest.mark.parametrize("name", STUDENTS)
def test_files_are_those_of_the_manifest(name: str) -> None:
    folder, entry = ZOO / "students" / name, MANIFEST["students"][name]
    assert sorted(entry["files"]) == sorted(path.name for path in folder.iterdir())
    for file, facts in entry["files"].items():
        content = (folder / file).read_bytes()
        assert len(content) == facts["size"]
        assert hashlib.sha256(content).hexdigest() == facts["sha256"]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert entry["labels"] == config["labels"]
    assert entry["parameters"] == config["parameters"]


@pytest.mark.parametrize("name", STUDENTS)
def test_bundle_is_whole(name: str) -> None:
    folder = ZOO / "students" / name
    assert {path.name for path in folder.iterdir()} == set(BUNDLE_FILES)
    float32, int8 = (folder / file for file in ("model.onnx", "model.int8.onnx"))
    graph = (
        25_000  # bytes that no precision makes smaller: names, shapes, the filter bank; much of the smallest student
    )
    assert int8.stat().st_size <= 0.30 * float32.stat().st_size + graph
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    ua = metrics["development"]["ua_by_file"]
    assert ua["model.int8.onnx"] >= ua["model.onnx"] - 1.0
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "license: cc-by-nc-sa-4.0" in card
    assert "AI Act" in card
    assert "/home/" not in card
    assert "root" not in (folder / "recipe.yaml").read_text(encoding="utf-8").replace("root: ''", "")


@pytest.mark.parametrize("name", STUDENTS)
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_padding_and_gain_do_not_matter(name: str, precision: str) -> None:
    """A bundle's own contract, on speech: zeros to the right change nothing, and neither does loudness."""
    import onnxruntime

    graph = ZOO / "students" / name / ("model.onnx" if precision == "float32" else "model.int8.onnx")
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    speech = sercli.read_audio(ZOO.parent / "tests" / "sample.flac")
    lengths = np.array([len(speech)], dtype=np.int64)
    plain = session.run(["logits"], {"waveform": speech[None], "lengths": lengths})[0]
    padded = session.run(["logits"], {"waveform": np.pad(speech, (0, 9_999))[None], "lengths": lengths})[0]
    np.testing.assert_allclose(padded, plain, atol=1e-4)
    quiet = session.run(["logits"], {"waveform": 0.25 * speech[None], "lengths": lengths})[0]
    np.testing.assert_allclose(quiet, plain, atol=0.05 if precision == "float32" else 0.5)


@pytest.mark.parametrize("name", STUDENTS)
def test_labels_training_speakers_right(name: str, real_data: Path) -> None:
    """Not a measure of quality, but an end-to-end check: heard speakers are labelled far better than by chance."""
    from sercli.corpora import read_corpus
    from sercli.labels import relabel

    clips = relabel(read_corpus("ravdess", real_data / "ravdess"), "seven")[::24]
    float32, int8 = (sercli.load(name, precision=precision) for precision in ("float32", "int8"))
    right = agree = 0
    for clip in clips:
        audio = sercli.read_audio(clip.path)
        one, other = (student.predict(audio, 16_000, threshold=0.0) for student in (float32, int8))
        right += one.label == clip.emotion
        agree += one.label == other.label
    assert right / len(clips) > 0.5  # chance is one in seven
    assert agree / len(clips) >= LEAST_AGREEMENT
