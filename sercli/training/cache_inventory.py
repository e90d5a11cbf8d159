"""What the cache folder holds: the outputs of teachers, and decoded audio; and how to be rid of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sercli.errors import OutputError, SercliError
from sercli.training.store import cache_folder
from sercli.training.teacher_cache import KEY_FILE, read_index

TEACHER_FILES = re.compile(r"key\.json(\.\d+\.part)?|\d{8}T\d{12}-\d+-[0-9a-f]{8}\.(f16|jsonl)")
AUDIO_FILES = re.compile(r"[0-9a-f]{24}(\.json|\.i16|\.\d+\.(index\.)?part)")


@dataclass(frozen=True)
class Holding:
    """One teacher's outputs with one set of settings, or all decoded audio."""

    encoder: str | None
    """None: decoded audio."""
    settings: dict[str, Any]
    clips: int
    nbytes: int
    used: str
    """Last use, ISO 8601 in UTC, to the second."""
    folder: Path


def holdings(folder: Path | None = None) -> list[Holding]:
    """List what a cache folder holds, decoded audio last.

    Args:
        folder: None: the default, `$SERCLI_CACHE` or the user's cache folder

    Raises:
        SercliError: a folder among those of the teachers is not the cache's
    """
    folder = folder or cache_folder()
    found = [_teacher(key) for key in sorted((folder / "teacher").glob(f"*/{KEY_FILE}"))]
    audio = folder / "audio"
    own = [file for file in audio.glob("*") if AUDIO_FILES.fullmatch(file.name)]
    if own:
        clips = sum(len(json.loads(index.read_bytes())) - 1 for index in own if index.suffix == ".json")
        # Training reads it through a map: the time of access is all there is, if the file system notes it.
        times = [max(file.stat().st_atime, file.stat().st_mtime) for file in own if file.suffix != ".json"]
        used = _time(max(times, default=audio.stat().st_mtime))
        found.append(Holding(None, {}, clips, _nbytes(own), used, audio))
    return found


def clear(chosen: Iterable[Holding]) -> None:
    """Delete holdings, or nothing if anything in their folders is not the cache's.

    Raises:
        OutputError: names what is not the cache's, or cannot be deleted
    """
    chosen = list(chosen)
    files = [file for holding in chosen for file in sorted(holding.folder.iterdir())]
    for file in files:
        own = AUDIO_FILES if file.parent.name == "audio" else TEACHER_FILES
        if file.is_symlink() or not file.is_file() or not own.fullmatch(file.name):
            raise OutputError(f"{file}: not written by sercli, nothing deleted; move it elsewhere first")
    try:
        for file in files:
            file.unlink(missing_ok=True)
        for holding in chosen:
            holding.folder.rmdir()
    except OSError as problem:
        raise OutputError(f"{problem.filename}: cannot be deleted ({problem.strerror}); check its rights") from problem


def _teacher(key: Path) -> Holding:
    try:
        facts = json.loads(key.read_text(encoding="utf-8"))
        encoder, settings = str(facts["encoder"]), dict(facts["settings"])
    except (ValueError, KeyError, TypeError) as problem:
        raise SercliError(f"{key}: not written by sercli, or damaged; move its folder elsewhere") from problem
    clips = {digest for index in key.parent.glob("*.jsonl") for digest in read_index(index)[0]}
    nbytes = _nbytes(key.parent.iterdir())
    return Holding(encoder, settings, len(clips), nbytes, _time(key.stat().st_mtime), key.parent)


def _nbytes(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
