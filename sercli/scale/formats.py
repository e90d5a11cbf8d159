"""A shard's rows as one file: JSON Lines, the very text that one machine writes, or Parquet."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

from sercli.runtime.rows import Row
from sercli.runtime.writers import JsonLines

Encode = Callable[[Sequence[Row], Sequence[str]], bytes]
"""Rows and classes to the content of a file."""


def json_lines(rows: Sequence[Row], _classes: Sequence[str]) -> bytes:
    """One JSON object a line."""
    writer = JsonLines()
    return "".join(writer.row(row, first=False) for row in rows).encode("utf-8", "surrogateescape")


def parquet(rows: Sequence[Row], classes: Sequence[str]) -> bytes:
    """The columns of CSV (path, start, end, label, score, score_CLASS ..., status, error), numbers as float64."""
    import pyarrow as arrow
    from pyarrow.parquet import write_table

    def number(values: Sequence[str | None]) -> arrow.Array:
        return arrow.array([None if value is None else float(value) for value in values], arrow.float64())

    def text(values: Sequence[str | None]) -> arrow.Array:
        # Parquet holds UTF-8 only: a path of other bytes is shown with their escapes
        shown = (None if v is None else v.encode("utf-8", "backslashreplace").decode() for v in values)
        return arrow.array(list(shown), arrow.string())

    columns = {
        "path": text([row.path for row in rows]),
        "start": number([row.start for row in rows]),
        "end": number([row.end for row in rows]),
        "label": text([row.label for row in rows]),
        "score": number([row.score for row in rows]),
        **{f"score_{name}": number([row.scores.get(name) for row in rows]) for name in classes},
        "model": text([row.model for row in rows]),
        "seconds": number([row.seconds for row in rows]),
        "status": text([row.status for row in rows]),
        "error": text([row.error for row in rows]),
    }
    sink = io.BytesIO()
    write_table(arrow.table(columns), sink, compression="zstd")
    return sink.getvalue()


FORMATS: dict[str, Encode] = {"jsonl": json_lines, "parquet": parquet}
"""Name, which is also the extension, to its function."""
