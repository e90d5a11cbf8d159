"""JL-Corpus: four New Zealand speakers, thirty sentences, five primary and five secondary emotions."""

from __future__ import annotations

import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, named_files
from sercli.corpora.table import Utterance

NAME = re.compile(r"((?:fe)?male)([12])_([a-z]+)_\d+[ab]_[12]")  # speaker, emotion, sentence, take
PRIMARY = ("angry", "excited", "happy", "neutral", "sad")
SECONDARY = ("anxious", "apologetic", "assertive", "concerned", "encouraging")
EMOTIONS = PRIMARY + SECONDARY


def read(root: Path) -> list[Utterance]:
    """Read `Raw JL corpus (unchecked and unannotated)/JL(wav+txt)`; the release holds part of it a second time.

    The text is that of the `.txt` beside the audio, empty where there is none.
    """
    utterances = []
    for file, match in named_files(root, NAME):
        if match[3] not in EMOTIONS:
            continue
        utterances.append(
            Utterance(
                path=str(file),
                corpus="jl",
                speaker=match[1] + match[2],
                gender="f" if match[1] == "female" else "m",
                text=_transcript(file),
                emotion=match[3],
            )
        )
    return utterances


def _transcript(audio: Path) -> str:
    try:
        return " ".join(audio.with_suffix(".txt").read_text(encoding="utf-8-sig", errors="replace").split())
    except OSError:
        return ""  # a copy of the audio alone is as good for everything but reading along


CORPUS = Corpus(
    name="jl",
    title="JL-Corpus, emotional speech for human-robot interaction",
    language="English",
    licence="CC0",
    labels=EMOTIONS,
    speakers=4,
    utterances=2400,
    hours=1.4,
    how_to_get="https://www.kaggle.com/tli725/jl-corpus",
    layout="Raw JL corpus (unchecked and unannotated)/JL(wav+txt)/female1_angry_10a_1.wav",
    read=read,
)
