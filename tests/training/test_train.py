import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

for package in ("torch", "torchaudio", "transformers", "accelerate", "sklearn", "onnx", "onnxscript", "jinja2"):
    pytest.importorskip(package, reason='needs the extra "train"')

import onnxruntime  # noqa: E402
from commands import sercli  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402
from voices import CLASSES, RATE, voice  # noqa: E402

from sercli.runtime.bundle import BUNDLE_FILES, BundleConfig  # noqa: E402
from sercli.training.learner import Learner  # noqa: E402

STEPS_A_EPOCH = 6  # 36 training clips in batches of 6


def weights(folder: Path) -> dict[str, np.ndarray]:
    return dict(load_file(folder / "model.safetensors"))


def assert_equal_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_allclose(value, second[name], rtol=0.0, atol=1e-6, err_msg=name)


def interrupt_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Press Ctrl-C after so many optimiser steps."""
    update, seen = Learner.update_average, [0]

    def counted(self: Learner) -> None:
        update(self)
        seen[0] += 1
        if seen[0] == steps:
            raise KeyboardInterrupt

    monkeypatch.setattr(Learner, "update_average", counted)


@pytest.fixture
def finished(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A run without an interruption; its only word on stdout is the result."""
    folder = tmp_path / "finished"
    code, out, err = sercli(capsys, "train", corpus, "-o", folder)
    assert code == 0, err
    assert re.fullmatch(r"tiny: development UA \d+\.\d\d, WA \d+\.\d\d, 18 clips\n", out)
    return folder


