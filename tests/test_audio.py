"""Any file -> mono float32 at 16 kHz; each kind of bad input has its own one-line error."""

from __future__ import annotations

import io
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from sercli.audio import PCM_TYPES, RawFormat, blocks, opened, read_audio
from sercli.errors import AudioError, UsageError
from tests.tiny import RATE, tone

Build = Callable[[int, float, int], np.ndarray]

FORMATS = [
    ("WAV", "PCM_U8", 0.03),
    ("WAV", "PCM_16", 1e-3),
    ("WAV", "PCM_24", 1e-3),
    ("WAV", "PCM_32", 1e-3),
    ("WAV", "FLOAT", 1e-3),
    ("WAV", "DOUBLE", 1e-3),
    ("FLAC", "PCM_16", 1e-3),
    ("FLAC", "PCM_24", 1e-3),
    ("AIFF", "PCM_16", 1e-3),
    ("OGG", "VORBIS", 0.1),
    ("OGG", "OPUS", 0.1),
    ("MP3", "MPEG_LAYER_III", 0.1),
]
"""Format, sample type, largest deviation from the tone that went in (lossy codecs: roughly the tone)."""


@pytest.mark.parametrize(("form", "subtype", "tolerance"), FORMATS)
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (48_000, 2)])
def test_formats(tmp_path: Path, form: str, subtype: str, tolerance: float, rate: int, channels: int) -> None:
    path = tmp_path / "named.wrong"
    signal = tone(440, 1.0, rate)
    soundfile.write(path, np.stack([signal] * channels, axis=1), rate, format=form, subtype=subtype)
    audio = read_audio(path)
    assert audio.dtype == np.float32
    assert audio.ndim == 1
    assert len(audio) == pytest.approx(RATE, abs=0 if form != "MP3" else 1200)
    middle = slice(4_000, 12_000)  # away from the codec's and the resampler's edges
    delays = range(-2, 1200) if form == "MP3" else (0,)
    reference = tone(440, 1.2)
    errors = [np.abs(audio[middle] - reference[4_000 - d : 12_000 - d]).max() for d in delays]
    assert min(errors) < tolerance


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 24_414, 44_100, 96_000])
def test_rates_keep_duration_and_pitch(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(500, 0.5, rate), rate)
    audio = read_audio(tmp_path / "a.wav")
    assert len(audio) == pytest.approx(0.5 * RATE, abs=1)
    assert np.argmax(np.abs(np.fft.rfft(audio))) * RATE / len(audio) == pytest.approx(500, abs=3)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = tone(300, 0.2), np.zeros(3_200, np.float32)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    assert np.allclose(read_audio(tmp_path / "a.wav"), left / 2)


@pytest.mark.parametrize(
    ("form", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "OPUS"), ("OGG", "VORBIS"), ("MP3", None)]
)
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (48_000, 1)])
def test_blocks_equal_whole(
    tmp_path: Path, speech_like: Build, form: str, subtype: str | None, rate: int, channels: int
) -> None:
    if subtype == "OPUS" and rate == 44_100:
        rate = 24_000
    path = tmp_path / "a"
    soundfile.write(path, speech_like(rate, 3.3, channels), rate, format=form, subtype=subtype)
    whole = read_audio(path)
    for seconds in (0.07, 1.0):
        parts = list(blocks(path, seconds))
        assert len(parts) > 2
        assert np.array_equal(np.concatenate(parts), whole)


def test_stdin_equals_file(tmp_path: Path, speech_like: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.flac", speech_like(44_100, 1.0, 2), 44_100)
    data = (tmp_path / "a.flac").read_bytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert np.array_equal(read_audio("-"), read_audio(tmp_path / "a.flac"))


def test_pipe_equals_file(tmp_path: Path, speech_like: Build) -> None:
    soundfile.write(tmp_path / "a.flac", speech_like(16_000, 1.0, 1), 16_000)
    os.mkfifo(tmp_path / "pipe")
    feed = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes((tmp_path / "a.flac").read_bytes()))
    feed.start()
    assert np.array_equal(read_audio(tmp_path / "pipe"), read_audio(tmp_path / "a.flac"))
    feed.join()


