"""The microphone by a fake driver: exact samples, overflows, losses, every way it can fail."""

from __future__ import annotations

import builtins
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import sercli
from sercli.errors import MicrophoneError
from sercli.live import microphone as module
from sercli.live.devices import devices, find
from sercli.live.microphone import Microphone
from sercli.live.stop import Stop
from tests.live.fake_portaudio import MONO, SPEAKER, STEREO, FakePortAudio, blocks
from tests.live.voice import voice
from tests.tiny import RATE

Install = Callable[..., FakePortAudio]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a fake PortAudio in place of the real one."""

    def put(script: Sequence[np.ndarray | str] = (), **changes: Any) -> FakePortAudio:
        fake = FakePortAudio(script, **changes)
        monkeypatch.setitem(sys.modules, "sounddevice", fake)
        return fake

    return put


def record(count: int | None = None, **choice: Any) -> tuple[np.ndarray, list[str], Microphone]:
    """Listen until so many frames came: them, what was told, and the microphone."""
    told: list[str] = []
    stop = Stop()
    found: list[np.ndarray] = []
    with Microphone(choice.get("device"), choice.get("channels"), stop, told.append) as microphone:
        for frames in microphone.frames():
            found.append(frames)
            stop.asked = count is not None and sum(map(len, found)) >= count
    return np.concatenate(found), told, microphone


def test_exact_samples(install: Install) -> None:
    signal = voice(300, 3.0)
    fake = install(blocks(signal, 320))
    frames, told, microphone = record(len(signal))
    assert np.array_equal(frames[:, 0], signal)
    assert (told, microphone.lost_seconds, fake.closed) == (["ready"], 0.0, 1)
    (settings,) = fake.opened
    assert (settings["samplerate"], settings["channels"], settings["device"]) == (RATE, 1, 1)
    assert settings["dtype"] == "float32"


def test_device_rate_and_channels(install: Install) -> None:
    signal = np.stack([voice(300, 0.5, 44_100), voice(500, 0.5, 44_100)], axis=1)
    fake = install(blocks(signal, 882), inputs=(STEREO,), chosen=0)
    frames, _, microphone = record(len(signal), channels=2)
    assert np.array_equal(frames, signal)
    assert (microphone.rate, fake.opened[0]["channels"]) == (44_100, 2)


def test_a_device_that_does_not_do_mono_is_opened_with_two(install: Install) -> None:
    def refuse(settings: dict[str, Any]) -> str | None:
        return "Invalid number of channels [PaErrorCode -9998]" if settings["channels"] == 1 else None

    fake = install(blocks(np.zeros((100, 2)), 50), inputs=(STEREO,), chosen=0, refuse=refuse)
    frames, _, microphone = record(100)
    assert (frames.shape[1], microphone.channels, len(fake.opened)) == (2, 2, 1)
    with pytest.raises(MicrophoneError, match="does not open with so many channels"):
        record(100, channels=1)


def test_overflow_flag_is_told_once(install: Install) -> None:
    block = np.ones((320, 1))
    install([block, "overflow", block, "overflow", block, block])
    _, told, _ = record(4 * 320)
    assert [message for message in told if "lost" in message] == [
        "Built-in Microphone: some input was lost; the machine is too busy, or the device fails"
    ]


def test_a_slow_reader_loses_no_time(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ring could not hold is counted and replaced by silence, so that times stay right."""
    monkeypatch.setattr(module, "RING_SECONDS", 0.1)
    signal = np.arange(1, 8_001, dtype=np.float32) / 8_001
    install(blocks(signal, 320))
    told: list[str] = []
    stop = Stop()
    with Microphone(None, None, stop, told.append) as microphone:
        time.sleep(0.3)
        found = []
        for frames in microphone.frames():
            found.append(frames[:, 0])
            stop.asked = sum(map(len, found)) >= len(signal)
    heard = np.concatenate(found)
    lost = len(signal) - 1_600
    assert np.array_equal(heard, np.concatenate([np.zeros(lost), signal[lost:]]).astype(np.float32))
    assert microphone.lost_seconds == pytest.approx(lost / RATE)
    assert len(told) == 2


def test_digital_silence_is_told(install: Install) -> None:
    install(blocks(np.zeros(5 * RATE), 320))
    assert [message for message in record(5 * RATE)[1] if "silence" in message] == [
        "Built-in Microphone: only digital silence so far; is it muted, or are you not allowed to use it?"
    ]


