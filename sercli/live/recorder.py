"""Keeping what was heard as a WAV file that is valid at every moment, also after a crash."""

from __future__ import annotations

import wave
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from sercli.errors import OutputError
from sercli.runtime.sink import write_fault

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Frames = NDArray[np.float32]

SAMPLE_BYTES = 2  # 16 bit: what most microphones give
LARGEST_BYTES = 2**32 - 2**16  # of audio; sizes in a WAV header have 32 bits
KEPT_SECONDS = 0.5  # written at once: the most that a crash loses


class Recorder:
    """Writes native frames to a 16-bit WAV file; its header is brought up to date with every write.

    Args:
        path: a new file whose name ends in .wav
        rate: Hz
        channels: per frame
        overwrite: an existing file is replaced

    Raises:
        OutputError: it exists or cannot be written; in `write`, the disk or the 4 GiB of a WAV file are full
    """

    def __init__(self, path: Path, rate: int, channels: int, overwrite: bool = False) -> None:
        try:
            self._file = path.open("wb" if overwrite else "xb")
        except FileExistsError:
            raise OutputError(f"{path}: already exists; use --overwrite or another --record") from None
        except FileNotFoundError:
            raise OutputError(f"{path}: its folder does not exist; create it first") from None
        except OSError as problem:
            raise OutputError(f"{path}: {write_fault(problem)}") from None
        self.path = path
        self._rate, self._channels = rate, channels
        self._held: list[Frames] = []
        self._held_frames = 0
        self._wave = wave.open(self._file, "wb")  # noqa: SIM115
        self._wave.setnchannels(channels)
        self._wave.setsampwidth(SAMPLE_BYTES)
        self._wave.setframerate(rate)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._keep()
        finally:
            with suppress(OSError):  # a full disk has been told by _keep
                self._wave.close()
            with suppress(OSError):
                self._file.close()

    @property
    def seconds(self) -> float:
        """What the file holds."""
        return self._wave.getnframes() / self._rate

    def write(self, frames: Frames) -> None:
        """Add frames, full scale 1, shape (frames, channels); what is beyond full scale is clipped."""
        self._held.append(frames)
        self._held_frames += len(frames)
        if self._held_frames >= KEPT_SECONDS * self._rate:
            self._keep()

    def _keep(self) -> None:
        """Write what is held: first the samples, then the sizes in the header, so that both are valid between."""
        held, self._held, self._held_frames = self._held, [], 0
        if not held:
            return
        samples = np.clip(np.rint(np.concatenate(held) * 2.0**15), -(2**15), 2**15 - 1).astype("<i2").tobytes()
        if self._wave.getnframes() * self._channels * SAMPLE_BYTES + len(samples) > LARGEST_BYTES:
            raise OutputError(f"{self.path}: a WAV file ends at 4 GiB; start again with another --record")
        try:
            self._wave.writeframes(samples)
            self._file.flush()
        except OSError as problem:
            raise OutputError(f"{self.path}: {write_fault(problem)}") from None
