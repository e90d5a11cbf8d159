"""EMOVO: six Italian actors, fourteen sentences, some without sense, seven emotions."""

from __future__ import annotations

import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, named_files
from sercli.corpora.table import Utterance

NAME = re.compile(r"(dis|gio|neu|pau|rab|sor|tri)-([fm][1-3])-([bdln]\d)")  # emotion, actor, sentence
EMOTIONS = {
    "dis": "disgust",  # disgusto
    "gio": "happy",  # gioia
    "neu": "neutral",
    "pau": "fear",  # paura
    "rab": "angry",  # rabbia
    "sor": "surprise",  # sorpresa
    "tri": "sad",  # tristezza
}
TEXTS = {
    "b1": "Gli operai si alzano presto.",
    "b2": "I vigili sono muniti di pistola.",
    "b3": "La cascata fa molto rumore.",
    "d1": "Sabato sera cosa farà?",
    "d2": "Porti con te quella cosa?",
    "l1": "L'autunno prossimo Tony partirà per la Spagna: nella prima metà di ottobre.",
    "l2": "Ora prendo la felpa di là ed esco per fare una passeggiata.",
    "l3": "Un attimo dopo s'è incamminato... ed è inciampato.",
    "l4": "Vorrei il numero telefonico del Signor Piatti.",
    "n1": "La casa forte vuole col pane.",
    "n2": "La forza trova il passo e l'aglio rosso.",
    "n3": "Il gatto sta scorrendo nella pera.",
    "n4": "Insalata pastasciutta coscia d'agnello limoncello.",
    "n5": "Uno quarantatré dieci mille cinquantasette venti.",
}


def read(root: Path) -> list[Utterance]:
    """Read the folders `f1` to `f3` and `m1` to `m3`; the file name says everything."""
    utterances = []
    for file, match in named_files(root, NAME):
        emotion, actor, sentence = match.groups()
        utterances.append(
            Utterance(
                path=str(file),
                corpus="emovo",
                speaker=actor,
                gender=actor[0],
                text=TEXTS.get(sentence, ""),
                emotion=EMOTIONS[emotion],
            )
        )
    return utterances


CORPUS = Corpus(
    name="emovo",
    title="EMOVO Corpus",
    language="Italian",
    licence="not confirmed (CC BY-NC-SA 4.0 in a secondary source)",
    labels=tuple(EMOTIONS.values()),
    speakers=6,
    utterances=588,
    hours=0.5,
    how_to_get="http://voice.fub.it/activities/corpora/emovo/index.html",
    layout="f1/dis-f1-b1.wav",
    read=read,
)
