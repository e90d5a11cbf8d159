"""A stream gives what the whole file gives; its arithmetic is exact; it claims nothing without speech."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sercli
from sercli.errors import AudioError, UsageError
from sercli.live.session import Hop, Session, Settings
from sercli.runtime.student import Student
from tests.live.voice import voice
from tests.tiny import RATE, dimensions, make_bundle, tone


class Blocks:
    """A source of given blocks, there at once."""

    name, lost_seconds = "blocks", 0.0

    def __init__(self, blocks: Iterator[np.ndarray], rate: int = RATE) -> None:
        self.rate, self._blocks = rate, blocks

    def frames(self) -> Iterator[np.ndarray]:
        return self._blocks

    def time(self, seconds: float) -> float:
        return time.monotonic()


def listen(student: Student, signal: np.ndarray, block: int = 320, rate: int = RATE, **changes: float) -> list[Hop]:
    settings = Settings(student.decision(), **{"window_seconds": 1.0, **changes})
    blocks = (signal[at : at + block, None] for at in range(0, len(signal), block))
    return list(Session(student, Blocks(blocks, rate), settings).hops())


@pytest.fixture(scope="module")
def student(tiny_bundle: Path) -> Student:
    return sercli.load(tiny_bundle)


@pytest.mark.parametrize(("rate", "block"), [(RATE, 320), (RATE, 100_000), (44_100, 882), (8_000, 333)])
def test_scores_are_those_of_the_timeline(student: Student, rate: int, block: int) -> None:
    signal = np.concatenate([voice(200, 1.7, rate), np.zeros(rate * 2, np.float32), voice(3_000, 1.33, rate)])
    hops = listen(student, signal, block, rate)
    timeline = student.timeline(signal, rate, 1.0, 0.25)
    assert [(hop.start, hop.end) for hop in hops] == [(window.start, window.end) for window in timeline]
    for hop, window in zip(hops, timeline, strict=True):
        assert hop.scores == pytest.approx(window.scores, abs=1e-6)


@pytest.mark.parametrize("hop_seconds", [0.25, 0.1234, 1.5])
def test_blocks_do_not_matter(student: Student, hop_seconds: float) -> None:
    signal = np.concatenate([voice(200, 2.0), np.zeros(RATE, np.float32), voice(1_000, 2.0)])

    def told(block: int) -> list[tuple[object, ...]]:
        hops = listen(student, signal, block, hop_seconds=hop_seconds)
        return [(hop.start, hop.speech, hop.label, round(hop.score, 6), round(hop.level_db, 3)) for hop in hops]

    assert told(160) == told(4_321) == told(80_000)


def test_a_voice_between_silences(student: Student) -> None:
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    hops = listen(student, np.concatenate([quiet, voice(200, 2.0), quiet, voice(3_000, 2.0)]))
    labels = [hop.label for hop in hops]
    assert [label for at, label in enumerate(labels) if at == 0 or labels[at - 1] != label] == ["", "sad", "", "angry"]
    for hop in hops:
        assert hop.speech == bool(hop.label) == bool(hop.smoothed)
        assert (hop.score > 0) == hop.speech
    first = next(hop for hop in hops if hop.speech)
    assert 3.25 <= first.end <= 4.0  # half a second of syllables, which are half pauses
    assert hops[0].level_db == pytest.approx(-80.0, abs=0.5)


def test_needs_enough_speech(student: Student) -> None:
    signal = np.concatenate([np.full(3 * RATE, 1e-4, np.float32), voice(200, 3.0)])
    first = {
        seconds: next(
            hop.end for hop in listen(student, signal, window_seconds=3.0, speech_seconds=seconds) if hop.speech
        )
        for seconds in (0.2, 0.5, 1.0)
    }
    assert first[0.2] < first[0.5] < first[1.0]


def test_labels_and_threshold(student: Student) -> None:
    settings = Settings(student.decision(["angry", "neutral"], 1.0), window_seconds=1.0)
    hops = list(Session(student, Blocks(iter([voice(200, 2.0)[:, None]])), settings).hops())
    assert {hop.label for hop in hops} == {"uncertain"}
    assert set(hops[0].scores) == {"neutral", "angry"}


def test_dimensions(tmp_path: Path) -> None:
    student = sercli.load(make_bundle(tmp_path / "rates", rates=True))
    hops = listen(student, voice(200, 2.0))
    assert list(hops[-1].dimensions) == ["arousal", "valence", "dominance"]
    assert hops[-1].dimensions["arousal"] == pytest.approx(dimensions(200)[0], abs=0.02)


def test_duration_and_last_window(student: Student) -> None:
    assert [hop.end for hop in listen(student, voice(200, 5.0), duration_seconds=1.5)] == [1.0, 1.25, 1.5]
    assert [hop.end for hop in listen(student, voice(200, 0.6))] == [0.6]  # ended early: what there is


def test_nothing_heard_is_no_error(student: Student) -> None:
    assert listen(student, np.zeros(0, np.float32)) == []


def test_damage_is_an_error(student: Student) -> None:
    with pytest.raises(AudioError, match="NaN"):
        listen(student, np.full(2 * RATE, np.nan, np.float32))


@pytest.mark.parametrize("wrong", [{"hop_seconds": 0.0}, {"smoothing_seconds": -1.0}, {"window_seconds": 0.0}])
def test_settings_are_checked(student: Student, wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Settings(student.decision(), **{"window_seconds": 1.0, **wrong})


class Deaf(Student):
    """A student that answers without listening, for any length of audio."""

    def outputs(self, signal: np.ndarray) -> list[np.ndarray]:
        return [np.array([0.2, 0.3, 0.5]), np.zeros(2, np.float32)]


def test_long_stream_without_drift_at_constant_memory(student: Student) -> None:
    """Twenty minutes at 44.1 kHz: windows stand where they must to the sample, memory does not grow."""
    seconds, rate = 1_200, 44_100
    second = tone(300, 1.0, rate)[:, None]
    deaf = Deaf(student.config, None, "deaf")
    source = Blocks((second for _ in range(seconds)), rate)
    expected, count, early = 0, 0, 0
    for hop in Session(deaf, source, Settings(deaf.decision(), window_seconds=3.0)).hops():
        assert hop.start == expected / RATE
        assert hop.end == (expected + 3 * RATE) / RATE
        expected += RATE // 4
        count += 1
        if count == 4 * 60 * 5:
            early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert count == (seconds - 3) * 4 + 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - early
    assert grown < 4_096  # kB


def test_stream(tiny_bundle: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", voice(200, 2.0), RATE)
    hops = list(
        sercli.stream(tiny_bundle, replay=tmp_path / "a.wav", fast=True, window_seconds=1.0, labels=["sad", "angry"])
    )
    assert [hop.label for hop in hops] == ["sad"] * 5
    assert all(isinstance(hop, sercli.Hop) for hop in hops)
    for wrong in ({"record": tmp_path / "b.wav"}, {"device": 1}, {"channels": 2}):
        with pytest.raises(UsageError, match="belong to a microphone"):
            sercli.stream(tiny_bundle, replay=tmp_path / "a.wav", **wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="fast needs replay"):
        sercli.stream(tiny_bundle, fast=True)


def test_stream_in_real_time(tiny_bundle: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", voice(200, 1.5), RATE)
    begin = time.monotonic()
    hops = list(sercli.stream(tiny_bundle, replay=tmp_path / "a.wav", window_seconds=1.0))
    assert time.monotonic() - begin >= 1.5
    assert [hop.end for hop in hops] == [1.0, 1.25, 1.5]
    apart = [(after.time - before.time).total_seconds() for before, after in pairwise(hops)]
    assert apart == pytest.approx([0.25, 0.25], abs=0.005)


def test_a_clock_that_is_set_back_changes_stamps_and_nothing_else(
    student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal = np.concatenate([voice(200, 2.0), np.zeros(2 * RATE, np.float32), voice(3_000, 2.0)])
    right = listen(student, signal)
    clock = iter([1e9 - 600.0 * number for number in range(10 * len(right))])  # ten minutes back at every look
    monkeypatch.setattr("sercli.live.session.time.time", lambda: next(clock))
    found = listen(student, signal)

    def told(hops: list[Hop]) -> list[tuple[object, ...]]:
        return [(hop.start, hop.end, hop.speech, hop.label, hop.score, hop.scores) for hop in hops]

    assert told(found) == told(right)
    assert all(later.time < earlier.time for earlier, later in pairwise(found))
