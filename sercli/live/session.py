"""Listening: a source's audio through gate, student and tracker, one hop after another."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sercli.audio import SAMPLE_RATE, Recording
from sercli.errors import AudioError, UsageError
from sercli.live.gate import SpeechGate, decibels
from sercli.live.tracker import Rules, State, advance
from sercli.runtime.prediction import DIMENSIONS
from sercli.runtime.windows import SILENCE_DBFS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sercli.live.recorder import Recorder
    from sercli.runtime.prediction import Decision, Prediction
    from sercli.runtime.student import Student

    Signal = NDArray[np.float32]

HOP_SECONDS = 0.25
SMOOTHING_SECONDS = 0.5
SPEECH_SECONDS = 0.5  # a word or two; less says little
RESET_SECONDS = 1.0


class Source(Protocol):
    """Where audio comes from: `Microphone`, `Replay`."""

    name: str
    rate: int
    """Hz"""
    lost_seconds: float
    """so far"""

    def frames(self) -> Iterable[Signal]:
        """Yield native blocks as they come, shape (frames, channels)."""

    def time(self, seconds: float) -> float:
        """Monotonic time at which the sample so many seconds after the first was there."""


@dataclass(frozen=True)
class Settings:
    """How to listen."""

    decision: Decision
    """among which classes, and below which smoothed probability "uncertain" """
    window_seconds: float
    """what one result hears"""
    hop_seconds: float = HOP_SECONDS
    """from one result to the next"""
    smoothing_seconds: float = SMOOTHING_SECONDS
    """time constant of the exponential smoothing; 0 is none"""
    speech_seconds: float = SPEECH_SECONDS
    """of speech that a window must hold for a claim; at most half the window is asked for"""
    gate_dbfs: float = SILENCE_DBFS
    """what is quieter is silence"""
    duration_seconds: float | None = None
    """of audio, after which to end; None is until told"""

    def __post_init__(self) -> None:
        for name in ("hop_seconds", "window_seconds"):
            if not getattr(self, name) >= 1 / SAMPLE_RATE:
                raise UsageError(f"{name} must be longer than 0, not {getattr(self, name)}")
        for name in ("smoothing_seconds", "speech_seconds"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} must be 0 or more, not {getattr(self, name)}")

    @property
    def window_samples(self) -> int:
        """At 16 kHz."""
        return round(self.window_seconds * SAMPLE_RATE)

    @property
    def hop_samples(self) -> int:
        """At 16 kHz."""
        return round(self.hop_seconds * SAMPLE_RATE)

    @property
    def rules(self) -> Rules:
        """How the label follows."""
        smoothing = self.smoothing_seconds
        return Rules(
            classes=self.decision.classes,
            threshold=self.decision.threshold,
            weight=1.0 - math.exp(-self.hop_seconds / smoothing) if smoothing else 1.0,
            reset_hops=max(math.ceil(RESET_SECONDS / self.hop_seconds), 1),
        )


@dataclass(frozen=True)
class Hop:
    """What is known at the end of one window."""

    time: datetime
    """when the last sample of the window was there, UTC"""
    start: float
    """of the window, in seconds since listening began"""
    end: float
    """in seconds"""
    speech: bool
    """the window holds enough speech for a claim"""
    label: str
    """smoothed: a class, "uncertain", or empty without speech"""
    score: float
    """smoothed probability of the label, or of the most likely class where it is "uncertain"; 0 without speech"""
    scores: dict[str, float]
    """class to probability in this window alone, as `sercli predict --timeline` gives it; empty for silence"""
    smoothed: dict[str, float]
    """class to smoothed probability; empty without speech"""
    dimensions: dict[str, float]
    """smoothed arousal, valence and dominance, each 0 to 1, of a student that has them; empty without speech"""
    level_db: float
    """of the audio since the hop before, in dBFS; -120 is digital silence"""
    latency_ms: float
    """since the last sample of the window"""


class Session:
    """Turns a source into hops.

    Args:
        student: who listens
        source: entered
        settings: how
        recorder: keeps the native audio
        heard: called with the level in dBFS and the seconds so far, after every block

    Raises:
        UsageError: a window shorter than the student's shortest clip
    """

    def __init__(
        self,
        student: Student,
        source: Source,
        settings: Settings,
        recorder: Recorder | None = None,
        heard: Callable[[float, float], object] | None = None,
    ) -> None:
        self._student, self._source, self._settings = student, source, settings
        self._recorder, self._heard = recorder, heard
        self._gate = SpeechGate(settings.window_samples, settings.gate_dbfs)
        self._began = False
        self._samples = 0  # at 16 kHz
        self._power, self._summed = 0.0, 0  # since the last hop
        self._level_db = 0.0  # of that hop

    @property
    def seconds(self) -> float:
        """What was heard so far."""
        return self._samples / SAMPLE_RATE

    def hops(self) -> Iterator[Hop]:
        """Yield one result per window, as `Student.timeline` cuts them, until the source or the duration ends.

        Raises:
            AudioError: the source is damaged, or the student gives no finite scores
            MicrophoneError: it is gone
            OutputError: the recording cannot be written
        """
        settings, rules, state = self._settings, self._settings.rules, State()
        predictions = self._student.label_windows(
            self._measured(), settings.decision, settings.window_seconds, settings.hop_seconds, settings.gate_dbfs
        )
        try:
            for prediction in predictions:
                speech = not prediction.silence and self._speaks(prediction.end - prediction.start)
                state = advance(state, rules, *_evidence(prediction, speech))
                yield self._hop(prediction, speech, state, rules)
        except AudioError:
            if self._began:
                raise
            # ended before the first block came: nothing was heard, nothing is wrong

    def _speaks(self, seconds: float) -> bool:
        """Tell if the last so many seconds hold enough speech for a claim."""
        least = min(self._settings.speech_seconds, seconds / 2.0)
        return self._gate.speech_seconds(round(seconds * SAMPLE_RATE)) >= least

    def _hop(self, prediction: Prediction, speech: bool, state: State, rules: Rules) -> Hop:
        smoothed = dict(zip(rules.classes, state.smoothed, strict=True)) if speech else {}
        there = self._source.time(prediction.end)
        late = time.monotonic() - there
        return Hop(
            time=datetime.fromtimestamp(time.time() - late, UTC),
            start=prediction.start,
            end=prediction.end,
            speech=speech,
            label=state.label,
            score=smoothed.get(state.label, max(smoothed.values(), default=0.0)),
            scores=prediction.scores,
            smoothed=smoothed,
            dimensions=dict(zip(DIMENSIONS, state.dimensions, strict=False)) if speech else {},
            level_db=self._level_db,
            latency_ms=late * 1_000.0,
        )

    def _measured(self) -> Iterator[Signal]:
        """Yield the source as mono 16 kHz blocks, gated and measured.

        Blocks are cut where windows end: when a window is done, gate and level know no sample after it.
        """
        window, hop = self._settings.window_samples, self._settings.hop_samples
        for block in Recording(self._source.name, None, self._source.rate, self._native()).blocks():
            at = 0
            while at < len(block):
                to_cut = hop - (self._samples - window) % hop
                piece = block[at : at + to_cut]
                at += len(piece)
                self._samples += len(piece)
                self._measure(piece, hop_ends=len(piece) == to_cut)
                yield piece

    def _measure(self, piece: Signal, hop_ends: bool) -> None:
        self._gate.hear(piece)
        self._power += float(np.dot(piece, piece))
        self._summed += len(piece)
        self._level_db = float(decibels(np.array(self._power / self._summed)))
        if hop_ends:
            self._power, self._summed = 0.0, 0
        if self._heard is not None:
            self._heard(self._gate.level_db, self.seconds)

    def _native(self) -> Iterator[Signal]:
        """Yield native frames up to the duration, and record them."""
        wanted = self._settings.duration_seconds
        left = None if wanted is None else round(wanted * self._source.rate)
        for frames in self._source.frames():
            self._began = True
            taken = frames if left is None else frames[:left]
            if self._recorder is not None:
                self._recorder.write(taken)
            yield taken
            if left is not None:
                left -= len(taken)
                if left <= 0:
                    return


def _evidence(prediction: Prediction, speech: bool) -> tuple[list[float] | None, list[float] | None]:
    """Return what a window says for the tracker: nothing without speech."""
    if not speech:
        return None, None
    dimensions = None if prediction.dimensions is None else [float(value) for value in prediction.dimensions]
    return list(prediction.scores.values()), dimensions
