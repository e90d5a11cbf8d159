"""A recording and its timeline as one HTML page that needs nothing else: no network, no server, no other file.

windows of a timeline ─► stretches ─► share per label, table
                      └► scores over time ─┐
recording ─► 10-ms peaks, MP3 ─────────────┴─► page.html, filled in
"""

from __future__ import annotations

import base64
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sercli.audio import SAMPLE_RATE
from sercli.labels import COLOURS
from sercli.runtime.prediction import UNCERTAIN, Prediction
from sercli.runtime.segments import Segment, pieces, segments

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEMPLATE = Path(__file__).with_name("page.html")
PEAK_SAMPLES = 160  # 10 ms at 16 kHz
MOST_PEAKS = 60_000  # of ten minutes; a longer recording's are put together
MIME = {"MP3": "audio/mpeg", "FLAC": "audio/flac"}
"""What the sound is kept as: MP3 where libsndfile can write it (from 1.1 on), about 15 MB an hour."""
OTHER_COLOURS = ("#999933", "#44AA99", "#AA4499", "#88CCEE", "#DDCC77", "#CC6677")
"""Of labels that COLOURS lacks, from Paul Tol's muted palette; none too dark for a dark page."""
SHOWN = {**COLOURS, UNCERTAIN: "#B3A6C4", "boredom": "#8C6D46"}
"""On screen, where black would not be seen on a dark page."""
PLAY = '<svg viewBox="0 0 10 12" aria-hidden="true"><path d="M0 0v12l10-6z"/></svg>'
PURPOSE = (
    "sercli hears vocal expression, not what a person feels. Not for decisions about people; at work and in education "
    "inferring emotions is banned in the EU (AI Act, Article 5(1)(f); medical and safety reasons excepted)."
)


@dataclass(frozen=True)
class Sound:
    """What the page needs of a recording besides its timeline."""

    seconds: float
    peaks: NDArray[np.uint8]
    """largest magnitude of each stretch, 255 is full scale, shape (at most MOST_PEAKS,)"""
    step: float
    """length of such a stretch in seconds"""
    form: str
    """what it is kept as, a key of MIME"""
    encoded: bytes
    """the recording, mono at 16 kHz, as a file of that form"""


