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
from sercli.corpora.derived import is_rated
from sercli.corpora.table import Utterance, dump_table
from sercli.errors import CorpusError, LabelError, UsageError
from sercli.labels import labels_of, normalise, place
from sercli.runtime.prediction import DIMENSIONS

SHARED = "shared"
"""Instead of a label set: the labels that model and data both have."""
OWN = "own"
"""Instead of a label set: all labels of the model, also those that the data never show and that can only be wrong."""
NO_LABEL = "unlabelled"
"""Among the emotions left out: none was given."""


@dataclass(frozen=True)
class Task:
    """Utterances and the labels to choose among."""

    utterances: list[Utterance]
    """Emotions are labels of this task, or empty where only arousal, valence or dominance is known."""
    labels: tuple[str, ...]
    """In the model's order."""
    label_set: str
    """Name of the label set, SHARED or OWN."""
    left_out: dict[str, int]
    """Emotions without a place among the labels, or NO_LABEL, to the utterances that no label was asked for."""


def ask(utterances: Sequence[Utterance], known: Sequence[str], label_set: str = SHARED, rates: bool = False) -> Task:
    """Turn a corpus into a task for one model.

    Args:
        utterances: with native labels
        known: the model's labels
        label_set: measure on this whole set, or on SHARED or OWN labels
        rates: the model rates arousal, valence and dominance, so utterances with those but no label count too, and a
            corpus with ratings alone is a task without labels

    Raises:
        LabelError: a label the model lacks, a class without utterances, an unknown word, fewer than two labels left
        CorpusError: no utterances, or one of them twice
    """
    if not utterances:
        raise CorpusError("no utterances to evaluate on; check the corpus or table")
    stretches = Counter(utterance.stretch for utterance in utterances)
    (path, start, *_), times = stretches.most_common(1)[0]
    if times > 1:
        raise CorpusError(f"{path}: from {start:g} s on {times} times, and would count as often; keep one row of it")
    wanted = tuple(known) if label_set in (SHARED, OWN) else labels_of(label_set)
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
        rated = rates and is_rated(utterance)
        if label or rated:
            kept.append(replace(utterance, emotion=label or ""))
        if not label and (emotion or not rated):
            left_out[emotion or NO_LABEL] += 1
    present = {utterance.emotion for utterance in kept}
    empty = [label for label in wanted if label not in present]
    if empty and label_set not in (SHARED, OWN):
        raise LabelError(
            f"no utterance of {', '.join(empty)}, so {label_set} cannot be measured; complete the corpus, or take "
            f"`--labels {SHARED}` for the labels that model and data both have"
        )
    labels = tuple(label for label in known if label in present)
    if len(labels) < 2 and rates and any(map(is_rated, kept)):  # one label is no choice: a UA of 100 % for nothing
        left_out.update(utterance.emotion for utterance in kept if utterance.emotion)
        kept, labels = [replace(utterance, emotion="") for utterance in kept if is_rated(utterance)], ()
    elif len(labels) < 2:
        words = ", ".join(sorted({utterance.emotion for utterance in utterances} - {""})) or "none"
        raise LabelError(
            f"model and data share {len(labels)} labels, two are needed (model: {', '.join(known)}; data: {words}); "
            'rename the words in the column "emotion"'
        )
    elif label_set == OWN:
        labels = tuple(known)
    return Task(kept, labels, label_set, dict(sorted(left_out.items())))


def votes(utterances: Sequence[Utterance], labels: Sequence[str]) -> npt.NDArray[np.float64]:
    """Count the annotators' votes for each label, shape (utterances, labels); zeros where nobody voted for any.

    Votes for words without a place among the labels are not counted.

    Raises:
        CorpusError: votes that are no counts
    """
    counts = np.zeros((len(utterances), len(labels)))
    for row, utterance in enumerate(utterances):
        for word, number in json.loads(utterance.votes or "{}").items():
            if not isinstance(number, int | float) or not 0 <= number < math.inf:
                raise CorpusError(f'{utterance.path}: votes of {json.dumps(number)} for "{word}"; write a count')
            label = place(word, labels, utterance.corpus) if normalise(word) else None
            if label:
                counts[row, labels.index(label)] += number
    return counts


def ratings(utterances: Sequence[Utterance], scale: tuple[float, float] | None = None) -> npt.NDArray[np.float64]:
    """Bring arousal, valence and dominance from their corpora's scales to 0 to 1, shape (utterances, 3).

    Args:
        utterances: of any corpora; unknown values are NaN
        scale: lowest and highest value in use; None takes each corpus's own, 0 to 1 for a corpus we do not know

    Raises:
        CorpusError: a value outside the scale
        UsageError: a scale without extent
    """
    if scale and not scale[0] < scale[1]:
        raise UsageError(f"a scale from {scale[0]:g} to {scale[1]:g}; give the lowest value first, --scale LOW HIGH")
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
    """Hash what was asked: every row as CSV, paths below their common folder, so that a moved corpus is the same.

    Weights are left out, they are of training: the same test has one hash, whichever recipe is tested.
    """
    rows = [replace(utterance, weight=1.0) for utterance in utterances]
    folder = os.path.commonpath([Path(row.path).absolute().parent for row in rows])
    text = io.StringIO()
    dump_table(sorted(rows, key=lambda row: (row.path, row.start)), text, ".csv", Path(folder))
    return hashlib.sha256(text.getvalue().encode()).hexdigest()
