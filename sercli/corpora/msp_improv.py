"""MSP-IMPROV: twelve actors in six dyadic sessions around twenty sentences, labelled by listeners."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sercli.corpora.corpus import Corpus, audio_files
from sercli.corpora.label_files import find, read_text
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError
from sercli.labels import normalise

NUMBER = r"\d+\.?\d*|NaN"
# UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.000000; V:3.200000; D:2.800000 ; N:3.000000;
# sentence and the emotion asked for - speaker and session - way of recording (P natural, R read, S improvised,
# T improvised target sentence) - who speaks to whom and turn. The labels name the video, the sound is MSP-IMPROV-...
TURN = re.compile(
    r"UTD-(?P<name>IMPROV-(?P<scene>S\d\d[AHNS])-(?P<speaker>[FM]0(?P<session>[1-6]))-(?P<way>[PRST])-[FM]{2}\d+)\.avi"
    rf"\s*;\s*(?P<emotion>[A-Z])\s*;\s*A:(?P<activation>{NUMBER})\s*;\s*V:(?P<valence>{NUMBER})\s*;"
    rf"\s*D:(?P<dominance>{NUMBER})\s*(;.*)?"
)
VOTE = re.compile(r"([\w-]+)\s*;\s*(\w+)\s*;")  # listener; Neutral; further emotions; A:3; V:3; D:3; N:3;
EMOTIONS = {
    "A": "angry",
    "H": "happy",
    "N": "neutral",
    "S": "sad",
    "O": "other",
    "X": "",  # no majority
}
# Of the three scales activation alone runs downwards, from 1, excited, to 5, calm: angry turns have the lowest
# means, neutral ones the highest. It is turned here, so that more arousal is the larger number as everywhere.
EXCITED_PLUS_CALM = 6.0
DEPTH = 5  # All_human_data / Audio / session1 / S01A / P


def read(root: Path) -> list[Utterance]:
    """Read `Evalution.txt` (so spelled) and `Audio/session1/S01A/P/...`, or `session1/...` beside it.

    The emotion is what the listeners heard, not the one asked for, which stands in the name; without a majority
    it is empty and the votes remain.

    Raises:
        CorpusError: the label file is not as released.
    """
    labels = find(root, "Evalution.txt", "Evaluation.txt")
    if labels is None:
        return []
    sounds = labels.parent / "Audio" if (labels.parent / "Audio").is_dir() else labels.parent
    files = {file.stem: file for file in audio_files(labels.parent, DEPTH)}
    utterances = []
    for turn, votes in _turns(labels):
        name = f"MSP-{turn['name']}"
        missing = sounds / f"session{turn['session']}" / turn["scene"] / turn["way"] / f"{name}.wav"
        utterances.append(
            Utterance(
                path=str(files.get(name, missing)),
                corpus="msp-improv",
                speaker=turn["speaker"],
                gender=turn["speaker"][0].lower(),
                session=turn["session"],
                emotion=EMOTIONS[turn["emotion"]],
                arousal=_arousal(_number(turn["activation"])),
                valence=_number(turn["valence"]),
                dominance=_number(turn["dominance"]),
                votes=json.dumps(votes, sort_keys=True) if votes else "",
            )
        )
    return utterances


def _turns(labels: Path) -> Iterator[tuple[re.Match[str], Counter[str]]]:
    turns: list[tuple[re.Match[str], dict[str, str]]] = []
    for number, line in enumerate(read_text(labels).split("\n"), start=1):
        if line.startswith("UTD-"):
            turn = TURN.fullmatch(line.strip())
            if turn is None or turn["emotion"] not in EMOTIONS:
                raise CorpusError(f"{labels}, row {number}: not as released; get it again from {CORPUS.how_to_get}")
            turns.append((turn, {}))
        elif turns and (vote := VOTE.match(line)):
            turns[-1][1][vote[1]] = normalise(vote[2]) or "other"  # the release repeats some listeners' lines
    for turn, heard in turns:
        yield turn, Counter(heard.values())


def _arousal(activation: float) -> float:
    return activation if math.isnan(activation) else round(EXCITED_PLUS_CALM - activation, 6)  # decimals released


def _number(text: str) -> float:
    return math.nan if text == "NaN" else float(text)


CORPUS = Corpus(
    name="msp-improv",
    title="MSP-IMPROV, acted dyadic interactions to study emotion perception",
    language="English",
    licence="signed academic licence",
    labels=tuple(filter(None, EMOTIONS.values())),
    speakers=12,
    utterances=8438,
    hours=9.0,  # about; not confirmed
    how_to_get="https://lab-msp.com/MSP/MSP-Improv.html (signed licence)",
    layout="Evalution.txt and Audio/session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav",
    read=read,
    scale=(1.0, 5.0),
)
