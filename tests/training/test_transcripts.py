"""Transcripts: from a table, from files of three kinds, from a tiny Whisper of random weights, kept in the cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')
transformers = pytest.importorskip("transformers", reason='needs the extra "train"')

import soundfile  # noqa: E402

from sercli.corpora.table import Utterance  # noqa: E402
from sercli.errors import AudioError, BundleError, CorpusError, RecipeError  # noqa: E402
from sercli.methods.audio_text import AudioText  # noqa: E402
from sercli.runtime.inputs import Input  # noqa: E402
from sercli.training import reading, transcripts  # noqa: E402
from sercli.training.transcripts import Recogniser, read_transcript, recognition, transcripts_of  # noqa: E402
from tests.tiny import tone  # noqa: E402

SRT = """1
00:00:00,000 --> 00:00:01,500
Kids are talking
by the door

2
00:00:02,000 --> 00:00:03,000
Dogs are sitting
"""
WHISPER_JSON = {
    "text": " Kids are talking. Dogs.",
    "segments": [
        {"start": 0.0, "end": 1.5, "text": " Kids are talking."},
        {"start": 2.0, "end": 3.0, "text": " Dogs."},
    ],
}


def test_files_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\ufeffZażółć\n gęślą  jaźń\n", encoding="utf-8")
    (tmp_path / "b.srt").write_text(SRT.replace("\n", "\r\n"))
    (tmp_path / "c.json").write_text(json.dumps(WHISPER_JSON))
    (tmp_path / "d.json").write_text('{"text": " all of it "}')
    (tmp_path / "e.txt").write_text("")
    assert read_transcript(tmp_path / "a.txt") == "Zażółć gęślą jaźń"
    assert read_transcript(tmp_path / "b.srt") == "Kids are talking by the door Dogs are sitting"
    assert read_transcript(tmp_path / "b.srt", start=1.8) == "Dogs are sitting"
    assert read_transcript(tmp_path / "c.json", end=1.9) == "Kids are talking."
    assert read_transcript(tmp_path / "d.json") == "all of it"
    assert read_transcript(tmp_path / "e.txt") == ""
    for name, text in (("f.srt", "no times at all"), ("g.json", "{}"), ("h.json", "[")):
        (tmp_path / name).write_text(text)
        with pytest.raises(CorpusError, match=r"not a transcript of that kind"):
            read_transcript(tmp_path / name)


def test_where_they_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("from the folder")
    (tmp_path / "a.srt").write_text(SRT)
    clips = [Utterance(str(tmp_path / f"{name}.wav"), text="from the table", end=1.9) for name in "ab"]
    assert transcripts_of(clips, AudioText()) == ["from the table"] * 2
    assert transcripts_of(clips, AudioText(transcripts="beside")) == ["Kids are talking by the door", ""]
    assert transcripts_of(clips, AudioText(transcripts=str(tmp_path / "texts"))) == ["from the folder", ""]
    with pytest.raises(CorpusError, match="no such folder of transcripts"):
        transcripts_of(clips, AudioText(transcripts=str(tmp_path / "nowhere")))
    with pytest.raises(RecipeError, match=r"method.audio-text.asr: must be a model where transcripts is asr"):
        AudioText(transcripts="asr")


def letters() -> list[str]:
    from tokenizers import pre_tokenizers

    return list(pre_tokenizers.ByteLevel.alphabet())


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper of random weights with a tokenizer of letters."""
    folder = tmp_path_factory.mktemp("asr") / "whisper"
    marks = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
    words = {token: number for number, token in enumerate([*marks[:1], *sorted(letters()), *marks[1:]])}
    transformers.WhisperTokenizer(vocab=words, merges=[]).save_pretrained(folder)
    ends: dict[str, Any] = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 0)
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=len(words),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_target_positions=24,
        **ends,
    )
    model = transformers.WhisperForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.generation_config = transformers.GenerationConfig(max_length=12, **ends)
    model.save_pretrained(folder)
    transformers.WhisperFeatureExtractor().save_pretrained(folder)
    return folder


def test_recognised_once_and_kept(whisper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERCLI_CACHE", str(tmp_path / "cache"))
    clips = []
    for number in range(3):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, tone(200.0 * (number + 1), 0.3), 16_000)
        clips.append(Utterance(str(path)))
    said = recognition(Recogniser(str(whisper)))(clips)
    assert any(said)
    method = AudioText(transcripts="asr", asr=str(whisper))
    load = transcripts.transcriber

    def deaf(recogniser: Recogniser) -> Any:
        _, sha256 = load(recogniser)
        return lambda _: pytest.fail("the cache has it"), sha256

    monkeypatch.setattr(transcripts, "transcriber", deaf)
    assert transcripts_of(clips, method) == said
    heard = reading.transcripts(None, str(whisper))
    assert [heard(Input(clip.path, clip.path, clip.path)) for clip in clips] == said, "so does --asr"
    with pytest.raises(AudioError, match=r"nowhere\.wav"):
        heard(Input("nowhere.wav", "nowhere.wav", "nowhere.wav"))


def test_bytes_survive_the_cache_in_any_script() -> None:
    for text in ("", "zażółć gęślą jaźń", "怒り 😠"):
        half = transcripts._bytes(text).astype(np.float16)
        assert bytes(half.astype(np.uint8))[:-1].decode() == text


def test_what_cannot_transcribe_is_refused(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(BundleError, match="bert: cannot load the weights"):
        transcripts.transcriber(Recogniser(str(tmp_path / "bert")))
