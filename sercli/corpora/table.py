"""The one table: an utterance record, read from and written to CSV or JSONL.

Corpora, splits, batch results and evaluation all speak in these records. On disk an unknown number is an
empty cell (CSV) or null (JSONL), in memory NaN. Tables of two other tools are read and written as well: those of
audformat as CSV, those of EmoBox as JSONL.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import IO, Any, Literal

from sercli.corpora import audformat, emobox
from sercli.errors import CorpusError, OutputError, UsageError
from sercli.nearest import nearest
from sercli.parsing import parse_json

SUFFIXES = (".csv", ".jsonl")
Shape = Literal["sercli", "audformat", "emobox"]
"""Whose columns a table has."""
SHAPES: dict[Shape, tuple[str, ...]] = {"sercli": SUFFIXES, "audformat": (".csv",), "emobox": (".jsonl",)}
"""Shape to the endings its tables have."""
GENDERS = {"": "", "f": "f", "female": "f", "w": "f", "m": "m", "male": "m"}


Stretch = tuple[str, float, str, float]
"""File, start, end as text and speed: names a stretch of sound."""


@dataclass(frozen=True)
class Utterance:
    """One stretch of speech and what is known of it."""

    path: str
    """Audio file; as given in memory, relative to the table's folder on disk where it lies below it."""
    start: float = 0.0
    """Seconds from the beginning of the file."""
    end: float = math.nan
    """Seconds from the beginning of the file; NaN: to the end of the file."""
    corpus: str = ""
    """Name of the corpus; speakers are told apart by (corpus, speaker)."""
    speaker: str = ""
    """The corpus's own name of the speaker; empty if unknown, and then the utterance cannot be split."""
    gender: str = ""
    """`f`, `m` or empty."""
    session: str = ""
    """Recording session or dialogue, where the corpus has them."""
    text: str = ""
    """What is said."""
    emotion: str = ""
    """The corpus's native label as an English lower-case word; empty if unlabelled."""
    arousal: float = math.nan
    """On the corpus's own scale; NaN if unknown."""
    valence: float = math.nan
    """On the corpus's own scale; NaN if unknown."""
    dominance: float = math.nan
    """On the corpus's own scale; NaN if unknown."""
    weight: float = 1.0
    """Weight in training; not negative."""
    votes: str = ""
    """JSON object label -> votes; empty if unknown."""
    speed: float = 1.0
    """Factor of tempo and pitch at which training hears it; no column of a table."""

    @property
    def stretch(self) -> Stretch:
        """File, start, end and speed: which sound this is, whatever is said of it."""
        return self.path, self.start, str(self.end), self.speed  # the end as text, for NaN does not equal NaN


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Utterance) if field.name != "speed")
NUMBERS = ("start", "end", "arousal", "valence", "dominance", "weight")


def is_table(name: str | os.PathLike[str]) -> bool:
    """Whether a name ends as a table does (.csv or .jsonl)."""
    return str(name).lower().endswith(SUFFIXES)


def read_table(path: str | os.PathLike[str]) -> list[Utterance]:
    """Read a table of utterances: one of ours, or of audformat or EmoBox, told by its header or first object.

    Args:
        path: `.csv` (comma, header line, UTF-8) or `.jsonl` (one object a line); only the column `path` is required,
            in its place `file` in the .csv of audformat, `key` and `wav` in the .jsonl of EmoBox

    Returns:
        the rows in file order; relative paths are resolved against the table's folder

    Raises:
        CorpusError: the file cannot be read, a column is missing or unknown, a value is malformed; names file and row.
            In a table of another tool unknown columns are ignored.
        UsageError: the file is neither .csv nor .jsonl.
    """
    table = Path(path)
    _check_suffix(table)
    folder = table.absolute().parent
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = _csv_rows(table, file) if table.suffix.lower() == ".csv" else _jsonl_rows(table, file)
            return [_utterance(row, folder, f"{table}, row {number}", names) for number, row, names in rows]
    except FileNotFoundError as problem:
        raise CorpusError(f"{table}: no such table; give the path of a .csv or .jsonl file") from problem
    except UnicodeDecodeError as problem:
        raise CorpusError(f"{table}: not UTF-8 text; save the table as UTF-8") from problem
    except csv.Error as problem:
        raise CorpusError(f"{table}: not a CSV file ({problem}); save the table as comma-separated UTF-8") from problem
    except OSError as problem:
        raise CorpusError(f"{table}: cannot be read ({problem.strerror}); check the path and its rights") from problem


