"""SAVEE, Surrey Audio-Visual Expressed Emotion: four British men, 120 sentences each, seven emotions."""

from __future__ import annotations

import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, audio_files
from sercli.corpora.table import Utterance

SPEAKERS = frozenset(("DC", "JE", "JK", "KL"))
# emotion, sentence: a01 in the folder DC as released, DC_a01 in the copies that lie flat
NAME = re.compile(r"(?:([A-Z]{2})_)?(a|d|f|h|n|sa|su)(\d\d)")
EMOTIONS = {
    "a": "angry",
    "d": "disgust",
    "f": "fear",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprise",
}


def read(root: Path) -> list[Utterance]:
    """Read `AudioData/DC` ... `AudioData/KL`, or one flat folder whose files begin with the speaker."""
    utterances = []
    seen = set()
    for file in audio_files(root):
        match = NAME.fullmatch(file.stem)
        if match is None:
            continue
        prefix, emotion, sentence = match.groups()
        speaker = prefix or file.parent.name
        if speaker not in SPEAKERS or (speaker, emotion, sentence) in seen:
            continue
        seen.add((speaker, emotion, sentence))
        utterances.append(
            Utterance(path=str(file), corpus="savee", speaker=speaker, gender="m", emotion=EMOTIONS[emotion])
        )
    return utterances


CORPUS = Corpus(
    name="savee",
    title="Surrey Audio-Visual Expressed Emotion Database (audio only)",
    language="English",
    licence="not confirmed (given out on registration, for research)",
    labels=tuple(EMOTIONS.values()),
    speakers=4,
    utterances=480,
    hours=0.5,
    how_to_get="http://kahlan.eps.surrey.ac.uk/savee/",
    layout="AudioData/DC/a01.wav, or ALL/DC_a01.wav",
    read=read,
)
