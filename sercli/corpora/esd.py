"""ESD, Emotional Speech Database: ten Mandarin and ten English speakers, 350 sentences each, five emotions.

0001 to 0010 speak Mandarin, 0011 to 0020 English; all of one language read the same sentences.
"""

from __future__ import annotations

import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, audio_files, unique_stems
from sercli.corpora.label_files import read_text
from sercli.corpora.table import Utterance

NAME = re.compile(r"(00(?:0[1-9]|1\d|20))_\d{6}")
EMOTIONS = {"Angry": "angry", "Happy": "happy", "Neutral": "neutral", "Sad": "sad", "Surprise": "surprise"}
WOMEN = frozenset(("0001", "0002", "0003", "0007", "0009", "0015", "0016", "0017", "0018", "0019"))
LAST_MANDARIN = "0010"
DEPTH = 4  # wrapping folder / speaker / emotion / train, evaluation or test


def read(root: Path) -> list[Utterance]:
    """Read `0001/Angry/` ..., or `train`, `evaluation` and `test` in them, and the texts `0001/0001.txt`.

    The folder is the label. The encodings of the texts differ from speaker to speaker and some fifteen lines lack
    their tabs: those utterances have no text.
    """
    texts: dict[Path, dict[str, str]] = {}
    utterances = []
    for file in unique_stems(audio_files(root, DEPTH)):
        match = NAME.fullmatch(file.stem)
        folder = next((folder for folder in (file.parent, file.parent.parent) if folder.name in EMOTIONS), None)
        if match is None or folder is None:
            continue
        speaker = match[1]
        transcript = folder.parent / f"{speaker}.txt"
        if transcript not in texts:
            texts[transcript] = _texts(transcript, *(("gb18030",) if speaker <= LAST_MANDARIN else ()))
        utterances.append(
            Utterance(
                path=str(file),
                corpus="esd",
                speaker=speaker,
                gender="f" if speaker in WOMEN else "m",
                text=texts[transcript].get(file.stem, ""),
                emotion=EMOTIONS[folder.name],
            )
        )
    return utterances


def _texts(transcript: Path, *encodings: str) -> dict[str, str]:
    """Read lines of name, text and emotion (in Chinese for some speakers), between tabs."""
    if not transcript.is_file():
        return {}
    rows = (line.split("\t") for line in read_text(transcript, *encodings).split("\n"))
    return {row[0].strip(): row[1].strip() for row in rows if len(row) == 3}


CORPUS = Corpus(
    name="esd",
    title="Emotional Speech Database",
    language="Mandarin and English",
    licence="research only",
    labels=tuple(EMOTIONS.values()),
    speakers=20,
    utterances=35000,
    hours=29.0,
    how_to_get="https://hltsingapore.github.io/ESD/",
    layout="0001/Angry/0001_000351.wav",
    read=read,
)
