"""`method: audio-text` from recipe to label: trained, measured in three modes, asked, taught on to one that hears."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')
transformers = pytest.importorskip("transformers", reason='needs the extra "train"')

import soundfile  # noqa: E402
from commands import sercli  # noqa: E402
from voices import CLASSES, RATE, TINY, voice, write_corpus  # noqa: E402

from tests.text_encoders import save_text_encoder  # noqa: E402
from tests.tiny_encoders import WAVEFORM  # noqa: E402

RECIPES = Path(__file__).parents[2] / "zoo" / "recipes"
SAYS = {"happy": "kids are happy", "sad": "dogs are sad", "angry": "kids are angry by the door"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_text_encoder(tmp_path_factory.mktemp("text") / "bert")


@pytest.fixture
def recipe(tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sentences give the class away here, but for one clip of each class that has none; speakers s5 and s6 are kept."""
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SERCLI_DATA", raising=False)
    table = write_corpus(tmp_path / "voices")
    head, *rows = table.read_text().splitlines()
    told = [f"{row},{'' if '-0.wav' in row else SAYS[row.split(',')[3]]}" for row in rows]
    table.write_text("\n".join([f"{head},text", *told]) + "\n")
    early = table.with_name("early.csv")
    early.write_text(
        "\n".join([f"{head},text", *(row for row in told if ",s5," not in row and ",s6," not in row)]) + "\n"
    )
    file = tmp_path / "fused.yaml"
    file.write_text(
        TINY.format(table=early).replace("[s5, s6]", "[s4]").replace("mixup_alpha: 0.3, ", "")
        + f"outputs: {{dimensions: 0.5}}\nmethod: {{audio-text: {{encoder: {encoder}, embedding: 16}}}}\n",
        encoding="utf-8",
    )
    return file


def done(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    code, out, err = sercli(capsys, *arguments)
    assert code == 0, err
    return out


def test_trained_measured_asked_and_taught_on(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fused, table = tmp_path / "fused", tmp_path / "voices" / "voices.csv"
    options = ("optim.batch=32", "optim.epochs=40", "corpus.derived_dimensions=true")
    done(capsys, "train", recipe, *options, "-o", fused, "-q")
    metrics = json.loads((fused / "metrics.json").read_text())
    assert metrics["modes"]["dev"].keys() == {"audio", "text", "both"}
    assert metrics["modes"]["dev"]["text"]["ua"] > 60, "the sentence says it for two clips in three"
    assert metrics["modes"]["dev"]["both"]["ua"] == pytest.approx(metrics["dev"]["ua"], abs=0.01)
    assert "arousal" in metrics["modes"]["dev"]["both"]["dimensions"]
    parts = metrics["parts"]
    assert parts["trained"] == parts["audio"] + parts["fusion"], "the text encoder is frozen"

    # eval, with the transcripts of the table, by sound alone and by text alone
    figures = {}
    for mode in ("audio", "text", "both"):
        asked = ("eval", fused, "--table", table, "--mode", mode, "--derived", "-q", "-f", "json")
        figures[mode] = json.loads(done(capsys, *asked))["figures"]
    assert figures["text"]["ua"]["value"] > 60
    assert "dimensions" in figures["both"]

    # predict, with a transcript, with an empty one, with none for this clip
    clip = tmp_path / "voices" / "s5-sad-1.wav"
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "s5-happy-1.txt").write_text(SAYS["happy"])
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "wrong.txt").write_text("怒り zażółć")

    def scores(text: Path) -> dict[str, float]:
        (row,) = map(json.loads, done(capsys, "predict", clip, "-m", fused, "--text", text, "-q").splitlines())
        found: dict[str, float] = row["scores"]
        return found

    silent = scores(tmp_path / "empty.txt")
    assert scores(tmp_path / "texts") == silent, "the folder has nothing on this clip"
    assert scores(tmp_path / "texts" / "s5-happy-1.txt") != silent
    assert sum(scores(tmp_path / "wrong.txt").values()) == pytest.approx(1.0), "another language is read, not refused"
    code, out, err = sercli(capsys, "predict", clip, "-m", fused, "--text", tmp_path / "nowhere")
    assert (code, out) == (2, "")
    assert "no such transcript" in err
    monkeypatch.setattr("sercli.cli.extras.find_spec", lambda name: None if name == "torch" else object())
    code, _, err = sercli(capsys, "predict", clip, "-m", fused, "--text", tmp_path / "texts")
    assert code == 1
    assert 'sercli predict --text needs torch; pip install "sercli[train]"' in err
    monkeypatch.undo()
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "cache"))

    code, _, err = sercli(capsys, "export", fused, "-o", tmp_path / "bundle")
    assert code == 2
    assert "a student that reads, which no bundle holds" in err

    # text at training time, none at run time
    student = tmp_path / "student.yaml"
    student.write_text(TINY.format(table=table).replace("mixup_alpha: 0.3, ", ""), encoding="utf-8")
    taught = (f"teacher={{students: ['{fused}']}}", "outputs={dimensions: 0.5}", "method=[ce, kd, ccc]")
    done(capsys, "distill", student, *taught, *options, "optim.epochs=1", "-o", tmp_path / "student", "-q")
    history = json.loads((tmp_path / "student" / "metrics.json").read_text())["history"]
    assert {"loss_kd", "loss_ccc", "loss_dimensions"} <= history[-1].keys()
    checkpoint = json.loads((tmp_path / "student" / "checkpoint.json").read_text())
    assert checkpoint["architecture"] == "cnn-attention"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("method.audio-text.fusion=sum", "method.audio-text.fusion: must be one of concat, gated, cross-attention"),
        ("method.audio-text.mode=deaf", "method.audio-text.mode: must be one of audio, text, both, not 'deaf'"),
        ("method.audio-text.transcript=x", "did you mean method.audio-text.transcripts"),
        ("method.audio-text.encoder=/nowhere", "/nowhere"),
        ("augment.mixup_alpha=0.2", "two transcripts cannot be blended; set augment.mixup_alpha to 0"),
        ("optim.batch=6", "optim.batch: outputs.dimensions compares 32 clips or more a step, not 6"),
    ],
)
def test_what_does_not_fit_is_refused(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    options = ("optim.batch=32", "corpus.derived_dimensions=true", override)
    code, out, err = sercli(capsys, "train", recipe, *options, "-o", tmp_path / "run", "-q")
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]


