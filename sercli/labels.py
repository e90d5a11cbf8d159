"""Label sets, the words corpora use for emotions, mappings between the two, and colours for plots.

corpus file code -> native word -> canonical word -> label of the set asked for
"04-" (RAVDESS)     "sad"          "sad"             "sad"
"calm"              "calm"         "calm"            "neutral" in `seven`, "calm" in `ravdess8`
"boredom"           "boredom"      "boredom"         none in `seven`: the utterance is left out
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sercli.errors import LabelError
from sercli.nearest import nearest

if TYPE_CHECKING:
    from sercli.corpora.table import Utterance

SEVEN = ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise")

NATIVE = "native"
"""Not a set but a wish: keep every corpus's own labels, drop nothing."""

LABEL_SETS: dict[str, tuple[str, ...]] = {
    "seven": SEVEN,
    "ravdess8": ("neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "surprise"),
    "emodb7": ("angry", "boredom", "disgust", "fear", "happy", "neutral", "sad"),
    "nemo6": ("angry", "fear", "happy", "neutral", "sad", "surprise"),
    "aesdd5": ("angry", "disgust", "fear", "happy", "sad"),
    "iemocap4": ("angry", "happy", "neutral", "sad"),
    "cremad6": ("angry", "disgust", "fear", "happy", "neutral", "sad"),
    "msp8": ("angry", "sad", "happy", "surprise", "fear", "disgust", "contempt", "neutral"),
}
"""Name to labels, in the order a model gives its scores in."""

SYNONYMS: dict[str, tuple[str, ...]] = {
    "neutral": ("neu", "neutrality", "normal"),
    "calm": ("calmness",),
    "happy": ("happiness", "hap", "joy", "joyful", "happily"),
    "sad": ("sadness", "sorrow"),
    "angry": ("anger", "ang", "hot anger", "rage"),
    "fear": ("fearful", "fea", "afraid", "scared"),
    "disgust": ("disgusted", "dis"),
    "surprise": ("surprised", "sur", "ps", "pleasant surprise", "pleasant surprised"),
    "boredom": ("bored", "bor"),
    "excited": ("exc", "excitement"),
    "frustrated": ("fru", "frustration"),
    "contempt": ("contemptuous", "con"),
    "amused": ("amusement",),
    "anxious": ("anxiety",),
    "apologetic": (),
    "assertive": (),
    "concerned": ("concern",),
    "encouraging": ("encouragement",),
    "guilt": ("guilty",),
    "sleepy": ("sleepiness",),
    "low": (),  # BAVED: speech with less emotion than neutral, with more
    "high": (),
    "other": ("oth", "xxx", "unknown", "no agreement"),
}
"""Canonical word to the other words found for it in corpora and tables."""

MERGED: dict[str, str] = {"calm": "neutral", "excited": "happy"}
"""Where a canonical word goes in a set that lacks it; a word that is not here is left out of that set."""

COLOURS: dict[str, str] = {
    "neutral": "#7F7F7F",
    "happy": "#E69F00",
    "sad": "#0072B2",
    "angry": "#D55E00",
    "fear": "#CC79A7",
    "disgust": "#009E73",
    "surprise": "#56B4E9",
    "calm": "#F0E442",
    "boredom": "#000000",
    "contempt": "#882255",
}
"""Hex colour per label: the colour-blind-safe palette of Okabe and Ito, a grey for neutral, a wine red of Tol's."""

_CANONICAL = {word: label for label, words in SYNONYMS.items() for word in (label, *words)}


def normalise(word: str) -> str | None:
    """Return the canonical word for an emotion word of any corpus, or None if the word is unknown."""
    return _CANONICAL.get(" ".join(word.lower().replace("_", " ").replace("-", " ").split()))


def labels_of(name: str) -> tuple[str, ...]:
    """Return the labels of a set, in model order.

    Args:
        name: of a set in LABEL_SETS, or a set of one's own: its labels, parted by commas

    Raises:
        LabelError: there is no set of that name, or one's own has a label twice.
    """
    if "," in name:
        own = tuple(normalise(word) or word.strip().lower() for word in name.split(",") if word.strip())
        if len(set(own)) < max(len(own), 2):
            raise LabelError(
                f'label set "{name}": needs two labels or more, each once; {", ".join(own)} is what it says'
            )
        return own
    if name not in LABEL_SETS:
        known = ", ".join(LABEL_SETS)
        raise LabelError(f'unknown label set "{name}"{nearest(name, LABEL_SETS)}; choose one of {known}')
    return LABEL_SETS[name]


def map_label(emotion: str, label_set: str, corpus: str = "") -> str | None:
    """Map one emotion word to a label of a set.

    Args:
        emotion: the word a corpus or table uses, any case; empty if unlabelled
        label_set: a set as `labels_of` takes it, or NATIVE
        corpus: where the word comes from, for the error message

    Returns:
        the label, or None if the word has no place in the set (boredom in `seven`) or is empty.
        With NATIVE the canonical word, or the word itself in lower case if it is not a known one.

    Raises:
        LabelError: unknown set, or unknown word where the set is not NATIVE.
    """
    if not emotion.strip():
        return None
    if label_set == NATIVE:
        return normalise(emotion) or emotion.strip().lower()
    return place(emotion, labels_of(label_set), corpus)


def place(emotion: str, labels: Sequence[str], corpus: str = "") -> str | None:
    """Return the label among `labels` that an emotion word counts as, or None if it has no place there.

    Raises:
        LabelError: unknown word.
    """
    word = emotion.strip().lower()
    canonical = normalise(emotion) or (word if word in labels else None)
    if canonical is None:
        where = f" of corpus {corpus}" if corpus else ""
        hint = nearest(word, _CANONICAL)
        raise LabelError(f'unknown emotion "{emotion}"{where}{hint}; rename it, or make it one of your own labels')
    for label in (canonical, MERGED.get(canonical)):
        if label in labels:
            return label
    return None


def relabel(utterances: Iterable[Utterance], label_set: str) -> list[Utterance]:
    """Return the utterances with their emotion mapped to a label set; those without a place in it are left out.

    Raises:
        LabelError: unknown set or unknown emotion word.
    """
    kept = []
    for utterance in utterances:
        label = map_label(utterance.emotion, label_set, utterance.corpus)
        if label is not None:
            kept.append(utterance if label == utterance.emotion else replace(utterance, emotion=label))
    return kept
