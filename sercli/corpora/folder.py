"""A user's own data as a folder per class: `root/happy/anna/01.wav`, or `root/happy/anything.wav`."""

from __future__ import annotations

from pathlib import Path

from sercli.corpora.corpus import audio_files
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError
from sercli.labels import normalise

NAME = "folder"
DEPTH_IN_CLASS = 8  # folders below a class folder; enough for any tree, and an end for a looping link


def read(root: Path) -> list[Utterance]:
    """Read every audio file below the class folders; the folder's name is the emotion, its parent's the corpus.

    A folder in a class folder is a speaker. Of audio straight in a class folder nobody knows who speaks: it can be
    labelled, listed, checked and tested on, but not split.

    Raises:
        CorpusError: no class folder with audio, or audio that lies outside the class folders.
    """
    loose = next(audio_files(root, depth=0), None)
    if loose is not None:
        raise CorpusError(f"{loose}: lies outside a class folder; move it into {root}/CLASS/ or write a table")
    utterances = []
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            emotion = normalise(folder.name) or folder.name.lower()
            utterances += [
                Utterance(path=str(file), corpus=root.name, emotion=emotion, speaker=_speaker(file, folder))
                for file in audio_files(folder, DEPTH_IN_CLASS)
            ]
    if not utterances:
        raise CorpusError(f"{root}: no audio in class folders; lay files out as {root}/happy/NAME.wav")
    return utterances


def _speaker(file: Path, folder: Path) -> str:
    """Name the folder below the class folder, empty where there is none."""
    parts = file.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else ""
