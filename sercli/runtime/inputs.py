"""The files behind the paths a user names: files as they are, folders walked in order, one at a time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sercli.errors import OutputError

STDIN = "-"
EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("wav", "wave", "w64", "rf64", "flac", "ogg", "oga", "opus", "mp3"),
        *("aif", "aiff", "aifc", "caf", "au", "snd", "voc", "sph", "nist"),
    )
)
"""What is taken for audio inside a folder; a file named by the user is tried whatever it is called."""


@dataclass(frozen=True)
class Input:
    """One thing to label."""

    path: str
    """as given, or folder/name below a given folder; "-" is standard input"""
    name: str
    """how results call it"""
    relative: str
    """path below the one folder that was given, else the path as given: where a per-file output goes"""
    error: str = ""
    """why it cannot be labelled, if that is known already"""


class Inputs:
    """An iterable over inputs that counts what it skips; folders are listed one at a time.

    Args:
        paths: files, folders and "-"
        stdin_name: how results call standard input
    """

    def __init__(self, paths: Sequence[str], stdin_name: str = STDIN) -> None:
        self.paths = paths
        self.stdin_name = stdin_name
        self.skipped: Counter[str] = Counter()
        """extension to number of files that were not taken for audio; files without one count as their name"""

    @property
    def single(self) -> bool:
        """One input that is not a folder."""
        return len(self.paths) == 1 and not self._is_folder(self.paths[0])

    @property
    def total(self) -> int | None:
        """How many there are, if that is known without walking."""
        return None if any(map(self._is_folder, self.paths)) else len(self.paths)

    def __iter__(self) -> Iterator[Input]:
        """Yield the inputs in the order given, folders sorted by name."""
        self.skipped.clear()
        alone = len(self.paths) == 1
        for path in self.paths:
            if path == STDIN:
                yield Input(STDIN, self.stdin_name, "stdin")
            elif self._is_folder(path):
                yield from self._walk(path, "" if alone else path, ())
            else:
                yield Input(path, path, path)

    def _walk(self, folder: str, relative: str, above: tuple[tuple[int, int], ...]) -> Iterator[Input]:
        try:
            status = os.stat(folder)  # noqa: PTH116  (str paths: a folder may have a million names)
            with os.scandir(folder) as entries:
                names = sorted((entry.name, entry.is_dir()) for entry in entries)
        except OSError as problem:
            yield Input(folder, folder, relative, f"cannot read the folder ({problem.strerror}); check its rights")
            return
        this = (status.st_dev, status.st_ino)
        if this in above:
            return  # a link to a folder we are in
        for name, is_folder in names:
            path = os.path.join(folder, name)  # noqa: PTH118
            below = os.path.join(relative, name)  # noqa: PTH118
            if name.startswith("."):
                self.skipped["hidden"] += 1
            elif is_folder:
                yield from self._walk(path, below, (*above, this))
            elif os.path.splitext(name)[1].lower() in EXTENSIONS:  # noqa: PTH122
                yield Input(path, path, below)
            else:
                self.skipped[os.path.splitext(name)[1].lower() or name] += 1  # noqa: PTH122

    @staticmethod
    def _is_folder(path: str) -> bool:
        return path != STDIN and Path(path).is_dir()


@dataclass(frozen=True)
class Listed:
    """Inputs that are known one by one."""

    sources: tuple[Input, ...]
    single = False

    def __iter__(self) -> Iterator[Input]:
        """Yield them in order."""
        return iter(self.sources)


def refuse_input_as_output(output: Path, paths: Iterable[str]) -> None:
    """Refuse an output that is one of the inputs, or an audio file that a given folder would find.

    Raises:
        OutputError: it would be overwritten by its own labels
    """
    if not output.exists():
        return
    for path in paths:
        given = Path(path)
        if path == STDIN or not given.exists():
            continue
        same = given.samefile(output)
        inside = (
            given.is_dir()
            and output.is_file()
            and output.suffix.lower() in EXTENSIONS
            and output.resolve().is_relative_to(given.resolve())
        )
        if (same and not given.is_dir()) or inside:
            raise OutputError(f"{output}: is also an input; choose another --output")
