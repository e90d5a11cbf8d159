"""Windows of a stream are those of the whole signal; the silence gate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sercli.runtime.windows import is_silent, loudest_dbfs, windows
from tests.tiny import tone


@pytest.mark.parametrize(
    ("length", "window", "hop", "starts"),
    [
        (2, 4, 2, [0]),
        (4, 4, 2, [0]),
        (5, 4, 2, [0, 2]),
        (8, 4, 2, [0, 2, 4]),
        (10, 2, 5, [0, 5]),
        (11, 2, 5, [0, 5, 10]),
        (9, 3, 3, [0, 3, 6]),
        (10, 3, 3, [0, 3, 6, 9]),
    ],
)
def test_starts(length: int, window: int, hop: int, starts: list[int]) -> None:
    signal = np.zeros(length, np.float32)
    assert [start for start, _ in windows([signal], window, hop)] == starts


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 15), st.integers(1, 9))
def test_stream_equals_whole(length: int, window: int, hop: int, block: int) -> None:
    signal = np.arange(length, dtype=np.float32)
    found = list(windows((signal[i : i + block] for i in range(0, length, block)), window, hop))
    starts = [start for start in range(0, max(length - window, 0) + hop, hop) if start < length]
    assert [start for start, _ in found] == starts
    for start, piece in found:
        assert np.array_equal(piece, signal[start : start + window])


def test_no_audio_no_window() -> None:
    assert list(windows([], 4, 2)) == []


def test_level() -> None:
    assert loudest_dbfs(np.zeros(16_000, np.float32)) == float("-inf")
    assert loudest_dbfs(np.ones(100, np.float32)) == pytest.approx(0.0)
    assert loudest_dbfs(tone(400, 1.0, amplitude=0.1)) == pytest.approx(-23.01, abs=0.02)
    burst = np.zeros(16_000, np.float32)
    burst[8_000:8_800] = tone(400, 0.05, amplitude=0.1)
    assert loudest_dbfs(burst) == pytest.approx(-23.01, abs=0.02)  # one word in a long pause is sound


def test_gate() -> None:
    assert is_silent(tone(400, 1.0, amplitude=0.001))
    assert not is_silent(tone(400, 1.0, amplitude=0.002))
    assert not is_silent(tone(400, 1.0, amplitude=0.001), gate_dbfs=-70.0)
