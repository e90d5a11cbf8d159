"""Which layers carry what: known answers on states that are made up, and the command on a tiny encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')
transformers = pytest.importorskip("transformers", reason='needs the extra "train"')

import soundfile  # noqa: E402

from sercli.cli.main import run  # noqa: E402
from sercli.corpora.table import Utterance  # noqa: E402
from sercli.errors import CorpusError  # noqa: E402
from sercli.evaluation import layers  # noqa: E402
from sercli.evaluation.measure import Settings  # noqa: E402
from tests.tiny import tone  # noqa: E402
from tests.tiny_encoders import WHISPER  # noqa: E402

CLIPS, LAYERS, WIDTH = 300, 5, 8
SETTINGS = Settings(draws=50)


def world(seed: int = 0) -> tuple[np.ndarray, list[Utterance]]:
    """States in which layer 1 carries arousal and layer 3 valence and the class; the other layers are noise."""
    random = np.random.default_rng(seed)
    states = random.normal(size=(CLIPS, LAYERS, WIDTH)).astype(np.float32)
    arousal, valence = random.uniform(0.2, 0.8, (2, CLIPS))
    states[:, 1, 0] += 20.0 * (arousal - 0.5)
    states[:, 3, 0] += 20.0 * (valence - 0.5)
    clips = [
        Utterance(
            f"{clip}.wav",
            corpus="made-up",
            speaker=f"s{clip % 10}",
            emotion="happy" if valence[clip] > 0.5 else "sad",
            arousal=float(arousal[clip]),
            valence=float(valence[clip]),
        )
        for clip in range(CLIPS)
    ]
    return states, clips


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    from types import SimpleNamespace

    from sercli.training import teacher

    states, clips = world()
    monkeypatch.setattr(layers, "RIDGE", 1.0)
    monkeypatch.setattr(teacher, "hear_with", lambda *_, **__: SimpleNamespace(pooled=states))
    encoder: Any = SimpleNamespace(
        name="made-up", revision="", sha256="0" * 64, family="none", layers=LAYERS - 1, width=WIDTH, parameter_count=1
    )
    return layers.relevance(encoder, layers.question(clips, ("happy", "sad"), None, False), SETTINGS)


def test_each_target_is_found_where_it_is(found: dict[str, Any]) -> None:
    assert found["targets"].keys() == {"arousal", "valence", "emotion"}, "nobody rated dominance"
    for name, layer in (("arousal", 1), ("valence", 3), ("emotion", 3)):
        target = found["targets"][name]
        assert target["best_layer"] == target["early_layer"] == layer
        shares = [share["mean"] for share in target["weights"]]
        assert int(np.argmax(shares)) == layer
        assert sum(shares) == pytest.approx(1.0, abs=1e-3)
        assert target["probes"][layer]["value"] > (0.8 if name != "emotion" else 80.0)
    assert found["targets"]["arousal"]["centre"]["mean"] < found["targets"]["valence"]["centre"]["mean"]
    assert found["targets"]["arousal"]["probes"][0]["value"] < 0.3


def test_nobody_is_tested_on_a_speaker_of_the_training_side() -> None:
    _, clips = world()
    asked = layers.question(clips, ("happy", "sad"), None, False)
    assert np.sum(asked.folds, axis=0).tolist() == [1] * CLIPS
    speakers = np.array([clip.speaker for clip in clips])
    assert all(set(speakers[test]).isdisjoint(speakers[~test]) for test in asked.folds)
    with pytest.raises(CorpusError, match="nobody says who speaks"):
        layers.question([Utterance("a.wav")], (), None, False)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    transformers.WhisperModel(transformers.WhisperConfig(**WHISPER)).save_pretrained(tmp_path / "encoder")
    rows = ["path,corpus,speaker,emotion"]
    for number in range(15):
        emotion = ("happy", "sad", "angry")[number % 3]
        soundfile.write(tmp_path / f"{number}.wav", tone(200.0 * (number + 1), 0.5), 16_000)
        rows.append(f"{number}.wav,tones,s{number // 3},{emotion}")
    (tmp_path / "tones.csv").write_text("\n".join(rows) + "\n")
    asked = ["eval", str(tmp_path / "encoder"), "--layers", "--table", str(tmp_path / "tones.csv"), "-q"]
    assert run([*asked, "--derived", "--report", str(tmp_path / "report"), "-f", "jsonl"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["target"] for line in lines} == {"arousal", "valence", "dominance", "emotion"}
    assert {line["layer"] for line in lines} == {0, 1, 2, 3}
    assert run([*asked, "-f", "table"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("TARGET")
    assert [row.split()[0] for row in rows] == ["emotion"], "without --derived nobody rated these"
    text = (tmp_path / "report" / "report.md").read_text()
    assert "no human ratings" in text
    assert (tmp_path / "report" / "layers.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "report" / "layers.json").read_text())["derived_dimensions"]
    assert run([*asked, "--cost"]) == 2
    assert "--cost is of a model that answers" in capsys.readouterr().err
