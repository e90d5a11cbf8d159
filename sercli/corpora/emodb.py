"""EmoDB, the Berlin Database of Emotional Speech: ten German actors, ten sentences, seven emotions."""

from __future__ import annotations

import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, named_files
from sercli.corpora.table import Utterance

NAME = re.compile(r"(\d\d)([ab]\d\d)([WLEAFTN])[a-z]?")  # speaker, sentence, emotion, version
EMOTIONS = {
    "W": "angry",  # Wut
    "L": "boredom",  # Langeweile
    "E": "disgust",  # Ekel
    "A": "fear",  # Angst
    "F": "happy",  # Freude
    "T": "sad",  # Trauer
    "N": "neutral",
}
WOMEN = frozenset(("08", "09", "13", "14", "16"))
TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}


def read(root: Path) -> list[Utterance]:
    """Read the files of `wav/`; the root may also be that folder itself."""
    utterances = []
    for file, match in named_files(root, NAME):
        speaker, sentence, emotion = match.groups()
        utterances.append(
            Utterance(
                path=str(file),
                corpus="emodb",
                speaker=speaker,
                gender="f" if speaker in WOMEN else "m",
                text=TEXTS.get(sentence, ""),
                emotion=EMOTIONS[emotion],
            )
        )
    return utterances


CORPUS = Corpus(
    name="emodb",
    title="Berlin Database of Emotional Speech",
    language="German",
    licence="not confirmed (CC BY 4.0 or CC0 in secondary sources)",
    labels=tuple(EMOTIONS.values()),
    speakers=10,
    utterances=535,
    hours=0.41,
    how_to_get="http://emodb.bilderbar.info/download/",
    layout="wav/03a01Fa.wav",
    read=read,
)
