"""Is somebody speaking? Energy against the noise of the room, which is followed as it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sercli.runtime.windows import FRAME_SAMPLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]

FRAME_SECONDS = FRAME_SAMPLES / 16_000  # 50 ms
FLOOR_SECONDS = 10.0  # what the noise floor is taken from: long enough to hold pauses, short enough to follow a fan
FLOOR_QUANTILE = 0.1  # a tenth of speech is pauses; the quietest frame itself may be a dropout
MARGIN_DB = (
    9.0  # found on acted speech in recorded noise: all clips are heard at 10 dB SNR, most rain and engines are not
)
DIGITAL_SILENCE_DBFS = -120.0  # the level of nothing, and below what any converter delivers


class SpeechGate:
    """Measures the speech in the last stretch of a stream.

    A frame of 50 ms counts as speech if it is louder than the gate and louder than the noise floor plus a margin.
    The floor is the tenth percentile of the levels of the last ten seconds, digital silence left out (minimum
    statistics as in R. Martin, "Noise power spectral density estimation based on optimal smoothing and minimum
    statistics", IEEE Trans. Speech Audio Process. 9(5), 2001, on the whole band). Steady sounds, however loud, become
    floor; music and other people's voices do not.

    Args:
        longest_samples: at 16 kHz, of a stretch that will be asked for
        gate_dbfs: what is quieter is never speech
    """

    def __init__(self, longest_samples: int, gate_dbfs: float) -> None:
        self._gate_dbfs = gate_dbfs
        frames = max(longest_samples // FRAME_SAMPLES, round(FLOOR_SECONDS / FRAME_SECONDS))
        self._levels = np.full(frames, DIGITAL_SILENCE_DBFS)
        self._rest = np.zeros(0, np.float32)  # of an unfinished frame

    @property
    def level_db(self) -> float:
        """Level of the last frame in dBFS."""
        return float(self._levels[-1])

    def hear(self, block: Signal) -> None:
        """Take the next block, mono float32 at 16 kHz, shape (samples,); where blocks are cut does not matter."""
        signal = np.concatenate([self._rest, block]) if len(self._rest) else block
        whole = len(signal) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = signal[whole:].copy()
        if whole:
            frames = signal[:whole].reshape(-1, FRAME_SAMPLES)
            levels = decibels(np.einsum("ij,ij->i", frames, frames) / FRAME_SAMPLES)
            self._levels = np.concatenate([self._levels, levels])[-len(self._levels) :]

    def speech_seconds(self, samples: int) -> float:
        """Seconds of speech in the last so many samples, to the frame."""
        audible = self._levels[self._levels > DIGITAL_SILENCE_DBFS]
        if not len(audible):
            return 0.0
        least = max(float(np.quantile(audible, FLOOR_QUANTILE)) + MARGIN_DB, self._gate_dbfs)
        stretch = self._levels[-max(samples // FRAME_SAMPLES, 1) :]
        return float((stretch > least).sum()) * FRAME_SECONDS


def decibels(power: NDArray[np.floating]) -> NDArray[np.float64]:
    """Levels of mean powers in dB below a full-scale square wave, at least DIGITAL_SILENCE_DBFS; any shape."""
    least = 10.0 ** (DIGITAL_SILENCE_DBFS / 10.0)
    return np.asarray(10.0 * np.log10(np.maximum(power, least)), np.float64)
