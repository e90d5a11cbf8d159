"""Speech stands out of the noise of its room; steady sounds, silence and clicks do not."""

from __future__ import annotations

import numpy as np
import pytest

from sercli.live.gate import DIGITAL_SILENCE_DBFS, SpeechGate
from tests.live.voice import voice
from tests.tiny import RATE, tone

WINDOW = 3 * RATE


def speech(signal: np.ndarray, block: int = 4_000, gate_dbfs: float = -60.0) -> float:
    """Seconds of speech in the last three."""
    gate = SpeechGate(WINDOW, gate_dbfs)
    for at in range(0, len(signal), block):
        gate.hear(signal[at : at + block])
    return gate.speech_seconds(WINDOW)


def noise(seconds: float, level: float) -> np.ndarray:
    return (level * np.random.default_rng(3).standard_normal(round(seconds * RATE))).astype(np.float32)


def test_what_is_speech() -> None:
    assert speech(voice(200, 5.0)) > 1.0
    assert speech(noise(6.0, 0.003) + 0.3 * voice(200, 6.0)) > 1.0


@pytest.mark.parametrize(
    "signal",
    [
        np.zeros(5 * RATE, np.float32),
        noise(5.0, 0.05),
        tone(50, 5.0, amplitude=0.5) + noise(5.0, 0.001),
        1e-3 * voice(200, 5.0),
    ],
    ids=["digital silence", "loud steady noise", "hum", "below the gate"],
)
def test_what_is_not(signal: np.ndarray) -> None:
    assert speech(signal) == 0.0


def test_clicks_are_short() -> None:
    signal = noise(5.0, 0.001)
    signal[::RATE] = 1.0
    assert 0.0 < speech(signal) < 0.5


def test_floor_follows_the_room() -> None:
    quiet, fan = noise(5.0, 0.001), noise(12.0, 0.02)
    assert speech(np.concatenate([quiet, fan[: 2 * RATE]])) > 1.0  # a fan that starts is taken for a voice
    assert speech(np.concatenate([quiet, fan])) == 0.0  # until it has become the floor
    assert speech(np.concatenate([quiet, fan, fan[: 3 * RATE] + voice(200, 3.0)])) > 1.0
    assert speech(np.concatenate([fan, quiet, 0.05 * voice(200, 4.0) + quiet[: 4 * RATE]])) > 1.0


def test_a_dropout_is_not_the_floor() -> None:
    signal = noise(5.0, 0.02)
    signal[RATE : 2 * RATE] = 0.0
    assert speech(signal) == 0.0


def test_blocks_do_not_matter() -> None:
    signal = voice(300, 4.0)
    assert len({speech(signal, block) for block in (37, 800, 801, 64_000)}) == 1


def test_level() -> None:
    gate = SpeechGate(WINDOW, -60.0)
    assert gate.level_db == DIGITAL_SILENCE_DBFS
    gate.hear(tone(400, 0.05, amplitude=0.1))
    assert gate.level_db == pytest.approx(-23.01, abs=0.02)
