"""The inputs that PortAudio sees, and its faults in plain words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sercli.errors import MicrophoneError

NO_PORTAUDIO = "PortAudio is not installed; apt install libportaudio2 (Debian, Ubuntu), brew install portaudio (macOS)"
NO_MICROPHONE = (
    "no microphone found; plug one in, or start the sound server (Linux: pipewire or pulseaudio; without one, "
    "be in the group audio), or listen to a file: --replay FILE"
)
FAULTS = (
    (("permission", "access denied", "not permitted"), "permission denied; allow it the microphone (system settings)"),
    (("busy", "unavailable", "in use"), "busy; close the program that uses it, or choose another with --device"),
    (("sample rate",), "does not open at its own sample rate; choose another with --device (--devices lists them)"),
    (("channel",), "does not open with so many channels; try --channels 2, or another with --device"),
)
"""Words of PortAudio and its host systems, and what to say."""


@dataclass(frozen=True)
class Device:
    """One input."""

    index: int
    """PortAudio's number"""
    name: str
    channels: int
    """at most"""
    rate: int
    """its own sample rate in Hz"""
    default: bool
    """the system's choice"""


def devices() -> list[Device]:
    """List the inputs.

    Raises:
        MicrophoneError: PortAudio is missing, or there is no input
    """
    library = portaudio()
    default = library.default.device[0]
    found = [
        Device(index, info["name"], info["max_input_channels"], round(info["default_samplerate"]), index == default)
        for index, info in enumerate(library.query_devices())
        if info["max_input_channels"] > 0
    ]
    if not found:
        raise MicrophoneError(NO_MICROPHONE)
    return found


def find(wanted: str | int | None) -> Device:
    """Find an input.

    Args:
        wanted: its index, its name or a part of its name in any case; None is the default, or the first

    Raises:
        MicrophoneError: none or several of that name; as in `devices`
    """
    inputs = devices()
    if wanted is None:
        return next((device for device in inputs if device.default), inputs[0])
    text = str(wanted)
    matching = [device for device in inputs if text in (str(device.index), device.name)]
    matching = matching or [device for device in inputs if text.lower() in device.name.lower()]
    if len(matching) == 1:
        return matching[0]
    what = f"{text!r} names several inputs" if matching else f"no input {text!r}"
    listed = ", ".join(f"{device.index} {device.name!r}" for device in matching or inputs)
    raise MicrophoneError(f"{what}; choose one by its number: {listed}")


def portaudio() -> Any:
    """Import sounddevice, which starts PortAudio and lists the devices once and for all.

    Raises:
        MicrophoneError: it is missing or does not start
    """
    try:
        import sounddevice
    except OSError:
        raise MicrophoneError(NO_PORTAUDIO) from None
    except ImportError:
        raise MicrophoneError("sounddevice is not installed; pip install sounddevice") from None
    except Exception as problem:  # sounddevice.PortAudioError, which cannot be named before the import
        raise MicrophoneError(f"PortAudio does not start ({problem}); check the sound server") from None
    return sounddevice


def fault(problem: Exception) -> str:
    """Say what a PortAudioError means, and what to do."""
    text = " ".join(str(problem).split())
    for words, meaning in FAULTS:
        if any(word in text.lower() for word in words):
            return meaning
    return f"cannot be opened ({text}); choose another with --device (--devices lists them)"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what ALSA and PortAudio print from C away from standard error; their faults are raised and told."""
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
