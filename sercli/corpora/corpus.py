"""What every corpus adapter is made of: the description of a corpus and a walk over its audio files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sercli.corpora.table import Utterance
from sercli.errors import CorpusError

AUDIO_SUFFIXES = frozenset(
    (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".caf", ".w64")
)
"""Endings under which a release, or a re-encoded copy of it, may carry its audio."""

DEPTH = 4  # folders below the root an official release uses at most, with one for a wrapping folder


@dataclass(frozen=True)
class Corpus:
    """A speech corpus as officially released, and the function that reads its folder."""

    name: str
    """Name on the command line and in the column `corpus`."""
    title: str
    """Full name."""
    language: str
    """English name of the language."""
    licence: str
    """Licence of the audio, as far as known."""
    labels: tuple[str, ...]
    """Native labels, as canonical English words."""
    speakers: int
    """Speakers in the release."""
    utterances: int
    """Utterances in the release."""
    hours: float
    """Hours of speech in the release."""
    how_to_get: str
    """The official place."""
    layout: str
    """What the root folder looks like, for the error message."""
    read: Callable[[Path], list[Utterance]]
    """Reads the release lying in a folder; empty list if nothing there is named as in this corpus."""
    scale: tuple[float, float] | None = None
    """Lowest and highest value of arousal, valence and dominance; None where the corpus has none."""


def audio_files(root: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Walk over the audio files under a folder, sorted, each with the ending it has, down to `depth` folders.

    Hidden files are left out: archives packed on a Mac hold a `._x.wav` of resource data beside every `x.wav`.

    Raises:
        CorpusError: a folder cannot be read.
    """
    try:
        with os.scandir(root) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as problem:
        raise CorpusError(f"{root}: cannot be read ({problem.strerror}); check the folder and its rights") from problem
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if depth > 0:
                yield from audio_files(Path(entry.path), depth - 1)
        elif os.path.splitext(entry.name)[1].lower() in AUDIO_SUFFIXES:  # noqa: PTH122 - ten times faster than Path
            yield Path(entry.path)


def unique_stems(files: Iterator[Path]) -> Iterator[Path]:
    """Keep the first file of each name: widespread copies of RAVDESS and TESS hold the whole release twice."""
    seen = set()
    for file in files:
        if file.stem not in seen:
            seen.add(file.stem)
            yield file


def named_files(root: Path, name: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
    """Walk over the audio files whose name, without its ending, is as a corpus names its clips; each name once."""
    for file in unique_stems(audio_files(root)):
        if match := name.fullmatch(file.stem):
            yield file, match
