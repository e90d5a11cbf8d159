"""MSP-Podcast: speaking turns of podcasts, labelled by five listeners or more each.

Read by their headers, so that releases 1.6 to 2.0 fit: they differ in the names of folders and files, in the
spelling of consensus and in the form of the single votes.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from pathlib import Path

from sercli.corpora.corpus import Corpus, audio_files
from sercli.corpora.label_files import find, read_rows
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError
from sercli.labels import normalise

LABELS = tuple(
    f"{folder}/labels_{spelling}.csv"
    for folder in ("Labels", "labels", "label")
    for spelling in ("consensus", "concensus")
)
COLUMNS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")
NAME = re.compile(r"MSP-PODCAST_([^_]+)_.+")  # podcast, or test3
TEST3 = re.compile(r"MSP-PODCAST_test3_.+", re.IGNORECASE)
EMOTIONS = {
    "A": "angry",
    "S": "sad",
    "H": "happy",
    "U": "surprise",
    "F": "fear",
    "D": "disgust",
    "C": "contempt",
    "N": "neutral",
    "O": "other",
    "X": "",  # no plurality
}
UNKNOWN = ("unknown", "")
GENDERS = {"female": "f", "male": "m", "unknown": "", "": ""}
PARTITIONS = {"Validation": "Development"}  # as it was called before 1.11


def read(root: Path) -> list[Utterance]:
    """Read `Labels/labels_consensus.csv`, the votes in `labels_detailed.csv` if it is there, and `Audios/`.

    `session` is the official partition: Train, Development, Test1, Test2 and Test3. The test sets share some
    speakers with each other. Test3 comes as sound alone: its files are listed without labels. Nobody tells the
    unknown speakers of one podcast apart, so they count as one, `podcast-0023`, that no split can part; the
    hidden ones of Test3 are `podcast-test3`. Where the listeners had no plurality the emotion is empty and the
    votes remain.

    Raises:
        CorpusError: a label file is not as released.
    """
    table = find(root, *LABELS)
    if table is None:
        return []
    release = table.parent.parent
    sounds = release / "Audio" if (release / "Audio").is_dir() else release / "Audios"
    files = {file.stem: file for file in audio_files(sounds, depth=1)} if sounds.is_dir() else {}
    votes = _votes(table.parent / "labels_detailed.csv")
    utterances = []
    for number, row in read_rows(table, COLUMNS, CORPUS.how_to_get):
        stem = row["FileName"].strip().removesuffix(".wav")
        speaker, heard = row["SpkrID"].strip(), votes.get(stem)
        try:
            utterances.append(
                Utterance(
                    path=str(files.pop(stem, sounds / f"{stem}.wav")),
                    corpus="msp-podcast",
                    speaker=_stand_in(stem) if speaker.lower() in UNKNOWN else speaker,
                    gender=GENDERS[row["Gender"].strip().lower()],
                    session=PARTITIONS.get(row["Split_Set"].strip(), row["Split_Set"].strip()),
                    emotion=EMOTIONS[row["EmoClass"].strip()],
                    arousal=_number(row["EmoAct"]),
                    valence=_number(row["EmoVal"]),
                    dominance=_number(row["EmoDom"]),
                    votes=json.dumps(heard, sort_keys=True) if heard else "",
                )
            )
        except (KeyError, ValueError) as problem:
            raise CorpusError(
                f"{table}, row {number}: not as released ({problem}); get it again from {CORPUS.how_to_get}"
            ) from problem
    utterances += [
        Utterance(str(file), corpus="msp-podcast", speaker=_stand_in(stem), session="Test3")
        for stem, file in files.items()
        if TEST3.fullmatch(stem)
    ]
    return utterances


def _votes(table: Path) -> dict[str, Counter[str]]:
    """Count the primary emotions per file; secondary ones, of which a listener ticks many, are not votes."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    if table.is_file():
        for number, row in read_rows(table, ("FileName",), CORPUS.how_to_get):
            if "EmoDetail" in row:  # 1.7 to 1.11: "WORKER00000001; Angry; Frustrated,Angry; A:5; V:2; D:6;"
                _, _, rest = row["EmoDetail"].partition(";")
                word = rest.partition(";")[0]
            elif "EmoClass_Major" in row:
                word = row["EmoClass_Major"]
            else:
                raise CorpusError(f"{table}, row {number}: no votes in it; get it again from {CORPUS.how_to_get}")
            # listeners may write a word of their own: "Other-Curious"
            votes[row["FileName"].strip().removesuffix(".wav")][normalise(word) or "other"] += 1
    return votes


def _stand_in(stem: str) -> str:
    match = NAME.fullmatch(stem)
    return f"podcast-{match[1].lower()}" if match else ""


def _number(cell: str) -> float:
    return float(cell) if cell.strip() else math.nan


CORPUS = Corpus(
    name="msp-podcast",
    title="MSP-Podcast",
    language="English",
    licence="signed academic licence",
    labels=tuple(filter(None, EMOTIONS.values())),
    # Of release 2.0. 2,220 (and more, unknown) + 704 + 465 + 112 speakers of Train, Development, Test1 and Test2,
    # some of the test ones twice; Test3 hides its 428. 264,705 labelled turns and the 3,200 of Test3.
    speakers=3501,
    utterances=267905,
    hours=409.0,
    how_to_get="https://lab-msp.com/MSP/MSP-Podcast.html (signed licence)",
    layout="Labels/labels_consensus.csv and Audios/MSP-PODCAST_0001_0008.wav",
    read=read,
    scale=(1.0, 7.0),
)
