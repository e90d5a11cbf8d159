"""The folder of a large run's results, on a disk or in an object store, consistent at every moment.

    run.json                 model, settings and shard size: what a resumed run must repeat
    part-00000017.jsonl      rows of one shard, or .parquet
    done/00000017.json       written after its part: the shard is finished
    manifest.json            written last: the finished shards and their totals

A part and its mark always have the same names and the same content, whoever writes them and how often. So a shard that
two workers label, because one of them seemed dead, is there once; and a mark without its part cannot be.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sercli.audio import is_url
from sercli.errors import OutputError
from sercli.parsing import parse_json
from sercli.runtime.sink import write_fault
from sercli.scale.shards import Finished, Shard
from sercli.scale.sources import file_system

PART, DONE, RUN, MANIFEST = "part-", "done", "run.json", "manifest.json"


@dataclass(frozen=True)
class Store:
    """An output folder; small, so that it can be sent to workers.

    Args:
        folder: an absolute path, or a URL of a file system that fsspec knows
        extension: of the parts
    """

    folder: str
    extension: str

    @classmethod
    def at(cls, target: str | Path, extension: str) -> Store:
        """Name the folder so that every process finds it."""
        return cls(target if isinstance(target, str) and is_url(target) else str(Path(target).absolute()), extension)

    def begin(self, run: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
        """Take the folder into use.

        Args:
            run: what makes the results what they are
            resume: go on with what the same run has left
            overwrite: throw away what a run has left; other files stay

        Raises:
            OutputError: it holds something and may not be touched, is of another run, or cannot be written
        """
        names = self._names()
        if RUN in names and overwrite:
            parts = (name for name in names if name.startswith(PART))
            self._delete([MANIFEST, *self._names(DONE), *parts, RUN])
        elif RUN in names and not resume:
            raise OutputError(f"{self.folder}: holds a run already; use --resume, --overwrite or another --output")
        elif RUN in names:
            before = self._read(RUN)
            different = sorted(key for key in {**before, **run} if before.get(key) != run.get(key))
            if different:
                raise OutputError(
                    f"{self.folder}: was made with other settings ({', '.join(different)}); repeat them, or use "
                    "--overwrite"
                )
            return
        elif names:
            raise OutputError(f"{self.folder}: is not empty, and not of a run; choose another --output")
        self._write(RUN, _json(run))

    def finished(self) -> dict[int, Finished]:
        """Read the marks of the finished shards, by number.

        Raises:
            OutputError: a mark cannot be read
        """
        files, root = file_system(self.folder)
        places = [f"{root}/{name}" for name in sorted(self._names(DONE))]
        try:
            # all at once: an object store answers many at a time
            marks = [Finished.from_values(parse_json(text)) for text in files.cat(places).values()] if places else []
        except (OSError, ValueError, TypeError, KeyError) as problem:
            raise OutputError(f"{self.folder}/{DONE}: a mark cannot be read ({problem}); use --overwrite") from problem
        return {mark.number: mark for mark in marks}

    def part(self, shard: Shard) -> str:
        """Name the file of a shard's rows."""
        return f"{PART}{shard.number:08d}.{self.extension}"

    def finish(self, mark: Finished, rows: bytes) -> None:
        """Write a shard's rows, then its mark.

        Raises:
            OutputError: it cannot be written
        """
        self._write(mark.file, rows)
        self._write(f"{DONE}/{mark.number:08d}.json", _json(mark.values()))

    def conclude(self, marks: Iterable[Finished]) -> None:
        """Write the manifest of all shards.

        Raises:
            OutputError: it cannot be written
        """
        ordered = sorted(marks, key=lambda mark: mark.number)
        totals = {key: sum(getattr(mark, key) for mark in ordered) for key in ("rows", "done", "silent", "failed")}
        totals["seconds"] = round(sum(mark.seconds for mark in ordered), 3)
        self._write(MANIFEST, _json({**totals, "shards": [mark.values() for mark in ordered]}))

    def _names(self, below: str = "") -> set[str]:
        files, root = file_system(self.folder)
        place = f"{root.rstrip('/')}/{below}".rstrip("/")
        try:
            entries = files.ls(place, detail=False)
        except FileNotFoundError:
            return set()
        except OSError as problem:
            raise OutputError(f"{self.folder}: {write_fault(problem)}") from problem
        names = {str(entry).rstrip("/").rpartition("/")[2] for entry in entries if str(entry).rstrip("/") != place}
        shown = {name for name in names if not name.startswith(".")}  # hidden ones are halves of killed writers
        return {f"{below}/{name}" for name in shown} if below else shown

    def _read(self, name: str) -> dict[str, Any]:
        files, root = file_system(self.folder)
        try:
            return dict(parse_json(files.cat_file(f"{root}/{name}")))
        except (OSError, ValueError) as problem:
            raise OutputError(f"{self.folder}/{name}: cannot be read ({problem}); use --overwrite") from problem

    def _write(self, name: str, content: bytes) -> None:
        """Write a file in full or not at all: under another name first on a disk; objects are put in one piece."""
        files, root = file_system(self.folder)
        path = f"{root}/{name}"
        try:
            if "file" not in _protocols(files):
                files.pipe_file(path, content)
                return
            partial = Path(path).with_name(f".{Path(path).name}.{os.uname().nodename}-{os.getpid()}.part")
            partial.parent.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("wb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())  # the mark says that the part is there, also after a power cut
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as problem:
            raise OutputError(f"{self.folder}/{name}: {write_fault(problem)}") from problem

    def _delete(self, names: Iterable[str]) -> None:
        files, root = file_system(self.folder)
        try:
            for name in names:
                if files.exists(f"{root}/{name}"):
                    files.rm_file(f"{root}/{name}")
        except OSError as problem:
            raise OutputError(f"{self.folder}: {write_fault(problem)}") from problem


def _protocols(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=1) + "\n").encode()
