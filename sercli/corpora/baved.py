"""BAVED: 61 speakers, seven Arabic words, three levels of emotion: how much of it, not which."""

from __future__ import annotations

import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, named_files
from sercli.corpora.table import Utterance

NAME = re.compile(r"(\d+)-([mf])-\d+-([0-6])-([012])-\d+", re.IGNORECASE)  # speaker-gender-age-word-level-record
# 0: tired or down; 1: as one speaks every day; 2: any strong emotion, from joy to anger
LEVELS = {"0": "low", "1": "neutral", "2": "high"}
TEXTS = {"0": "اعجبني", "1": "لم يعجبني", "2": "هذا", "3": "الفيلم", "4": "رائع", "5": "مقول", "6": "سيئ"}


def read(root: Path) -> list[Utterance]:
    """Read the folders `0` ... `6`, one per word; the file name says everything."""
    utterances = []
    for file, match in named_files(root, NAME):
        speaker, gender, word, level = match.groups()
        utterances.append(
            Utterance(
                path=str(file),
                corpus="baved",
                speaker=speaker,
                gender=gender.lower(),
                text=TEXTS[word],
                emotion=LEVELS[level],
            )
        )
    return utterances


CORPUS = Corpus(
    name="baved",
    title="Basic Arabic Vocal Emotions Dataset",
    language="Arabic",
    licence="not confirmed",
    labels=tuple(LEVELS.values()),
    speakers=61,
    utterances=1935,
    hours=0.85,  # 97.8 MB at 256 kbit/s, as its own description says
    how_to_get="https://github.com/40uf411/Basic-Arabic-Vocal-Emotions-Dataset",
    layout="0/10-f-20-0-1-0.wav",
    read=read,
)