def write_table(utterances: Iterable[Utterance], path: str | os.PathLike[str], shape: Shape = "sercli") -> None:
    """Write a table by its suffix, under a temporary name first, so that an interrupted run leaves no half table.

    Audio files below the table's folder are written relative to it, so the folder can be moved; others absolute.
    Only our own shape holds every column.

    Raises:
        OutputError: the table cannot be written.
        CorpusError: the shape cannot say what an utterance holds.
        UsageError: the name ends neither in .csv nor in .jsonl, or not as tables of that shape do.
    """
    table = Path(path)
    _check_suffix(table, shape)
    temporary = table.with_name(f".{table.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            dump_table(utterances, file, table.suffix.lower(), table.absolute().parent, shape)
        temporary.replace(table)
    except OSError as problem:
        raise OutputError(f"{table}: cannot be written ({problem.strerror}); choose another --output") from problem
    finally:
        temporary.unlink(missing_ok=True)


def dump_table(
    utterances: Iterable[Utterance],
    file: IO[str],
    suffix: str = ".csv",
    folder: Path | None = None,
    shape: Shape = "sercli",
) -> None:
    """Write a table to an open text file, with paths relative to `folder` where they lie below it.

    The suffix tells CSV from JSONL in our own shape only; the others have one each.
    """
    rows = (_row(utterance, folder) for utterance in utterances)
    if shape == "audformat":
        _write_csv(audformat.lines(rows), file)
    elif shape == "emobox":
        _write_jsonl(emobox.entries(rows), file)
    elif suffix == ".csv":
        _write_csv(chain([COLUMNS], ([row[column] for column in COLUMNS] for row in rows)), file)
    else:
        _write_jsonl(rows, file)


def _write_csv(lines: Iterable[Iterable[object]], file: IO[str]) -> None:
    plain = csv.writer(file, lineterminator="\n")
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for line in lines:
        cells = [_cell(value) for value in line]
        # the plain writer leaves a lone carriage return unquoted, and every reader takes it for a line's end
        (quoted if any("\r" in str(cell) for cell in cells) else plain).writerow(cells)


def _write_jsonl(rows: Iterable[Mapping[str, Any]], file: IO[str]) -> None:
    for row in rows:
        values = {column: None if _unknown(value) else value for column, value in row.items()}
        file.write(json.dumps(values, ensure_ascii=False) + "\n")


def _check_suffix(table: Path, shape: Shape = "sercli") -> None:
    if not is_table(table.name):
        raise UsageError(f"{table}: a table is a .csv or .jsonl file; change the file's ending")
    if not table.name.lower().endswith(SHAPES[shape]):
        raise UsageError(f"{table}: {shape} writes {SHAPES[shape][0]} files; change the file's ending")


Row = tuple[int, Mapping[str, Any], Mapping[str, str]]
"""Number, values by our columns, and what the file calls those columns that it calls otherwise."""


def _csv_rows(table: Path, file: IO[str]) -> Iterator[Row]:
    reader = csv.DictReader(file, strict=True)
    foreign = audformat.recognises(reader.fieldnames or ())
    if not foreign:
        _check_columns(reader.fieldnames or (), f"{table}")
    for row in reader:
        if None in row or None in row.values():
            amount = "more" if None in row else "fewer"
            raise CorpusError(
                f"{table}, row {reader.line_num}: {amount} cells than the header has; quote cells that contain commas"
            )
        if foreign:
            where = f"{table}, row {reader.line_num}"
            yield reader.line_num, audformat.read_row(row, where), audformat.NAMES
        else:
            yield reader.line_num, row, {}


def _jsonl_rows(table: Path, file: IO[str]) -> Iterator[Row]:
    foreign: bool | None = None
    root = emobox.root(table.absolute().parent)
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as problem:
            raise CorpusError(f"{table}, row {number}: not JSON ({problem}); write one object a line") from problem
        if not isinstance(row, dict):
            raise CorpusError(f"{table}, row {number}: not a JSON object; write one object a line")
        if foreign is None:
            foreign = emobox.recognises(row)
        if foreign:
            yield number, emobox.read_row(row, root, f"{table}, row {number}"), emobox.NAMES
        else:
            _check_columns(row, f"{table}, row {number}")
            yield number, row, {}


def _check_columns(names: Iterable[str], where: str) -> None:
    names = list(names)
    if "path" not in names:
        raise CorpusError(f'{where}: column "path" is missing; the columns are {", ".join(COLUMNS)}')
    for name in names:
        if name not in COLUMNS:
            hint = nearest(str(name), COLUMNS)
            raise CorpusError(f'{where}: unknown column "{name}"{hint}; the columns are {", ".join(COLUMNS)}')


def _utterance(row: Mapping[str, Any], folder: Path, where: str, names: Mapping[str, str]) -> Utterance:
    called = {column: names.get(column, column) for column in COLUMNS}
    values: dict[str, Any] = {}
    for column, cell in row.items():
        if cell is None or (cell == "" and column in NUMBERS):
            continue
        values[column] = _number(cell, where, called[column]) if column in NUMBERS else _text(cell, where, column)
    path = values.get("path", "")
    if not path:
        raise CorpusError(f'{where}: column "{called["path"]}" is empty; give the audio file')
    if "://" not in path:
        values["path"] = str(folder / path)  # an absolute path stays as it is
    utterance = Utterance(**values)
    start, end = utterance.start, utterance.end
    if start < 0 or math.isnan(start):
        raise CorpusError(f'{where}: column "{called["start"]}" is {start:g}; seconds from 0')
    if end <= start:
        raise CorpusError(f'{where}: column "{called["end"]}" ({end:g}) is not after "{called["start"]}" ({start:g})')
    if not utterance.weight >= 0:
        raise CorpusError(f'{where}: column "weight" is {utterance.weight:g}; use 0 or more')
    return utterance


def _number(cell: object, where: str, column: str) -> float:
    try:
        value = float(cell)  # type: ignore[arg-type]
    except OverflowError:
        value = math.inf  # of an integer of hundreds of digits
    except (TypeError, ValueError) as problem:
        hint = "use a number, or leave it empty if unknown"
        raise CorpusError(f'{where}: column "{column}" is {json.dumps(cell)}, not a number; {hint}') from problem
    if math.isinf(value):
        raise CorpusError(f'{where}: column "{column}" is infinite; leave it empty if unknown')
    return math.nan if math.isnan(value) else value  # one NaN object, so that equal records compare equal


def _text(cell: object, where: str, column: str) -> str:
    if column == "votes" and isinstance(cell, dict):
        return json.dumps(cell, ensure_ascii=False)
    text = cell if isinstance(cell, str) else str(cell)
    if column == "gender":
        gender = GENDERS.get(text.strip().lower())
        if gender is None:
            raise CorpusError(f'{where}: column "gender" is "{text}"; use f, m or leave it empty')
        return gender
    if column == "votes" and text:
        try:
            votes = parse_json(text)
        except ValueError:
            votes = None
        if not isinstance(votes, dict):
            raise CorpusError(
                f'{where}: column "votes" is not a JSON object; write {{"label": votes}} or leave it empty'
            )
    return text


def _row(utterance: Utterance, folder: Path | None) -> dict[str, Any]:
    row = {column: getattr(utterance, column) for column in COLUMNS}
    if "://" not in utterance.path:
        path = Path(utterance.path).absolute()
        below = folder is not None and path.is_relative_to(folder)
        row["path"] = str(path.relative_to(folder)) if folder is not None and below else str(path)
    return row


def _unknown(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _cell(value: object) -> object:
    if _unknown(value):
        return ""
    return repr(value).removesuffix(".0") if isinstance(value, float) else value
