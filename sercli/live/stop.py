"""The wish to end, and the signals that say it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C, a termination and a closed terminal; Windows lacks the last."""


class Stop:
    """A wish to end. Unlike threading.Event it may be asked for inside a signal handler at any moment."""

    asked = False


@contextmanager
def ended_by_signals(stop: Stop) -> Iterator[Stop]:
    """Turn signals into the wish to end; a second one no longer waits (KeyboardInterrupt). In the main thread only."""

    def end(_number: int, _frame: object) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
