"""What a student says about a stretch of audio, and how a distribution becomes a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sercli.errors import LabelError, UsageError
from sercli.nearest import nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNCERTAIN = "uncertain"
DIMENSIONS = ("arousal", "valence", "dominance")
"""What students with a regression head say besides the classes, each from 0 to 1, in this order."""


@dataclass(frozen=True)
class Prediction:
    """The emotion of one stretch of audio."""

    label: str
    """most likely class; "uncertain" below the threshold; empty for silence"""
    score: float
    """probability of the most likely class, 0 to 1, also where the label is "uncertain"; 0 for silence"""
    scores: dict[str, float]
    """class to probability, in the student's order, sum 1; empty for silence"""
    start: float
    """in seconds from the beginning of the audio"""
    end: float
    """in seconds"""
    silence: bool = False
    """too quiet to hold speech: nothing was predicted"""
    embedding: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """the student's last hidden layer, shape (embedding_size,); None for silence"""
    dimensions: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """arousal, valence and dominance, each 0 to 1, shape (3,); None for silence and students without that head"""

    @property
    def best(self) -> str:
        """The most likely class, even if its score is below the threshold; empty for silence."""
        return max(self.scores, key=self.scores.__getitem__, default="")


@dataclass(frozen=True)
class Decision:
    """How class probabilities become a label."""

    labels: tuple[str, ...]
    """the student's classes, in its order"""
    threshold: float
    """best scores below it are "uncertain"; 0 never abstains"""
    kept: tuple[str, ...] | None = None
    """only these classes, probabilities renormalised; None keeps all"""

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise UsageError(f"threshold must be between 0 and 1, not {self.threshold}")
        for label in self.kept or ():
            if label not in self.labels:
                hint = nearest(label, self.labels)
                raise LabelError(f'the student has no label "{label}"{hint}; its labels are {", ".join(self.labels)}')
        if self.kept is not None and not self.kept:
            raise LabelError(f"no label is left; choose from {', '.join(self.labels)}")

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes scores are given for, in the student's order."""
        return tuple(label for label in self.labels if self.kept is None or label in self.kept)

    def prediction(
        self,
        start: float,
        end: float,
        probabilities: Sequence[float] | NDArray[np.floating],
        embedding: NDArray[np.floating],
        dimensions: NDArray[np.floating] | None = None,
    ) -> Prediction:
        """Decide on one stretch.

        Args:
            start: in seconds
            end: in seconds
            probabilities: of all classes of the student, shape (classes,)
            embedding: shape (embedding_size,)
            dimensions: arousal, valence and dominance, shape (3,), where the student has that head
        """
        values = np.asarray(probabilities, np.float64)
        kept = [index for index, label in enumerate(self.labels) if self.kept is None or label in self.kept]
        total = float(values[kept].sum())
        # All kept classes may round to zero; then none of them is more likely than another.
        shares = values[kept] / total if total > 0 else np.full(len(kept), 1.0 / len(kept))
        scores = dict(zip(self.classes, shares.tolist(), strict=True))
        label, score = max(scores.items(), key=lambda item: item[1])
        if score < self.threshold:
            label = UNCERTAIN
        known = None if dimensions is None else dimensions.astype(np.float32)
        return Prediction(label, score, scores, start, end, False, embedding.astype(np.float32), known)


def on_scale(dimensions: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    """Bring arousal, valence and dominance from 0 to 1 to another scale, such as 1 to 7 of MSP-Podcast; any shape."""
    return low + (high - low) * dimensions


def silent(start: float, end: float) -> Prediction:
    """Say that a stretch, in seconds, holds no speech."""
    return Prediction("", 0.0, {}, start, end, silence=True)
