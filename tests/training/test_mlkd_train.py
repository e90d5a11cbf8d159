"""A clean teacher and a student in noise, and the first layers of an encoder as a student, end to end."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason='needs the extra "train"')
transformers = pytest.importorskip("transformers", reason='needs the extra "train"')

from commands import sercli  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from voices import RATE, sound  # noqa: E402

from sercli.evaluation.model import open_model  # noqa: E402
from sercli.runtime.student import load  # noqa: E402
from sercli.training import teacher  # noqa: E402
from sercli.training.export import load_student  # noqa: E402
from tests import tiny_encoders  # noqa: E402

WHISPER = {**tiny_encoders.WHISPER, "max_source_positions": 500}  # 10 s
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2": ("Wav2Vec2Model", tiny_encoders.WAVEFORM),
    "hubert": ("HubertModel", tiny_encoders.WAVEFORM),
    "whisper": ("WhisperModel", WHISPER),
}
MLKD = """
teacher: {{encoders: [{{name: {encoder}}}], groups: 2, strength: 1.0}}
method: [ce, {{mlkd: {{hidden: 8}}}}, {{kd: {{weight: 0.5}}}}]
"""


@pytest.fixture
def encoder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Folder of a tiny encoder of random weights, Whisper unless a test asks for another."""
    class_name, config = FAMILIES[getattr(request, "param", "whisper")]
    model_class: Any = getattr(transformers, class_name)
    torch.manual_seed(0)
    model_class(model_class.config_class(**config)).save_pretrained(tmp_path / "encoder")
    if class_name != "WhisperModel":
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


@pytest.mark.parametrize("encoder", FAMILIES, indirect=True)
def test_the_first_layers_of_an_encoder_are_trained_and_measured(
    corpus: Path, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = f"student={{architecture: distil, arguments: {{encoder: {encoder}, depth: 2, embedding: 8}}}}"
    common = (wanted, "optim.epochs=1", "optim.lr=1e-3", "-o", tmp_path / "run", "-q")
    code, out, err = sercli(capsys, "train", corpus, *common)
    assert code == 0, err
    assert out.startswith("tiny: development UA ")
    shutil.rmtree(encoder)  # the run folder has all that it takes
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert not [name for name in weights if "layers.2." in name.replace("conv_layers", "")]
    with open_model(tmp_path / "run").answering() as student:
        assert np.isfinite(list(student.predict(sound(0, 12_000), RATE).scores.values())).all()
    table = corpus.parent / "voices" / "voices.csv"
    code, out, err = sercli(capsys, "eval", tmp_path / "run", "--table", table, "-q")
    assert code == 0, err
    code, out, err = sercli(capsys, "export", tmp_path / "run", "-o", tmp_path / "bundle")
    if student.config.arguments["trunk"]["family"] == "whisper":
        assert code == 0, err
        clip = sound(0, 12_000)
        expected, found = student.predict(clip, RATE).scores, load(tmp_path / "bundle").predict(clip, RATE).scores
        assert found == pytest.approx(expected, abs=1e-4)
    else:
        assert (code, out) == (1, "")
        assert "a student that hears samples (distil, of any encoder but Whisper) cannot be exported" in err


def test_a_student_in_noise_learns_from_a_clean_teacher(
    corpus: Path, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "noise" / "rain" / "train").mkdir(parents=True)
    soundfile.write(tmp_path / "noise" / "rain" / "train" / "a.wav", sound(1, RATE), RATE)
    text = corpus.read_text(encoding="utf-8").replace("mixup_alpha: 0.3", "mixup_alpha: 0")
    corpus.write_text(text + MLKD.format(encoder=encoder), encoding="utf-8")
    spoken: list[np.ndarray] = []
    real = teacher.frame_states

    def noted(encoder: Any, clip: np.ndarray, layers: Any) -> Any:
        spoken.append(clip)
        return real(encoder, clip, layers)

    monkeypatch.setattr(teacher, "frame_states", noted)
    noise = f"augment.noise={{kinds: [rain], folder: {tmp_path / 'noise'}, probability: 1}}"
    overrides = (noise, "optim.epochs=2", "optim.workers=1")
    code, _, err = sercli(capsys, "distill", corpus, *overrides, "-o", tmp_path / "run", "-q")
    assert code == 0, err
    last = json.loads((tmp_path / "run" / "metrics.json").read_text())["history"][-1]
    assert {"loss_ce", "loss_mlkd.l1", "loss_mlkd.cosine", "loss_kd"} <= set(last)
    files = {soundfile.read(file, dtype="float32")[0].tobytes() for file in (corpus.parent / "voices").glob("*.wav")}
    assert {clip.tobytes() for clip in spoken} <= files, "the teacher hears clips as they are"
    assert set(load_file(tmp_path / "run" / "model.safetensors")) == student_weights(tmp_path / "run")

    code, _, err = sercli(
        capsys, "distill", corpus, *overrides[:2], "method.mlkd.frames=false", "-o", tmp_path / "pooled", "-q"
    )
    assert code == 0, err


def student_weights(folder: Path) -> set[str]:
    """Names of the student's weights alone, without the heads of its methods."""
    checkpoint = json.loads((folder / "checkpoint.json").read_text())
    return set(load_student(folder, checkpoint).state_dict())
