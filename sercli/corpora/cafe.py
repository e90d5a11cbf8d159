"""CaFE: twelve actors speaking Canadian French, six sentences, seven emotions, two intensities."""

from __future__ import annotations

import re
from pathlib import Path

from sercli.corpora.corpus import Corpus, named_files
from sercli.corpora.table import Utterance

# actor - emotion - intensity - sentence. The folders (`Colère/Faible`) say the same again, and are not looked at:
# their accents come out garbled from many a zip program.
NAME = re.compile(r"(0[1-9]|1[0-2])-([CDJNPST])-[12]-([1-6])")
EMOTIONS = {
    "C": "angry",  # colère
    "D": "disgust",  # dégoût
    "J": "happy",  # joie
    "N": "neutral",
    "P": "fear",  # peur
    "S": "surprise",
    "T": "sad",  # tristesse
}
TEXTS = {
    "1": "Un cheval fou dans mon jardin",
    "2": "Deux ânes aigris au pelage brun",
    "3": "Trois cygnes aveugles au bord du lac",
    "4": "Quatre vieilles truies éléphantesques",
    "5": "Cinq pumas fiers et passionnés",
    "6": "Six ours aimants domestiqués",
}


def read(root: Path) -> list[Utterance]:
    """Read the folders per emotion and intensity; of a recording at both rates, 48 and 192 kHz, the first found."""
    utterances = []
    for file, match in named_files(root, NAME):
        actor, emotion, sentence = match.groups()
        utterances.append(
            Utterance(
                path=str(file),
                corpus="cafe",
                speaker=actor,
                gender="m" if int(actor) % 2 else "f",  # odd actors are male
                text=TEXTS[sentence],
                emotion=EMOTIONS[emotion],
            )
        )
    return utterances


CORPUS = Corpus(
    name="cafe",
    title="Canadian French Emotional Speech Dataset",
    language="French",
    licence="CC BY-NC-SA 4.0",
    labels=tuple(EMOTIONS.values()),
    speakers=12,
    utterances=936,
    hours=1.2,
    how_to_get="https://doi.org/10.5281/zenodo.1478765",
    layout="CaFE_48k/Colère/Faible/01-C-1-1.wav",
    read=read,
)
