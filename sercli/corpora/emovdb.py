"""EmoV-DB: four speakers of English reading CMU Arctic sentences in five styles; one man has no anger and no disgust.

The files of two speakers bear the same names, so the folders must say who speaks: the archives of OpenSLR 115 hold
no folder of their own and are to be unpacked each into a folder named like it.
"""

from __future__ import annotations

import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, audio_files
from sercli.corpora.table import Utterance

# bea_Amused/amused_1-15_0001 (OpenSLR) or bea/Amused/amused_1-15_0001 (the authors' sorted version):
# speaker, style, then the style again, a range of sentences and the sentence, not always written in one way
NAME = re.compile(
    r".*/(bea|jenie|josh|sam)[_/](amused|angry|disgusted|neutral|sleepy)/"
    r"((?:amused|anger|disgust|neutral|sleepiness)_[^/]+)",
    re.IGNORECASE,
)
EMOTIONS = {
    "amused": "amused",
    "angry": "angry",
    "disgusted": "disgust",
    "neutral": "neutral",
    "sleepy": "sleepy",
}
GENDERS = {"bea": "f", "jenie": "f", "josh": "m", "sam": "m"}


def read(root: Path) -> list[Utterance]:
    """Read the folders `bea_Amused` ... `sam_Sleepy`, or `bea/Amused` ... `sam/Sleepy`."""
    utterances = []
    seen = set()
    for file in audio_files(root):  # three folders of its own and one around them
        match = NAME.fullmatch(file.with_suffix("").as_posix())
        if match is None:
            continue
        speaker, style, name = (group.lower() for group in match.groups())
        if (speaker, style, name) in seen:
            continue
        seen.add((speaker, style, name))
        utterances.append(
            Utterance(
                path=str(file),
                corpus="emovdb",
                speaker=speaker,
                gender=GENDERS[speaker],
                emotion=EMOTIONS[style],
            )
        )
    return utterances


CORPUS = Corpus(
    name="emovdb",
    title="Emotional Voices Database",
    language="English",
    licence="non-commercial (the authors' own, in LICENSE.md of github.com/numediart/EmoV-DB)",
    labels=tuple(EMOTIONS.values()),
    speakers=4,
    utterances=6893,
    hours=9.5,
    how_to_get="https://www.openslr.org/115/",
    layout="bea_Amused/amused_1-15_0001.wav, or EmoV-DB_sorted/bea/Amused/amused_1-15_0001.wav",
    read=read,
)
