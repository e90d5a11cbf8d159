"""URDU: clips of Urdu talk shows by Latif et al. (2018), four emotions, not acted.

The release speaks of 38 speakers, 27 of them men; its files name 29: the numbers SM8 to SM16 do not occur.
Four of them speak half of the clips, and only three speak in more than one emotion: knowing a voice is half of
knowing the emotion, so a split must be made by speaker.
"""

from __future__ import annotations

import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, named_files
from sercli.corpora.table import Utterance

NAME = re.compile(r"(S([MF])\d+)_F\d+_([AHNS])\d+")  # speaker, clip of the speaker, emotion and clip
EMOTIONS = {"A": "angry", "H": "happy", "N": "neutral", "S": "sad"}


def read(root: Path) -> list[Utterance]:
    """Read the folders `Angry`, `Happy`, `Neutral`, `Sad`; the file name says everything."""
    utterances = []
    for file, match in named_files(root, NAME):
        speaker, gender, emotion = match.groups()
        utterances.append(
            Utterance(
                path=str(file),
                corpus="urdu",
                speaker=speaker,
                gender=gender.lower(),
                emotion=EMOTIONS[emotion],
            )
        )
    return utterances


CORPUS = Corpus(
    name="urdu",
    title="URDU, emotional utterances of Urdu talk shows",
    language="Urdu",
    licence="research only",
    labels=tuple(EMOTIONS.values()),
    speakers=29,
    utterances=400,
    hours=0.28,
    how_to_get="https://github.com/siddiquelatif/URDU-Dataset",
    layout="Angry/SM1_F1_A01.wav",
    read=read,
)
