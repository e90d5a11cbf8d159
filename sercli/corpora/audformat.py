"""Tables in the shape of audformat (audEERING), which nkululeko reads and writes too: CSV, one row a file or segment.

A segmented table begins with `file,start,end`, a filewise one with `file` alone; times are written as pandas does,
`0 days 00:00:01.500000`, and a segment with the end `NaT` lasts to the end of its file. Which columns follow is free;
the names known here are those of audformat's conventions (audeering.github.io/audformat, "Tables", "Conventions").
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from sercli.errors import CorpusError

NAMES = {"path": "file"}
"""Column of our table to its name here, where the two differ."""
COLUMNS = ("corpus", "speaker", "gender", "session", "emotion", "arousal", "valence", "dominance", "text")
"""What is read and written besides the index. `weight` means body weight elsewhere and `votes` has no place."""
GENDERS = {"f": "female", "m": "male"}
OTHER_GENDERS = ("child", "other")
"""audformat's values of `gender` that our table cannot say: read as unknown."""
MISSING = ("", "NaN", "nan", "NaT", "NA", "<NA>", "None")
"""What pandas writes, or reads back, as a missing value."""

CLOCK = re.compile(r"(?:(\d+) days?,? ?)?(?:(\d+):(\d\d?):(\d\d?(?:\.\d+)?))?")
AMOUNT = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?) ?(ns|us|ms|s|m|min|h)?")
SECONDS = {"ns": "1e-9", "us": "1e-6", "ms": "1e-3", "s": "1", "m": "60", "min": "60", "h": "3600"}


def recognises(columns: Iterable[str]) -> bool:
    """Whether these are the columns of an audformat table and not of ours."""
    columns = list(columns)
    return NAMES["path"] in columns and "path" not in columns


def read_row(cells: Mapping[str, str], where: str) -> dict[str, Any]:
    """Turn a row into one of our table; columns that have no place there are ignored.

    Raises:
        CorpusError: a time is malformed.
    """
    row: dict[str, Any] = {column: cells[column] for column in COLUMNS if cells.get(column, "") not in MISSING}
    row["path"] = cells[NAMES["path"]]
    # by audformat's conventions `transcription` is what is said, `text` a less accurate account of it
    row["text"] = cells.get("transcription") or cells.get("text", "")
    for column in ("start", "end"):
        row[column] = parse_time(cells.get(column, ""), where, column)
    if row.get("gender", "").strip().lower() in OTHER_GENDERS:
        del row["gender"]
    return row


def lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Any]]:
    """Turn rows of our table into header and lines of a segmented one; a column nobody has a value in is left out."""
    rows = [{**row, "gender": GENDERS.get(row["gender"], "")} for row in rows]
    kept = [column for column in COLUMNS if any(_known(row[column]) for row in rows)]
    yield [NAMES["path"], "start", "end", *kept]
    for row in rows:
        yield [row["path"], write_time(row["start"]), write_time(row["end"]), *(row[column] for column in kept)]


def parse_time(cell: str, where: str, column: str) -> float | None:
    """Read a time as pandas writes or reads it: `0 days 00:00:01.5`, `0:00:01.5`, `1.5s`; a bare number is seconds.

    Returns:
        seconds; None if missing

    Raises:
        CorpusError: none of these.
    """
    cell = cell.strip()
    if cell in MISSING:
        return None
    # decimals: summed in binary, 0:01:11.571 would not be the 71.571 that other tables of the same file hold
    if amount := AMOUNT.fullmatch(cell):
        return float(Decimal(amount[1]) * Decimal(SECONDS[amount[2] or "s"]))
    if clock := CLOCK.fullmatch(cell):
        days, hours, minutes, seconds = (Decimal(part or 0) for part in clock.groups())
        return float(86400 * days + 3600 * hours + 60 * minutes + seconds)
    raise CorpusError(f'{where}: column "{column}" is "{cell}", not a time; write 0 days 00:00:01.5, 1.5s or seconds')


def write_time(seconds: float) -> str:
    """Write seconds to the nanosecond, the resolution of pandas; NaN becomes `NaT`."""
    if math.isnan(seconds):
        return "NaT"
    whole, nanoseconds = divmod(round(Decimal(seconds) * 10**9), 10**9)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    fraction = f"{nanoseconds:09}"
    return f"{days} days {hour:02}:{minute:02}:{second:02}.{fraction.removesuffix('000')}"


def _known(value: object) -> bool:
    return value != "" and value == value  # NaN differs from itself
