"""MELD: dialogues of the television series Friends, six main speakers and some three hundred others.

The official partition has the main speakers on every side: it tells train, dev and test apart in the column
`session`, but it is no speaker-independent protocol.
"""

from __future__ import annotations

from pathlib import Path

from sercli.corpora.corpus import Corpus, audio_files
from sercli.corpora.label_files import find, read_rows
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError

FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
"""Partition to the folder its clips lie in."""
EMOTIONS = {
    "neutral": "neutral",
    "joy": "happy",
    "sadness": "sad",
    "anger": "angry",
    "surprise": "surprise",
    "fear": "fear",
    "disgust": "disgust",
}
COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")


def read(root: Path) -> list[Utterance]:
    """Read `train_sent_emo.csv`, `dev_sent_emo.csv`, `test_sent_emo.csv` and the sound of the clips.

    The release holds video, which is not read: extract the sound first, beside the clip or into a folder of the
    same name (`ffmpeg -i dia0_utt3.mp4 -ac 1 -ar 16000 dia0_utt3.wav`). Clips without a row (`final_videos_test...`)
    are left out. Rows without sound keep their name; dev dia110_utt7 is missing from the release and train
    dia125_utt3 broken in it (declare-lab/MELD issues 22 and 39).

    Raises:
        CorpusError: a .csv is not as released.
    """
    tables = {}
    for part in FOLDERS:
        name = f"{part}_sent_emo.csv"
        table = find(root, name, f"{part}/{name}", f"data/MELD/{name}")  # the repository, too, is a place to have it
        if table is not None:
            tables[part] = table
    if not tables:
        return []
    part_of = {folder: part for part in FOLDERS for folder in (part, FOLDERS[part])}
    files = {(part_of.get(file.parent.name), file.stem): file for file in audio_files(root)}
    utterances = []
    for part, table in tables.items():
        for number, row in read_rows(table, COLUMNS, CORPUS.how_to_get):
            stem = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
            if row["Emotion"] not in EMOTIONS:
                raise CorpusError(
                    f'{table}, row {number}: unknown emotion "{row["Emotion"]}"; get it again from {CORPUS.how_to_get}'
                )
            utterances.append(
                Utterance(
                    path=str(files.get((part, stem), table.parent / FOLDERS[part] / f"{stem}.wav")),
                    corpus="meld",
                    speaker=row["Speaker"].strip(),
                    session=part,
                    text=row["Utterance"].strip(),
                    emotion=EMOTIONS[row["Emotion"]],
                )
            )
    return utterances


CORPUS = Corpus(
    name="meld",
    title="Multimodal EmotionLines Dataset",
    language="English",
    licence="GPL-3.0 for the annotations; the sound is of a television series",
    labels=tuple(EMOTIONS.values()),
    speakers=304,  # names as counted by EmoBox; a few, such as All, are nobody in particular
    utterances=13708,  # 9,989 + 1,109 + 2,610
    hours=13.66,  # from the mean durations of the official description
    how_to_get="https://github.com/declare-lab/MELD",
    layout="train_sent_emo.csv and train_splits/dia0_utt3.wav",
    read=read,
)
