"""The only place that writes for people: messages to stderr, results to stdout."""

from __future__ import annotations

import sys


def note(message: str) -> None:
    """Print a message for the user on stderr, so that stdout holds results only."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201


def error(message: str) -> None:
    """Print one line that says what went wrong and what to do next on stderr."""
    note(f"sercli: error: {message}")


def result(text: str) -> None:
    """Print a result on stdout."""
    print(text, flush=True)  # noqa: T201
