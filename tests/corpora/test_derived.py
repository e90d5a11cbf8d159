"""Points that stand in for ratings: only where nobody rated, and in an order that people would recognise."""

from __future__ import annotations

import math

import pytest

from sercli.corpora.derived import POINTS, is_rated, with_derived
from sercli.corpora.table import Utterance
from sercli.evaluation.task import ratings
from sercli.labels import SYNONYMS


def test_a_corpus_of_classes_gets_points_from_0_to_1() -> None:
    angry, calm, unknown = with_derived(
        [Utterance(f"{word}.wav", corpus="ravdess", emotion=word) for word in ("anger", "calm", "other")]
    )
    assert (angry.arousal, angry.valence, angry.dominance) == pytest.approx((0.795, 0.245, 0.625))
    assert calm.arousal < 0.5 < calm.valence
    assert not is_rated(unknown)
    found = ratings([angry, calm, unknown])
    assert found[0].tolist() == pytest.approx([0.795, 0.245, 0.625])
    assert all(map(math.isnan, found[2]))


def test_a_corpus_with_ratings_keeps_them_and_gets_no_others() -> None:
    rated = Utterance("a.wav", corpus="iemocap", emotion="angry", arousal=4.5)
    bare = Utterance("b.wav", corpus="iemocap", emotion="sad")
    other = Utterance("c.wav", corpus="emodb", emotion="sad")
    found = with_derived([rated, bare, other])
    assert found[:2] == [rated, bare]
    assert is_rated(found[2])


def test_every_point_is_of_a_canonical_word_and_orders_as_people_do() -> None:
    assert POINTS.keys() <= SYNONYMS.keys()
    arousal, valence, dominance = ({word: point[axis] for word, point in POINTS.items()} for axis in range(3))
    assert arousal["angry"] > arousal["neutral"] > arousal["sad"] > arousal["boredom"]
    assert valence["happy"] > valence["neutral"] > valence["sad"]
    assert dominance["angry"] > dominance["fear"]
