"""The only place that writes for people: messages to stderr, results to stdout."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def note(message: str) -> None:
    """Print a message for the user on stderr, so that stdout holds results only."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201


def error(message: str) -> None:
    """Print one line that says what went wrong and what to do next on stderr."""
    note(f"sercli: error: {message}")


def show_log() -> None:
    """Show what the engines log (sercli's own, from INFO) as notes."""
    import logging

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(record.getMessage())

    logger = logging.getLogger("sercli")
    logger.handlers = [Notes()]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Align the cells of rows."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def result(text: str) -> None:
    """Print a result on stdout."""
    print(text, flush=True)  # noqa: T201
