"""The metadata tables of EmoBox: JSON lines with the keys its preparation writes and its loader reads.

    {"key": "ravdess-03-01-05-01-01-01-21", "dataset": "ravdess", "wav": "downloads/ravdess/…/03-01-05-01-01-01-21.wav",
     "type": "raw", "sample_rate": 48000, "num_frame": 198599.0, "task": "category", "length": 4.14, "emo": "Angry",
     "channel": 1}

`start_time` and `end_time` (seconds) are there only where several utterances share one file. EmoBox has no key for the
speaker, so most of its tables cannot be split. Source: github.com/emo-box/EmoBox, README.md, EmoBox/EmoDataset.py,
EmoBox/utils/preprocess_utils.py; Ma et al., "EmoBox", Interspeech 2024.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from sercli.errors import CorpusError

NAMES = {"path": "wav", "start": "start_time", "end": "end_time", "corpus": "dataset", "emotion": "emo"}
"""Column of our table to its key here, where the two differ."""
ADDED = ("speaker", "text")
"""Columns that are no keys of EmoBox: read where present and written where known; its loader passes them over."""
KINDS = {"type": "raw", "task": "category"}
"""The one kind of table released: audio, not features, and emotion words, not arousal or valence."""
CHANNEL = 1
"""The first, as EmoBox counts."""
DOWNLOADS = "downloads"
"""Folder of EmoBox's checkout that holds the corpora; the released tables name audio files from there."""


def recognises(row: Mapping[str, Any]) -> bool:
    """Whether this is an object of an EmoBox table and not of ours."""
    return "key" in row and NAMES["path"] in row and "path" not in row


def root(folder: Path) -> Path:
    """Return the folder that `downloads/…` starts from: the nearest one, from the table's upwards, that has it."""
    return next((place for place in (folder, *folder.parents) if (place / DOWNLOADS).is_dir()), folder)


def read_row(entry: Mapping[str, Any], root: Path, where: str) -> dict[str, Any]:
    """Turn an object into a row of our table; keys that have no place there are ignored.

    `length` is one of them: without start_time and end_time it is that of the file, which our table leaves open.

    Raises:
        CorpusError: the table is of features or of numbers instead of emotion words.
    """
    for key, kind in KINDS.items():
        if entry.get(key, kind) != kind:
            raise CorpusError(f'{where}: column "{key}" is {json.dumps(entry[key])}; only "{kind}" can be read')
    row = {column: entry.get(key) for column, key in NAMES.items()} | {column: entry.get(column) for column in ADDED}
    if str(row["path"]).startswith(f"{DOWNLOADS}/"):
        row["path"] = str(root / str(row["path"]))
    return row


def entries(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Turn rows of our table into objects.

    `length` (seconds) is written where the end is known, and EmoBox's loader wants it everywhere: `speech.with_ends`
    finds it. The sample rate and the number of frames, which it does not use, are left out.

    Raises:
        CorpusError: an utterance starts later than its file and has no end: EmoBox would load the whole file.
    """
    used: dict[str, int] = {}
    for row in rows:
        name = PurePath(row["path"]).stem
        entry = {
            "key": _unique(f"{row['corpus']}-{name}" if row["corpus"] else name, used),
            "dataset": row["corpus"],
            "wav": row["path"],
            **KINDS,
            "emo": row["emotion"],
            "channel": CHANNEL,
        }
        if not math.isnan(row["end"]):
            entry["length"] = round(row["end"] - row["start"], 9)
            entry |= {"start_time": row["start"], "end_time": row["end"]}
        elif row["start"] > 0:
            raise CorpusError(
                f"{row['path']}: starts at {row['start']:g} s, end unknown; EmoBox needs both, add the end"
            )
        yield entry | {column: row[column] for column in ADDED if row[column]}


def _unique(key: str, used: dict[str, int]) -> str:
    used[key] = used.get(key, 0) + 1
    return key if used[key] == 1 else _unique(f"{key}-{used[key]}", used)
