"""nEMO: nine Polish actors, ninety sentences, six emotions; described by its data.tsv."""

from __future__ import annotations

import csv
from pathlib import Path

from sercli.corpora.corpus import Corpus, audio_files
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError

EMOTIONS = {
    "anger": "angry",
    "fear": "fear",
    "happiness": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprised": "surprise",
}
GENDERS = {"female": "f", "male": "m"}


def read(root: Path) -> list[Utterance]:
    """Read `data.tsv` and `samples/`; a file that data.tsv lists and samples/ lacks keeps its official name.

    Raises:
        CorpusError: data.tsv is not as released.
    """
    table = root / "data.tsv"
    samples = root / "samples"
    if not table.is_file() or not samples.is_dir():
        return []
    files = {file.stem: file for file in audio_files(samples, depth=0)}
    utterances = []
    try:
        lines = table.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as problem:
        raise CorpusError(f"{table}: cannot be read ({problem}); get it again from {CORPUS.how_to_get}") from problem
    # QUOTE_NONE: the texts are not quoted, a quotation mark in one is part of it
    for number, row in enumerate(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), start=2):
        try:
            name = row["file_id"].strip()
            utterances.append(
                Utterance(
                    path=str(files.get(Path(name).stem, samples / name)),
                    corpus="nemo",
                    speaker=row["speaker_id"].strip(),  # the release pads it with spaces
                    gender=GENDERS[row["gender"].strip()],
                    text=row["raw_text"].strip(),
                    emotion=EMOTIONS[row["emotion"].strip()],
                )
            )
        except (KeyError, AttributeError) as problem:
            raise CorpusError(
                f"{table}, row {number}: not as released ({problem}); get data.tsv again from {CORPUS.how_to_get}"
            ) from problem
    return utterances


CORPUS = Corpus(
    name="nemo",
    title="nEMO, a dataset of emotional speech in Polish",
    language="Polish",
    licence="CC BY-NC-SA 4.0",
    labels=tuple(EMOTIONS.values()),
    speakers=9,
    utterances=4481,
    hours=3.07,
    how_to_get="https://github.com/amu-cai/nEMO",
    layout="data.tsv and samples/WR0_anger_1.wav",
    read=read,
)
