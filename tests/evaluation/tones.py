"""A table of tones that the tiny student (tests/tiny.py) knows, told by six speakers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import soundfile

from sercli.corpora.table import Utterance
from tests.tiny import LABELS, RATE, TONES, dimensions, tone

SPEAKERS = ("s1", "s2", "s3", "s4", "s5", "s6")
SECONDS = 0.3


def write_tones(
    folder: Path, speakers: tuple[str, ...] = SPEAKERS, wrong: tuple[str, ...] = (), corpus: str = "tones"
) -> list[Utterance]:
    """Write one clip per speaker and class, with ratings and votes.

    Args:
        folder: of the files, `s1-sad.wav` and so on
        speakers: every other one is a woman; the pitch rises a little from speaker to speaker
        wrong: stems of clips that sound like the class after their own, so that the student gets them wrong
        corpus: name
    """
    folder.mkdir(parents=True, exist_ok=True)
    utterances = []
    for number, speaker in enumerate(speakers):
        for kind, emotion in enumerate(LABELS):
            stem = f"{speaker}-{emotion}"
            hertz = TONES[LABELS[(kind + (stem in wrong)) % 3]] * (1.0 + 0.02 * number)
            soundfile.write(folder / f"{stem}.wav", tone(hertz, SECONDS), RATE, subtype="FLOAT")
            arousal, valence, dominance = (round(10.0 * value, 3) for value in dimensions(hertz))
            utterances.append(
                Utterance(
                    path=str(folder / f"{stem}.wav"),
                    corpus=corpus,
                    speaker=speaker,
                    gender="mf"[number % 2],
                    emotion=emotion,
                    arousal=arousal,
                    valence=valence,
                    dominance=math.nan if emotion == "sad" else dominance,
                    votes=json.dumps({emotion: 2, "neutral": 1} if emotion != "neutral" else {"calm": 3}),
                )
            )
    return utterances