def hear(blocks: Iterable[NDArray[np.float32]]) -> Sound:
    """Gather a stream of consecutive mono blocks at 16 kHz, float32, shape (samples,) each."""
    import soundfile

    form = "MP3" if "MP3" in soundfile.available_formats() else "FLAC"
    kept, peaks, samples = io.BytesIO(), [np.zeros(0, np.float32)], 0
    rest = np.zeros(0, np.float32)  # magnitudes that do not fill a stretch yet
    with soundfile.SoundFile(kept, "w", SAMPLE_RATE, 1, format=form) as file:
        for block in blocks:
            file.write(np.clip(block, -1.0, 1.0))
            samples += len(block)
            rest = np.concatenate([rest, np.abs(block)])
            whole = len(rest) // PEAK_SAMPLES * PEAK_SAMPLES
            peaks.append(rest[:whole].reshape(-1, PEAK_SAMPLES).max(axis=1))
            rest = rest[whole:]
    found = np.concatenate([*peaks, rest.max(keepdims=True, initial=0.0)])
    joined = -(-len(found) // MOST_PEAKS)
    loudest = np.pad(found, (0, -len(found) % joined)).reshape(-1, joined).max(axis=1)
    scaled = np.round(255 * np.minimum(loudest, 1.0)).astype(np.uint8)
    return Sound(samples / SAMPLE_RATE, scaled, joined * PEAK_SAMPLES / SAMPLE_RATE, form, kept.getvalue())


def page(name: str, sound: Sound, timeline: Sequence[Prediction], classes: Sequence[str], model: str) -> str:
    """Write the page of one recording.

    Args:
        name: what results call the recording
        sound: of the same recording
        timeline: its windows, in order
        classes: that the windows have scores of
        model: id of the student

    Returns:
        HTML
    """
    stretches = list(segments(timeline))
    colours = _colours([*classes, UNCERTAIN])
    tenths = any(one.start % 1 for one in stretches)
    data = {
        "tenths": tenths,
        "seconds": round(sound.seconds, 3),
        "classes": list(classes),
        "colours": colours,
        "step": sound.step,
        "peaks": base64.b64encode(sound.peaks.tobytes()).decode("ascii"),
        "segments": [[round(one.start, 3), round(one.end, 3), one.label, round(one.score, 3)] for one in stretches],
        "windows": [
            [round(piece.start, 3), round(piece.end, 3), window.label, round(window.score, 3), _scores(window, classes)]
            for piece, window in zip(pieces(timeline), timeline, strict=True)
        ],
        "mime": MIME[sound.form],
    }
    first = timeline[0] if timeline else None
    window = f"windows of {first.end - first.start:g} s" if first else ""
    hop = f" every {timeline[1].start - timeline[0].start:g} s" if len(timeline) > 1 else ""
    parts = {
        "title": escape(Path(name).name or name),
        "facts": escape(f"{clock(sound.seconds)} · {window}{hop} · {model}"),
        "shares": _shares(stretches, colours),
        "legend": _legend(stretches, colours),
        "rows": "\n".join(_row(one, colours, tenths) for one in stretches),
        "footer": escape(PURPOSE),
        "data": json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
        "sound": base64.b64encode(sound.encoded).decode("ascii"),
    }
    # Part by part between the marks, so that nothing of a file's name is ever taken for a mark.
    begin, *rest = TEMPLATE.read_text(encoding="utf-8").split("{{")
    return begin + "".join(parts[key] + text for key, text in (piece.split("}}", 1) for piece in rest))


def clock(seconds: float, tenths: bool = False) -> str:
    """Write a time for people: 3:07, 3:07.5, or 1:02:03."""
    units = int(10 * seconds + 1e-6)
    minutes, rest = divmod(units // 10, 60)
    text = f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
    return f"{text}.{units % 10}" if tenths else text


def _scores(window: Prediction, classes: Sequence[str]) -> list[float]:
    return [round(window.scores[name], 3) for name in classes] if window.scores else []


def _colours(labels: Iterable[str]) -> dict[str, str]:
    others = iter(OTHER_COLOURS * 9)
    return {label: SHOWN.get(label) or next(others, "#888888") for label in labels}


def _seconds_by_label(stretches: Iterable[Segment]) -> dict[str, float]:
    """Seconds of each label, most first; silence last."""
    total: dict[str, float] = defaultdict(float)
    for one in stretches:
        total[one.label] += one.end - one.start
    return dict(sorted(total.items(), key=lambda item: (not item[0], -item[1])))


def _style(label: str, colours: Mapping[str, str]) -> str:
    return f"--colour: {colours.get(label, 'var(--silent)')}"


def _shares(stretches: Sequence[Segment], colours: Mapping[str, str]) -> str:
    return "".join(
        f'<i style="{_style(label, colours)}; flex: {seconds:.3f} 0 0"></i>'
        for label, seconds in _seconds_by_label(stretches).items()
    )


def _legend(stretches: Sequence[Segment], colours: Mapping[str, str]) -> str:
    found = _seconds_by_label(stretches)
    whole = sum(found.values()) or 1.0
    return "".join(
        f'<li><span class="dot" style="{_style(label, colours)}"></span>{escape(label or "silence")}'
        f"<b>{100 * seconds / whole:.0f} %</b></li>"
        for label, seconds in found.items()
    )


def _row(one: Segment, colours: Mapping[str, str], tenths: bool) -> str:
    label, style = escape(one.label or "silence"), _style(one.label, colours)
    start, end = clock(one.start, tenths), clock(one.end, tenths)
    meter = (
        f'<div class="meter">{one.score:.2f}<span><i style="{style}; width: {100 * one.score:.0f}%"></i></span></div>'
    )
    return (
        f'<tr><td><button type="button" aria-label="Play from {start}, {label}">{PLAY}{start}'
        f'</button></td><td>{end}</td><td><span class="label"><span class="dot" style="{style}"></span>'
        f"{label}</span></td><td>{meter if one.label else ''}</td></tr>"
    )