@pytest.mark.parametrize("dtype", PCM_TYPES)
def test_raw_pcm(tmp_path: Path, dtype: str) -> None:
    signal = tone(440, 0.1)
    form, bits, order = dtype[0], int(dtype[1:3].rstrip("lb")), "big" if dtype.endswith("be") else "little"
    if form == "f":
        data = signal.astype(">f4" if order == "big" else "<f4").tobytes()
    else:
        offset = 128 if form == "u" else 0
        numbers = np.round(signal.astype(np.float64) * 2 ** (bits - 1)).astype(np.int64) + offset
        data = b"".join(int(n).to_bytes(bits // 8, order, signed=form == "s") for n in numbers)
    (tmp_path / "a.pcm").write_bytes(data)
    with opened(tmp_path / "a.pcm", RawFormat(RATE, dtype)) as recording:
        audio = np.concatenate(list(recording.blocks()))
    assert audio.dtype == np.float32
    assert np.abs(audio - signal).max() <= 2.0 ** -(bits if form != "f" else 24)


def test_raw_pcm_channels_and_rate(tmp_path: Path) -> None:
    stereo = np.stack([tone(300, 1.0, 8_000), np.zeros(8_000, np.float32)], axis=1)
    (tmp_path / "a.pcm").write_bytes((stereo * 32767).astype("<i2").tobytes())
    with opened(tmp_path / "a.pcm", RawFormat(8_000, "s16le", 2)) as recording:
        audio = np.concatenate(list(recording.blocks()))
    assert len(audio) == RATE
    assert np.abs(audio).max() == pytest.approx(0.15, abs=0.01)


def test_raw_format_is_checked() -> None:
    with pytest.raises(UsageError, match="s16le"):
        RawFormat(16_000, "int16")
    with pytest.raises(UsageError, match="Hz"):
        RawFormat(0)


def _wav() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(440, 1.0), RATE, format="WAV")
    return buffer.getvalue()


def _encoded(form: str, subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE).astype(np.float32)
    soundfile.write(buffer, noise, RATE, format=form, subtype=subtype)
    return buffer.getvalue()


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"hello, I am text\n" * 20, "not readable as audio"),
        (_wav()[:44], "truncated"),
        (_wav()[:40] + struct.pack("<I", 0), "no audio samples"),
        (_wav()[:30], "not readable as audio"),
        (_half(_wav()), "truncated"),
        (_half(_encoded("FLAC")), "truncated"),
        (_half(_encoded("OGG", "VORBIS")), "truncated"),
        (_half(_encoded("OGG", "OPUS")), "truncated|malformed"),
        (_half(_encoded("MP3")), "truncated"),
        (_half(_encoded("AIFF", "PCM_16")), "truncated"),
        (_half(_encoded("AU", "PCM_16")), "truncated"),
        (_half(_encoded("W64", "PCM_16")), "truncated"),
    ],
)
def test_bad_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    with pytest.raises(AudioError, match=message) as raised:
        read_audio(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)
    assert ";" in str(raised.value)  # the next step


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number(tmp_path: Path, value: float) -> None:
    signal = tone(440, 0.5)
    signal[4_000] = value
    soundfile.write(tmp_path / "a.wav", signal, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN or infinite"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_F000, 0x8000_0000])
def test_wav_from_a_pipe_is_not_truncated(tmp_path: Path, size: int) -> None:
    data = bytearray(_wav())
    data[40:44] = struct.pack("<I", size)
    (tmp_path / "a.wav").write_bytes(data)
    assert len(read_audio(tmp_path / "a.wav")) == RATE


def test_flac_of_unknown_length(tmp_path: Path) -> None:
    data = bytearray(_encoded("FLAC"))
    data[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
    data[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(data)
    with opened(tmp_path / "a.flac") as recording:
        assert recording.seconds is None
        assert sum(map(len, recording.blocks())) == 3 * RATE


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        read_audio(tmp_path / "none.wav")
    with pytest.raises(AudioError, match="a folder"):
        read_audio(tmp_path)
    with pytest.raises(AudioError, match="neither a file nor a pipe"):
        read_audio("/dev/zero")


def test_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(_wav())

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # tests may run as root, whom no mode keeps out
    with pytest.raises(AudioError, match="permission denied; make it readable"):
        read_audio(path)


@pytest.mark.parametrize("corpus", ["ravdess", "emodb", "tess", "nemo", "aesdd"])
def test_real_corpora_are_whole(real_data: Path, corpus: str) -> None:
    files = sorted(
        path for path in (real_data / corpus).rglob("*") if path.suffix in {".flac", ".opus", ".ogg", ".wav"}
    )
    for path in files[:: max(1, len(files) // 20)]:
        assert len(read_audio(path)) > RATE // 2
