"""TurEV-DB: six speakers, 82 Turkish words, four emotions; clips of about one second."""

from __future__ import annotations

import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, audio_files, unique_stems
from sercli.corpora.table import Utterance

SOURCE = "Sound Source"  # the recordings; other folders of the release hold high-pass filtered copies of some
NAME = re.compile(r"(\d{4})_[a-z]+_.+", re.IGNORECASE)  # speaker, emotion in Turkish, word without its accents
LABELS = ("angry", "calm", "happy", "sad")


def read(root: Path) -> list[Utterance]:
    """Read `Sound Source/Angry` ... `Sound Source/Sad`; the root may also be `Sound Source` itself."""
    recordings = (file for file in audio_files(root) if file.parents[1] == root or file.parents[1].name == SOURCE)
    utterances = []
    for file in unique_stems(recordings):
        match = NAME.fullmatch(file.stem)
        emotion = file.parent.name.lower()
        if match is None or emotion not in LABELS:
            continue
        utterances.append(Utterance(path=str(file), corpus="turev", speaker=match[1], emotion=emotion))
    return utterances


CORPUS = Corpus(
    name="turev",
    title="Turkish Emotion-Voice Database",
    language="Turkish",
    licence="CC BY-NC-ND 4.0",
    labels=LABELS,
    speakers=6,
    utterances=1735,
    hours=0.5,
    how_to_get="https://github.com/Xeonen/TurEV-DB",
    layout="Sound Source/Angry/1157_kz_acik.wav",
    read=read,
)
