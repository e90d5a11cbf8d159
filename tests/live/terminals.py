"""A pseudo-terminal that a command runs in, and what a person would see on it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

pyte = pytest.importorskip("pyte", reason='needs pyte, of the extra "dev"')

PATIENCE_SECONDS = 20.0
COMMAND = (sys.executable, "-W", "error", "-m", "sercli", "listen")


class Terminal:
    """Runs `sercli listen` in a terminal of so many columns and rows, drawn by pyte."""

    def __init__(self, *arguments: object, columns: int = 80, rows: int = 24, **environment: str) -> None:
        self.shown: Any = pyte.Screen(columns, rows)
        self._stream: Any = pyte.ByteStream(self.shown)
        self.bytes = b""
        """all that was sent"""
        self.master, slave = pty.openpty()
        self.resize(columns, rows)
        self.modes = termios.tcgetattr(slave)
        """before the command started"""
        base = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=subprocess.PIPE,
            process_group=0,  # a job of this session, as a shell makes it: it can be suspended
            env={**base, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment},
        )
        self._slave = slave

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
        os.close(self.master)
        os.close(self._slave)

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(line.rstrip() for line in self.shown.display)

    @property
    def modes_now(self) -> list[Any]:
        """Of the terminal."""
        return termios.tcgetattr(self._slave)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size, as dragging a window does."""
        self.shown.resize(rows, columns)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, seen: Callable[[], bool]) -> None:
        """Read until something is seen; fails with the screen as it stands."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not seen():
            assert time.monotonic() < end, f"not seen; the screen is:\n{self.text}"
            self._read(0.1)

    def ended(self) -> tuple[int, str]:
        """Read to the end: exit code, and standard error."""
        while self.process.poll() is None:
            self._read(0.1)
        while self._read(0.0):
            pass
        assert self.process.stderr is not None
        return self.process.returncode, self.process.stderr.read().decode()

    def picture(self, path: Path) -> None:
        """Keep the screen as text, to look at."""
        path.write_text(self.text, encoding="utf-8")

    def _read(self, timeout: float) -> bool:
        if not select.select([self.master], [], [], timeout)[0]:
            return False
        data = os.read(self.master, 65_536)
        self.bytes += data
        self._stream.feed(data)
        return bool(data)
