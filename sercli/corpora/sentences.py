"""Does the sentence give the emotion away? What a transcript alone predicts, and splits that part sentences too.

In an acted corpus every sentence may be spoken in every emotion, so that text says nothing (RAVDESS), or a sentence may
belong to one emotion, so that text says all and a model that reads has learned a list. A gain from text counts only
where neither holds, or where the tested sentences stand on one side alone.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sercli.corpora.splits import Split
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError


@dataclass(frozen=True)
class Leak:
    """What the sentences of a corpus say about its labels."""

    utterances: int
    """with a label, a transcript and a speaker"""
    sentences: int
    """different ones"""
    of_one_label: int
    """sentences that are spoken in one label only"""
    labels: int
    ua: float
    """percent: each clip gets the label that its sentence has most often with the other speakers; a guess where the
    sentence is new or two labels come equally often"""
    chance: float
    """percent"""


def sentence(text: str) -> str:
    """Bring a transcript to what makes it the same sentence: lower-case words, without punctuation."""
    return " ".join(re.findall(r"\w+", text.lower()))


def leak(utterances: Sequence[Utterance]) -> Leak:
    """Find how much of the labels the sentence alone predicts, tested on speakers whose clips were not looked at.

    Raises:
        CorpusError: no transcripts, or fewer than two labels
    """
    told = [u for u in utterances if u.emotion and u.speaker and sentence(u.text)]
    labels = sorted({u.emotion for u in told})
    if len(labels) < 2:
        raise CorpusError("no two labels with transcripts and speakers; fill the column text, or choose another corpus")
    of: dict[str, Counter[str]] = defaultdict(Counter)
    own: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for u in told:
        of[sentence(u.text)][u.emotion] += 1
        own[sentence(u.text), u.corpus, u.speaker][u.emotion] += 1
    credit: dict[str, list[float]] = {label: [] for label in labels}
    for u in told:
        others = of[sentence(u.text)] - own[sentence(u.text), u.corpus, u.speaker]
        most = max(others.values(), default=0)
        best = [label for label in labels if others[label] == most]  # all of them where the sentence is new
        credit[u.emotion].append(1.0 / len(best) if u.emotion in best else 0.0)
    recalls = [sum(values) / len(values) for values in credit.values()]
    alone = sum(len(counts) == 1 for counts in of.values())
    ua, chance = 100.0 * sum(recalls) / len(recalls), 100.0 / len(labels)
    return Leak(len(told), len(of), alone, len(labels), round(ua, 2), round(chance, 2))


def group_of(text: str, groups: int) -> int:
    """Group of a sentence, the same everywhere: by a checksum of its words."""
    return zlib.crc32(sentence(text).encode()) % groups


def by_sentence(sides: Split, groups: int, tested: int) -> Split:
    """Leave only the sentences of one group on the test side, and none of them on the others.

    Raises:
        CorpusError: an utterance without a transcript, or nothing left on a side
    """
    everybody = [*sides.train, *sides.dev, *sides.test]
    if silent := next((u for u in everybody if not sentence(u.text)), None):
        raise CorpusError(f"{silent.path}: no transcript, and split.sentences parts by them; fill the column text")
    kept = replace(
        sides,
        train=[u for u in sides.train if group_of(u.text, groups) != tested],
        dev=[u for u in sides.dev if group_of(u.text, groups) != tested],
        test=[u for u in sides.test if group_of(u.text, groups) == tested],
    )
    for side, utterances in (("training", kept.train), ("test", kept.test)):
        if not utterances:
            raise CorpusError(f"no {side} utterances left of {groups} groups of sentences; lower split.sentences")
    return kept
