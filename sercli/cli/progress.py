"""A progress bar on stderr, only where a person looks at it and it does not run into the results."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Bar(Protocol):
    """What the loop tells its bar."""

    def update(self, count: int) -> object:
        """Count so many more inputs as done."""


class _NoBar:
    def update(self, count: int) -> object:
        return None


@contextmanager
def progress_bar(wanted: bool, total: int | None, done: int = 0) -> Iterator[Bar]:
    """Show a bar over inputs if wanted and stderr is a terminal; `total` is None if unknown."""
    if not (wanted and sys.stderr.isatty()):
        yield _NoBar()
        return
    from tqdm import tqdm

    with tqdm(total=total, initial=done, unit="file", file=sys.stderr, dynamic_ncols=True, leave=False) as bar:
        yield bar
