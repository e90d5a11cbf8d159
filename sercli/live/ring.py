"""A ring buffer between the audio driver's thread and the reader: neither ever waits for the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Frames = NDArray[np.float32]


class Ring:
    """Holds the newest frames; what the reader does not fetch in time is overwritten, and counted.

    One thread writes, one reads. Positions count frames since the beginning and only grow, so both sides agree
    without a lock: each is written by one thread, and the interpreter makes the assignment of an integer atomic.

    Args:
        capacity: frames that are kept
        channels: per frame
    """

    def __init__(self, capacity: int, channels: int) -> None:
        self.written = 0
        """frames that are complete, ever"""
        self._claimed = 0  # frames that are complete or being written: what lies a capacity before is lost
        self._read = 0
        self._frames = np.zeros((capacity, channels), np.float32)

    def write(self, frames: Frames) -> None:
        """Add frames, shape (frames, channels); never blocks and keeps no reference."""
        capacity = len(self._frames)
        end = self.written + len(frames)
        self._claimed = end
        kept = frames[-capacity:]
        at = (end - len(kept)) % capacity
        first = min(len(kept), capacity - at)
        self._frames[at : at + first] = kept[:first]
        self._frames[: len(kept) - first] = kept[first:]
        self.written = end

    def read(self) -> tuple[int, Frames]:
        """Fetch what is new.

        Returns:
            how many frames were overwritten before they could be fetched, and a copy of those after them,
            shape (frames, channels)
        """
        capacity = len(self._frames)
        end = self.written
        begin = max(self._read, end - capacity)
        at, count = begin % capacity, end - begin
        first = min(count, capacity - at)
        copy = np.concatenate([self._frames[at : at + first], self._frames[: count - first]])
        whole = min(max(begin, self._claimed - capacity), end)  # the writer may have come round while we copied
        lost = whole - self._read
        self._read = end
        return lost, copy[whole - begin :]
