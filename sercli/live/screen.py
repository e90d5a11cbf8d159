"""The terminal that the live view is drawn on: entered, drawn in place, and always left as it was."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, Self, TextIO

from sercli.live.view import Style

if TYPE_CHECKING:
    from sercli.live.session import Hop
    from sercli.live.view import View

try:
    import termios
except ImportError:  # Windows, where typed keys are not echoed into another program's screen
    termios = None  # type: ignore[assignment]

ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"  # another screen, no cursor, long lines cut, empty
LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"  # colours off, wrapping, cursor, the screen there was before
LINE = "\x1b[{row};1H{text}\x1b[K"
BELOW = "\x1b[{row};1H\x1b[J"
FRAME_SECONDS = 0.1  # between drawings of the level meter
FALLBACK_SIZE = (80, 24)


def style_of(stream: TextIO) -> Style:
    """Find out what a stream's terminal can show; NO_COLOR (no-color.org) is respected."""
    encoding = (stream.encoding or "ascii").lower().replace("-", "")
    return Style(
        colour=not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb", "vt100", "vt220"),
        unicode=encoding.startswith("utf"),
    )


def can_draw(stream: TextIO) -> bool:
    """Tell if a stream is a terminal that can place its cursor."""
    return stream.isatty() and (os.name == "nt" or os.environ.get("TERM", "") not in ("", "dumb"))


class Screen:
    """Draws a view. Only lines that changed are sent, all at once, so nothing flickers.

    Whatever ends the program but SIGKILL leaves the terminal as it was: `with` does it for exceptions, the handler of
    Ctrl-Z for suspension; signals that end a program must be turned into an end by the caller.
    """

    def __init__(self, view: View, stream: TextIO) -> None:
        self._view, self._stream = view, stream
        self._style = style_of(stream)
        self._drawn: list[str] = []
        self._size = (0, 0)
        self._next = 0.0
        self._terminal: list[Any] | None = None
        self._suspend: Any = None

    def __enter__(self) -> Self:
        if hasattr(signal, "SIGTSTP"):
            self._suspend = signal.signal(signal.SIGTSTP, self._suspended)
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._close()
        finally:
            if self._suspend is not None:
                signal.signal(signal.SIGTSTP, self._suspend)

    def hop(self, hop: Hop) -> None:
        """Show a result."""
        self._view.hop(hop)
        self.draw()

    def heard(self, level_db: float, seconds: float) -> None:
        """Show the level in dBFS and the time, now and then."""
        self._view.heard(level_db, seconds)
        if time.monotonic() >= self._next:
            self.draw()

    def note(self, message: str) -> None:
        """Show a message."""
        self._view.note = message
        self.draw()

    def draw(self) -> None:
        """Send what changed since the last drawing; all of it after a change of size."""
        self._next = time.monotonic() + FRAME_SECONDS
        size = _size(self._stream)
        text = ""
        if size != self._size:
            self._size, self._drawn = size, []
            text = "\x1b[2J"
        lines = self._view.lines(*size, self._style)
        for row, line in enumerate(lines):
            if row >= len(self._drawn) or line != self._drawn[row]:
                text += LINE.format(row=row + 1, text=line)
        if len(lines) < len(self._drawn):
            text += BELOW.format(row=len(lines) + 1)
        self._drawn = lines
        if text:
            self._send(text)

    def _send(self, text: str) -> None:
        # Not stream.write: a buffered writer may not be entered again by the handler of Ctrl-Z.
        rest = memoryview(text.encode(self._stream.encoding or "ascii", "replace"))
        while len(rest):
            rest = rest[os.write(self._stream.fileno(), rest) :]

    def _open(self) -> None:
        if termios is not None:
            with suppress(termios.error, OSError):  # no terminal to type on
                self._terminal = termios.tcgetattr(sys.stdin)
                silent = termios.tcgetattr(sys.stdin)
                silent[3] &= ~(termios.ECHO | termios.ICANON)  # typed keys stay off the screen; Ctrl-C stays a signal
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, silent)
        self._size = (0, 0)
        self._send(ENTER)

    def _close(self) -> None:
        if termios is not None and self._terminal is not None:
            with suppress(termios.error, OSError):
                termios.tcflush(sys.stdin, termios.TCIFLUSH)  # what was typed meanwhile was not for the shell
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._terminal)
        with suppress(OSError):  # the terminal itself may be gone
            self._send(LEAVE)

    def _suspended(self, _signal: int, _frame: FrameType | None) -> None:
        """Ctrl-Z: give the terminal back, stop, and draw anew when continued."""
        self._close()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        self._open()
        self.draw()


def _size(stream: TextIO) -> tuple[int, int]:
    """Columns and rows of a terminal, asked anew each time, so that no signal has to be waited for."""
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except OSError:
        return FALLBACK_SIZE
    return (columns or FALLBACK_SIZE[0], rows or FALLBACK_SIZE[1])
