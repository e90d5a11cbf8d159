"""When samples were there, and losses that no status flag tells."""

from __future__ import annotations

import numpy as np
import pytest

from sercli.live.clock import LATEST_BLOCKS, Arrivals, LossMeter

RATE = 1_000
BLOCK = 20


def test_time_of_a_frame_inside_a_block() -> None:
    arrivals = Arrivals(RATE)
    arrivals.add(20, 100.020)
    arrivals.add(40, 100.050)  # a late block
    assert arrivals.time(0.020) == pytest.approx(100.020)
    assert arrivals.time(0.030) == pytest.approx(100.040)
    assert arrivals.time(0.040) == pytest.approx(100.050)
    assert arrivals.time(0.045) == pytest.approx(100.050)  # beyond what came: the resampler's tail


def test_memory_is_bounded() -> None:
    arrivals = Arrivals(RATE)
    for index in range(10 * LATEST_BLOCKS):
        arrivals.add((index + 1) * BLOCK, index * 0.02)
    assert len(arrivals._blocks) == LATEST_BLOCKS


def lost(delays: np.ndarray, drop: dict[int, int], drift: float = 0.0) -> float:
    """Seconds a meter finds lost when blocks come with delays (s), some blocks never, on a clock that drifts."""
    meter, delivered, found = LossMeter(), 0, 0.0
    for index, delay in enumerate(delays):
        delivered += BLOCK - BLOCK * drop.get(index, 0)
        now = 50.0 + (index + 1) * BLOCK / RATE * (1.0 + drift) + delay
        found += meter.see(delivered / RATE, now)
    return found


def test_jitter_and_drift_are_no_loss() -> None:
    delays = np.random.default_rng(1).exponential(0.03, 20_000)
    assert lost(delays, {}) == 0.0
    assert lost(delays, {}, drift=1e-3) == 0.0
    assert lost(delays, {}, drift=-1e-3) == 0.0


def test_a_short_stall_is_no_loss() -> None:
    delays = np.zeros(2_000)
    delays[500:600] = np.linspace(2.0, 0.0, 100)  # all of it comes, late
    assert lost(delays, {}) == 0.0


def test_lost_blocks_are_found() -> None:
    delays = np.random.default_rng(2).exponential(0.01, 3_000)
    gone = dict.fromkeys(range(1000, 1050), 1)  # 50 blocks of 20 ms
    assert lost(delays, gone) == pytest.approx(1.0, abs=0.02)
