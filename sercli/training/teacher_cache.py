"""What teachers compute, kept on disk: float16, memory-mapped, named by content, safe to kill at any moment.

    teacher/whisper-small-3f2a9c0d1e4b/             one folder per CacheKey
        key.json                                    encoder, sha256 of its weights, settings
        20260401T120000000000-4242-9f1c07aa.f16     arrays end to end, each from a multiple of 64 bytes on
        20260401T120000000000-4242-9f1c07aa.jsonl   one line per clip: digest, offset, shapes, crc32

Every process appends to a pair of files of its own, first the arrays, then the line that names them. So writers need
no locks, and a kill leaves at most arrays without a line or a line without an end, which readers pass over. Where two
lines name the same clip, the newer pair of files is right.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import re
import secrets
import time
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from sercli.errors import OutputError, SercliError
from sercli.training.store import cache_folder

FORMAT = 1  # part of a key's digest: another layout on disk is another folder
HALF = np.dtype("<f2")
ALIGN = 64  # bytes, a cache line
KEY_DIGITS = 12  # of the key's digest in its folder's name
KEY_FILE = "key.json"
LOCKS = "locks"
LOCK_DIGITS = 2  # of a clip's digest: 256 locks, of which a few processes seldom want the same
SYNC_SECONDS = 30.0  # most work that a power cut can take; a kill takes one clip

Outputs = Mapping[str, NDArray[Any]]
"""Name of an output (`logits`, `pooled`, `frames.6`, ...) to its array."""


@dataclass(frozen=True)
class CacheKey:
    """Whose outputs these are, and how they were made."""

    encoder: str
    """Name for people; the same weights under another name share their outputs."""
    sha256: str
    """Of the encoder's weights."""
    settings: Mapping[str, Any]
    """Layers, pooling, ...: all that changes the numbers, as plain JSON values."""

    @property
    def digest(self) -> str:
        """sha256 over format, weights and settings, in hex."""
        facts = [FORMAT, self.sha256, dict(self.settings)]
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


class Entry(NamedTuple):
    """Where the outputs of one clip lie."""

    shard: str
    """Pair of files, without ending."""
    offset: int
    """Bytes."""
    size: int
    """Bytes, with the padding of each array."""
    shapes: dict[str, list[int]]
    crc32: int


