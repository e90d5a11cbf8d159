"""Cutting a stream of audio into windows or blocks, and telling silence from sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]

FRAME_SAMPLES = 800  # 50 ms at 16 kHz
SILENCE_DBFS = -60.0
"""Gate on the loudest 50 ms of a window, in dB below a full-scale square wave. The quietest of RAVDESS's
whispered-level clips reach -51; digital silence and the hiss of a muted input stay below -70."""


def windows(blocks: Iterable[Signal], window_samples: int, hop_samples: int) -> Iterator[tuple[int, Signal]]:
    """Cut a stream into overlapping windows; the last one is shorter if the audio ends inside it.

    A window starts at every multiple of the hop until one reaches the end of the audio.

    Args:
        blocks: consecutive mono float32 blocks of any length
        window_samples: length of a window
        hop_samples: distance of starts

    Yields:
        start in samples, and the window, shape (<= window_samples,)
    """
    held = np.zeros(0, np.float32)
    start = 0  # of the next window
    skip = 0  # samples before it that are still to come, where the hop is longer than the window
    reached = 0  # end of the last full window
    for block in blocks:
        dropped = min(skip, len(block))
        skip -= dropped
        held = np.concatenate([held, block[dropped:]]) if len(held) else block[dropped:]
        at = 0
        while len(held) - at >= window_samples:
            yield start, held[at : at + window_samples]
            reached = start + window_samples
            start += hop_samples
            at += hop_samples
        skip += max(at - len(held), 0)
        held = held[at:]
    total = start + len(held) - skip
    if len(held) and (start == 0 or reached < total):
        yield start, held


def loudest_dbfs(signal: Signal) -> float:
    """Level of the loudest 50 ms frame in dB of full scale, -inf for digital silence.

    Args:
        signal: mono float32, shape (samples,), at least one sample
    """
    whole = len(signal) // FRAME_SAMPLES * FRAME_SAMPLES
    if whole:
        # einsum squares and sums in one pass without a second array
        frames = signal[:whole].reshape(-1, FRAME_SAMPLES)
        power = float(np.einsum("ij,ij->i", frames, frames).max()) / FRAME_SAMPLES
    else:
        power = 0.0
    rest = signal[whole:]
    if len(rest) >= FRAME_SAMPLES // 2 or not whole:
        with np.errstate(over="ignore"):  # beyond float32 is loud enough
            power = max(power, float(np.dot(rest, rest)) / len(rest))
    return 10.0 * float(np.log10(power)) if power > 0 else float("-inf")


def is_silent(signal: Signal, gate_dbfs: float = SILENCE_DBFS) -> bool:
    """Tell if no 50 ms of a signal reach the gate."""
    return loudest_dbfs(signal) < gate_dbfs
