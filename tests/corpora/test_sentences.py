"""What the sentence alone gives away, and splits that part sentences as well as speakers."""

from __future__ import annotations

import itertools

import pytest

from sercli.corpora.sentences import by_sentence, group_of, leak, sentence
from sercli.corpora.splits import Split
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError

EMOTIONS = ("angry", "happy", "sad")
SPEAKERS = ("a", "b", "c")


def clip(speaker: str, emotion: str, text: str) -> Utterance:
    return Utterance(f"{speaker}-{emotion}-{text}.wav", corpus="acted", speaker=speaker, emotion=emotion, text=text)


def test_sentences_in_every_emotion_say_nothing() -> None:
    found = leak([clip(*parts) for parts in itertools.product(SPEAKERS, EMOTIONS, ("Kids talk.", "Dogs sit."))])
    assert (found.sentences, found.of_one_label, found.labels) == (2, 0, 3)
    assert found.ua == pytest.approx(found.chance) == pytest.approx(100.0 / 3, abs=0.01)


def test_a_sentence_that_belongs_to_an_emotion_says_all() -> None:
    found = leak([clip(speaker, emotion, f"I am {emotion}") for speaker in SPEAKERS for emotion in EMOTIONS])
    assert (found.of_one_label, found.ua) == (3, 100.0)


def test_a_sentence_of_one_speaker_is_a_guess() -> None:
    found = leak([clip(speaker, emotion, speaker + emotion) for speaker in SPEAKERS for emotion in EMOTIONS])
    assert found.ua == pytest.approx(found.chance)
    with pytest.raises(CorpusError, match="fill the column text"):
        leak([clip("a", "sad", "")])


def test_spelling_does_not_make_another_sentence() -> None:
    assert sentence("Zażółć,  GĘŚLĄ jaźń!") == sentence("zażółć gęślą jaźń")
    assert group_of("Kids talk.", 3) == group_of("kids TALK", 3)


def test_tested_sentences_stand_on_the_test_side_alone() -> None:
    texts = [f"sentence {number}" for number in range(12)]
    sides = Split(
        train=[clip("a", "sad", text) for text in texts],
        dev=[clip("b", "sad", text) for text in texts],
        test=[clip("c", "sad", text) for text in texts],
    )
    tested = set()
    for group in range(2):
        parted = by_sentence(sides, 2, group)
        known = {u.text for u in [*parted.train, *parted.dev]}
        new = {u.text for u in parted.test}
        assert known.isdisjoint(new)
        assert known | new == set(texts)
        tested |= new
    assert tested == set(texts)
    with pytest.raises(CorpusError, match="no transcript"):
        by_sentence(Split([clip("a", "sad", "")], [], []), 2, 0)
