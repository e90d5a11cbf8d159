"""Rows as CSV, JSON, JSON Lines and a table for reading: text before, per row and after."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Protocol

from sercli.runtime.prediction import UNCERTAIN
from sercli.runtime.rows import Row

BAR_CELLS = 20  # of a score of 1
UNSPLIT = "\r\n\t\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""What would break a line of the table."""


class Writer(Protocol):
    """One format. The pieces joined are the output; each piece ends a line, or opens the next row."""

    def head(self) -> str:
        """Text before the first row."""

    def row(self, row: Row, first: bool) -> str:
        """Text of one row."""

    def tail(self) -> str:
        """Text after the last row."""


class JsonLines:
    """One JSON object per line."""

    def head(self) -> str:
        """Nothing."""
        return ""

    def row(self, row: Row, first: bool) -> str:
        """One object and a newline."""
        return json_object(row) + "\n"

    def tail(self) -> str:
        """Nothing."""
        return ""


class Json:
    """One JSON array, one object per line."""

    def head(self) -> str:
        """Open the array."""
        return "["

    def row(self, row: Row, first: bool) -> str:
        """One object on a line of its own."""
        return ("\n  " if first else ",\n  ") + json_object(row)

    def tail(self) -> str:
        """Close the array."""
        return "\n]\n"


class Csv:
    """RFC 4180 with a header, UTF-8, lines end with a newline; one column `score_CLASS` per class.

    Args:
        classes: that scores are given for
        dimensions: arousal, valence and dominance of a student that rates them, after the scores
    """

    def __init__(self, classes: Sequence[str], dimensions: Sequence[str] = ()) -> None:
        self.classes = tuple(classes)
        self.dimensions = tuple(dimensions)
        self.columns = [
            *("path", "start", "end", "label", "score"),
            *(f"score_{label}" for label in self.classes),
            *self.dimensions,
            *("model", "seconds", "status", "error"),
        ]

    def head(self) -> str:
        """Name the columns."""
        return csv_line(self.columns)

    def row(self, row: Row, first: bool) -> str:
        """One line; what does not apply is empty."""
        scores = [row.scores.get(label, "") for label in self.classes]
        scores += [row.dimensions.get(name, "") for name in self.dimensions]
        before = [row.path, row.start, row.end, row.label, row.score]
        return csv_line([*before, *scores, row.model, row.seconds, row.status, row.error])

    def tail(self) -> str:
        """Nothing."""
        return ""


class Table:
    """Aligned columns for people; the file comes last, so that nothing needs to know its length beforehand."""

    def __init__(self, classes: Sequence[str], timeline: bool, dimensions: Sequence[str] = ()) -> None:
        self.width = max(map(len, [*classes, UNCERTAIN]))
        self.timeline = timeline
        self.dimensions = tuple(dimensions)

    def head(self) -> str:
        """Name the columns."""
        time = f"{'start':>9} {'end':>9}" if self.timeline else f"{'seconds':>9}"
        rated = "".join(f"{name:<9}  " for name in self.dimensions)
        return f"{time}  {'label':<{self.width}}  {'score':<{BAR_CELLS + 6}}  {rated}file\n"

    def row(self, row: Row, first: bool) -> str:
        """One line."""
        times = (row.start, row.end) if self.timeline else (row.seconds,)
        time = " ".join(f"{value or '-':>9}" for value in times)
        file = "".join(" " if letter in UNSPLIT else letter for letter in row.path)
        if row.status != "ok":
            what = f"{row.error}" if row.error else ""
            rest = " " * (BAR_CELLS + 6 + 11 * len(self.dimensions))
            return f"{time}  {row.status:<{self.width}}  {rest}  {file}{': ' + what if what else ''}\n"
        score = float(row.score or 0.0)
        bar = "█" * round(score * BAR_CELLS)
        # What it would have been, had the student been surer.
        best = max(row.scores, key=lambda label: float(row.scores[label])) if row.label == UNCERTAIN else ""
        hint = f" ({best}?)" if best else ""
        rated = "".join(f"{float(row.dimensions[name]):<9.3f}  " for name in self.dimensions)
        return f"{time}  {row.label:<{self.width}}  {score:.3f} {bar:<{BAR_CELLS}}  {rated}{file}{hint}\n"

    def tail(self) -> str:
        """Nothing."""
        return ""


def json_object(row: Row) -> str:
    """Print a row as one line of JSON."""
    # A name that is not valid UTF-8 has lone surrogates in Python: only escaped are they valid JSON text.
    readable = not any("\ud800" <= letter <= "\udfff" for letter in row.path + (row.error or ""))

    def text(value: str | None) -> str:
        return json.dumps(value, ensure_ascii=not readable)

    scores = ", ".join(f"{text(label)}: {score}" for label, score in row.scores.items())
    parts = (
        f'"path": {text(row.path)}',
        f'"start": {row.start or "null"}',
        f'"end": {row.end or "null"}',
        f'"label": {text(row.label)}',
        f'"score": {row.score or "null"}',
        f'"scores": {{{scores}}}',
        *(f'"{name}": {value}' for name, value in row.dimensions.items()),
        f'"model": {text(row.model)}',
        f'"seconds": {row.seconds or "null"}',
        f'"status": {text(row.status)}',
        f'"error": {text(row.error)}',
    )
    return "{" + ", ".join(parts) + "}"


def csv_line(values: Sequence[str | None]) -> str:
    """Print values as one line of CSV."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(["" if value is None else value for value in values])
    return line.getvalue()


def writer_for(name: str, classes: Sequence[str], timeline: bool, dimensions: Sequence[str] = ()) -> Writer:
    """Return the writer of a row format: table, csv, json or jsonl."""
    if name == "csv":
        return Csv(classes, dimensions)
    if name == "table":
        return Table(classes, timeline, dimensions)
    return Json() if name == "json" else JsonLines()
