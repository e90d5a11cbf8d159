"""The sound of an utterance."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from sercli.corpora.table import Utterance
from sercli.errors import AudioError, CorpusError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def read_utterance(utterance: Utterance) -> NDArray[np.float32]:
    """Read the stretch of its file that an utterance is, at its speed.

    Returns:
        mono float32 at 16 kHz, shape (samples,)

    Raises:
        CorpusError: the file is missing or cannot be read, or ends before the utterance starts
    """
    import numpy as np

    from sercli.audio import SAMPLE_RATE, read_audio

    try:
        signal = read_audio(utterance.path)
    except AudioError as problem:
        raise CorpusError(f"{problem} (run `sercli corpus check`)") from problem
    end = len(signal) if math.isnan(utterance.end) else round(utterance.end * SAMPLE_RATE)
    signal = signal[round(utterance.start * SAMPLE_RATE) : end]
    if not len(signal):
        raise CorpusError(f"{utterance.path}: no audio from {utterance.start:g} s on; correct its start in the table")
    if utterance.speed != 1.0:
        import soxr

        return np.asarray(soxr.resample(signal, SAMPLE_RATE * utterance.speed, SAMPLE_RATE), np.float32)
    return signal


def at_speed(utterance: Utterance) -> str:
    """What a name of the sound says of its speed: nothing for one as recorded."""
    return "" if utterance.speed == 1.0 else f" at {utterance.speed:g}"


def with_copies(utterances: Iterable[Utterance], speeds: Sequence[float]) -> list[Utterance]:
    """Add a copy of every utterance at each of the speeds; all together weigh what the utterance weighed."""
    share = 1.0 / (1 + len(speeds))
    return [
        replace(utterance, speed=utterance.speed * speed, weight=utterance.weight * share) if speeds else utterance
        for utterance in utterances
        for speed in (1.0, *speeds)
    ]


def check_files(utterances: Iterable[Utterance]) -> None:
    """Refuse utterances without a file before hours of work, not after.

    Raises:
        CorpusError: names the first missing file and how many more there are
    """
    missing = [u.path for u in utterances if not os.path.isfile(u.path)]  # noqa: PTH113 - many thousand times
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise CorpusError(f"{missing[0]}: no such file{more}; run `sercli corpus check`, or take them out of the table")


def with_ends(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Fill in unknown ends from the files' headers; where a header does not say, they stay unknown."""
    from sercli.audio import opened

    filled = []
    for utterance in utterances:
        if math.isnan(utterance.end):
            with suppress(AudioError), opened(utterance.path) as recording:
                if recording.seconds is not None:
                    utterance = replace(utterance, end=round(recording.seconds, 6))
        filled.append(utterance)
    return filled
