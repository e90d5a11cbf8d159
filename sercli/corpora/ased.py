"""ASED: 65 speakers of Amharic in four dialects, 27 sentences, five emotions; only what most judges accepted."""

from __future__ import annotations

import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, named_files
from sercli.corpora.table import Utterance

# emotion and folder - sentence - repetition - gender - speaker
NAME = re.compile(r"([nfhsa])[1-5]-\d\d-\d\d-0[12]-(\d\d)", re.IGNORECASE)
EMOTIONS = {"n": "neutral", "f": "fear", "h": "happy", "s": "sad", "a": "angry"}
# By the speaker, not by the gender in the name: a few files of speakers 15 and 25 have the wrong one there.
WOMEN = frozenset((*(f"{number:02d}" for number in range(1, 38, 2)), "43", "47", "48", "49", "58", "62"))


def read(root: Path) -> list[Utterance]:
    """Read the five folders `01Neutral` ... `05Angry`; the file name says everything."""
    utterances = []
    for file, match in named_files(root, NAME):
        emotion, speaker = match.groups()
        utterances.append(
            Utterance(
                path=str(file),
                corpus="ased",
                speaker=speaker,
                gender="f" if speaker in WOMEN else "m",
                emotion=EMOTIONS[emotion.lower()],
            )
        )
    return utterances


CORPUS = Corpus(
    name="ased",
    title="Amharic Speech Emotion Dataset",
    language="Amharic",
    licence="not confirmed",
    labels=tuple(EMOTIONS.values()),
    speakers=65,
    utterances=2474,
    hours=2.1,
    how_to_get="https://github.com/Ethio2021/ASED_V1",
    layout="05Angry/a5-01-01-01-03.wav",
    read=read,
)
