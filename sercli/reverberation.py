"""Rooms: measured impulse responses, and a clip as it sounds in one of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sercli.audio import read_audio
from sercli.corpora.corpus import audio_files
from sercli.errors import CorpusError
from sercli.noise import DEPTH, power, recordings_of

Signal = npt.NDArray[np.float32]

FFT_STEP = 4_096  # transforms of a multiple of this have small factors and are fast


def reverberate(signal: Signal, response: Signal) -> Signal:
    """Move a clip into a room: convolved with an impulse response, at the clip's own level and place.

    Args:
        signal: mono float32 at 16 kHz, shape (samples,)
        response: the same, any length; its largest sample, the direct sound, stands for no delay

    Returns:
        shape (samples,), with the mean square of the signal; what rings on after its end is cut off
    """
    wet = convolve(signal, response, int(np.argmax(np.abs(response))))
    return wet * np.float32(math.sqrt(power(signal) / power(wet)))


def convolve(signal: Signal, kernel: Signal, centre: int) -> Signal:
    """Convolve, and return as many samples as the signal has; the kernel's sample `centre` stands for no delay."""
    size = -(-(len(signal) + len(kernel) - 1) // FFT_STEP) * FFT_STEP
    full = np.fft.irfft(np.fft.rfft(signal, size) * np.fft.rfft(kernel, size), size)
    return full[centre : centre + len(signal)].astype(np.float32)


def rooms(folder: Path, side: str = "test") -> dict[str, Path]:
    """Find impulse responses; a room's name is its file's, without the ending.

    Args:
        folder: of recordings; where it has a folder `train`, training uses only what is in there, and tests never do
        side: `train` or `test`

    Raises:
        CorpusError: there are none.
    """
    divided = (folder / "train").is_dir() or side == "test"
    files = recordings_of(folder, side) if divided else audio_files(folder, DEPTH)
    found = {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}
    if not found:
        raise CorpusError(f"{folder}: no impulse responses; put audio files of measured ones there")
    return found


def impulse_response(file: Path) -> Signal:
    """Read a room's impulse response, mono float32 at 16 kHz.

    Raises:
        AudioError: the file cannot be read.
        CorpusError: it is silent.
    """
    response = read_audio(file)
    if not response.any():
        raise CorpusError(f"{file}: a silent impulse response; record or copy it again")
    return response
