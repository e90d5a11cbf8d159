"""What an interrupted run has already written: how much of it stays, and which inputs are done."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sercli.errors import OutputError
from sercli.parsing import parse_json
from sercli.runtime.batch import Settings
from sercli.runtime.prediction import DIMENSIONS, UNCERTAIN
from sercli.runtime.rows import Row
from sercli.runtime.student import Student
from sercli.runtime.writers import Csv, Writer

ROUNDING = 2e-6  # scores in a file have six decimals
TIME_ROUNDING = 2e-3  # seconds in a file have three


@dataclass
class Earlier:
    """An earlier run's output."""

    keep: int = 0
    """bytes that stay; 0 also means that the writer's head is still to be written"""
    rows: int = 0
    """rows among them"""
    done: set[str] = field(default_factory=set)
    """names of the inputs that are done, failed ones among them"""
    failed: int = 0
    """failed inputs among them"""


def read_earlier(path: Path, writer: Writer, student: Student, settings: Settings) -> Earlier:
    """Read the output of an earlier run up to its last complete row.

    A torn last row is dropped. In a timeline all rows of the last file are, since some may be missing.

    Args:
        path: a file written by `writer`; may not exist yet
        writer: CSV, JSON or JSON Lines
        student: its id must be that of every row
        settings: every row must look as these would make it

    Raises:
        OutputError: not such a file, or written by another model or with other settings
    """
    earlier = Earlier()
    if not path.exists():
        return earlier
    end, rows = 0, 0  # of the rows of inputs that are complete
    current: str | None = None
    failed = False
    try:
        for row, after in _rows(path, writer):
            _check(row, path, student, settings)
            if settings.timeline and row.path != current:
                if current is not None:
                    earlier.keep, earlier.rows = end, rows
                    earlier.done.add(current)
                    earlier.failed += failed
                current, failed = row.path, False
            end, rows = after, rows + 1
            failed = row.status == "error"
            if not settings.timeline:
                earlier.keep, earlier.rows = end, rows
                earlier.done.add(row.path)
                earlier.failed += failed
    except OSError as problem:
        raise OutputError(f"{path}: cannot read it to resume ({problem.strerror}); check its rights") from None
    if earlier.rows == 0:
        earlier.keep = 0
    return earlier


def _rows(path: Path, writer: Writer) -> Iterator[tuple[Row, int]]:
    """Yield each complete row and the offset in bytes after it."""
    with path.open("rb") as stream:
        offset = 0
        pending: tuple[int, str] | None = None  # a line that is no row is forgiven only if it is the last
        head = writer.head().encode()
        columns = writer.columns if isinstance(writer, Csv) else None
        opening = stream.read(len(head))
        if opening != head[: len(opening)]:
            what = "has other columns (other labels?)" if columns else "is not of this format"
            raise OutputError(f"{path}: {what}; resume with the same options, or use --overwrite")
        offset = len(opening)
        for number, line in enumerate(_lines(stream, quoted=columns is not None), start=1):
            if pending is not None:
                raise OutputError(f"{path}: row {pending[0]} is not a result of sercli predict; use --overwrite")
            text = line.decode("utf-8", "surrogateescape")
            body = text.strip(" \n,") if columns is None else text
            if body in ("", "]"):
                offset += len(line)
                continue
            row = _csv_row(text, columns) if columns is not None else _json_row(body)
            if row is None:
                pending = (number, text)
                continue
            if head == b"[":  # a JSON row ends at its brace: what follows is written with the next row
                yield row, offset + len(line.rstrip(b" \n,"))
            elif line.endswith(b"\n"):
                yield row, offset + len(line)
            offset += len(line)


def _lines(stream: Any, quoted: bool) -> Iterator[bytes]:
    """Yield lines; in CSV a newline inside quotes does not end one."""
    held = b""
    for line in stream:
        held += line
        if quoted and held.count(b'"') % 2:
            continue
        yield held
        held = b""
    if held:
        yield held


def _json_row(text: str) -> Row | None:
    try:
        values = parse_json(text, parse_float=str)
        rated = {name: values.pop(name) for name in DIMENSIONS if name in values}
        return Row(**values, dimensions=rated)
    except (ValueError, TypeError):
        return None


def _csv_row(text: str, columns: list[str]) -> Row | None:
    cells = next(csv.reader([text], strict=False), [])
    if len(cells) != len(columns) or not text.endswith("\n"):
        return None
    values = dict(zip(columns, cells, strict=True))
    scores = {
        name.removeprefix("score_"): value for name, value in values.items() if name.startswith("score_") and value
    }
    rated = {name: values.pop(name) for name in DIMENSIONS if values.get(name)}
    others = {name: value or None for name, value in values.items() if name not in DIMENSIONS}
    plain = {name: value for name, value in others.items() if not name.startswith("score_")}
    whole = {**plain, "path": values["path"], "model": values["model"], "status": values["status"]}
    return Row(**whole, scores=scores, dimensions=rated)  # type: ignore[arg-type]


def _check(row: Row, path: Path, student: Student, settings: Settings) -> None:
    """Refuse a row that these settings would not have written."""
    if row.model != student.id:
        raise OutputError(
            f"{path}: was labelled by {row.model}, not {student.id}; resume with that model, or use --overwrite"
        )
    other = _contradiction(row, student, settings)
    if other:
        raise OutputError(f"{path}: was made with other settings ({other}); repeat them, or use --overwrite")


def _contradiction(row: Row, student: Student, settings: Settings) -> str:
    if row.start is not None and row.end is not None:
        start, end = float(row.start), float(row.end)
        if settings.timeline:
            config = student.config
            hop = config.hop_seconds if settings.hop_seconds is None else settings.hop_seconds
            window = config.window_seconds if settings.window_seconds is None else settings.window_seconds
            if abs(start - round(start / hop) * hop) > TIME_ROUNDING:
                return "--hop"
            whole = row.seconds is not None and abs(float(row.seconds) - end) <= TIME_ROUNDING
            if end - start > window + TIME_ROUNDING or (not whole and end - start < window - TIME_ROUNDING):
                return "--window, or no --timeline"
        elif start != 0.0 or row.seconds != row.end:
            return "--timeline"
    if row.status != "ok" or row.score is None:
        return ""
    low, high = settings.scale
    if not all(low - ROUNDING <= float(value) <= high + ROUNDING for value in row.dimensions.values()):
        return "--scale"
    classes = settings.decision.classes
    if set(row.scores) - set(classes):
        return "--labels"
    if len(row.scores) != min(settings.top or len(classes), len(classes)):
        return "--top or --labels"
    score, threshold = float(row.score), settings.decision.threshold
    if (row.label == UNCERTAIN and score > threshold + ROUNDING) or (
        row.label != UNCERTAIN and score < threshold - ROUNDING
    ):
        return "--threshold"
    return ""
