"""TESS: two Canadian actresses, 26 and 64 years old, 200 words in one carrier phrase, seven emotions.

Two speakers say nothing about speaker independence: TESS is material for training, not a test.
"""

from __future__ import annotations

import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, named_files
from sercli.corpora.table import Utterance

NAME = re.compile(r"(OAF?|YAF)_([a-z]+)_([a-z]+)", re.IGNORECASE)  # the release names one file OA_bite_neutral
EMOTIONS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprise",  # pleasant surprise
    "sad": "sad",
}


def read(root: Path) -> list[Utterance]:
    """Read the files, lying flat or in a folder per actress and emotion."""
    utterances = []
    for file, match in named_files(root, NAME):
        if match[3].lower() not in EMOTIONS:
            continue
        utterances.append(
            Utterance(
                path=str(file),
                corpus="tess",
                speaker="YAF" if match[1].upper() == "YAF" else "OAF",
                gender="f",
                text=f"Say the word {match[2].lower()}",
                emotion=EMOTIONS[match[3].lower()],
            )
        )
    return utterances


CORPUS = Corpus(
    name="tess",
    title="Toronto Emotional Speech Set",
    language="English",
    licence="CC BY-NC-ND 4.0",
    labels=tuple(EMOTIONS.values()),
    speakers=2,
    utterances=2800,
    hours=1.60,
    how_to_get="https://doi.org/10.5683/SP2/E8H2MF",
    layout="OAF_back_angry.wav, or OAF_angry/OAF_back_angry.wav",
    read=read,
)
