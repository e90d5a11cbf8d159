"""RAVDESS, speech part: 24 North American actors, two sentences, eight emotions, two intensities."""

from __future__ import annotations

import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, named_files
from sercli.corpora.table import Utterance

# modality - vocal channel - emotion - intensity - statement - repetition - actor, all two digits.
# Only 03 (audio alone) and 01 (speech) are read: 01 and 02 are video, channel 02 is song.
NAME = re.compile(r"03-01-(0[1-8])-0[12]-(0[12])-0[12]-(\d\d)")
EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
TEXTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}


def read(root: Path) -> list[Utterance]:
    """Read `Actor_01` ... `Actor_24`, below the root or below `Audio_Speech_Actors_01-24`."""
    utterances = []
    for file, match in named_files(root, NAME):
        emotion, statement, actor = match.groups()
        utterances.append(
            Utterance(
                path=str(file),
                corpus="ravdess",
                speaker=actor,
                gender="m" if int(actor) % 2 else "f",  # odd actors are male
                text=TEXTS[statement],
                emotion=EMOTIONS[emotion],
            )
        )
    return utterances


CORPUS = Corpus(
    name="ravdess",
    title="Ryerson Audio-Visual Database of Emotional Speech and Song (speech, audio only)",
    language="English",
    licence="CC BY-NC-SA 4.0",
    labels=tuple(EMOTIONS.values()),
    speakers=24,
    utterances=1440,
    hours=1.48,
    how_to_get="https://doi.org/10.5281/zenodo.1188976 (Audio_Speech_Actors_01-24.zip)",
    layout="Actor_01/03-01-01-01-01-01-01.wav",
    read=read,
)
