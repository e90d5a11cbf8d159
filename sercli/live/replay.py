"""A file played as if somebody spoke it into a microphone, in real time or as fast as it goes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import numpy as np

from sercli.audio import opened
from sercli.live.stop import Stop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Frames = NDArray[np.float32]

BLOCK_SECONDS = 0.025  # like a microphone's
FAST_BLOCK_SECONDS = 1.0


class Replay:
    """A source that reads a file.

    Args:
        path: any audio file, or "-" for one on standard input
        fast: do not wait for the time to pass
        stop: asked, the replay ends

    Raises:
        AudioError: on entering, it cannot be opened; in `frames`, it is damaged
    """

    def __init__(self, path: str | os.PathLike[str], fast: bool, stop: Stop) -> None:
        self.name = os.fspath(path)
        self.rate = 0
        """Hz, known on entering"""
        self.lost_seconds = 0.0
        """a file loses nothing"""
        self._fast = fast
        self._stop = stop
        self._begin = 0.0  # monotonic
        self._read = 0.0  # monotonic time of the last block
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        seconds = FAST_BLOCK_SECONDS if self._fast else BLOCK_SECONDS
        self._recording = self._stack.enter_context(opened(self.name, block_seconds=seconds))
        self.rate = self._recording.rate
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def frames(self) -> Iterator[Frames]:
        """Yield blocks of shape (frames, channels); each when its last frame would have been spoken."""
        self._begin = time.monotonic()
        count = 0
        for block in self._recording.frames:
            count += len(block)
            if not self._fast:
                time.sleep(max(self._begin + count / self.rate - time.monotonic(), 0.0))
            if self._stop.asked:
                return
            self._read = time.monotonic()
            yield block

    def time(self, seconds: float) -> float:
        """Monotonic time at which the sample so many seconds after the first was there."""
        return self._read if self._fast else self._begin + seconds
