"""A sounddevice module without PortAudio: its inputs, and a stream that delivers exactly what a test wrote down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from sercli.live.stop import Stop

STEREO = {"name": "USB Headset: Audio (hw:1,0)", "max_input_channels": 2, "default_samplerate": 44_100.0}
MONO = {"name": "Built-in Microphone", "max_input_channels": 1, "default_samplerate": 16_000.0}
SPEAKER = {"name": "Speakers", "max_input_channels": 0, "default_samplerate": 48_000.0}


class PortAudioError(Exception):
    """As sounddevice raises it."""


@dataclass
class FakePortAudio:
    """Put it into sys.modules as "sounddevice"."""

    script: Sequence[np.ndarray | str] = ()
    """blocks of shape (frames, channels); "overflow" flags the next one, "end" is the device's end, "broken" one that
    is only seen when the stream is asked"""
    inputs: Sequence[dict[str, Any]] = (SPEAKER, MONO)
    chosen: int = 1
    refuse: Callable[[dict[str, Any]], str | None] = lambda _settings: None
    """says why a stream with these settings cannot be opened"""
    refuse_start: Callable[[dict[str, Any]], str | None] = lambda _settings: None
    """says why a stream that is open cannot start"""
    opened: list[dict[str, Any]] = field(default_factory=list)
    closed: int = 0
    PortAudioError = PortAudioError

    @property
    def default(self) -> SimpleNamespace:
        return SimpleNamespace(device=(self.chosen, 0))

    def query_devices(self) -> list[dict[str, Any]]:
        return list(self.inputs)

    def InputStream(self, **settings: Any) -> _Stream:
        reason = self.refuse(settings)
        if reason is not None:
            raise PortAudioError(reason)
        self.opened.append(settings)
        return _Stream(self, settings)


class _Stream:
    def __init__(self, library: FakePortAudio, settings: dict[str, Any]) -> None:
        self._library, self._settings = library, settings
        self._active = self._broken = False
        self._closing = Stop()
        self._thread = threading.Thread(target=self._run)

    @property
    def active(self) -> bool:
        if self._broken:
            raise PortAudioError("Unanticipated host error [PaErrorCode -9999]")
        return self._active

    def start(self) -> None:
        reason = self._library.refuse_start(self._settings)
        if reason is not None:
            raise PortAudioError(reason)
        self._active = True
        self._thread.start()

    def close(self) -> None:
        self._closing.asked = True
        if self._thread.ident is not None:
            self._thread.join()
        self._library.closed += 1

    def _run(self) -> None:
        overflow = False
        for item in self._library.script:
            if self._closing.asked:
                break
            if isinstance(item, np.ndarray):
                block = item.astype(np.float32)
                self._settings["callback"](block, len(block), None, SimpleNamespace(input_overflow=overflow))
                block[:] = np.nan  # the driver uses its memory again
                overflow = False
            elif item == "overflow":
                overflow = True
            elif item == "end":
                break
            elif item == "broken":
                self._broken = True
        else:
            while not self._closing.asked:
                time.sleep(0.01)
        self._active = False
        self._settings["finished_callback"]()


def blocks(signal: np.ndarray, frames: int) -> list[np.ndarray | str]:
    """Cut a signal, shape (samples,) or (frames, channels), into blocks for a script."""
    columns = signal if signal.ndim == 2 else signal[:, None]
    return [columns[at : at + frames] for at in range(0, len(columns), frames)]
