"""CREMA-D: 91 US American actors, twelve sentences, six emotions, with the votes of listeners."""

from __future__ import annotations

import json
import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, audio_files, unique_stems
from sercli.corpora.label_files import find, read_rows
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError

# actor, sentence, emotion acted, intensity. One file of the release is called 1040_ITH_SAD_X.
NAME = re.compile(r"(10(?!00)(?:[0-8]\d|9[01]))_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX?)")
EMOTIONS = {"ANG": "angry", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
LETTERS = {word[0].upper(): word for word in ("angry", "disgust", "fear", "happy", "neutral", "sad")}
"""Column of the table of votes to emotion."""
TEXTS = {
    "DFA": "Don't forget a jacket",
    "IEO": "It's eleven o'clock",
    "IOM": "I'm on my way to the meeting",
    "ITH": "I think I have a doctor's appointment",
    "ITS": "I think I've seen this before",
    "IWL": "I would like a new alarm clock",
    "IWW": "I wonder what this is about",
    "MTI": "Maybe tomorrow it will be cold",
    "TAI": "The airplane is almost full",
    "TIE": "That is exactly what happened",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
FIRST_ACTOR = 1001
# one letter per actor, from VideoDemographics.csv, which copies of the sound alone lack
GENDERS = "mfffmfffffmffmmmmfmffmmffmmfffmmmmmmfmmmmmfmmffmfmmfffffmfmffmfmmmmmmmmfffffmffmmfmfmmmmfmf"
VOICE = 1  # kind of stimulus in the table of votes: 1 voice alone, 2 face alone, 3 both


def read(root: Path) -> list[Utterance]:
    """Read `AudioWAV/`, or `AudioMP3/` where a copy has only that, and `processedResults/tabulatedVotes.csv`.

    The emotion is the acted one, from the name. The votes are of those who heard the voice and saw nothing, and
    who named the acted emotion 40.9 % of the time (Cao et al. 2014). 1076_MTI_SAD_XX, silent in the release, is
    read like the others.

    Raises:
        CorpusError: the table of votes is not as released.
    """
    table = find(root, "processedResults/tabulatedVotes.csv")
    votes = _votes(table) if table else {}
    utterances = []
    for file in unique_stems(iter(sorted(audio_files(root), key=lambda file: file.parent.name == "AudioMP3"))):
        match = NAME.fullmatch(file.stem)
        if match is None:
            continue
        actor, sentence, emotion, _ = match.groups()
        utterances.append(
            Utterance(
                path=str(file),
                corpus="cremad",
                speaker=actor,
                gender=GENDERS[int(actor) - FIRST_ACTOR],
                text=TEXTS.get(sentence, ""),
                emotion=EMOTIONS[emotion],
                votes=votes.get(file.stem) or votes.get(f"{file.stem}X", ""),  # the table has 1040_ITH_SAD_XX
            )
        )
    return utterances


def _votes(table: Path) -> dict[str, str]:
    """Read the counts of those who heard the voice alone: a row's number is 100,000 x kind + clip."""
    votes = {}
    for number, row in read_rows(table, ("", "fileName", *LETTERS), CORPUS.how_to_get):
        try:
            if int(row[""]) // 100_000 == VOICE:
                counts = {word: int(row[letter]) for letter, word in LETTERS.items()}
                votes[row["fileName"]] = json.dumps({word: count for word, count in counts.items() if count})
        except ValueError as problem:
            raise CorpusError(
                f"{table}, row {number}: not as released ({problem}); get it again from {CORPUS.how_to_get}"
            ) from problem
    return votes


CORPUS = Corpus(
    name="cremad",
    title="Crowd-sourced Emotional Multimodal Actors Dataset",
    language="English",
    licence="ODbL 1.0, contents DbCL 1.0",
    labels=tuple(EMOTIONS.values()),
    speakers=91,
    utterances=7442,
    hours=5.3,
    how_to_get="https://github.com/CheyneyComputerScience/CREMA-D (needs git-lfs)",
    layout="AudioWAV/1001_DFA_ANG_XX.wav",
    read=read,
)