@pytest.mark.parametrize("end", ["end", "broken"])
def test_unplugged(install: Install, end: str) -> None:
    signal = voice(300, 0.2)
    install([*blocks(signal, 320), end])
    found: list[np.ndarray] = []
    with (
        pytest.raises(MicrophoneError, match="Built-in Microphone: the device is gone; plug it in"),
        Microphone(None, None, Stop(), lambda _: None) as microphone,
    ):
        found.extend(microphone.frames())
    assert sum(map(len, found)) <= len(signal)


@pytest.mark.parametrize(
    ("script", "message"), [([], "no sound comes;"), ([np.ones((9, 1))], "no sound comes any more")]
)
def test_hanging_device(
    install: Install, monkeypatch: pytest.MonkeyPatch, script: list[np.ndarray], message: str
) -> None:
    monkeypatch.setattr(module, "FIRST_PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.3)
    install(script)
    with pytest.raises(MicrophoneError, match=message):
        record()


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("Error opening InputStream: Device unavailable [PaErrorCode -9985]", "busy; close the program that uses it"),
        ("Unanticipated host error [PaErrorCode -9999]: 'Device or resource busy' [ALSA error -16]", "busy"),
        ("Unanticipated host error: 'Permission denied' [ALSA error -13]", "permission denied; allow it"),
        ("Invalid sample rate [PaErrorCode -9997]", "does not open at its own sample rate"),
        ("Internal PortAudio error [PaErrorCode -9986]", r"cannot be opened \(Internal PortAudio error"),
    ],
)
def test_why_it_does_not_open(install: Install, reason: str, message: str) -> None:
    install(refuse=lambda _: reason)
    with pytest.raises(MicrophoneError, match=f"^Built-in Microphone: {message}") as told:
        record()
    assert "\n" not in str(told.value)


def test_what_opened_but_does_not_start_is_closed(install: Install) -> None:
    fake = install(refuse_start=lambda _: "Device unavailable [PaErrorCode -9985]")
    with pytest.raises(MicrophoneError, match=r"^Built-in Microphone: busy"):
        record()
    assert (len(fake.opened), fake.closed) == (1, 1)


def test_no_microphone(install: Install) -> None:
    install(inputs=(SPEAKER,), chosen=-1)
    with pytest.raises(MicrophoneError, match="no microphone found; plug one in"):
        record()


def test_no_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fail(name: str, *rest: Any) -> Any:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(MicrophoneError, match=r"apt install libportaudio2 .*brew install portaudio"):
        devices()


def test_devices_and_choice(install: Install) -> None:
    install(inputs=(SPEAKER, MONO, STEREO, {**MONO, "name": "Webcam"}))
    assert [(device.index, device.default, device.rate) for device in devices()] == [
        (1, True, 16_000),
        (2, False, 44_100),
        (3, False, 16_000),
    ]
    assert find(None).index == 1
    assert find(2).name == find("2").name == find("usb headset").name == STEREO["name"]
    assert find("Webcam").index == 3
    with pytest.raises(MicrophoneError, match=r"no input 'horn'; choose one by its number: 1 'Built-in"):
        find("horn")
    with pytest.raises(MicrophoneError, match=r"'b' names several inputs; choose one by its number: 1 .*, 2 .*, 3 "):
        find("b")
    with pytest.raises(MicrophoneError, match="has 1 channels, not 2; lower --channels"):
        record(channels=2)


def test_first_input_without_a_default(install: Install) -> None:
    install(inputs=(SPEAKER, STEREO), chosen=-1)
    assert find(None).index == 1


def test_stream_closes_the_microphone_and_keeps_the_audio(install: Install, tiny_bundle: Path, tmp_path: Path) -> None:
    signal = np.rint(voice(200, 3.0) * 2**15) / 2**15
    fake = install(blocks(signal, 320))
    with contextlib.closing(sercli.stream(tiny_bundle, window_seconds=1.0, record=tmp_path / "kept.wav")) as hops:
        assert next(hops).label == "sad"
        assert fake.closed == 0
    assert fake.closed == 1
    kept, rate = soundfile.read(tmp_path / "kept.wav", dtype="float32")
    assert rate == RATE
    assert len(kept) >= RATE
    assert np.array_equal(kept, signal[: len(kept)].astype(np.float32))