class TeacherCache:
    """Outputs of one teacher with one set of settings, by the digest of the clip.

    Any number of processes may read and add at once. Within a process threads may read at once, not add.

    Args:
        key: whose outputs
        folder: the cache folder, which holds `teacher/`; None: that of decoded audio
    """

    def __init__(self, key: CacheKey, folder: Path | None = None) -> None:
        self.key = key
        self._parent = folder or cache_folder()
        digits = key.digest[:KEY_DIGITS]
        slug = re.sub(r"[^A-Za-z0-9._]+", "-", key.encoder)[-40:].strip("-.")
        teachers = self._parent / "teacher"
        self.folder = next(teachers.glob(f"*-{digits}"), teachers / f"{slug}-{digits}")
        self._entries: dict[str, Entry] = {}
        self._read: dict[str, int] = {}  # shard to the bytes of its index that are known
        self._maps: dict[str, mmap.mmap] = {}
        self._sound: set[str] = set()  # digests whose checksum was found right
        self._shard = ""  # what this process appends to
        self._synced = time.monotonic()
        with suppress(OSError):  # not there yet, or somebody else's
            os.utime(self.folder / KEY_FILE)  # `sercli cache info` shows the last use
        self.refresh()

    def __reduce__(self) -> tuple[type[TeacherCache], tuple[CacheKey, Path]]:
        """Open the cache anew in a spawned worker: maps cannot be sent."""
        return TeacherCache, (self.key, self._parent)

    def __contains__(self, digest: object) -> bool:
        return digest in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, digest: str) -> dict[str, NDArray[np.float16]]:
        """Map the outputs of a clip: read-only views, shapes as added; the first time the checksum is verified.

        Raises:
            KeyError: not in the cache
            SercliError: the file has changed since it was written, or is gone
        """
        entry = self._entries[digest]
        if not self._is_sound(digest):
            raise SercliError(f"{self.folder / entry.shard}.f16: damaged; run again, what was in it is computed anew")
        buffer, offset = self._map(entry), entry.offset
        views = {}
        for name, shape in entry.shapes.items():
            views[name] = np.frombuffer(buffer, HALF, math.prod(shape), offset).reshape(shape)
            offset += _padded(views[name].nbytes)
        return views

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.folder.glob("*"))

    def size(self, digest: str) -> int:
        """Bytes that a clip's outputs take, with their line in the index.

        Raises:
            KeyError: not in the cache
        """
        entry = self._entries[digest]
        return entry.size + len(_line(digest, entry))

    def add(self, digest: str, outputs: Outputs) -> int:
        """Append the outputs of a clip as float16; from here on they survive a kill.

        Returns:
            bytes this took

        Raises:
            OutputError: a value that float16 cannot hold, an empty output, or the disk is full or cannot be written
        """
        payload, shapes = self._pack(outputs)
        shard, self._shard = self._shard, ""  # taken up again only after a whole write
        if f"-{os.getpid()}-" not in shard:  # none yet, or that of the process this one was forked from
            shard = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{os.getpid()}-{secrets.token_hex(4)}"
        base = self.folder / shard
        try:
            self._write_key()
            with base.with_suffix(".f16").open("ab") as data, base.with_suffix(".jsonl").open("ab") as index:
                entry = Entry(shard, data.tell(), len(payload), shapes, zlib.crc32(payload))
                line = _line(digest, entry)
                data.write(payload)
                data.flush()
                index.write(line)
                index.flush()
                if time.monotonic() - self._synced > SYNC_SECONDS:
                    os.fsync(data.fileno())
                    os.fsync(index.fileno())
                    self._synced = time.monotonic()
                self._read[shard] = index.tell()
        except OSError as problem:
            raise OutputError(
                f"{self.folder}: cannot write teacher outputs ({problem.strerror}); free some space or set SERCLI_CACHE"
                ", then run again: what is done is kept"
            ) from problem
        self._shard = shard
        self._entries[digest] = entry
        self._sound.add(digest)
        return len(payload) + len(line)

    def claim(self, digest: str) -> FileLock:
        """Lock a clip, and those that share its lock, so that no two processes compute the same; `with` waits for it.

        The system takes a lock from a process that is killed.
        """
        locks = self._parent / LOCKS
        try:
            locks.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise OutputError(
                f"{locks}: cannot be made ({problem.strerror}); free some space or set SERCLI_CACHE"
            ) from problem
        return FileLock(locks / digest[:LOCK_DIGITS])

    def refresh(self) -> None:
        """Take in what other processes have added since."""
        for index in sorted(self.folder.glob("*.jsonl"), reverse=True):  # the newest line of a clip comes first
            known = self._read.get(index.stem, 0)
            with suppress(FileNotFoundError):  # cleared meanwhile
                if index.stat().st_size > known:
                    entries, self._read[index.stem] = read_index(index, known)
                    for digest, entry in entries.items():
                        self._entries.setdefault(digest, entry)

    def verify(self, digests: Iterable[str] | None = None) -> list[str]:
        """Check these clips, or all, against their checksums, and forget those that are damaged.

        Returns:
            digests of the damaged clips, which can be added anew
        """
        damaged = [digest for digest in (self._entries if digests is None else digests) if not self._is_sound(digest)]
        for digest in damaged:
            del self._entries[digest]
        return damaged

    def _is_sound(self, digest: str) -> bool:
        if digest in self._sound:
            return True
        entry = self._entries[digest]
        with memoryview(self._map(entry)) as buffer, buffer[entry.offset : entry.offset + entry.size] as payload:
            if zlib.crc32(payload) != entry.crc32:
                return False
        self._sound.add(digest)
        return True

    def _map(self, entry: Entry) -> mmap.mmap:
        mapped = self._maps.get(entry.shard)
        if mapped is None or len(mapped) < entry.offset + entry.size:  # the file has grown since
            path = self.folder / f"{entry.shard}.f16"
            try:
                with path.open("rb") as data:
                    mapped = self._maps[entry.shard] = mmap.mmap(data.fileno(), 0, access=mmap.ACCESS_READ)
            except OSError as problem:
                raise SercliError(f"{path}: {problem.strerror}; if the cache was cleared, run again") from problem
        return mapped

    def _pack(self, outputs: Outputs) -> tuple[bytes, dict[str, list[int]]]:
        parts: list[bytes] = []
        shapes = {}
        for name, values in outputs.items():
            with np.errstate(over="ignore"):
                half = np.asarray(values).astype(HALF)
            if not half.size:
                raise OutputError(f"{self.key.encoder}: output {name} is empty; leave out clips as short as this one")
            if not np.isfinite(half).all():
                worst = np.abs(np.asarray(values)).max()
                raise OutputError(
                    f"{self.key.encoder}: output {name} holds {worst:g}, float16 ends at 65504; choose another layer"
                )
            parts += [half.tobytes(), bytes(_padded(half.nbytes) - half.nbytes)]
            shapes[name] = list(half.shape)
        return b"".join(parts), shapes

    def _write_key(self) -> None:
        if (self.folder / KEY_FILE).exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{KEY_FILE}.{os.getpid()}.part"
        facts = {"encoder": self.key.encoder, "sha256": self.key.sha256, "settings": dict(self.key.settings)}
        try:
            part.write_text(json.dumps({"format": FORMAT, **facts}, indent=2) + "\n", encoding="utf-8")
            part.replace(self.folder / KEY_FILE)
        finally:
            part.unlink(missing_ok=True)


def read_index(index: Path, start: int = 0) -> tuple[dict[str, Entry], int]:
    """Read the lines of an index from a byte on, up to the last that has an end.

    Returns:
        entries by digest, without those whose arrays never reached the disk; the byte after the last line

    Raises:
        FileNotFoundError: no such index
    """
    arrays = index.with_suffix(".f16")
    room = arrays.stat().st_size if arrays.exists() else 0
    with index.open("rb") as stream:
        stream.seek(start)
        text = stream.read()
    text = text[: text.rfind(b"\n") + 1]
    entries = {}
    for line in text.splitlines():
        with suppress(ValueError, KeyError, TypeError, AttributeError):  # damaged: the clip counts as missing
            facts = json.loads(line)
            size = sum(_padded(HALF.itemsize * math.prod(shape)) for shape in facts["shapes"].values())
            if facts["offset"] + size <= room:
                entries[facts["digest"]] = Entry(index.stem, facts["offset"], size, facts["shapes"], facts["crc32"])
    return entries, start + len(text)


def _line(digest: str, entry: Entry) -> bytes:
    facts = {"digest": digest, "offset": entry.offset, "shapes": entry.shapes, "crc32": entry.crc32}
    return json.dumps(facts, separators=(",", ":")).encode() + b"\n"


def _padded(size: int) -> int:
    return -(-size // ALIGN) * ALIGN
