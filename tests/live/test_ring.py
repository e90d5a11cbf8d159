"""The ring gives back what was written, in order, and counts what it had to overwrite."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sercli.live.ring import Ring


def numbered(begin: int, count: int) -> np.ndarray:
    return np.arange(begin, begin + count, dtype=np.float32)[:, None]


@given(st.integers(1, 12), st.lists(st.one_of(st.integers(0, 30), st.none()), max_size=40))
def test_every_frame_is_read_or_counted(capacity: int, steps: list[int | None]) -> None:
    ring, written, position = Ring(capacity, 1), 0, 0
    for step in [*steps, None]:
        if step is not None:
            ring.write(numbered(written, step))
            written += step
            continue
        lost, frames = ring.read()
        position += lost
        assert np.array_equal(frames, numbered(position, len(frames)))
        position += len(frames)
        assert position == written
        assert lost == 0 or len(frames) == capacity


def test_channels_and_independence() -> None:
    ring = Ring(8, 2)
    block = np.array([[1, 2], [3, 4]], np.float32)
    ring.write(block)
    block[:] = 0.0
    lost, frames = ring.read()
    assert (lost, frames.tolist()) == (0, [[1, 2], [3, 4]])
    ring.write(block)
    assert frames.tolist() == [[1, 2], [3, 4]]


def test_two_threads_agree() -> None:
    """A reader that is too slow misses frames, but never sees a torn or repeated one."""
    ring, total, block = Ring(1_000, 1), 300_000, 70

    def write() -> None:
        for at in range(0, total, block):
            ring.write(numbered(at, min(block, total - at)))

    writer = threading.Thread(target=write)
    writer.start()
    position = 0
    while position < total:
        lost, frames = ring.read()
        position += lost
        assert np.array_equal(frames, numbered(position, len(frames)))
        position += len(frames)
    writer.join()
    assert position == total
