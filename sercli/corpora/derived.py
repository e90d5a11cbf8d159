"""Arousal, valence and dominance that stand in for ratings nobody gave: one point per emotion word.

The points are those of Russell and Mehrabian 1977, "Evidence for a three-factor theory of emotions", Journal of
Research in Personality 11(3), 273-294: means of how people placed the word on semantic differential scales, -1 to 1, as
later work quotes them. They say what a word means, not how a clip sounds: every clip of a class gets the same three
numbers, so agreement with them proves nothing about perceived arousal or valence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isnan

from sercli.corpora.table import Utterance
from sercli.labels import normalise

SOURCE = "Russell and Mehrabian 1977, Journal of Research in Personality 11(3), 273-294"

POINTS: Mapping[str, tuple[float, float, float]] = {
    "angry": (0.59, -0.51, 0.25),
    "boredom": (-0.62, -0.65, -0.33),
    "calm": (-0.46, 0.68, 0.06),  # their "relaxed"
    "disgust": (0.35, -0.60, 0.11),
    "excited": (0.75, 0.62, 0.38),
    "fear": (0.60, -0.64, -0.43),
    "frustrated": (0.52, -0.64, 0.35),
    "happy": (0.51, 0.81, 0.46),
    "neutral": (0.0, 0.0, 0.0),  # ours: the middle of the scales, for they have no such word
    "sad": (-0.27, -0.63, -0.33),
    "surprise": (0.67, 0.40, -0.13),
}
"""Canonical emotion word to arousal, valence and dominance, -1 to 1; other words have none."""


def is_rated(utterance: Utterance) -> bool:
    """Tell if anybody rated arousal, valence or dominance of an utterance."""
    return not all(map(isnan, (utterance.arousal, utterance.valence, utterance.dominance)))


def with_derived(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Give utterances of corpora without ratings the point of their native emotion, brought to 0 to 1.

    A corpus that has ratings keeps them and gets no others: those it lacks stay unknown.
    """
    utterances = list(utterances)
    rated = {utterance.corpus for utterance in utterances if is_rated(utterance)}
    return [_derived(utterance) if utterance.corpus not in rated else utterance for utterance in utterances]


def _derived(utterance: Utterance) -> Utterance:
    point = POINTS.get(normalise(utterance.emotion) or "")
    if point is None:
        return utterance
    arousal, valence, dominance = ((1.0 + value) / 2.0 for value in point)
    return replace(utterance, arousal=arousal, valence=valence, dominance=dominance)
