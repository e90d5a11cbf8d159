"""Label files of official releases: found, decoded and read row by row."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from sercli.errors import CorpusError

# The texts of MELD and ESD hold Windows punctuation that was once taken for Latin-1: C1 control characters,
# which no text has any use for.
WINDOWS = {code: bytes((code,)).decode("cp1252", errors="ignore") for code in range(0x80, 0xA0)}


def find(root: Path, *names: str) -> Path | None:
    """Return the first of some label files (relative names), below the root or below a folder that wraps it."""
    found = (file for name in names for pattern in (name, f"*/{name}") for file in sorted(root.glob(pattern)))
    return next((file for file in found if file.is_file()), None)


def read_text(file: Path, *encodings: str) -> str:
    """Read a label file as UTF-16 if it says so, UTF-8, else one of `encodings`, else Windows-1252.

    Names, labels and numbers are ASCII in every release, so a wrong guess can harm no more than a transcript.

    Raises:
        CorpusError: the file cannot be read.
    """
    try:
        data = file.read_bytes()
    except OSError as problem:
        raise CorpusError(f"{file}: cannot be read ({problem.strerror}); check the file and its rights") from problem
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16" if marked else "utf-8-sig", *encodings):
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(encoding).translate(WINDOWS)
    return data.decode("latin-1").translate(WINDOWS)


def read_rows(file: Path, columns: Sequence[str], source: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a .csv of a release by its header, whatever the order of its columns.

    Args:
        file: the .csv
        columns: those that must be there
        source: where to get it again, for the error message

    Yields:
        line number and cells of each row

    Raises:
        CorpusError: the file cannot be read, a column is missing or a row is cut off.
    """
    reader = csv.DictReader(io.StringIO(read_text(file), newline=""))
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise CorpusError(f'{file}: column "{missing[0]}" is missing; get it again from {source}')
    try:
        for row in reader:
            if None in row.values():
                raise csv.Error("fewer cells than the header has")
            yield reader.line_num, row
    except csv.Error as problem:
        raise CorpusError(f"{file}, row {reader.line_num}: {problem}; get it again from {source}") from problem
