"""AESDD, Acted Emotional Speech Dynamic Database: six Greek actors, twenty sentences, five emotions, no neutral."""

from __future__ import annotations

import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, named_files
from sercli.corpora.table import Utterance

# emotion letter, sentence, (speaker), take. A few files write speaker 1 as 01: "f10 (01).wav".
NAME = re.compile(r"([adfhs])(\d\d) \((\d+)\)[a-z]?")
EMOTIONS = {"a": "angry", "d": "disgust", "f": "fear", "h": "happy", "s": "sad"}


def read(root: Path) -> list[Utterance]:
    """Read the five folders `anger`, `disgust`, `fear`, `happiness`, `sadness`; the file name says everything."""
    utterances = []
    for file, match in named_files(root, NAME):
        utterances.append(
            Utterance(
                path=str(file),
                corpus="aesdd",
                speaker=str(int(match[3])),
                emotion=EMOTIONS[match[1]],
            )
        )
    return utterances


CORPUS = Corpus(
    name="aesdd",
    title="Acted Emotional Speech Dynamic Database",
    language="Greek",
    licence="not confirmed",
    labels=tuple(EMOTIONS.values()),
    speakers=6,
    utterances=604,
    hours=0.69,
    how_to_get="http://m3c.web.auth.gr/research/aesdd-speech-emotion-recognition/",
    layout="anger/a01 (1).wav",
    read=read,
)
