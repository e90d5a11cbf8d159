"""Where results go: a file or standard output, written through at once, valid whenever the run ends."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sercli.errors import OutputError

NO_FOLDER = "its folder does not exist; create it first"
IS_FOLDER = "is a folder; name a file in it"


class Sink:
    """Writes text straight to a file descriptor, so that what a user sees in the file is what is done.

    Args:
        descriptor: open for writing; None writes to a standard output that is not a real file (tests)
        name: for messages
        size: bytes that are already in it and stay
        resumable: what breaks off can be continued with --resume, which messages then say
    """

    def __init__(self, descriptor: int | None, name: str, size: int = 0, resumable: bool = False) -> None:
        self.descriptor = descriptor
        self.name = name
        self.size = size
        self._resumable = resumable
        self._cuttable = descriptor is not None and name != "standard output"
        self._cuttable = self._cuttable and stat.S_ISREG(os.fstat(descriptor or 0).st_mode)

    def write(self, text: str) -> None:
        """Write all of a text, or nothing of it.

        Raises:
            OutputError: the disk is full, or another fault of the system
            BrokenPipeError: the reader has gone
        """
        # surrogateescape: a path of bytes that are no UTF-8 is written as those bytes again
        data = text.encode("utf-8", "surrogateescape")
        if self.descriptor is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        rest = memoryview(data)
        try:
            while len(rest):
                rest = rest[os.write(self.descriptor, rest) :]
        except BrokenPipeError:
            raise
        except OSError as problem:
            self.cut()
            raise OutputError(f"{self.name}: {write_fault(problem, self._resumable)}") from None
        self.size += len(data)

    def cut(self) -> None:
        """Take back what was written of a row that was not finished."""
        if self._cuttable and self.descriptor is not None:
            with suppress(OSError):
                os.ftruncate(self.descriptor, self.size)
                os.lseek(self.descriptor, self.size, os.SEEK_SET)


def write_fault(problem: OSError, resumable: bool = False) -> str:
    """Say why writing failed and what to do."""
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full; free some space, then {'go on with --resume' if resumable else 'start again'}"
    return f"cannot write ({problem.strerror}); choose another place"


def refuse_existing(path: Path) -> None:
    """Refuse a file that is to be made at the end of a long run, if it will not be possible then.

    Raises:
        OutputError: it is there already, is a folder, or has no folder to be in
    """
    if path.is_dir():
        raise OutputError(f"{path}: {IS_FOLDER}")
    if path.exists():
        raise OutputError(f"{path}: already exists; use --overwrite, or another name")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path}: {NO_FOLDER}")


@contextmanager
def standard_output() -> Iterator[Sink]:
    """Write results, and nothing else, to standard output: what C libraries print there goes to standard error."""
    try:
        sys.stdout.flush()
        shown, messages = sys.stdout.fileno(), sys.stderr.fileno()
    except (io.UnsupportedOperation, AttributeError):
        yield Sink(None, "standard output")
        return
    results = os.dup(shown)
    try:
        os.dup2(messages, shown)  # libsndfile 1.2.2 prints some of its doubts about a file
        yield Sink(results, "standard output")
    finally:
        _flush_c()
        os.dup2(results, shown)
        os.close(results)


def _flush_c() -> None:
    """Write out what C libraries have printed and still hold."""
    import ctypes  # numpy has imported it anyway

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)


@contextmanager
def output_file(
    path: Path, *, overwrite: bool = False, keep: int | None = None, resumable: bool = False
) -> Iterator[Sink]:
    """Write results to a file.

    Args:
        path: a new file; pipes and devices are written to as they are
        overwrite: an existing file is emptied
        keep: an existing file is continued after so many bytes, the rest is cut off
        resumable: as of `Sink`

    Raises:
        OutputError: it exists and may not be touched, or cannot be written
    """
    flags = os.O_WRONLY | os.O_CREAT
    special = path.exists() and not path.is_file()
    if not special:
        flags |= 0 if keep is not None else os.O_TRUNC if overwrite else os.O_EXCL
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileExistsError:
        raise OutputError(
            f"{path}: already exists; use --overwrite{', --resume' if resumable else ''} or another --output"
        ) from None
    except FileNotFoundError:
        raise OutputError(f"{path}: {NO_FOLDER}") from None
    except IsADirectoryError:
        raise OutputError(f"{path}: {IS_FOLDER}") from None
    except OSError as problem:
        raise OutputError(f"{path}: {write_fault(problem, resumable)}") from None
    try:
        sink = Sink(descriptor, str(path), keep or 0, resumable)
        if keep is not None:
            sink.cut()
        yield sink
    finally:
        os.close(descriptor)
