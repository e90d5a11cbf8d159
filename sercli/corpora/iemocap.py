"""IEMOCAP: ten actors in five dyadic sessions, scripted and improvised, labelled by listeners."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sercli.corpora.corpus import Corpus, audio_files
from sercli.corpora.label_files import read_text
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError
from sercli.labels import normalise

# [6.2901 - 8.2357]	Ses01F_impro01_F000	neu	[2.5000, 2.5000, 2.5000]
# The F of Ses01F is the actor who wears the markers; the F of the last part is the one who speaks.
# The three numbers are valence, activation and dominance.
TURN = re.compile(
    r"\[[\d.]+ - [\d.]+\]\s+(?P<name>(?P<session>Ses0[1-5])[FM]_\w+_(?P<letter>[FM])\d+)\s+(?P<emotion>[a-z]{3})\s+"
    r"\[(?P<valence>\d+\.\d+), (?P<arousal>\d+\.\d+), (?P<dominance>\d+\.\d+)\]"
)
# C-E2:	Neutral; Frustration;	(comment). C-F1 and C-M1 are the actors on themselves and no part of the label.
VOTE = re.compile(r"C-E\d+:\s*([^(]*)")
SPOKEN = re.compile(r"(Ses\w+) \[[\d.]+-[\d.]+\]:(.*)")
EMOTIONS = {
    "neu": "neutral",
    "hap": "happy",
    "exc": "excited",
    "ang": "angry",
    "sad": "sad",
    "fru": "frustrated",
    "fea": "fear",
    "sur": "surprise",
    "dis": "disgust",
    "oth": "other",
    "xxx": "",  # no majority: there is no label, which is not the same as a majority for "other"
}


def read(root: Path) -> list[Utterance]:
    """Read `Session1` ... `Session5`, below the root or below `IEMOCAP_full_release`.

    Where the listeners had no majority the emotion is empty and the votes remain. A listener may name several
    emotions, each counts as one vote.

    Raises:
        CorpusError: a label file is not as released.
    """
    utterances = []
    for folder in sorted(root.glob("Session[1-5]")) or sorted(root.glob("*/Session[1-5]")):
        sounds = folder / "sentences" / "wav"
        files = {file.stem: file for file in audio_files(sounds, depth=1)} if sounds.is_dir() else {}
        # not the folders below, which hold the same turns again, one file per listener
        for labels in sorted((folder / "dialog" / "EmoEvaluation").glob("Ses*.txt")):
            texts = _texts(folder / "dialog" / "transcriptions" / labels.name)
            for turn, votes in _turns(labels):
                name, letter = turn["name"], turn["letter"]
                missing = sounds / name.rpartition("_")[0] / f"{name}.wav"
                utterances.append(
                    Utterance(
                        path=str(files.get(name, missing)),
                        corpus="iemocap",
                        speaker=turn["session"] + letter,
                        gender=letter.lower(),
                        session=turn["session"][-1],
                        text=texts.get(name, ""),
                        emotion=EMOTIONS[turn["emotion"]],
                        arousal=float(turn["arousal"]),
                        valence=float(turn["valence"]),
                        dominance=float(turn["dominance"]),
                        votes=json.dumps(votes, sort_keys=True) if votes else "",
                    )
                )
    return utterances


def _turns(labels: Path) -> Iterator[tuple[re.Match[str], Counter[str]]]:
    turns: list[tuple[re.Match[str], Counter[str]]] = []
    for number, line in enumerate(read_text(labels).split("\n"), start=1):
        if line.startswith("["):
            turn = TURN.fullmatch(line.strip())
            if turn is None or turn["emotion"] not in EMOTIONS:
                raise CorpusError(f"{labels}, row {number}: not as released; get it again from {CORPUS.how_to_get}")
            turns.append((turn, Counter()))
        elif turns and (vote := VOTE.match(line)):
            words = filter(None, (word.strip() for word in vote[1].split(";")))
            turns[-1][1].update(normalise(word) or "other" for word in words)
    yield from turns


def _texts(transcript: Path) -> dict[str, str]:
    if not transcript.is_file():
        return {}
    # some lines have no name, such as "M: [BREATHING]"; they belong to no utterance
    spoken = (SPOKEN.match(line) for line in read_text(transcript).split("\n"))
    return {match[1]: match[2].strip() for match in spoken if match}


CORPUS = Corpus(
    name="iemocap",
    title="Interactive Emotional Dyadic Motion Capture Database",
    language="English",
    licence="release form, academic research only",
    labels=tuple(filter(None, EMOTIONS.values())),
    speakers=10,
    utterances=10039,
    hours=12.0,  # "approximately", says the paper
    how_to_get="https://sail.usc.edu/iemocap/ (release form)",
    layout="Session1/dialog/EmoEvaluation/Ses01F_impro01.txt",
    read=read,
    scale=(1.0, 5.0),
)