EMOTIONS = {"neu": "sad", "exc": "happy", "ang": "angry", "sad": "sad", "fru": "angry"}  # code to a sound of voices.py


def iemocap(root: Path) -> None:
    """IEMOCAP as released: five sessions of two speakers, turns of four classes and one that is only rated."""
    for session in range(1, 6):
        dialogue, home = f"Ses0{session}F_impro01", root / "iemocap" / f"Session{session}"
        sounds, labels = home / "sentences" / "wav" / dialogue, home / "dialog" / "EmoEvaluation" / f"{dialogue}.txt"
        spoken = home / "dialog" / "transcriptions" / f"{dialogue}.txt"
        for folder in (sounds, labels.parent, spoken.parent):
            folder.mkdir(parents=True)
        rows, lines = [], []
        for place, (speaker, emotion) in enumerate((s, e) for s in "FM" for e in EMOTIONS):
            name = f"{dialogue}_{speaker}{place:03d}"
            soundfile.write(sounds / f"{name}.wav", voice(EMOTIONS[emotion], 10 * session + place), RATE)
            rated = f"[{1.0 + place % 5:.4f}, {5.0 - place % 4:.4f}, 2.5000]"
            rows.append(f"[{place}.0000 - {place}.9000]\t{name}\t{emotion}\t{rated}\n")
            lines.append(f"{name} [{place:03d}.0000-{place:03d}.9000]: Kids are {EMOTIONS[emotion]}.\n")
        labels.write_text("% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n" + "\n".join(rows))
        spoken.write_text("".join(lines))


def msp_podcast(root: Path) -> None:
    """MSP-Podcast as released: three partitions, all eight classes, turns without a plurality, transcripts beside."""
    home = root / "msp-podcast"
    for folder in ("Labels", "Audios"):
        (home / folder).mkdir(parents=True)
    sounds = list(CLASSES)
    rows = ["FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"]
    for number, (part, code) in enumerate((p, c) for p in ("Train", "Development", "Test1") for c in "ASHUFDCNX"):
        name = f"MSP-PODCAST_{number:04d}_0001"
        soundfile.write(home / "Audios" / f"{name}.wav", voice(sounds[number % 3], number), RATE)
        (home / "Audios" / f"{name}.txt").write_text("kids are talking")
        rated = f"{1 + number % 7}.0,{7 - number % 5}.0,4.0"
        rows.append(f"{name}.wav,{code},{rated},{part}{number % 2},Female,{part}")
    (home / "Labels" / "labels_consensus.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize(
    ("name", "make", "fold", "heard"),
    [("audio-text-iemocap", iemocap, "2", 30), ("audio-text-msp-podcast", msp_podcast, "test1", 9)],
)
def test_the_recipes_of_licensed_corpora_on_generated_trees(
    name: str,
    make: Any,
    fold: str,
    heard: int,
    encoder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "cache"))
    make(tmp_path / "data")
    torch.manual_seed(0)
    transformers.HubertModel(transformers.HubertConfig(**WAVEFORM)).save_pretrained(tmp_path / "hubert")
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path / "hubert")
    smaller = [
        f"student.arguments={{encoder: {tmp_path / 'hubert'}, depth: 2, embedding: 8, attention: 4}}",
        *(f"method.audio-text.{key}" for key in (f"encoder={encoder}", "revision=''", "embedding=8")),
        *(["method.audio-text.transcripts=beside"] if make is msp_podcast else []),
        "optim.epochs=1",
        "optim.batch=32",
    ]
    done(
        capsys, "train", RECIPES / f"{name}.yaml", *smaller, "--data", tmp_path / "data", "--fold", fold,
        "-o", tmp_path / "run", "-q",
    )  # fmt: skip
    place = tmp_path / "run" / f"fold-{fold}"
    metrics = json.loads((place / "metrics.json").read_text())
    assert metrics["material"]["train"][name.removeprefix("audio-text-")]["utterances"] == heard
    tested = metrics["test"]
    assert tested["clips"] < tested["dimensions"]["clips"], "rated turns without a class are tested for their ratings"
    assert tested["clips"] == 8
    assert np.isfinite(tested["dimensions"]["valence"])
    parts = metrics["parts"]
    assert parts["trained"] == parts["audio"] + parts["text"] + parts["fusion"]
    weights = (place / "model.safetensors").stat().st_size
    assert weights > 4 * parts["text"], "the trained text encoder is in them"
