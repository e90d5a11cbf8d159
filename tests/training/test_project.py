"""`sercli new`: what it writes can be followed to the letter, from recordings to a student that labels."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

for package in ("torch", "torchaudio", "transformers", "accelerate", "sklearn", "onnx", "onnxscript", "jinja2"):
    pytest.importorskip(package, reason='needs the extra "train"')

import soundfile  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from voices import CLASSES, RATE, SPEAKERS, voice  # noqa: E402

from sercli.cli.main import run  # noqa: E402
from sercli.corpora import read_corpus  # noqa: E402
from sercli.corpora.splits import speaker_share  # noqa: E402
from sercli.errors import CorpusError  # noqa: E402
from sercli.training.recipe_file import load_recipe  # noqa: E402
from tests.tiny_encoders import WAVEFORM  # noqa: E402

TINY = [
    "student={size: nano, arguments: {stem: 8, blocks: [[8, 2, 2], [12, 2, 1]], frame_channels: 16, context: 1, "
    "attention: 8, embedding: 8, per_band: false}}",
    "optim={epochs: 14, batch: 6, lr: 1e-2, average: 0.5}",
    "augment.trim_seconds=0.1",  # these voices last half a second
    "export.calibration_clips=8",
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Path:
    """A project with recordings of six speakers, and the current folder in it, as its README asks."""
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SERCLI_DATA", raising=False)
    folder = tmp_path / "calls"
    assert run(["new", str(folder), "--labels", ",".join(CLASSES)]) == 0
    streams = capfd.readouterr()
    assert streams.out.splitlines()[:3] == [str(folder / name) for name in ("README.md", "train.yaml", "distill.yaml")]
    assert streams.err.startswith("next: put recordings into ")
    for side, speakers in (("recordings", SPEAKERS), ("test", ("s7", "s8"))):
        for number, speaker in enumerate(speakers):
            for kind, emotion in enumerate(CLASSES):
                place = folder / side / emotion / speaker
                place.mkdir(parents=True)
                for clip in range(2):
                    sound = voice(emotion, 1_000 * len(side) + 100 * number + 10 * kind + clip)
                    soundfile.write(place / f"{clip}.wav", sound, RATE)
    monkeypatch.chdir(folder)
    return folder


def test_from_new_to_a_student_that_labels(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["corpus", "check", "folder", "--root", "recordings"]) == 0
    assert run(["train", "train.yaml", *TINY, "--quiet"]) == 0
    assert run(["export", "runs/calls", "-o", "calls"]) == 0
    config = json.loads((project / "calls" / "config.json").read_text())
    assert (config["name"], config["labels"]) == ("calls", list(CLASSES))
    metrics = json.loads((project / "runs" / "calls" / "metrics.json").read_text())
    assert len(metrics["material"]["dev"]["recordings"]["speakers"]) == 1
    assert metrics["dev"]["ua"] > 60  # of three classes that a child could tell apart; chance is 33
    capfd.readouterr()
    assert run(["predict", "test/happy/s7/0.wav", "--model", "./calls", "--format", "jsonl"]) == 0
    assert set(json.loads(capfd.readouterr().out)["scores"]) == set(CLASSES)
    assert run(["eval", "./calls", "--corpus", "folder", "--root", "test", "--format", "json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["data"]["utterances"], report["seen"]["status"]) == (12, "unseen")


def test_distilled_with_an_encoder_as_teacher(project: Path, tmp_path: Path) -> None:
    encoder = tmp_path / "encoder"
    torch.manual_seed(0)
    transformers.HubertModel(transformers.HubertConfig(**WAVEFORM)).save_pretrained(encoder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(encoder)
    teacher = f"teacher.encoders=[{{name: {encoder}, layers: [1, 3]}}]"
    assert run(["distill", "distill.yaml", teacher, *TINY, "optim.epochs=2", "--quiet"]) == 0
    assert json.loads((project / "runs" / "calls-distilled" / "checkpoint.json").read_text())["labels"] == list(CLASSES)


def test_the_readme_is_five_lines_of_commands_that_exist(project: Path) -> None:
    lines = (project / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 5
    commands = [shlex.split(line) for line in re.findall(r"`(sercli [^`]+)`", "\n".join(lines))]
    assert {words[1] for words in commands} == {
        "corpus",
        "train",
        "distill",
        "export",
        "predict",
        "listen",
        "eval",
        "zoo",
    }
    for words in commands:
        assert run([*(word for word in words[1:3] if word in ("corpus", "check", "zoo", "push")), "--help"]) == 0
    for recipe in ("train.yaml", "distill.yaml"):
        assert re.search(rf"\bruns/{load_recipe(project / recipe).name}[` ]", lines[3])


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").touch()
    assert run(["new", str(tmp_path)]) == 1
    assert capfd.readouterr().err == f"sercli: error: {tmp_path}: is not empty; name a new folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert run(["new", str(tmp_path / "x"), "--labels", "sevn"]) == 2
    assert 'did you mean "seven"?' in capfd.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_name_with_spaces_and_the_default_labels(tmp_path: Path) -> None:
    folder = tmp_path / "my calls (2)"
    assert run(["new", str(folder)]) == 0
    recipe = load_recipe(folder / "train.yaml")
    assert (recipe.name, recipe.corpus.labels) == ("my-calls-2", "seven")
    assert len(list((folder / "recordings").iterdir())) == 7


def test_a_share_of_speakers_is_the_same_everywhere(project: Path) -> None:
    utterances = read_corpus("folder", project / "recordings")
    chosen = speaker_share(utterances, 0.2)
    assert chosen == speaker_share(reversed(utterances), 0.2)
    assert len(chosen["recordings"]) == 1
    assert len(speaker_share(utterances, 0.5)["recordings"]) == 3
    assert len(speaker_share(utterances, 0.99)["recordings"]) == 5  # somebody is left to train on
    with pytest.raises(CorpusError, match="s1 is its only speaker"):
        speaker_share([one for one in utterances if one.speaker == "s1"], 0.2)
