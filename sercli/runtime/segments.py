"""A timeline as segments for other tools: SRT subtitles, Praat TextGrids, Audacity labels.

Windows overlap, segments do not: two neighbouring windows are parted half way between their middles, and
neighbours of the same label become one segment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sercli.errors import OutputError
from sercli.runtime.prediction import Prediction
from sercli.runtime.sink import write_fault

EXTENSIONS = {"srt": ".srt", "textgrid": ".TextGrid", "audacity": ".txt"}
"""Format to the extension its tools expect."""
TIER = "emotion"
LEAST_MILLISECONDS = 1


@dataclass(frozen=True)
class Segment:
    """A stretch of one label."""

    start: float
    """in seconds"""
    end: float
    """in seconds"""
    label: str
    """a class, "uncertain", or empty for silence"""
    score: float
    """mean score of its windows, weighted by the time each one stands for"""


def segments(predictions: Iterable[Prediction]) -> Iterator[Segment]:
    """Turn the windows of one file, in order, into segments that do not overlap.

    Where windows leave gaps (hop longer than window), so do the segments.
    """
    held: Segment | None = None
    for piece in pieces(predictions):
        if held is None:
            held = piece
        elif held.label == piece.label and held.end == piece.start:
            long, more = held.end - held.start, piece.end - piece.start
            score = (held.score * long + piece.score * more) / (long + more) if long + more > 0 else held.score
            held = Segment(held.start, piece.end, held.label, score)
        else:
            yield held
            held = piece
    if held is not None:
        yield held


def pieces(predictions: Iterable[Prediction]) -> Iterator[Segment]:
    """Give each window, in order, the stretch it stands for."""
    before: Segment | None = None
    middle = 0.0
    for window in predictions:
        piece = Segment(window.start, window.end, window.label, window.score)
        centre = (window.start + window.end) / 2.0
        if before is not None:
            if window.start < before.end:
                parting = max(before.start, (middle + centre) / 2.0)
                before, piece = replace(before, end=parting), replace(piece, start=parting)
            yield before
        before, middle = piece, centre
    if before is not None:
        yield before


def srt(found: Iterable[Segment]) -> str:
    """Print as SubRip subtitles; silence is left out."""

    def time(milliseconds: int) -> str:
        seconds, rest = divmod(milliseconds, 1000)
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d},{rest:03d}"

    cues: list[str] = []
    for start, end, segment in _in_milliseconds(found):
        if segment.label:
            cues.append(f"{len(cues) + 1}\n{time(start)} --> {time(end)}\n{segment.label} ({segment.score:.2f})\n\n")
    return "".join(cues)


def audacity(found: Iterable[Segment]) -> str:
    """Print as an Audacity label track (start, end, label); silence is left out."""
    return "".join(
        f"{start / 1000:.3f}\t{end / 1000:.3f}\t{segment.label}\n"
        for start, end, segment in _in_milliseconds(found)
        if segment.label
    )


def textgrid(found: Iterable[Segment]) -> str:
    """Print as a Praat TextGrid, long format: one interval tier without gaps, silence is an empty interval."""
    intervals: list[tuple[int, int, str]] = []
    for start, end, segment in _in_milliseconds(found):
        reached = intervals[-1][1] if intervals else 0
        if start > reached:
            intervals.append((reached, start, ""))
        intervals.append((start, end, segment.label))
    length = intervals[-1][1] if intervals else LEAST_MILLISECONDS
    intervals = intervals or [(0, length, "")]
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {length / 1000:.3f}",
        "tiers? <exists>",
        "size = 1",
        "item []:",
        "    item [1]:",
        '        class = "IntervalTier"',
        f'        name = "{TIER}"',
        "        xmin = 0",
        f"        xmax = {length / 1000:.3f}",
        f"        intervals: size = {len(intervals)}",
    ]
    for number, (start, end, text) in enumerate(intervals, start=1):
        quoted = text.replace('"', '""')
        lines += [
            f"        intervals [{number}]:",
            f"            xmin = {start / 1000:.3f}",
            f"            xmax = {end / 1000:.3f}",
            f'            text = "{quoted}"',
        ]
    return "\n".join(lines) + "\n"


def _in_milliseconds(found: Iterable[Segment]) -> Iterator[tuple[int, int, Segment]]:
    """Round to the milliseconds all formats print; what rounds to nothing is left out."""
    reached = 0
    for segment in found:
        start, end = max(round(segment.start * 1000), reached), round(segment.end * 1000)
        if end - start >= LEAST_MILLISECONDS:
            yield start, end, segment
            reached = end


FORMATS = {"srt": srt, "textgrid": textgrid, "audacity": audacity}
"""Format to the function that prints segments."""


def prepare_folder(folder: Path, overwrite: bool) -> None:
    """Make the folder for one segment file per input.

    Raises:
        OutputError: it holds something already, or cannot be made
    """
    try:
        folder.mkdir(exist_ok=True)
        used = any(folder.iterdir())
    except (FileExistsError, NotADirectoryError):
        raise OutputError(f"{folder}: is a file, but several inputs need a folder; choose another --output") from None
    except FileNotFoundError:
        raise OutputError(f"{folder}: its folder does not exist; create it first") from None
    except OSError as problem:
        raise OutputError(f"{folder}: {write_fault(problem)}") from None
    if used and not overwrite:
        raise OutputError(f"{folder}: is not empty; use --overwrite or another --output")


def write_below(folder: Path, relative: str, extension: str, text: str, overwrite: bool) -> Path:
    """Write one input's segments to folder/relative.extension, in full or not at all.

    The whole relative path is kept, extension too: `a/x.wav` and `b/x.flac` stay apart.

    Raises:
        OutputError: it cannot be written, or two inputs would share it
    """
    parts = [part for part in Path(relative).parts if part not in (os.sep, "..")]
    target = folder.joinpath(*parts)
    target = target.with_name(target.name + extension)
    partial = target.with_name(target.name + ".part")
    if target.exists() and not overwrite:
        raise OutputError(f"{target}: two inputs would be written to it; label their folders separately")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError as problem:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OutputError(f"{target}: {write_fault(problem)}") from None
    return target
