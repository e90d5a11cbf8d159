"""What is asked of a model: which utterances it hears and among which labels it chooses."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sercli.corpora import CORPORA
from sercli.corpora.table import Utterance, dump_table
from sercli.errors import CorpusError, LabelError
from sercli.evaluation.dimensional import DIMENSIONS
from sercli.labels import labels_of, normalise, place

SHARED = "shared"
"""Instead of a label set: the labels that model and data both have."""


@dataclass(frozen=True)
class Task:
    """Utterances and the labels to choose among."""

    utterances: list[Utterance]
    """Emotions are labels of this task, or empty where only arousal, valence or dominance is known."""
    labels: tuple[str, ...]
    """In the model's order."""
    label_set: str
    """Name of the label set, or SHARED."""
    left_out: dict[str, int]
    """Emotions without a place among the labels, and how many utterances have them."""


def ask(utterances: Sequence[Utterance], known: Sequence[str], label_set: str = SHARED, rates: bool = False) -> Task:
    """Turn a corpus into a task for one model.

    Args:
        utterances: with native labels
        known: the model's labels
        label_set: measure on this whole set, or on the labels that model and data both have
        rates: the model rates arousal, valence and dominance, so utterances with those but no label count too

    Raises:
        LabelError: a label the model lacks, a class without utterances, an unknown word, fewer than two labels left
        CorpusError: no utterances
    """
    if not utterances:
        raise CorpusError("no utterances to evaluate on; check the corpus or table")
    wanted = tuple(known) if label_set == SHARED else labels_of(label_set)
    if lacking := [label for label in wanted if label not in known]:
        raise LabelError(
            f"the model has no label {', '.join(lacking)} of {label_set} (its labels: {', '.join(known)}); "
            f"choose another --labels, or `--labels {SHARED}` for the labels that model and data both have"
        )
    kept: list[Utterance] = []
    left_out: Counter[str] = Counter()
    for utterance in utterances:
        emotion = utterance.emotion.strip()
        label = place(emotion, wanted, utterance.corpus) if emotion else None
        if emotion and label is None:
            left_out[emotion] += 1
        if label or (rates and not all(math.isnan(getattr(utterance, name)) for name in DIMENSIONS)):
            kept.append(replace(utterance, emotion=label or ""))
    present = {utterance.emotion for utterance in kept}
    empty = [label for label in wanted if label not in present]
    if empty and label_set != SHARED:
        raise LabelError(
            f"no utterance of {', '.join(empty)}, so {label_set} cannot be measured; complete the corpus, or take "
            f"`--labels {SHARED}` for the labels that model and data both have"
        )
    labels = tuple(label for label in known if label in present)
    if len(labels) < 2 and not (rates and kept):
        words = ", ".join(sorted({utterance.emotion for utterance in utterances} - {""})) or "none"
        raise LabelError(
            f"model and data share {len(labels)} labels, two are needed (model: {', '.join(known)}; data: {words}); "
            'rename the words in the column "emotion"'
        )
    return Task(kept, labels, label_set, dict(sorted(left_out.items())))


def votes(utterances: Sequence[Utterance], labels: Sequence[str]) -> npt.NDArray[np.float64]:
    """Count the annotators' votes for each label, shape (utterances, labels); zeros where nobody voted for any."""
    counts = np.zeros((len(utterances), len(labels)))
    for row, utterance in enumerate(utterances):
        for word, number in json.loads(utterance.votes or "{}").items():
            label = place(word, labels, utterance.corpus) if normalise(word) else None
            if label:
                counts[row, labels.index(label)] += number
    return counts


def ratings(utterances: Sequence[Utterance], scale: tuple[float, float] | None = None) -> npt.NDArray[np.float64]:
    """Bring arousal, valence and dominance from their corpora's scales to 0 to 1, shape (utterances, 3).

    Args:
        utterances: of any corpora; unknown values are NaN
        scale: lowest and highest value in use; None takes the corpus's own

    Raises:
        CorpusError: a corpus whose scale nobody knows, or a value outside it
    """
    values = np.full((len(utterances), len(DIMENSIONS)), math.nan)
    for row, utterance in enumerate(utterances):
        given = np.array([getattr(utterance, name) for name in DIMENSIONS])
        if np.isnan(given).all():
            continue
        corpus = CORPORA.get(utterance.corpus)
        low, high = scale or (corpus.scale if corpus and corpus.scale else (0.0, 1.0))
        values[row] = (given - low) / (high - low)
        if np.nanmin(values[row]) < 0 or np.nanmax(values[row]) > 1:
            raise CorpusError(
                f"{utterance.path}: arousal, valence or dominance outside {low:g} to {high:g}; "
                "say the table's scale with --scale LOW HIGH"
            )
    return values


def table_sha256(utterances: Sequence[Utterance]) -> str:
    """Hash what was asked: every row as CSV, paths below their common folder, so that a moved corpus is the same."""
    paths = [str(Path(utterance.path).absolute()) for utterance in utterances]
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120 - many thousand times
    text = io.StringIO()
    dump_table(sorted(utterances, key=lambda u: (u.path, u.start)), text, ".csv", Path(folder))
    return hashlib.sha256(text.getvalue().encode()).hexdigest()