def test_train_then_export(finished: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = json.loads((finished / "metrics.json").read_text())
    checkpoint = json.loads((finished / "checkpoint.json").read_text())
    assert metrics["dev"]["ua"] > 60  # of three classes that a child could tell apart; chance is 33
    assert len(metrics["history"]) == 8
    assert metrics["material"]["train"]["voices"] == {"utterances": 36, "speakers": ["s1", "s2", "s3", "s4"]}
    assert metrics["material"]["dev"]["voices"]["speakers"] == ["s5", "s6"]
    assert metrics["test"] is None
    assert checkpoint["labels"] == ["neutral", "happy", "sad", "angry", "fear", "disgust", "surprise"]
    assert checkpoint["temperature"] > 0
    assert "speed_probability: 0.7" in (finished / "recipe.yaml").read_text()  # resolved: defaults stated

    bundle = tmp_path / "bundle"
    code, out, err = sercli(capsys, "export", finished, "-o", bundle)
    assert code == 0, err
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == [str(bundle / name) for name in ("model.onnx", "model.int8.onnx")]
    assert re.fullmatch(r"torch and ONNX agree within \d\.\de-0[5-9]\n", err)
    assert sorted(path.name for path in bundle.iterdir()) == sorted(BUNDLE_FILES)
    config = BundleConfig.load(bundle)
    assert (config.name, config.labels[1], config.heads, config.embedding_size) == ("tiny", "happy", {"logits": 7}, 8)
    assert (config.window_seconds, config.hop_seconds, config.min_seconds) == (3.0, 1.0, 0.25)
    assert config.temperature == checkpoint["temperature"]
    figures = json.loads((bundle / "metrics.json").read_text())
    assert figures["parity_logits"] <= 1e-4
    assert figures["development"]["ua_by_file"]["model.onnx"] == pytest.approx(metrics["dev"]["ua"], abs=0.01)
    assert (bundle / "recipe.yaml").read_text() == (finished / "recipe.yaml").read_text()
    card = (bundle / "README.md").read_text()
    assert "| voices | not stated | not stated | s1 s2 s3 s4 | s5 s6 |" in card
    assert "license: other\n" in card
    assert "Not for decisions about people" in card

    session = onnxruntime.InferenceSession(str(bundle / "model.onnx"), providers=["CPUExecutionProvider"])
    right = 0
    for seed, emotion in enumerate(CLASSES):
        clip = voice(emotion, 9_000 + seed)  # a voice nobody has heard
        (scores,) = session.run(["logits"], {"waveform": clip[None], "lengths": np.array([len(clip)], np.int64)})
        right += config.labels[int(scores.argmax())] == emotion
    assert right >= 2

    # what is there is not replaced unasked, and only a bundle is replaced at all
    assert sercli(capsys, "export", finished, "-o", bundle)[0] == 1
    (bundle / "thesis.txt").touch()
    code, out, err = sercli(capsys, "export", finished, "-o", bundle, "--overwrite")
    assert (code, out) == (1, "")
    assert "holds other files (thesis.txt)" in err
    (tmp_path / "wrong.json").write_text("{}")
    code, _, err = sercli(capsys, "export", finished, "-o", tmp_path / "b", "--results", tmp_path / "wrong.json")
    assert code == 2
    assert "cannot be read as a report" in err
    assert not list(tmp_path.glob(".*.part"))


def test_a_resumed_run_equals_one_that_was_not_interrupted(
    finished: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "interrupted"
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2 * STEPS_A_EPOCH + 2)
        code, out, err = sercli(capsys, "train", corpus, "-o", folder)
    assert (code, out) == (130, "")
    assert "interrupted" in err
    assert not (folder / "checkpoint.json").exists()
    code, _, err = sercli(capsys, "export", folder, "-o", tmp_path / "bundle")
    assert code == 2
    assert "not a finished run" in err

    # the power fails as well, in the middle of writing the last checkpoint
    newest = folder / f"checkpoint-{2 * STEPS_A_EPOCH}"
    (newest / "trainer_state.json").unlink()
    (newest / "optimizer.pt").write_bytes(b"")
    code, out, err = sercli(capsys, "train", corpus, "-o", folder, "--resume")
    assert code == 0, err
    assert_equal_weights(folder, finished)
    one, other = (json.loads((place / "metrics.json").read_text()) for place in (folder, finished))
    assert one["dev"] == other["dev"]
    assert one["best_epoch"] == other["best_epoch"]


def test_patience_survives_an_interruption(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    still = ("optim.lr=1e-12", "optim.average=0", "optim.patience=3", "optim.epochs=8")  # never better than epoch 1
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3 * STEPS_A_EPOCH + 1)
        assert sercli(capsys, "train", corpus, *still, "-o", tmp_path / "run")[0] == 130
    assert sercli(capsys, "train", corpus, *still, "-o", tmp_path / "run", "--resume")[0] == 0
    history = json.loads((tmp_path / "run" / "metrics.json").read_text())["history"]
    best = int(np.argmax([entry["eval_ua"] for entry in history]))
    assert len(history) == best + 4


def test_a_folder_with_a_run_is_not_overwritten_unasked(
    finished: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = weights(finished)["classifier.weight"]
    code, out, err = sercli(capsys, "train", corpus, "-o", finished)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].endswith("holds a run already; add --resume to go on or --overwrite to start anew")
    code, _, err = sercli(capsys, "train", corpus, "seed=1", "-o", finished, "--resume")
    assert code == 1
    assert "differs from the recipe asked for" in err
    assert sercli(capsys, "train", corpus, "-o", finished, "--resume", "--overwrite")[0] == 2
    assert np.array_equal(weights(finished)["classifier.weight"], before)

    # another seed gives another model, and nothing of the old run's longer history is left
    code, _, err = sercli(capsys, "train", corpus, "seed=1", "optim.epochs=1", "-o", finished, "--overwrite")
    assert code == 0, err
    assert not np.array_equal(weights(finished)["classifier.weight"], before)
    assert [path.name for path in finished.glob("checkpoint-*")] == [f"checkpoint-{STEPS_A_EPOCH}"]


@pytest.mark.parametrize(
    ("overrides", "options", "code", "message"),
    [
        (["split.dev_speakers={voices: [s9]}"], [], 1, "speakers without utterances: voices/s9"),
        (
            ["split.dev_speakers={}"],
            [],
            2,
            "split: name a protocol, a holdout (`release`), your own dev_speakers or a dev_share",
        ),
        (["split.dev_speakers={voices: s5}"], [], 2, "split.dev_speakers.voices: needs a list of speakers"),
        (["corpus.labels=eight"], [], 2, 'corpus.labels: unknown label set "eight"'),
        (["corpus.sources=[ravdess]"], [], 2, "corpus ravdess: where is it? Give --data DIR"),
        (["corpus.sources=[]"], [], 2, "corpus.sources: name at least one corpus"),
        (["optim.epoch=1"], [], 2, "did you mean optim.epochs?"),
        (["split.dev_speakers={other: [x]}"], [], 1, "no development utterances left"),
        ([], ["--fold", "1"], 2, "--fold needs a recipe with split.protocol"),
    ],
)
def test_wrong_runs_end_with_one_line(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    options: list[str],
    code: int,
    message: str,
) -> None:
    found, out, err = sercli(capsys, "train", corpus, *overrides, "-o", tmp_path / "run", *options)
    assert (found, out) == (code, "")
    assert message in err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_weights_of_a_table_as_source_count(corpus: Path) -> None:
    from sercli.training.recipe_file import load_recipe
    from sercli.training.run import read_sources

    text = corpus.read_text().replace("voices.csv}", "voices.csv, weight: 2.5}")
    corpus.write_text(text)
    assert {utterance.weight for utterance in read_sources(load_recipe(corpus), None)} == {2.5}


@pytest.fixture
def ravdess(tmp_path: Path) -> Path:
    """Eight clips of every actor, named as RAVDESS names them."""
    for actor in range(1, 25):
        folder = tmp_path / "data" / "ravdess" / f"Actor_{actor:02d}"
        folder.mkdir(parents=True)
        for emotion in range(1, 9):
            clip = voice(list(CLASSES)[emotion % 3], 10 * actor + emotion)[:5_000]
            soundfile.write(folder / f"03-01-{emotion:02d}-01-01-01-{actor:02d}.wav", clip, RATE)
    return tmp_path / "data"


def small_folds(data: Path, folder: Path, *overrides: str) -> list[Any]:
    """The shipped RAVDESS recipe with a network of a few weights and one epoch."""
    recipe = Path(__file__).parents[2] / "zoo" / "recipes" / "ravdess-micro.yaml"
    tiny = "{stem: 4, blocks: [[4, 2, 2]], frame_channels: 4, context: 0, attention: 4, embedding: 4}"
    small = ["optim.epochs=1", "optim.bf16=false", "student.size=nano", f"student.arguments={tiny}", *overrides]
    return ["train", recipe, *small, "--data", data, "-o", folder]


def test_every_fold_of_a_protocol(
    ravdess: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "cache"))
    command = small_folds(ravdess, tmp_path / "cv", "split.train_on_dev=false")
    code, out, err = sercli(capsys, *command, "--fold", "2")
    assert code == 0, err
    assert re.fullmatch(r"ravdess-micro ravdess-emobox6 fold 2: UA \d+\.\d\d, WA \d+\.\d\d, 32 clips\n", out)
    assert sercli(capsys, *command, "--fold", "7")[0] == 2
    code, _, err = sercli(capsys, *command, "seed=3", "--fold", "2", "--resume")
    assert code == 1  # a finished fold of another recipe is not passed off as this one's
    assert "differs from the recipe asked for" in err

    stamp = (tmp_path / "cv" / "fold-2" / "model.safetensors").stat().st_mtime_ns
    code, out, err = sercli(capsys, *command, "--resume")
    assert code == 0, err
    assert [line.split(":")[0] for line in out.splitlines()] == [
        f"ravdess-micro ravdess-emobox6 fold {number}" for number in range(1, 7)
    ]
    assert (tmp_path / "cv" / "fold-2" / "model.safetensors").stat().st_mtime_ns == stamp

    # the report counts the finished folds, tests everybody once, and says so
    report = ["eval", "--recipe", *command[1:], "--resume", "--report", tmp_path / "report"]
    code, out, err = sercli(capsys, *report)
    assert code == 0, err
    assert (tmp_path / "cv" / "fold-2" / "model.safetensors").stat().st_mtime_ns == stamp
    results = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert list(results["folds"]) == ["1", "2", "3", "4", "5", "6"]
    mean = np.mean([fold["ua"] for fold in results["folds"].values()])
    assert results["over_folds"]["ua"]["mean"] == pytest.approx(mean, abs=0.01)
    tested = [speaker for fold in results["folds"].values() for speaker in fold["speakers"]]
    assert sorted(tested) == [f"ravdess/{actor:02d}" for actor in range(1, 25)]
    assert (results["data"]["utterances"], results["seen"]["status"]) == (192, "unseen")

    # a fold can be exported too: its own development speakers calibrate it, and the card shows the results
    arguments = ["export", tmp_path / "cv" / "fold-2", "--data", ravdess, "-o", tmp_path / "bundle"]
    code, _, err = sercli(capsys, *arguments, "--results", tmp_path / "report" / "metrics.json")
    assert code == 0, err
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "license: cc-by-nc-sa-4.0\n" in card
    assert f"| ravdess-emobox6 | 8 | {mean:.1f} +- " in card
    assert "model-index:" in card
    shutil.rmtree(tmp_path / "bundle")


def test_development_speakers_may_train_too(
    ravdess: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "cache"))
    command = small_folds(ravdess, tmp_path / "cv", "split.train_on_dev=true")
    code, _, err = sercli(capsys, *command, "--fold", "1")
    assert code == 0, err
    metrics = json.loads((tmp_path / "cv" / "fold-1" / "metrics.json").read_text())
    assert len(metrics["material"]["train"]["ravdess"]["speakers"]) == 20
    assert metrics["material"]["dev"] == {}
    assert metrics["material"]["test"]["ravdess"]["speakers"] == ["01", "11", "20", "21"]
    assert metrics["dev"] is None

    # nobody is left to calibrate it with
    code, _, err = sercli(capsys, "export", tmp_path / "cv" / "fold-1", "--data", ravdess, "-o", tmp_path / "bundle")
    assert code == 2
    assert "split.train_on_dev" in err
    assert not (tmp_path / "bundle").exists()
