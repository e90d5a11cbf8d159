"""DEMoS, Database of Elicited Mood in Speech: 68 Italian speakers, seven induced emotions and some neutral speech."""

from __future__ import annotations

import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, named_files
from sercli.corpora.table import Utterance

# NP_m_02_col01a: prototypical of its emotion (PR) or not (NP), gender, speaker, emotion, sample.
# Neutral speech has no first part: m_26_neu02b.
NAME = re.compile(r"(?:(?:NP|PR)_)?([fm])_(\d\d)_(col|dis|gio|neu|pau|rab|sor|tri)\d\d[a-z]")
EMOTIONS = {
    "col": "guilt",  # colpa
    "dis": "disgust",  # disgusto
    "gio": "happy",  # gioia
    "neu": "neutral",
    "pau": "fear",  # paura
    "rab": "angry",  # rabbia
    "sor": "surprise",  # sorpresa
    "tri": "sad",  # tristezza
}


def read(root: Path) -> list[Utterance]:
    """Read `DEMOS/` and `NEU/`; the file name says everything. Prototypical and other samples are read alike."""
    utterances = []
    for file, match in named_files(root, NAME):
        gender, speaker, emotion = match.groups()
        utterances.append(
            Utterance(
                path=str(file),
                corpus="demos",
                speaker=speaker,
                gender=gender,
                emotion=EMOTIONS[emotion],
            )
        )
    return utterances


CORPUS = Corpus(
    name="demos",
    title="Database of Elicited Mood in Speech",
    language="Italian",
    licence="signed licence, academic research",
    labels=tuple(EMOTIONS.values()),
    speakers=68,
    utterances=9697,  # 9,365 emotional and 332 neutral
    hours=7.7,  # about; not confirmed
    how_to_get="https://zenodo.org/records/2544829 (signed licence)",
    layout="DEMOS/NP_m_02_col01a.wav and NEU/m_26_neu02b.wav",
    read=read,
)
