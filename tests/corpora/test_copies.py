"""Copies of utterances at other speeds: what is heard, what it is called, and what it weighs."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sercli.corpora.speech import read_utterance, with_copies
from sercli.corpora.table import Utterance, read_table, write_table

RATE = 16_000


@pytest.fixture
def tone(tmp_path: Path) -> Utterance:
    path = tmp_path / "tone.wav"
    soundfile.write(path, 0.5 * np.sin(2 * math.pi * 400 * np.arange(2 * RATE) / RATE), RATE)
    return Utterance(str(path), start=0.5, end=1.5, corpus="c", speaker="s", emotion="sad", weight=3.0)


def pitch_hz(signal: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal)), 1 << 18))
    return float(spectrum.argmax()) * RATE / (1 << 18)


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_a_copy_is_faster_and_higher_by_its_speed(tone: Utterance, speed: float) -> None:
    own, copy = with_copies([tone], [speed])
    assert len(read_utterance(own)) == RATE
    assert len(read_utterance(copy)) == pytest.approx(RATE / speed, abs=1)
    assert pitch_hz(read_utterance(copy)) == pytest.approx(400 * speed, abs=0.5)


def test_copies_share_the_weight_and_are_told_apart(tone: Utterance) -> None:
    copies = with_copies([tone], [0.9, 1.1])
    assert [copy.speed for copy in copies] == [1.0, 0.9, 1.1]
    assert sum(copy.weight for copy in copies) == pytest.approx(tone.weight)
    assert len({copy.stretch for copy in copies}) == 3
    assert {(copy.speaker, copy.emotion, copy.start) for copy in copies} == {("s", "sad", 0.5)}
    assert with_copies([tone], []) == [tone]


def test_a_table_knows_recordings_only(tone: Utterance, tmp_path: Path) -> None:
    write_table([tone], tmp_path / "t.csv")
    assert "speed" not in (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()[0]
    (again,) = read_table(tmp_path / "t.csv")
    assert again.speed == 1.0
