"""`sercli.stream`: live emotion for programs."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from sercli.errors import UsageError
from sercli.hub.bundled import DEFAULT_MODEL
from sercli.live.session import HOP_SECONDS, SMOOTHING_SECONDS, Hop, Session, Settings
from sercli.live.stop import Stop

if TYPE_CHECKING:
    from sercli.runtime.student import Student


def stream(
    model: str | os.PathLike[str] | Student = DEFAULT_MODEL,
    *,
    device: str | int | None = None,
    channels: int | None = None,
    replay: str | os.PathLike[str] | None = None,
    fast: bool = False,
    window_seconds: float | None = None,
    hop_seconds: float = HOP_SECONDS,
    smoothing_seconds: float = SMOOTHING_SECONDS,
    labels: Sequence[str] | None = None,
    threshold: float | None = None,
    record: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    duration_seconds: float | None = None,
    tell: Callable[[str], object] | None = None,
) -> Generator[Hop, None, None]:
    """Listen, and yield what is heard: one result per hop, as `sercli listen` shows and prints it.

    The microphone is opened with the first result that is asked for, and closed when the iteration ends: a loop that
    is left early should be followed by `close()`, or written `with contextlib.closing(sercli.stream()) as hops:`.

    Args:
        model: as in `sercli.load`, or a student from it
        device: index, name or part of the name of an input; None is the system's default
        channels: to open and average; None is 1, or 2 where the device does not do 1
        replay: listen to this audio file instead of a microphone, in real time
        fast: replay as fast as it goes
        window_seconds: what one result hears; None is the student's own
        hop_seconds: from one result to the next
        smoothing_seconds: time constant of the smoothed probabilities; 0 is none
        labels: only these classes, scores renormalised
        threshold: label "uncertain" below this smoothed score; None is the calibrated one, 0 never
        record: keep the microphone's audio in this new WAV file
        overwrite: `record` may replace a file
        duration_seconds: of audio, after which to end; None is never
        tell: takes messages for the user (ready, lost input); None drops them

    Raises:
        MicrophoneError: no microphone, or it cannot be opened, or it is gone
        AudioError: the replayed file cannot be read
        ModelNotFoundError, BundleError, HubError: as in `sercli.load`
        LabelError, UsageError: labels, figures or a combination of arguments that cannot be meant
        OutputError: the recording cannot be written
    """
    from sercli.runtime.student import Student, load

    if replay is not None and (device, channels, record) != (None, None, None):
        raise UsageError("device, channels and record belong to a microphone; leave them out, or leave out replay")
    if fast and replay is None:
        raise UsageError("fast needs replay; a microphone has only one speed")
    student = model if isinstance(model, Student) else load(model)
    settings = Settings(
        decision=student.decision(labels, threshold),
        window_seconds=student.config.window_seconds if window_seconds is None else window_seconds,
        hop_seconds=hop_seconds,
        smoothing_seconds=smoothing_seconds,
        duration_seconds=duration_seconds,
    )

    def hops() -> Generator[Hop, None, None]:
        from sercli.live.microphone import Microphone
        from sercli.live.recorder import Recorder
        from sercli.live.replay import Replay

        with ExitStack() as stack:
            if replay is not None:
                source: Replay | Microphone = stack.enter_context(Replay(replay, fast, Stop()))
                yield from Session(student, source, settings).hops()
                return
            source = stack.enter_context(Microphone(device, channels, Stop(), tell or _drop))
            recorder = None
            if record is not None:
                recorder = stack.enter_context(Recorder(Path(record), source.rate, source.channels, overwrite))
            yield from Session(student, source, settings, recorder).hops()

    return hops()


def _drop(_message: str) -> None:
    """Nobody wants to know."""
