"""Signals that the speech gate takes for speech, and hops without audio."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from sercli.live.session import Hop
from tests.tiny import RATE, tone

SYLLABLES_HERTZ = 4.0


def voice(hertz: float, seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """A tone that comes and goes like syllables in faint noise, float32, shape (samples,)."""
    time = np.arange(round(seconds * rate)) / rate
    syllables = np.clip(np.sin(2 * np.pi * SYLLABLES_HERTZ * time), 0.0, 1.0)
    noise = 1e-4 * np.random.default_rng(seed).standard_normal(len(time))
    signal: np.ndarray = (tone(hertz, seconds, rate) * syllables + noise).astype(np.float32)
    return signal


def hop(label: str, end: float, **changes: Any) -> Hop:
    """A hop with a label that is nine times as likely as the other class."""
    speech = bool(label)
    smoothed = {"happy": 0.9 if label == "happy" else 0.1, "sad": 0.1 if label == "happy" else 0.9}
    values: dict[str, Any] = {
        "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "start": end - 3.0,
        "end": end,
        "speech": speech,
        "label": label,
        "score": 0.9 if speech else 0.0,
        "scores": smoothed if speech else {},
        "smoothed": smoothed if speech else {},
        "dimensions": {},
        "level_db": -30.0,
        "latency_ms": 5.0,
    }
    return Hop(**{**values, **changes})
