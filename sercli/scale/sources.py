"""Where the audio of a large run lies: folders, patterns, tables and URLs, listed one folder at a time.

folder, file            as on one machine (`runtime.inputs`)
clips/**/*.flac         a pattern, expanded here
clips.csv, clips.jsonl  a table: each file it names, once
s3://bucket/clips       a folder or file of any file system that fsspec knows (s3, gs, hf://datasets/..., file)
"""

from __future__ import annotations

import glob
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from sercli.audio import STDIN, is_url
from sercli.corpora.table import is_table, read_table
from sercli.errors import UsageError
from sercli.runtime.inputs import EXTENSIONS, Input, Inputs


class Sources:
    """An iterable over inputs, the same ones in the same order each time, that counts what it skips.

    Args:
        given: folders, files, patterns, tables and URLs

    Raises:
        UsageError: standard input, which no other machine can read
    """

    def __init__(self, given: Sequence[str]) -> None:
        if STDIN in given:
            raise UsageError("--engine ray cannot read standard input; name files, folders, tables or URLs")
        self.given = given
        self.skipped: Counter[str] = Counter()
        """extension to number of files in folders that were not taken for audio"""

    def __iter__(self) -> Iterator[Input]:
        """Yield the inputs.

        Raises:
            CorpusError: a table cannot be read
            UsageError: a table that names stretches of files, a pattern that fits nothing, an unknown kind of URL
        """
        self.skipped.clear()
        for given in self.given:
            if is_url(given):
                yield from self._remote(given)
            elif is_table(given):
                yield from _named(_files_of(given))
            elif glob.has_magic(given) and not os.path.exists(given):  # noqa: PTH110
                yield from _named(_matches(given))
            else:
                inputs = Inputs([given])
                for source in inputs:  # a worker stands in another folder
                    yield replace(source, path=os.path.abspath(source.path))  # noqa: PTH100
                self.skipped += inputs.skipped

    def _remote(self, url: str) -> Iterator[Input]:
        files, path = file_system(url)
        if glob.has_magic(path):
            yield from _named(_found(url, (files.unstrip_protocol(name) for name in sorted(files.glob(path)))))
        elif not files.isdir(path):
            yield Input(url, url, url)  # a file, or none: whoever reads it says so
        else:
            yield from self._walk(files, path)

    def _walk(self, files: Any, folder: str) -> Iterator[Input]:
        """List a remote folder and those below it, hidden ones left out, as a local folder is listed."""
        for entry in sorted(files.ls(folder, detail=True), key=lambda entry: str(entry["name"]).rstrip("/")):
            path = str(entry["name"]).rstrip("/")
            name = PurePosixPath(path).name
            if path == folder.rstrip("/"):
                continue  # some object stores keep an empty object in the place of the folder
            if name.startswith("."):
                self.skipped["hidden"] += 1
            elif entry["type"] == "directory":
                yield from self._walk(files, path)
            elif PurePosixPath(name).suffix.lower() in EXTENSIONS:
                url = files.unstrip_protocol(path)
                yield Input(url, url, url)
            else:
                self.skipped[PurePosixPath(name).suffix.lower() or name] += 1


def file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it.

    Raises:
        UsageError: of a kind that is unknown, or whose package is not installed
    """
    import fsspec

    try:
        # listings are not kept: a run of days sees what was added, and a long one does not grow
        files, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except (ValueError, ImportError) as problem:
        raise UsageError(f"{url}: cannot be opened ({problem})") from problem
    return files, str(path)


def _named(paths: Iterable[str]) -> Iterator[Input]:
    return (Input(path if is_url(path) else os.path.abspath(path), path, path) for path in paths)  # noqa: PTH100


def _files_of(table: str) -> Iterator[str]:
    """Yield the files a table names, each once."""
    seen: set[str] = set()
    for number, utterance in enumerate(read_table(table), start=1):
        if utterance.start > 0 or not math.isnan(utterance.end):
            raise UsageError(
                f"{table}, entry {number}: names a stretch of {utterance.path}, but whole files are labelled; "
                "leave out start and end, or cut the audio"
            )
        if utterance.path not in seen:
            seen.add(utterance.path)
            yield utterance.path


def _matches(pattern: str) -> Iterator[str]:
    return _found(pattern, sorted(path for path in glob.iglob(pattern, recursive=True) if os.path.isfile(path)))  # noqa: PTH113,PTH207


def _found(pattern: str, paths: Iterable[str]) -> Iterator[str]:
    found = False
    for path in paths:
        found = True
        yield path
    if not found:
        raise UsageError(f"{pattern}: fits no file; quote the pattern, and try it with ls")
